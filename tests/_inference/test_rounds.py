"""``n_draws="auto"``: each row stops by itself, and is then what so many draws give it."""

import numpy as np
import pytest

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._predictive.needed_draws import MOST_DRAWS, TOLERANCE
from skdropout.decision import FixedReferralClassifier
from tests.reference import ESTIMATORS, quick, target

ROUNDS = [100, 200, 400, 800, 1600]


FITS = [(DropoutMLPClassifier, None), (DropoutMLPClassifier, 5), (DropoutMLPRegressor, None)]


@pytest.fixture(params=FITS, scope="module", ids=["classifier", "members", "regressor"])
def fitted(request, two_classes):
    """A model with rows that need few and rows that need many draws, of all members together."""
    (X, y), (estimator_class, cv) = two_classes, request.param
    options = {"dropout_rate": 0.6, "n_draws": "auto", "cv": cv}
    model = quick(estimator_class, hidden_layer_sizes=(20,), **options)
    model.fit(X, target(estimator_class, y))
    rng = np.random.default_rng(0)
    return model, rng.standard_normal((60, 5)) * rng.choice([0.3, 3.0, 30.0], size=(60, 1))


def calls(model):
    """Everything that reduces over draws: one array per call, rows first."""
    found = {
        "predict_uncertainty": lambda X: np.column_stack(model.predict_uncertainty(X)),
        "log_prob": lambda X: model.log_prob(X, np.ones(len(X), int)),
    }
    if isinstance(model, DropoutMLPClassifier):
        found["predict_proba"] = lambda X: np.hstack(model.predict_proba(X, return_std=True))
        found["mean"] = model.predict_proba
    else:
        found["predict"] = lambda X: np.column_stack(model.predict(X, return_std=True))
        found["mean"] = model.predict
        found["predict_interval"] = model.predict_interval
        found["predict_quantiles"] = lambda X: model.predict_quantiles(X, [0.2, 0.7])
        found["crps"] = lambda X: model.crps(X, np.ones(len(X)))
    return found


def at(model, n_draws, call, X):
    try:
        return calls(model.set_params(n_draws=n_draws))[call](X)
    finally:
        model.set_params(n_draws="auto")


def draws_of_rows(model, X):
    """How many draws each row should get, row by row and round by round."""
    shares = []
    for n_draws in ROUNDS:
        model.set_params(n_draws=n_draws)
        uncertainty, error = model.predict_uncertainty(X, return_error=True)
        # For two classes the standard error of one is that of the other.
        of_mean = error.mean[:, 1] if error.mean.ndim == 2 else error.mean
        of_std = error.epistemic / (2 * np.sqrt(uncertainty.epistemic))
        shares.append(np.maximum(of_mean, of_std) / np.sqrt(uncertainty.total))
    model.set_params(n_draws="auto")
    found = []
    for row in np.transpose(shares):
        position = 0
        while row[position] > TOLERANCE and position < len(ROUNDS) - 1:
            # Errors fall with the root of the draws: to the first round that should be enough.
            needed = ROUNDS[position] * (row[position] / TOLERANCE) ** 2
            position = next((k for k, n in enumerate(ROUNDS) if n >= needed), len(ROUNDS) - 1)
        found.append(ROUNDS[position])
    return np.array(found)


def test_each_row_gets_what_its_own_number_of_draws_gives(fitted):
    model, X = fitted
    needed = draws_of_rows(model, X)
    assert len(np.unique(needed)) >= 3
    for call, predict in calls(model).items():
        ours = predict(X)
        for n_draws in np.unique(needed):
            rows = needed == n_draws
            expected = at(model, int(n_draws), call, X)[rows]
            np.testing.assert_allclose(ours[rows], expected, rtol=1e-9, atol=1e-12, err_msg=call)


def test_no_row_depends_on_the_others(fitted):
    model, X = fitted
    order = np.random.default_rng(1).permutation(len(X))
    for call, predict in calls(model).items():
        whole = predict(X)
        alone = np.concatenate([predict(X[row : row + 1]) for row in range(0, len(X), 20)])
        np.testing.assert_allclose(alone, whole[::20], rtol=1e-9, atol=1e-12, err_msg=call)
        np.testing.assert_allclose(predict(X[order]), whole[order], rtol=1e-9, atol=1e-12)


def test_the_most_draws_bring_every_mean_within_the_tolerance(two_targets):
    """Two outputs; noise that is nearly nothing, so that only the draws disagree."""
    X, y = two_targets
    model = quick(DropoutMLPRegressor, dropout_rate=0.5, n_draws="auto").fit(X, y)
    model.net_.criterion_.variance.fill_(1e-6)
    uncertainty, error = model.predict_uncertainty(10 * X, return_error=True)
    # The variance is estimated with one more in the error's denominator.
    allowed = TOLERANCE * np.sqrt(uncertainty.total) * np.sqrt(MOST_DRAWS / (MOST_DRAWS - 1))
    assert (error.mean <= allowed * (1 + 1e-9)).all()
    assert (error.mean > 0.6 * allowed).any()


def test_a_model_that_is_sure_stops_at_once(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPRegressor, dropout="gaussian", dropout_rate=0.01, n_draws="auto")
    model.fit(X, target(DropoutMLPRegressor, y))
    np.testing.assert_allclose(model.predict(X), at(model, 100, "mean", X), rtol=1e-9)


def test_without_noise_there_is_nothing_to_draw(two_classes):
    X, y = two_classes
    plain = quick(DropoutMLPClassifier, dropout=None, n_draws="auto").fit(X, y)
    np.testing.assert_array_equal(plain.predict_proba(X), at(plain, 0, "mean", X))
    with pytest.raises(ValueError, match="this model has no noise"):
        plain.predict_uncertainty(X)
    ensemble = quick(DropoutMLPClassifier, dropout=None, n_members=3, n_draws="auto").fit(X, y)
    assert ensemble.predict_uncertainty(X).epistemic.max() > 0


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_training_watches_as_many_draws_as_ever(estimator_class, two_classes):
    X, y = two_classes
    models = [
        quick(estimator_class, early_stopping=True, n_draws=n_draws).fit(
            X, target(estimator_class, y)
        )
        for n_draws in ("auto", 100)
    ]
    assert models[0].validation_scores_ == models[1].validation_scores_


def test_referral_by_a_function_of_the_draws(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPClassifier, dropout_rate=0.5, n_draws="auto").fit(X, y)
    referral = FixedReferralClassifier(model, threshold=0.2, uncertainty="max_probability").fit(
        X, y
    )
    assert set(referral.referral_reason(X)) <= {"", "epistemic", "aleatoric"}
    assert referral.refer(X).any()
