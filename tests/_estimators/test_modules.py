"""What estimators of modules promise: the words of the others, for a network of one's own."""

import copy
import pickle
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks
from skorch.callbacks import EpochScoring, Freezer
from torch import nn

import skdropout
from skdropout import DropoutMLPClassifier, DropoutModuleClassifier, DropoutModuleRegressor
from skdropout.decision import TunedReferralClassifierCV
from skdropout.displays import DropoutRateDisplay, RiskCoverageDisplay, UncertaintyDisplay
from skdropout.metrics import neg_crps_scorer, risk_at_coverage
from skdropout.nn import ConcreteDropout, ConvNet
from tests._estimators.test_estimators import EXPECTED_FAILURES
from tests.module_reference import MODULE_ESTIMATORS, ONE_MODULE, Dense
from tests.randomness import standard_errors_apart

# No epoch improves by 10 nats, so training converges after a few epochs, without a warning.
QUICK = {**ONE_MODULE, "tol": 10.0, "n_iter_no_change": 2, "learning_rate": "constant"}

UNFINISHED = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def quick(estimator_class, module=Dense, **parameters):
    return estimator_class(module, **{**QUICK, "random_state": 0, **parameters})


@pytest.fixture(params=MODULE_ESTIMATORS)
def estimator_class(request):
    return request.param


@pytest.fixture
def data(estimator_class, two_classes):
    X, y = two_classes
    return X, y if estimator_class is DropoutModuleClassifier else X[:, 0] + 0.1 * y


def answers(model, X):
    u = model.predict_uncertainty(X)
    return np.column_stack([u.mean, u.total, u.epistemic, u.aleatoric])


@parametrize_with_checks(
    [
        DropoutModuleRegressor(Dense, learning_rate_init=0.02, max_iter=30, **ONE_MODULE),
        DropoutModuleClassifier(Dense, cv=2, store_oof=True, learning_rate_init=0.02, max_iter=30),
    ],
    expected_failed_checks=lambda estimator: EXPECTED_FAILURES,
)
@UNFINISHED
def test_scikit_learns_checks(estimator, check):
    check(estimator)


# ---- the same words ------------------------------------------------------------------------------


@UNFINISHED
def test_a_plain_network_learns_what_the_classifier_of_its_shape_learns(two_classes):
    """Statistical: the log loss of ten seeds each, by `tests.randomness`."""
    X, y = two_classes
    how = {"cv": None, "learning_rate_init": 0.01, "max_iter": 60}
    ours, theirs = (
        np.array(
            [
                model.set_params(random_state=seed).fit(X[:80], y[:80]).log_prob(X[80:], y[80:])
                for seed in range(10)
            ]
        ).mean(1)
        for model in (
            DropoutModuleClassifier(Dense, module__width=16, module__dropout_rate=0.3, **how),
            DropoutMLPClassifier((16,), dropout_rate=0.3, input_encoding=None, **how),
        )
    )
    assert standard_errors_apart(ours[:, None], theirs[:, None]).max() < 3
    # They spread alike too: from one seed to the next by .02 to .06.
    assert 1 / 4 < ours.std() / theirs.std() < 4


def test_fixed_seed_gives_the_same_bit_for_bit_and_other_seeds_do_not(estimator_class, data):
    X, y = data
    first, again = (answers(quick(estimator_class).fit(X, y), X) for _ in range(2))
    np.testing.assert_array_equal(first, again)
    other = answers(quick(estimator_class, random_state=1).fit(X, y), X)
    assert np.abs(other - first).max() > 1e-3


def test_training_and_prediction_leave_global_generators_and_the_module_alone(
    estimator_class, data
):
    X, y = data
    module = Dense((5,), 1)
    before = copy.deepcopy(module.state_dict())
    torch_state, threads = torch.get_rng_state(), torch.get_num_threads()
    model = quick(estimator_class, module).fit(X, y)
    answers(model.partial_fit(X, y), X)
    assert torch.equal(torch.get_rng_state(), torch_state)
    assert torch.get_num_threads() == threads
    assert all(torch.equal(values, before[key]) for key, values in module.state_dict().items())
    assert module.training


def test_batch_statistics_stand_still_at_prediction(two_classes):
    X, y = two_classes
    module = nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 1)
    )
    model = quick(DropoutModuleClassifier, module, batch_size=17).fit(X, y)
    (member,) = model.net_.module_.members
    before = copy.deepcopy(member.module.state_dict())
    first = answers(model, X)
    np.testing.assert_array_equal(answers(model, X), first)
    np.testing.assert_allclose(answers(model, X[::-1])[::-1], first, atol=1e-12)
    assert all(torch.equal(v, before[key]) for key, v in member.module.state_dict().items())
    assert before["1.num_batches_tracked"] > 1


def test_eight_threads_get_the_same_answers(estimator_class, data):
    X, y = data
    model = quick(estimator_class).fit(X, y)
    first = answers(model, X)
    with ThreadPoolExecutor(8) as threads:
        for again in threads.map(lambda _: answers(model, X), range(16)):
            np.testing.assert_array_equal(again, first)


def test_equal_weights_are_none_and_zero_leaves_a_row_out_bit_for_bit(estimator_class, data):
    X, y = data
    none = answers(quick(estimator_class).fit(X, y), X)
    equal = quick(estimator_class).fit(X, y, sample_weight=np.full(len(X), 3.7))
    np.testing.assert_array_equal(answers(equal, X), none)
    used = np.arange(len(X)) % 3 > 0
    fewer = answers(quick(estimator_class).fit(X[used], y[used]), X)
    weighed = quick(estimator_class).fit(X, y, sample_weight=used.astype(float))
    np.testing.assert_array_equal(answers(weighed, X), fewer)


def test_folds_stop_calibrate_and_answer_for_rows_that_they_have_not_seen(estimator_class, data):
    X, y = data
    how = {"learning_rate_init": 0.05, "tol": 0.01, "learning_rate": "constant"}
    model = estimator_class(Dense, cv=4, store_oof=True, random_state=0, **how)
    model.fit(X, y)
    assert model.n_folds_ == len(model.net_.module_.members) == 4
    assert model.calibration_["method"] == "out-of-fold"
    assert len(model.validation_scores_) == model.n_iter_ == len(model.loss_curve_)
    assert model.predict_members(X).shape[:2] == (4, len(X))
    known = model.oof_proba_ if hasattr(model, "oof_proba_") else model.oof_mean_
    assert np.isfinite(known).all()
    score = model.best_validation_score_
    assert score > model.validation_scores_[0]


@UNFINISHED
def test_validation_rows_take_the_place_of_folds(estimator_class, data):
    X, y = data
    model = estimator_class(Dense, learning_rate_init=0.02, max_iter=40, random_state=0)
    model.fit(X[:80], y[:80], X_val=X[80:], y_val=y[80:])
    assert model.calibration_["n_rows"] == 40
    assert len(model.net_.module_.members) == 1


def test_rows_of_one_group_are_never_on_both_sides(two_classes):
    X, y = two_classes
    groups = np.arange(len(X)) // 6
    model = DropoutModuleClassifier(Dense, cv=3, max_iter=3, tol=10.0, store_oof=True)
    with pytest.warns(UserWarning, match="max_iter=3 reached"):
        model.fit(X, y, groups=groups)
    for rows, _ in model._out_of_fold.parts:
        assert set(groups[rows]).isdisjoint(groups[np.setdiff1d(np.arange(len(X)), rows)])


def test_class_weights_are_sample_weights(two_classes):
    X, y = two_classes
    weighed = quick(DropoutModuleClassifier, class_weight={0: 1, 1: 3}).fit(X, y)
    by_rows = quick(DropoutModuleClassifier).fit(X, y, sample_weight=np.where(y == 1, 3.0, 1.0))
    np.testing.assert_array_equal(answers(weighed, X), answers(by_rows, X))


def test_partial_fit_goes_on_and_a_weight_of_two_is_two_calls(estimator_class, data):
    X, y = data
    twice = quick(estimator_class).partial_fit(X, y).partial_fit(X, y)
    once = quick(estimator_class).partial_fit(X, y, sample_weight=np.full(len(X), 2.0))
    np.testing.assert_allclose(answers(twice, X), answers(once, X), rtol=1e-6)
    first = quick(estimator_class).partial_fit(X, y)
    assert twice.n_iter_ == 2
    assert np.abs(answers(first, X) - answers(twice, X)).max() > 1e-4
    little = quick(estimator_class).partial_fit(X, y).partial_fit(X, y, np.full(len(X), 1e-6))
    np.testing.assert_allclose(answers(little, X), answers(first, X), atol=1e-4)


def test_partial_fit_goes_on_with_folds_that_stopped_at_different_epochs(estimator_class, data):
    X, y = data
    how = {"cv": 3, "learning_rate_init": 0.05, "tol": 0.01, "learning_rate": "constant"}
    model = estimator_class(Dense, random_state=0, **how).fit(X, y)
    n_epochs = [len(net.history) for net in model.net_.nets]
    assert len(set(n_epochs)) > 1
    before = model.n_iter_
    model.partial_fit(X, y)
    assert [len(net.history) for net in model.net_.nets] == [n + 1 for n in n_epochs]
    assert model.n_iter_ == before + 1
    assert np.isfinite(model.loss_curve_).all()


def test_warm_start_goes_on_from_the_weights_that_there_are(estimator_class, data):
    X, y = data
    model = quick(estimator_class, warm_start=True).fit(X, y)
    first = model.loss_curve_
    assert model.fit(X, y).loss_curve_[0] < first[0]


def test_n_draws_is_read_at_prediction_and_zero_is_weight_scaling(two_classes):
    X, y = two_classes
    model = quick(DropoutModuleClassifier).fit(X, y)
    many = model.set_params(n_draws=2000).predict_proba(X)
    scaled = model.set_params(n_draws=0).predict_proba(X)
    assert 1e-4 < np.abs(many - scaled).max() < 0.1
    with pytest.raises(ValueError, match="n_draws=0 is the deterministic weight-scaling rule"):
        model.predict_uncertainty(X)
    found = model.set_params(n_draws="auto").predict_proba(X)
    np.testing.assert_allclose(found, many, atol=0.05)
    draws = model.set_params(n_draws=100).sample_proba(X, 100)
    np.testing.assert_allclose(draws.mean(0), model.predict_proba(X), atol=1e-12)


def test_a_rate_of_zero_has_no_uncertainty_and_members_have(two_classes):
    X, y = two_classes
    model = quick(DropoutModuleClassifier, module__dropout_rate=0.0).fit(X, y)
    with pytest.raises(ValueError, match="every rate of its module is zero"):
        model.predict_uncertainty(X)
    model = quick(DropoutModuleClassifier, module__dropout_rate=0.0, n_members=3).fit(X, y)
    assert (model.predict_uncertainty(X).epistemic > 0).all()


# ---- targets and noise ---------------------------------------------------------------------------


def test_two_logits_of_two_classes_are_their_difference(two_classes):
    X, y = two_classes
    model = quick(DropoutModuleClassifier, module__n_outputs=2).fit(X, y)
    (member,) = model.net_.module_.members
    logits = member.module(torch.from_numpy(X).float()).detach().double()
    expected = logits.softmax(1).numpy()
    np.testing.assert_allclose(model.set_params(n_draws=0).predict_proba(X), expected, atol=1e-6)


def test_several_classes_and_several_labels(three_classes):
    X, y = three_classes
    model = quick(DropoutModuleClassifier).fit(X, np.array(["a", "b", "c"])[y])
    assert model.predict_proba(X).shape == (len(X), 3)
    assert set(model.predict(X)) <= {"a", "b", "c"}
    labels = np.column_stack([y > 0, y > 1]).astype(int)
    model = quick(DropoutModuleClassifier).fit(X, labels)
    assert model.predict(X).shape == labels.shape


@UNFINISHED
def test_one_output_learns_constant_noise_and_two_noise_of_each_row():
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (800, 1))
    std = np.where(X[:, 0] > 0, 2.0, 0.2)
    y = 10 + 5 * X[:, 0] + std * rng.standard_normal(800)
    how = {"cv": None, "learning_rate_init": 0.01, "max_iter": 60, "random_state": 0}
    constant = DropoutModuleRegressor(Dense, module__dropout_rate=0.05, **how).fit(X, y)
    varying = DropoutModuleRegressor(Dense, module__n_outputs=2, **how).fit(X, y)
    # Three seeds are within .05 of it.
    assert constant.noise_std_ == pytest.approx(np.sqrt(np.mean(std**2)), rel=0.15)
    at = np.array([[-0.5], [0.5]])
    assert np.ptp(constant.predict_uncertainty(at).aleatoric) == 0
    noise = np.sqrt(varying.predict_uncertainty(at).aleatoric)
    # Three seeds give 2.9 to 3.7, and .35 to .42 nats.
    assert noise[1] > 2 * noise[0]
    assert varying.log_prob(X, y).mean() > constant.log_prob(X, y).mean() + 0.15


def test_columns_counts_and_constants(two_targets):
    X, y = two_targets
    model = quick(DropoutModuleRegressor).fit(X, y)
    assert model.predict_interval(X[:3], [0.5, 0.9]).shape == (3, 2, 2, 2)
    assert model.sample_y(X[:3], 4).shape == (3, 2, 4)
    counts = np.random.default_rng(0).poisson(3.0, len(X))
    model = quick(DropoutModuleRegressor, loss="poisson").fit(X, counts)
    assert (model.predict(X) > 0).all()
    with pytest.warns(UserWarning, match="column 1 of y is constant"):
        model = quick(DropoutModuleRegressor).fit(X, np.column_stack([y[:, 0], np.ones(len(X))]))
    assert (model.predict(X)[:, 1] == 1).all()


def test_answers_are_in_the_units_of_y(real_target):
    X, y = real_target
    model = quick(DropoutModuleRegressor).fit(X, y)
    large = quick(DropoutModuleRegressor).fit(X, 1000 * y)
    for ours, theirs in zip(
        large.predict(X, return_std=True), model.predict(X, return_std=True), strict=True
    ):
        np.testing.assert_allclose(ours, 1000 * theirs, rtol=1e-3)


# ---- modules -------------------------------------------------------------------------------------


def test_a_class_an_instance_and_a_function_are_taken(two_classes):
    X, y = two_classes
    made = [Dense, Dense((5,), 1), lambda: Dense((5,), 1)]
    for module in made:
        model = quick(DropoutModuleClassifier, module, n_members=2).fit(X, y)
        first, second = model.predict_members(X)
        assert np.abs(first - second).max() > 1e-3


def test_frozen_layers_of_an_instance_stay_as_they_are(two_classes):
    X, y = two_classes
    module = Dense((5,), 1)
    module.layers[0].requires_grad_(False)
    model = quick(DropoutModuleClassifier, module).fit(X, y)
    (member,) = model.net_.module_.members
    assert torch.equal(member.module.layers[0].weight, module.layers[0].weight)
    assert not torch.equal(member.module.layers[3].weight, module.layers[3].weight)


@UNFINISHED
def test_images_of_any_shape_and_a_small_convolutional_network():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 80)
    X = rng.standard_normal((80, 2, 6, 6)) + y[:, None, None, None]
    options = {"module__n_channels": (4,), "module__hidden_layer_sizes": (8,), "cv": None}
    how = {**options, "learning_rate_init": 0.01, "max_iter": 30, "random_state": 0}
    model = DropoutModuleClassifier(ConvNet, module__spatial=True, **how).fit(X, y)
    assert model.input_shape_ == (2, 6, 6)
    # Three seeds give 1.0.
    assert model.score(X, y) > 0.9
    np.testing.assert_allclose(model.dropout_rates_, [0.25, 0.5])
    frame = model.predict_uncertainty(X[:3], as_frame=True)
    assert frame.shape == (3, 5)
    with pytest.raises(ValueError, match=r"rows of shape \(6, 6\), and the model was fitted to"):
        model.predict(X[:, 0])


@UNFINISHED
def test_words_as_integers():
    rng = np.random.default_rng(0)
    X = rng.integers(0, 6, (90, 3))
    y = (X == 2).any(1)
    module = nn.Sequential(nn.Embedding(6, 4), nn.Flatten(), nn.Dropout(0.1), nn.Linear(12, 1))
    how = {"cv": None, "learning_rate_init": 0.05, "max_iter": 60, "random_state": 0}
    # Three seeds give .96 to 1.0.
    assert DropoutModuleClassifier(module, **how).fit(X, y).score(X, y) > 0.85


def test_a_learned_rate_moves_and_is_reported(two_classes):
    X, y = two_classes

    def make(rate):
        return nn.Sequential(nn.Linear(5, 20), nn.ReLU(), ConcreteDropout(rate), nn.Linear(20, 1))

    how = {**ONE_MODULE, "learning_rate_init": 0.05, "max_iter": 30, "random_state": 0}
    with pytest.warns(UserWarning, match="max_iter=30 reached"):
        model = DropoutModuleClassifier(make, module__rate=0.1, **how).fit(X, y)
    (rate,) = model.dropout_rates_
    assert abs(rate - 0.1) > 0.01
    assert model.dropout_rates_curve_.shape == (30, 1)
    assert model.dropout_rates_curve_[-1] == pytest.approx(rate, abs=0.02)
    assert min(model.loss_terms_["kl"]) < 0
    mask = model.sample_proba(X, 5)
    assert mask.std(0).max() > 0


def test_callbacks_of_skorch_take_part(two_classes):
    X, y = two_classes
    callbacks = [EpochScoring("accuracy", on_train=True, name="seen"), Freezer("layers.0.*")]
    model = quick(DropoutModuleClassifier, callbacks=callbacks).fit(X, y)
    (net,) = model.net_.nets
    assert net.history[-1, "seen"] == pytest.approx(model.score(X, y), abs=0.15)


# ---- what others do with them --------------------------------------------------------------------


def test_a_search_over_the_modules_parameters_in_a_pipeline(two_classes):
    X, y = two_classes
    pipe = make_pipeline(StandardScaler(), quick(DropoutModuleClassifier))
    rates = [0.1, 0.5]
    grid = {"dropoutmoduleclassifier__module__dropout_rate": rates}
    search = GridSearchCV(pipe, grid, cv=KFold(2), scoring="neg_log_loss").fit(X, y)
    uncertainty = skdropout.predict_uncertainty(search, X)
    best = search.best_params_["dropoutmoduleclassifier__module__dropout_rate"]
    assert search.best_estimator_[-1].dropout_rates_ == [best]
    assert (uncertainty.epistemic > 0).all()
    assert search.cv_results_["mean_test_score"][0] != search.cv_results_["mean_test_score"][1]


def test_parameters_of_the_module_are_parameters_of_the_estimator():
    model = DropoutModuleClassifier(Dense, module__width=3)
    assert clone(model).get_params()["module__width"] == 3
    assert model.set_params(module__width=4, n_draws=7).get_params(deep=False)["module__width"] == 4
    assert "module__width=4" in repr(model)
    with pytest.raises(TypeError, match="width"):
        DropoutModuleClassifier(Dense, width=3)


def test_a_pickle_answers_the_same_and_goes_on_in_a_fresh_process(real_target, tmp_path):
    X, y = real_target
    model = quick(DropoutModuleRegressor).fit(X, y)
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps((model, X, y)))
    script = (
        "import pickle, sys, numpy as np\n"
        "model, X, y = pickle.load(open(sys.argv[1], 'rb'))\n"
        "first = model.predict_uncertainty(X)\n"
        "model.partial_fit(X, y)\n"
        "np.savez(sys.argv[2], *first, model.predict_uncertainty(X).total)\n"
    )
    out = tmp_path / "out.npz"
    subprocess.run([sys.executable, "-c", script, path, out], check=True)
    there = list(np.load(out).values())
    for ours, theirs in zip(model.predict_uncertainty(X), there, strict=False):
        np.testing.assert_array_equal(ours, theirs)
    model.partial_fit(X, y)
    np.testing.assert_array_equal(model.predict_uncertainty(X).total, there[-1])


def test_referral_scores_and_displays_take_them(two_classes, real_target):
    X, y = two_classes[0], np.array(["no", "yes"])[two_classes[1]]
    model = DropoutModuleClassifier(
        Dense, cv=3, store_oof=True, learning_rate_init=0.05, tol=0.01, random_state=0
    ).fit(X, y)
    tuned = TunedReferralClassifierCV(model, min_coverage=0.8, cv="oof").fit(X, y)
    assert (tuned.predict(X) != "refer").mean() == pytest.approx(0.8, abs=0.1)
    doubt = model.predict_uncertainty(X).total
    assert RiskCoverageDisplay.from_estimator(model, X, y).risk[-1] == pytest.approx(
        risk_at_coverage(y, model.predict(X), doubt, coverage=1.0)
    )
    UncertaintyDisplay.from_estimator(model, X, y)
    X, y = real_target
    regressor = quick(DropoutModuleRegressor).fit(X, y)
    assert neg_crps_scorer(regressor, X, y) == pytest.approx(-regressor.crps(X, y).mean())


def test_a_search_over_a_rate_of_the_module_is_drawn(two_classes):
    X, y = two_classes
    grid = {"module__dropout_rate": [0.1, 0.2, 0.5]}
    search = GridSearchCV(quick(DropoutModuleClassifier), grid, cv=2).fit(X, y)
    display = DropoutRateDisplay.from_estimator(search, param="module__dropout_rate")
    assert display.rates.tolist() == [0.1, 0.2, 0.5]


def test_a_table_with_names_keeps_them(two_classes):
    X, y = two_classes
    X = pd.DataFrame(X, columns=list("abcde"), index=[f"row {k}" for k in range(len(X))])
    model = quick(DropoutModuleClassifier).fit(X, y)
    assert model.feature_names_in_.tolist() == list("abcde")
    assert model.predict_uncertainty(X, as_frame=True).index.equals(X.index)


# ---- modules that others have trained ------------------------------------------------------------


@pytest.fixture
def trained(three_classes):
    """A network that somebody trained with a loop of their own, and its labels."""
    X, y = three_classes
    with torch.random.fork_rng():
        torch.manual_seed(0)
        module = Dense((5,), 3)
        optimizer = torch.optim.Adam(module.parameters(), 0.01)
        rows, labels = torch.from_numpy(X[:100]).float(), torch.from_numpy(y[:100])
        for _ in range(150):
            optimizer.zero_grad()
            nn.functional.cross_entropy(module(rows), labels).backward()
            optimizer.step()
    return module, np.array(["cat", "ant", "bee"])


def test_a_trained_network_predicts_and_refers_at_once(trained, three_classes):
    (module, names), (X, y) = trained, three_classes
    model = DropoutModuleClassifier.from_trained(module, names, random_state=0)
    assert model.classes_.tolist() == ["ant", "bee", "cat"]
    said = module.eval()(torch.from_numpy(X).float()).softmax(1).detach().numpy()
    module.train()
    ours = model.set_params(n_draws=0).predict_proba(X)
    np.testing.assert_allclose(ours, said[:, [1, 2, 0]], atol=1e-5)
    model.set_params(n_draws=100)
    tuned = TunedReferralClassifierCV(model, min_coverage=0.8, cv="prefit").fit(
        X[100:], names[y[100:]]
    )
    assert (tuned.predict(X[100:]) == "refer").mean() == pytest.approx(0.2, abs=0.05)
    assert (skdropout.predict_uncertainty(tuned, X).epistemic > 0).all()
    assert module.training
    # It can also be trained further, or anew.
    assert model.partial_fit(X, names[y]).n_iter_ == 1


def test_rows_that_are_given_calibrate_a_trained_network(trained, three_classes):
    (module, names), (X, y) = trained, three_classes
    plain = DropoutModuleClassifier.from_trained(module, names, random_state=0)
    model = DropoutModuleClassifier.from_trained(
        module, names, X[100:], names[y[100:]], random_state=0
    )
    assert plain.calibration_ is None
    assert model.calibration_["n_rows"] == 50
    logits = (
        np.log(plain.set_params(n_draws=0).predict_proba(X[:5]))
        / (model.calibration_["temperature"])
    )
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(
        model.set_params(n_draws=0).predict_proba(X[:5]), expected, atol=1e-5
    )


def test_the_log_odds_of_one_class_are_those_of_the_other():
    module = Dense((5,), 1)
    X = np.random.default_rng(0).standard_normal((9, 5))
    first = DropoutModuleClassifier.from_trained(module, ["a", "b"], random_state=0)
    other = DropoutModuleClassifier.from_trained(module, ["b", "a"], random_state=0)
    np.testing.assert_allclose(first.predict_proba(X), other.predict_proba(X)[:, ::-1], rtol=1e-12)


def test_a_trained_regressor_learns_its_noise_on_rows_that_are_given():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((800, 5))
    module = Dense((5,), 1, dropout_rate=0.1)
    plain = DropoutModuleRegressor.from_trained(module, random_state=0)
    y = plain.predict(X) + 3 * rng.standard_normal(800)
    model = DropoutModuleRegressor.from_trained(module, X, y, random_state=0)
    assert model.noise_std_ == pytest.approx(3.0, rel=0.15)
    assert np.mean(
        (model.predict_interval(X)[:, 0] < y) & (y < model.predict_interval(X)[:, 1])
    ) > (0.87)
    given = DropoutModuleRegressor.from_trained(module, noise_std=2.0, random_state=0)
    np.testing.assert_allclose(given.predict_uncertainty(X).aleatoric, 4.0, rtol=1e-6)
    varying = Dense((5,), 2, dropout_rate=0.1)
    model = DropoutModuleRegressor.from_trained(varying, random_state=0, n_draws=0)
    expected = varying.eval()(torch.from_numpy(X).float()).detach().numpy()
    np.testing.assert_allclose(model.predict(X), expected[:, 0], atol=1e-5)
    density = model.log_prob(X, y)
    by_hand = -0.5 * (
        np.log(2 * np.pi) + expected[:, 1] + (y - expected[:, 0]) ** 2 / np.exp(expected[:, 1])
    )
    np.testing.assert_allclose(density, by_hand, rtol=1e-4)


# ---- what is refused -----------------------------------------------------------------------------

ROWS = np.random.default_rng(0).standard_normal((40, 5))
LABELS = np.arange(40) % 2
NUMBERS = ROWS[:, 0]


class Infinite(Dense):
    def forward(self, x):
        return super().forward(x) / 0


BAD = {
    "no module": (
        lambda: DropoutModuleClassifier(3),
        "module=int: it must be a torch.nn.Module, a class of them or a function.*got 3",
    ),
    "a function of none": (lambda: DropoutModuleClassifier(lambda: 3), "gave a int"),
    "an argument too many": (
        lambda: DropoutModuleClassifier(Dense, module__depth=3),
        "module=Dense: it cannot be made with.*unexpected keyword argument 'depth'",
    ),
    "arguments of an instance": (
        lambda: DropoutModuleClassifier(Dense((5,), 1), module__width=3),
        "module__width is for a class or a function, and it is an instance",
    ),
    "no dropout": (lambda: DropoutModuleClassifier(nn.Linear(5, 1)), "no dropout is found in it"),
    "too many outputs": (
        lambda: DropoutModuleClassifier(Dense((5,), 3)),
        r"it has 3 outputs, and 2 classes need 1 \(or 2, a logit for each\)",
    ),
    "not finite": (lambda: DropoutModuleClassifier(Infinite), "its outputs are not finite"),
    "probabilities": (
        lambda: DropoutModuleClassifier(nn.Sequential(Dense((5,), 2), nn.Softmax(1))),
        "sums to one, as probabilities do; return logits",
    ),
    "other rows": (
        lambda: DropoutModuleClassifier(Dense((4,), 1)),
        r"cannot be called with rows of shape \(5,\), in layers\.0 \(Linear\)",
    ),
    "moments": (
        lambda: DropoutModuleClassifier(Dense, inference="moments"),
        "inference='moments' needs layers whose moments have a formula.*allowed is",
    ),
    "attention": (
        lambda: DropoutModuleClassifier(nn.TransformerEncoderLayer(5, 1)),
        "drops attention weights",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_has_a_sentence_before_anything_is_fitted(name):
    make, sentence = BAD[name]
    model = make()
    with pytest.raises(ValueError, match=f"DropoutModuleClassifier: .*{sentence}"):
        model.fit(ROWS, LABELS)
    assert not hasattr(model, "classes_")


def test_what_cannot_be_of_a_regressor_has_a_sentence():
    with pytest.raises(ValueError, match="has 3 outputs, and y with 1 columns needs 1, or 2"):
        DropoutModuleRegressor(Dense((5,), 3)).fit(ROWS, NUMBERS)
    with pytest.raises(ValueError, match=r"has 2 outputs, and y with 1 columns needs 1$"):
        DropoutModuleRegressor(Dense((5,), 2), loss="poisson").fit(ROWS, LABELS)
    with pytest.raises(ValueError, match="classes must be two different labels or more"):
        DropoutModuleClassifier.from_trained(Dense((5,), 2), ["a", "a"])
    with pytest.raises(ValueError, match="from_trained takes a module that is trained"):
        DropoutModuleClassifier.from_trained(Dense, ["a", "b"])
    with pytest.raises(ValueError, match="X_val was given, but y_val was not"):
        DropoutModuleRegressor.from_trained(Dense((5,), 1), ROWS)
    with pytest.raises(ValueError, match="noise_std must be positive or None, got -1"):
        DropoutModuleRegressor.from_trained(Dense((5,), 1), noise_std=-1)


def test_rows_of_another_shape_and_moments_are_refused_at_prediction():
    model = quick(DropoutModuleClassifier).fit(ROWS, LABELS)
    with pytest.raises(ValueError, match="X has 4 features, but DropoutModuleClassifier is exp"):
        model.predict(ROWS[:, :4])
    with pytest.raises(ValueError, match="inference='moments' needs layers"):
        model.set_params(inference="moments").predict(ROWS)


def test_a_failed_fit_leaves_the_model_as_it_was():
    model = quick(DropoutModuleClassifier).fit(ROWS, LABELS)
    before = model.predict_proba(ROWS)
    with pytest.raises(ValueError, match="no dropout is found"):
        model.set_params(module=nn.Linear(5, 1)).fit(ROWS, LABELS)
    np.testing.assert_array_equal(model.predict_proba(ROWS), before)


def test_training_that_diverges_says_so():
    model = quick(DropoutModuleRegressor, learning_rate_init=1e20, solver="sgd")
    with pytest.raises(ValueError, match="training diverged, the loss is"):
        model.fit(1e3 * ROWS, NUMBERS)
