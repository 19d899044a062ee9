"""A member of a mixed stack trains as it would alone.

Whole trainings are compared in float64, two steps in float32: see `in_float64`.
"""

import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._training.jobs import TrainedStack, positions_by_stack, take_net
from skdropout._training.net import NonFiniteLossError
from skdropout._training.run import TrainingRun
from skdropout.families import (
    BayesByBackprop,
    Concrete,
    Variational,
    VariationalGaussian,
)
from tests.reference import NETWORKS, fitting_of, quick, target

# Products of a stack and of a single matrix round differently: in float64 in the sixteenth digit.
# After training, differences were below 1e-12; below 1e-9 where batch normalization makes the
# gradient of a bias zero, which Adam divides by its size.
TOLERANCE = {"rtol": 1e-6, "atol": 1e-7}

# What the members of one stack may differ in.
DIFFERENCES = [
    {},
    {"dropout_rate": 0.5},
    {"alpha": 3.0},
    {"alpha": 1.0, "l1_ratio": 0.5},
    {"learning_rate_init": 0.002},
    {"random_state": 7},
]


def _models(estimator_class, differences=DIFFERENCES, **parameters):
    options = {"learning_rate_init": 0.01, "batch_size": 32, **parameters}
    return [quick(estimator_class, **{**options, **own}) for own in differences]


def _trained(jobs):
    """Nets of all jobs, or why there is none, in as few stacks as they allow."""
    nets = {}
    for positions in positions_by_stack(jobs):
        stack = TrainedStack([jobs[position] for position in positions])
        nets |= {position: take_net(stack, number) for number, position in enumerate(positions)}
    return [nets[position] for position in range(len(jobs))]


def _together(models, data):
    """Nets of all models, trained as one stack."""
    jobs = [fitting_of(model, *rows).job for model, rows in zip(models, data, strict=True)]
    assert len({job.stack_key() for job in jobs}) == 1
    return _trained(jobs)


def _alone(model, rows):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return clone(model).fit(*rows).net_


def _assert_equal(net, alone):
    state = {**net.module_.state_dict(), **net.criterion_.state_dict()}
    expected = {**alone.module_.state_dict(), **alone.criterion_.state_dict()}
    assert state.keys() == expected.keys()
    for name, values in expected.items():
        assert values.dtype == torch.float64, name
        torch.testing.assert_close(state[name], values, **TOLERANCE)
    assert len(net.history) == len(alone.history)
    for ours, theirs in zip(net.history, alone.history, strict=True):
        assert ours.keys() == theirs.keys()
        for name in ours.keys() - {"dur", "by_member", "train_loss_best", "valid_loss_best"}:
            np.testing.assert_allclose(ours[name], theirs[name], rtol=1e-6, atol=1e-6)


def _few_epochs(dropout):
    """Parameters of a model with this family; few epochs for one that is chaotic.

    The KL of "variational" has a gradient of 1 / weight. It makes differences grow so fast that
    they would show in float64 too.
    """
    if dropout != "variational":
        return {"dropout": dropout}
    return {"dropout": Variational(kl_warmup=2), "max_iter": 4, "dropout_rate": 0.2}


def _folds(X, y, n_folds=3):
    fold = np.arange(len(X)) % n_folds
    return [(X[fold != k], y[fold != k]) for k in range(n_folds)]


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("estimator_class", [DropoutMLPClassifier, DropoutMLPRegressor])
@pytest.mark.parametrize(("dropout", "normalization"), NETWORKS)
def test_members_that_differ_in_everything(two_classes, estimator_class, dropout, normalization):
    X, y = two_classes
    folds = _folds(X, target(estimator_class, y))
    models = _models(estimator_class, normalization=normalization, **_few_epochs(dropout))
    data = [folds[k % 3] for k in range(len(models))]
    nets = _together(models, data)
    for net, model, rows in zip(nets, models, data, strict=True):
        _assert_equal(net, _alone(model, rows))
    weights = [net.module_.linears[0].weight for net in nets]
    assert all(not torch.allclose(weights[0], other) for other in weights[1:])


@pytest.mark.parametrize("estimator_class", [DropoutMLPClassifier, DropoutMLPRegressor])
@pytest.mark.parametrize(("dropout", "normalization"), NETWORKS)
def test_two_steps_in_float32(two_classes, estimator_class, dropout, normalization):
    """Of gradient descent: how the weights change is their gradient, rounding and all."""
    X, y = two_classes
    y = target(estimator_class, y)
    steps = {"solver": "sgd", "momentum": 0.0, "max_iter": 1, "batch_size": 60}
    steps |= {"learning_rate_init": 0.5, "activation": "tanh"}
    models = _models(estimator_class, dropout=dropout, normalization=normalization, **steps)
    # 120, 117 and 100 rows are two batches: only the last differs.
    n_rows = (120,) * 6 if normalization == "batch" else (120, 117, 100, 120, 100, 117)
    data = [(X[:n], y[:n]) for n in n_rows]
    for net, model, rows in zip(_together(models, data), models, data, strict=True):
        stacked, alone = net.module_.state_dict(), _alone(model, rows).module_.state_dict()
        for name, values in alone.items():
            assert values.dtype == torch.float32
            torch.testing.assert_close(stacked[name], values, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize(
    "families",
    [
        [BayesByBackprop(prior_std=std, kl_warmup=warmup) for std, warmup in ((1, 0), (0.2, 3))],
        [BayesByBackprop(prior_std2=0.1, prior_mix=mix) for mix in (0.2, 0.7)],
        [Concrete(temperature=0.1), Concrete(temperature=0.5, length_scale=1.0)],
        [Variational(kl_warmup=1), Variational(kl_warmup=2, noise_speed=3.0, threshold=0.0)],
        [Variational(kl_warmup=1), Variational(kl_warmup=1, max_log_alpha=-1.0)],
        [VariationalGaussian(), VariationalGaussian(max_log_alpha=1.0, noise_speed=3.0)],
    ],
)
def test_families_with_other_parameters(two_classes, families):
    few = {"max_iter": 4} if isinstance(families[0], Variational) else {}
    models = _models(DropoutMLPClassifier, [{"dropout": family} for family in families], **few)
    nets = _together(models, [two_classes] * 2)
    for net, model in zip(nets, models, strict=True):
        _assert_equal(net, _alone(model, two_classes))


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("solver", ["adam", "sgd"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_a_member_that_stops_is_as_if_it_had_been_alone(two_classes, early_stopping, solver):
    X, y = two_classes
    options = {"learning_rate_init": 0.02 if solver == "adam" else 0.3, "tol": 0.01}
    options |= {"n_iter_no_change": 3, "early_stopping": early_stopping, "solver": solver}
    models = _models(DropoutMLPClassifier, max_iter=60, **options)
    data = [_folds(X, y)[k % 3] for k in range(len(models))]
    nets = _together(models, data)
    lengths = [len(net.history) for net in nets]
    assert len(set(lengths)) > 2
    for net, model, rows in zip(nets, models, data, strict=True):
        alone = _alone(model, rows)
        _assert_equal(net, alone)
        assert net.converged_.all() == alone.converged_.all()


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("early_stopping", [False, True])
def test_each_member_learns_the_noise_when_its_own_steps_fall(real_target, early_stopping):
    differences = [{"learning_rate_init": rate} for rate in (0.03, 0.01, 1e-4)]
    options = {"noise": "heteroscedastic", "learning_rate": "cooldown", "tol": 0.1}
    options |= {"n_iter_no_change": 2, "early_stopping": early_stopping, "max_iter": 30}
    models = _models(DropoutMLPRegressor, differences, **options)
    nets = _together(models, [real_target] * 3)
    assert len({len(net.history) for net in nets}) > 1
    for net, model in zip(nets, models, strict=True):
        alone = _alone(model, real_target)
        _assert_equal(net, alone)
        assert early_stopping or alone.criterion_.released.all()


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("learning_rate", ["adaptive", "invscaling"])
def test_schedules_of_the_step_size(two_classes, learning_rate):
    differences = [{"learning_rate_init": rate} for rate in (0.3, 0.1, 1e-4)]
    options = {"solver": "sgd", "learning_rate": learning_rate, "n_iter_no_change": 2}
    models = _models(DropoutMLPClassifier, differences, **options)
    nets = _together(models, [two_classes] * 3)
    assert learning_rate == "invscaling" or len({len(net.history) for net in nets}) > 1
    for net, model in zip(nets, models, strict=True):
        _assert_equal(net, _alone(model, two_classes))


@pytest.mark.usefixtures("in_float64")
def test_an_ensemble_is_its_members_each_trained_alone(two_classes):
    options = {"learning_rate_init": 0.05, "early_stopping": True, "n_iter_no_change": 2}
    model = quick(DropoutMLPClassifier, n_members=4, **{**options, "tol": 0.01})
    whole = clone(model).fit(*two_classes)
    job = fitting_of(model, *two_classes).job
    singles = zip(job.members, job.validation, strict=True)
    nets = _trained([replace(job, members=(m,), validation=(rows,)) for m, rows in singles])
    assert len({len(net.history) for net in nets}) > 1
    assert whole.n_iter_ == max(len(net.history) for net in nets)
    for member, net in enumerate(nets):
        _assert_equal(whole.net_.select([member]), net)


@pytest.mark.usefixtures("in_float64")
def test_training_goes_on_after_members_have_left(two_classes):
    options = {"learning_rate_init": 0.05, "n_iter_no_change": 2, "tol": 0.01, "solver": "sgd"}
    options["random_state"] = 1
    model = quick(DropoutMLPClassifier, n_members=3, **options).fit(*two_classes)
    alone = quick(DropoutMLPClassifier, **options).fit(*two_classes)
    assert model.net_.n_epochs_[0] == alone.n_iter_ < model.n_iter_
    for estimator in (model, alone):
        estimator.partial_fit(*two_classes)
    ours, expected = (e.net_.module_.linears[0].weight[0] for e in (model, alone))
    torch.testing.assert_close(ours, expected, **TOLERANCE)


@pytest.mark.usefixtures("in_float64")
def test_a_member_that_diverges_does_not_disturb_the_others(real_target):
    X, y = real_target
    differences = [{"alpha": 0.1}, {"learning_rate_init": 1e25}, {"alpha": 0.3}]
    options = {"solver": "sgd", "learning_rate_init": 1e-3, "momentum": 0.0}
    models = _models(DropoutMLPRegressor, differences, **options)
    nets = _together(models, [(X, y)] * 3)
    assert isinstance(nets[1], NonFiniteLossError)
    for position in (0, 2):
        _assert_equal(nets[position], _alone(models[position], (X, y)))
    (alone,) = _together(models[1:2], [(X, y)])
    assert isinstance(alone, NonFiniteLossError)


@pytest.mark.usefixtures("in_float64")
def test_members_with_and_without_weights(two_classes):
    X, y = two_classes
    weight = np.random.default_rng(0).uniform(0.2, 3, len(X))
    models = _models(DropoutMLPClassifier, [{}, {}, {"class_weight": {0: 1, 1: 3}}])
    data = [(X, y), (X, y, weight), (X, y)]
    nets = _together(models, data)
    for net, model, rows in zip(nets, models, data, strict=True):
        _assert_equal(net, _alone(model, rows))


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("estimator_class", [DropoutMLPClassifier, DropoutMLPRegressor])
@pytest.mark.parametrize(
    ("dropout", "normalization"), [network for network in NETWORKS if network[1] != "batch"]
)
def test_members_with_other_numbers_of_rows(two_classes, estimator_class, dropout, normalization):
    """120, 117 and 100 rows are four batches of 32 each: only the last differs."""
    X, y = two_classes
    y = target(estimator_class, y)
    models = _models(estimator_class, normalization=normalization, **_few_epochs(dropout))
    data = [(X[:n], y[:n]) for n in (120, 117, 100, 120, 100, 117)]
    nets = _together(models, data)
    for net, model, rows in zip(nets, models, data, strict=True):
        _assert_equal(net, _alone(model, rows))


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize("width", [8, 9000])
def test_other_numbers_of_weighted_rows_with_early_stopping(two_classes, width):
    """A batch of the wide networks is a block by itself, and their epoch is four of them."""
    X, y = two_classes
    weight = np.random.default_rng(0).uniform(0.2, 3, len(X))
    options = {
        "learning_rate_init": 0.02 if width == 8 else 1e-3,
        "tol": 0.01,
        "n_iter_no_change": 3,
    }
    options |= {"hidden_layer_sizes": (width,), "max_iter": 60, "early_stopping": True}
    differences = [{}, {"alpha": 3.0, "l1_ratio": 0.5}, {"dropout_rate": 0.5}, {}]
    models = _models(DropoutMLPClassifier, differences, **options)
    data = [(X[:n], y[:n], weight[:n]) for n in (120, 111, 111)] + [(X[:111], y[:111])]
    nets = _together(models, data)
    assert len({len(net.history) for net in nets}) > 1
    for net, model, rows in zip(nets, models, data, strict=True):
        _assert_equal(net, _alone(model, rows))


@pytest.mark.usefixtures("in_float64")
def test_a_net_out_of_a_stack_of_unequal_members_trains_on(two_classes):
    X, y = two_classes
    # Without moments: an optimizer that comes out of a stack starts anew.
    models = _models(DropoutMLPRegressor, [{}, {}], solver="sgd", momentum=0.0)
    data = [(X, y.astype(float)), (X[:100], y[:100].astype(float))]
    nets = _together(models, data)
    for model, net, rows in zip(models, nets, data, strict=True):
        alone = clone(model).fit(*rows)
        stacked = clone(model).fit(*rows)
        stacked.net_ = net
        for estimator in (alone, stacked):
            estimator.partial_fit(X[:50], y[:50].astype(float))
        _assert_equal(stacked.net_, alone.net_)


@pytest.mark.parametrize(("dropout", "normalization"), NETWORKS)
def test_a_stack_that_went_through_a_pickle(two_classes, dropout, normalization):
    # Early stopping keeps a network beside the one that is trained.
    early_stopping = dropout in ("bernoulli", "concrete")
    # Its KL grows over many epochs, unless told.
    family = Variational(kl_warmup=2) if dropout == "variational" else dropout
    models = _models(
        DropoutMLPRegressor,
        DIFFERENCES[1::2],
        dropout=family,
        normalization=normalization,
        early_stopping=early_stopping,
    )
    X, y = two_classes
    trained = TrainedStack([fitting_of(model, X, y.astype(float)).job for model in models])
    sent = pickle.loads(pickle.dumps(trained))
    assert len(sent) == len(trained) == len(models)
    for number, model in enumerate(models):
        here, there = trained[number], sent[number]
        assert vars(here).keys() == vars(there).keys()
        assert here.history == there.history
        fitted = [clone(model).fit(X[:40], y[:40].astype(float)) for _ in range(2)]
        for estimator, net in zip(fitted, (here, there), strict=True):
            estimator._receive(fitting_of(estimator, X, y.astype(float)), net)
            if not early_stopping:
                estimator.partial_fit(X[:50], y[:50].astype(float))
        (here, there) = (estimator.net_ for estimator in fitted)
        for part in ("module_", "criterion_"):
            expected = getattr(here, part).state_dict()
            for name, values in getattr(there, part).state_dict().items():
                torch.testing.assert_close(values, expected[name], rtol=0, atol=0)


def test_what_cannot_share_a_stack(two_classes):
    X, y = two_classes
    apart = [
        {},
        {"hidden_layer_sizes": (9,)},
        {"activation": "tanh"},
        {"normalization": "layer"},
        {"batch_size": 16},
        {"solver": "sgd"},
        {"beta_1": 0.8},
        {"shuffle": False},
        {"max_iter": 3},
        {"tol": 1.0},
        {"n_iter_no_change": 2},
        {"early_stopping": True},
        {"dropout": "gaussian"},
        {"dropout_rate": 0.0},
        {"input_dropout_rate": 0.1},
        {"n_draws": 3, "early_stopping": True},
        {"dropout": "bayes_by_backprop"},
        {"dropout": BayesByBackprop(prior_std2=0.1)},
    ]
    jobs = [fitting_of(model, X, y).job for model in _models(DropoutMLPClassifier, apart)]
    jobs.append(fitting_of(quick(DropoutMLPClassifier, batch_size=32), X[:90], y[:90]).job)
    for options in ({"normalization": "batch"}, {"solver": "sgd", "learning_rate": "invscaling"}):
        model = quick(DropoutMLPClassifier, batch_size=32, **options)
        jobs += [fitting_of(model, X, y).job, fitting_of(model, X[1:], y[1:]).job]
    keys = [job.stack_key() for job in jobs]
    assert len(set(keys)) == len(keys)


@pytest.mark.usefixtures("in_float64")
@pytest.mark.parametrize(
    ("dropout", "normalization", "early_stopping"),
    [
        (None, None, False),
        ("bernoulli", None, False),
        ("bernoulli", None, True),
        ("gaussian", None, False),
        ("gaussian", "batch", True),
        ("bernoulli", "layer", False),
    ],
)
def test_a_network_without_noise_stands_in_a_stack_with_noise(
    two_classes, dropout, normalization, early_stopping
):
    differences = [{"dropout_rate": rate} for rate in (0.0, 0.4, 0.0, 0.2)]
    differences[2]["random_state"] = 5
    options = {"dropout": dropout, "normalization": normalization}
    models = _models(DropoutMLPClassifier, differences, early_stopping=early_stopping, **options)
    jobs = [fitting_of(model, *two_classes).job for model in models]
    assert [sorted(positions) for positions in positions_by_stack(jobs)] == [[0, 1, 2, 3]]
    for net, model in zip(_trained(jobs), models, strict=True):
        alone = clone(model).fit(*two_classes)
        stacked = clone(model).fit(*two_classes)
        stacked._receive(fitting_of(stacked, *two_classes), net)
        _assert_equal(net, alone.net_)
        assert net.module_.noisy == alone.net_.module_.noisy
        np.testing.assert_array_equal(stacked.dropout_rates_, alone.dropout_rates_)
        np.testing.assert_array_equal(stacked.dropout_rates_curve_, alone.dropout_rates_curve_)


def test_noise_that_is_learned_or_on_weights_is_never_none(two_classes):
    for dropout in ("concrete", "variational_gaussian", "bayes_by_backprop"):
        differences = [{"dropout_rate": 0.0}, {"dropout_rate": 0.4}]
        models = _models(DropoutMLPClassifier, differences, dropout=dropout)
        assert (
            len(positions_by_stack([fitting_of(model, *two_classes).job for model in models])) == 2
        )


def test_who_has_left_costs_nothing_more(two_classes, monkeypatch):
    """Members times steps, counted."""
    seen, step = [], TrainingRun.step

    def counting(run, batch):
        result = step(run, batch)
        seen.append(len(result))
        return result

    monkeypatch.setattr(TrainingRun, "step", counting)
    options = {"n_iter_no_change": 3, "learning_rate_init": 0.02, "early_stopping": True}
    models = _models(DropoutMLPClassifier, tol=0.01, **options)
    nets = _together(models, [two_classes] * len(models))
    n_batches = -(-108 // 32)
    assert sum(seen) == n_batches * sum(len(net.history) for net in nets)
    assert min(seen) < len(models)


@pytest.mark.usefixtures("in_float64")
def test_a_stack_larger_than_a_block_trains_in_parts(two_classes):
    """A block has 10 of the 12 batches of a network so wide, and a part of it one of six."""
    models = _models(DropoutMLPClassifier, batch_size=10, hidden_layer_sizes=(5000,))
    jobs = [fitting_of(model, *two_classes).job for model in models]
    stack = TrainedStack(jobs)
    for number, model in enumerate(models):
        _assert_equal(stack[number], _alone(model, two_classes))
