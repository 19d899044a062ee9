"""The laws of `laws.py`, and what the objective makes of a KL, for every family in the table."""

import pickle
import warnings

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.families import (
    FAMILIES,
    BayesByBackprop,
    Bernoulli,
    Concrete,
    Gaussian,
    Noiseless,
    NoiseSource,
    Posterior,
    Variational,
    VariationalGaussian,
)
from tests.families.laws import CPU, LAWS, make_linear
from tests.reference import ONE_NETWORK

OBJECTS = [
    Bernoulli(),
    Gaussian(),
    Noiseless(),
    # At a higher temperature the relaxed mask has other moments: see test_concrete.py.
    Concrete(temperature=0.001, length_scale=0.5),
    Variational(),
    Variational(max_log_alpha=1.0),
    VariationalGaussian(),
    VariationalGaussian(max_log_alpha=1.0, noise_speed=2.0),
    BayesByBackprop(log_sigma2=-2.0),
    BayesByBackprop(log_sigma2=-2.0, prior_std2=0.1, prior_mix=0.3, noise_speed=2.0),
]
POSTERIORS = [name for name, family in FAMILIES.items() if issubclass(family, Posterior)]


def test_the_objects_are_of_all_families_in_the_table():
    assert set(FAMILIES.values()) <= {type(family) for family in OBJECTS}


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
@pytest.mark.parametrize("family", OBJECTS, ids=repr)
def test_law(family, law):
    law(family)


@pytest.mark.parametrize("family", [Variational(), BayesByBackprop(log_sigma2=-2.0)], ids=repr)
def test_the_kls_gradient_of_a_large_map_is_autograds_too(family):
    """It is made in parts."""
    linear, factors = make_linear(family, n_in=700, n_out=400), torch.tensor([0.3, 2.0])
    slopes = torch.autograd.grad(
        (linear.kl() * factors).sum(), (linear.weight, linear.noise), allow_unused=True
    )
    for parameter in linear.parameters():
        parameter.grad = torch.ones_like(parameter)
    run, source = linear.reverse_pass(rectified=False)(linear), NoiseSource([0, 1], CPU)
    with torch.no_grad():
        run.forward(torch.ones(2, 4, 700), run.noise(4, source))
        run.add_kl_gradient(factors, source)
    for parameter, slope in zip((linear.weight, linear.noise), slopes, strict=True):
        torch.testing.assert_close(parameter.grad - 1, slope, rtol=1e-4, atol=1e-5)


# ---- the objective -----------------------------------------------------------------------


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((60, 4))
    return X, X[:, 0] - X[:, 1] * X[:, 2] + 0.1 * rng.standard_normal(60)


def _fit(model, X, y, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return model.fit(X, y, **kwargs)


def _model(family, **kwargs):
    fixed = {**ONE_NETWORK, "learning_rate": "constant", "input_dropout_rate": 0.1}
    options = {"max_iter": 3, "random_state": 0, **fixed, **kwargs}
    return DropoutMLPRegressor((8,), dropout=family, **options)


@pytest.mark.parametrize("name", [*FAMILIES, None])
def test_the_terms_add_up_to_the_loss(rows, name):
    model = _fit(_model(name, alpha=0.1), *rows)
    terms = model.loss_terms_
    assert list(terms) == ["likelihood", "kl", "penalty"]
    np.testing.assert_allclose(np.sum(list(terms.values()), 0), model.loss_curve_, rtol=1e-5)
    assert np.any(terms["kl"]) == (name in POSTERIORS)


@pytest.mark.parametrize("name", POSTERIORS)
@pytest.mark.parametrize("batch_size", [7, 60])
def test_the_kl_is_divided_by_the_training_rows(rows, name, batch_size):
    family = FAMILIES[name](kl_warmup=0, kl_weight=0.5)
    model = _fit(_model(family, batch_size=batch_size), *rows)
    kl = model.net_.module_.kl().item()
    assert model.loss_terms_["kl"][-1] == pytest.approx(0.5 * kl / 60, rel=1e-5)


@pytest.mark.parametrize("name", POSTERIORS)
def test_rows_of_weight_zero_are_no_training_rows(rows, name):
    X, y = rows
    weight = np.r_[np.full(40, 3.0), np.zeros(20)]
    weighted = _fit(_model(name, batch_size=10), X, y, sample_weight=weight)
    without = _fit(_model(name, batch_size=10), X[:40], y[:40])
    assert weighted.loss_terms_ == without.loss_terms_


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("name", POSTERIORS)
def test_weights_leave_the_balance(rows, name):
    X, y = rows
    weight = np.random.default_rng(0).uniform(0.5, 2, 60)
    once = _fit(_model(name), X, y, sample_weight=weight)
    tripled = _fit(_model(name), X, y, sample_weight=3 * weight)
    for term, values in once.loss_terms_.items():
        np.testing.assert_allclose(values, tripled.loss_terms_[term], rtol=1e-6)


@pytest.mark.parametrize("name", POSTERIORS)
def test_a_stream_may_say_how_long_it_is(rows, name):
    X, y = rows
    family = FAMILIES[name](kl_warmup=0, n_train=600)
    streamed = _model(family)
    for part in np.array_split(np.arange(60), 3):
        streamed.partial_fit(X[part], y[part])
    kl = streamed.net_.module_.kl().item()
    assert streamed.loss_terms_["kl"][-1] == pytest.approx(kl / 600, rel=1e-5)
    called = _model(FAMILIES[name](kl_warmup=0)).partial_fit(X[:20], y[:20])
    kl = called.net_.module_.kl().item()
    assert called.loss_terms_["kl"][-1] == pytest.approx(kl / 20, rel=1e-5)


@pytest.mark.parametrize("name", POSTERIORS)
def test_the_kl_warms_up_and_training_waits_for_it(rows, name):
    family = FAMILIES[name](kl_warmup=8)
    model = _fit(_model(family, max_iter=40, n_iter_no_change=1, tol=10.0), *rows)
    assert model.loss_terms_["kl"][0] == 0
    # Two epochs without change are counted from the first one with the whole KL, the ninth.
    assert model.n_iter_ == 8 + 1 + 2
    full = model.net_.module_.kl().item() / 60
    assert model.loss_terms_["kl"][-1] == pytest.approx(full, rel=1e-5)


@pytest.mark.parametrize("name", POSTERIORS)
def test_warming_up_goes_on_over_calls(rows, name):
    model = _model(FAMILIES[name](kl_warmup=2))
    factors = []
    for _ in range(4):
        model.partial_fit(*rows)
        kl = model.net_.module_.kl().item() / 60
        factors.append(model.loss_terms_["kl"][-1] / kl)
    np.testing.assert_allclose(factors, [0, 0.5, 1, 1], rtol=1e-4)


def test_weights_of_the_warm_up_are_never_the_best(rows):
    X, y = rows
    family = Variational(kl_warmup=30)
    model = _model(family, max_iter=33, early_stopping=True)
    model = _fit(model, X[:40], y[:40], X_val=X[40:], y_val=y[40:])
    # The restored network is one of the last three: the KL is that of one of their epochs.
    kl = model.net_.module_.kl().item() / 40
    assert np.isclose(model.loss_terms_["kl"][-3:], kl, rtol=1e-4).any()


# ---- the estimators ----------------------------------------------------------------------


@pytest.mark.parametrize("name", POSTERIORS)
def test_parameters_can_be_searched(name):
    model = DropoutMLPClassifier(dropout=FAMILIES[name]())
    model.set_params(dropout__kl_weight=0.25)
    assert model.dropout.kl_weight == 0.25
    assert model.get_params()["dropout__kl_warmup"] == FAMILIES[name]().kl_warmup


@pytest.mark.parametrize("name", POSTERIORS)
def test_a_family_out_of_range_is_named(rows, name):
    model = _model(FAMILIES[name](kl_weight=-1.0))
    with pytest.raises(ValueError, match=rf"'kl_weight' parameter of {FAMILIES[name].__name__}"):
        model.fit(*rows)
    assert not hasattr(model, "net_")


@pytest.mark.parametrize("name", POSTERIORS)
def test_a_fitted_model_does_not_follow_the_callers_object(rows, name):
    family = FAMILIES[name](kl_warmup=0)
    model = _fit(_model(family), *rows)
    model.set_params(dropout__kl_weight=0.0)
    assert model.net_.module_.members[0].family.kl_weight == 1.0


@pytest.mark.parametrize("name", FAMILIES)
def test_members_may_have_other_parameters(name):
    """A stack of members with other rates and parameters trains as each would alone."""
    from skdropout._networks.stack import Architecture, Member, Stack

    families = [FAMILIES[name](), FAMILIES[name]()]
    if name in POSTERIORS:
        families[1].set_params(kl_weight=0.5, noise_speed=3.0)
    members = [Member(3, families[0], (0.1, 0.2)), Member(3, families[1], (0.4, 0.3))]
    stack = Stack(Architecture((4, 5, 1), "relu", None), members)
    for row, member in enumerate(members):
        alone = Stack(Architecture((4, 5, 1), "relu", None), [member])
        torch.testing.assert_close(alone.kl()[0], stack.kl()[row])
        np.testing.assert_allclose(alone.rates()[0], stack.rates()[row], rtol=1e-5)
        assert alone.kl_factors(10)[0] == stack.kl_factors(10)[row]


@pytest.mark.parametrize("name", FAMILIES)
def test_seeds_and_pickles(rows, name):
    X, y = rows
    model, twin = (_fit(_model(name, n_members=2), X, y) for _ in range(2))
    other = _fit(_model(name, n_members=2, random_state=1), X, y)
    expected = model.predict(X)
    assert np.array_equal(twin.predict(X), expected)
    assert not np.array_equal(other.predict(X), expected)
    again = pickle.loads(pickle.dumps(model))
    assert np.array_equal(again.predict(X), expected)
    assert np.array_equal(again.partial_fit(X, y).predict(X), model.partial_fit(X, y).predict(X))
