"""A ready search space holds what the estimator can be set to, near what it is set to."""

import warnings

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import make_classification
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import ParameterSampler
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.families import FAMILIES, BayesByBackprop, Concrete
from skdropout.model_selection import BatchedRandomizedSearchCV, _stacks, search_space

X, y = make_classification(60, 5, random_state=0)
ESTIMATORS = (DropoutMLPClassifier, DropoutMLPRegressor)
SMALL = {"hidden_layer_sizes": (4,), "max_iter": 1, "n_draws": 2, "random_state": 0}


def searched(estimator, n_iter=5):
    """A fitted search over the ready space, in which no candidate may fail."""
    search = BatchedRandomizedSearchCV(
        estimator, search_space(estimator), n_iter=n_iter, cv=2, error_score="raise", random_state=0
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return search.fit(X, y)


@pytest.mark.parametrize("family", [None, *FAMILIES])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_tuning_is_one_line_for_every_family(kind, family):
    search = searched(kind(dropout=family, **SMALL))
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()
    assert set(search.best_params_) == set(search_space(kind(dropout=family)))


@pytest.mark.parametrize("kind", ESTIMATORS)
def test_fifty_candidates_are_few_stacks(kind, monkeypatch):
    sizes = []
    stack = _stacks.TrainedStack
    monkeypatch.setattr(
        _stacks, "TrainedStack", lambda jobs, *a: sizes.append(len(jobs)) or stack(jobs, *a)
    )
    space = search_space(kind(**SMALL))
    searched(kind(**SMALL), n_iter=50)
    shapes = len(space["hidden_layer_sizes"]) * len(space.get("noise", [None]))
    assert sum(sizes) == 50 * 2
    assert len(sizes) == shapes


def test_a_pipeline_is_searched_by_the_names_of_its_last_step():
    network = DropoutMLPClassifier(**SMALL)
    pipeline = Pipeline([("scale", StandardScaler()), ("net", network)])
    assert set(search_space(pipeline)) == {f"net__{name}" for name in search_space(network)}
    assert searched(pipeline).best_params_["net__alpha"] > 0


@pytest.mark.parametrize("other", [LogisticRegression(), make_pipeline(LogisticRegression()), None])
def test_what_has_no_network_has_no_space(other):
    with pytest.raises(TypeError, match=r"search_space: estimator must be .* Pipeline"):
        search_space(other)


@pytest.mark.parametrize("rate", [0.0, 0.02, 0.5, 0.95, [0.1, 0.3]])
@pytest.mark.parametrize("kind", ESTIMATORS)
def test_dropout_is_neither_switched_off_nor_total(kind, rate):
    space = search_space(kind(dropout_rate=rate, hidden_layer_sizes=(4, 4)))
    rates = space["dropout_rate"].rvs(1000, random_state=0)
    assert 0 < rates.min() < rates.max() <= 0.7
    given = np.mean(rate)
    if 0 < given < 0.7:
        assert rates.min() < given < rates.max()


def test_the_space_lies_around_what_the_estimator_is_set_to():
    given = {"alpha": 0.5, "learning_rate_init": 0.02}
    space = search_space(DropoutMLPRegressor(hidden_layer_sizes=7, **given))
    for name, value in given.items():
        low, high = space[name].support()
        assert low * high == pytest.approx(value**2)
    assert space["hidden_layer_sizes"] == [(7,), (14,), (7, 7)]


def test_a_learned_family_keeps_its_own_parameters():
    given = BayesByBackprop(prior_std=0.5, kl_weight=2.0)
    space = search_space(DropoutMLPRegressor(dropout=given, alpha=0.0))
    assert {family.prior_std for family in space["dropout"]} == {0.5}
    assert max(family.kl_weight for family in space["dropout"]) == 2.0
    # Its prior stands for the penalty, and its noise does not start at a rate.
    assert not {"alpha", "dropout_rate"} & set(space)
    assert given.kl_weight == 2.0


def test_counts_have_no_noise_to_choose_and_no_layers_nothing_to_widen_or_drop():
    space = search_space(DropoutMLPRegressor(loss="poisson", hidden_layer_sizes=()))
    assert not {"noise", "hidden_layer_sizes", "dropout_rate"} & set(space)


def test_a_search_over_the_space_can_be_cloned_and_shown():
    network = DropoutMLPClassifier(dropout=Concrete(), **SMALL)
    search = BatchedRandomizedSearchCV(network, search_space(network), random_state=0)
    again = clone(search)
    drawn = [
        list(map(str, ParameterSampler(each.param_distributions, 20, random_state=0)))
        for each in (search, again)
    ]
    assert drawn[0] == drawn[1]
    assert "BatchedRandomizedSearchCV" in repr(again)
