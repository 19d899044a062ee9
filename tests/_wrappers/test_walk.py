"""What scikit-learn and others wrap around an estimator changes nothing of what it says."""

import imblearn.over_sampling
import imblearn.pipeline
import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import polars as pl
import pytest
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.model_selection import (
    FixedThresholdClassifier,
    GridSearchCV,
    HalvingGridSearchCV,
    RandomizedSearchCV,
    TunedThresholdClassifierCV,
)
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.utils import get_tags

import skdropout
from skdropout import DropoutMLPClassifier, DropoutMLPRegressor, metrics
from skdropout.decision import (
    FixedReferralClassifier,
    FixedReferralRegressor,
    TunedReferralClassifierCV,
)
from skdropout.displays import IntervalCoverageDisplay, RiskCoverageDisplay, UncertaintyDisplay
from skdropout.model_selection import BatchedGridSearchCV
from tests.reference import ESTIMATORS, quick, target

mpl.use("Agg")


class SignedLog(TransformerMixin, BaseEstimator):
    """A step that learns nothing, so no attribute of it ends in an underscore."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        X = np.asarray(X, dtype=float)
        return np.sign(X) * np.log1p(np.abs(X))


class Halved:
    """A step that inherits from nothing of scikit-learn's."""

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return np.asarray(X) / 2


class OwnSearch(BaseEstimator):
    """A search of another package, which does not inherit from scikit-learn's."""

    def __init__(self, estimator, refit=True):
        self.estimator, self.refit = estimator, refit

    def fit(self, X, y):
        self.best_estimator_ = self.estimator.fit(X, y)
        return self

    @property
    def classes_(self):
        return self.best_estimator_.classes_

    def __sklearn_tags__(self):
        return get_tags(self.estimator)

    def predict(self, X):
        return self.best_estimator_.predict(X)

    def predict_proba(self, X):
        return self.best_estimator_.predict_proba(X)


def smote():
    return imblearn.over_sampling.SMOTE(random_state=0)


def oversampled(model):
    # Samplers are for classes.
    return [smote(), model] if isinstance(model, DropoutMLPClassifier) else [Halved(), model]


def search(search_class, model, **options):
    return search_class(model, {"dropout_rate": [0.1, 0.3]}, cv=2, **options)


WRAPPERS = {
    "pipeline": lambda model: make_pipeline(StandardScaler(), model),
    "home-made step": lambda model: make_pipeline(SignedLog(), model),
    "home-made steps": lambda model: make_pipeline(Halved(), SignedLog(), StandardScaler(), model),
    "left out": lambda model: Pipeline([("a", "passthrough"), ("b", None), ("c", model)]),
    "a step only": make_pipeline,
    "nested": lambda model: make_pipeline(Halved(), make_pipeline(SignedLog(), model)),
    "columns": lambda model: make_pipeline(
        ColumnTransformer([("scale", StandardScaler(), [0, 1]), ("own", SignedLog(), [3])]), model
    ),
    "columns of a frame": lambda model: make_pipeline(
        FunctionTransformer(lambda X: pd.DataFrame(np.asarray(X), columns=list("abcde"))),
        ColumnTransformer([("a", SignedLog(), ["a", "c"])], remainder="passthrough"),
        model,
    ),
    "imblearn": lambda model: imblearn.pipeline.make_pipeline(SignedLog(), *oversampled(model)),
    "imblearn in a pipeline": lambda model: make_pipeline(
        StandardScaler(), imblearn.pipeline.make_pipeline(*oversampled(model))
    ),
    "grid": lambda model: search(GridSearchCV, model),
    "random": lambda model: search(RandomizedSearchCV, model, n_iter=2, random_state=0),
    "halving": lambda model: search(HalvingGridSearchCV, model, min_resources=60, random_state=0),
    "batched": lambda model: search(BatchedGridSearchCV, model),
    "of another package": lambda model: OwnSearch(make_pipeline(SignedLog(), model)),
    "search over a pipeline": lambda model: GridSearchCV(
        make_pipeline(SignedLog(), StandardScaler(), model), {"standardscaler": ["passthrough"]}
    ),
    "search in a pipeline": lambda model: make_pipeline(SignedLog(), search(GridSearchCV, model)),
}
OF_CLASSIFIERS = {
    "fixed threshold": lambda model: FixedThresholdClassifier(make_pipeline(SignedLog(), model)),
    "tuned threshold": lambda model: TunedThresholdClassifierCV(make_pipeline(Halved(), model)),
    "referral": lambda model: FixedReferralClassifier(
        make_pipeline(SignedLog(), model), threshold=0.2
    ),
}
OF_REGRESSORS = {
    "target": lambda model: TransformedTargetRegressor(
        make_pipeline(SignedLog(), model), transformer=StandardScaler()
    ),
    "target in a pipeline": lambda model: make_pipeline(
        SignedLog(), TransformedTargetRegressor(model, func=lambda y: -y, inverse_func=lambda t: -t)
    ),
    "search over a target": lambda model: GridSearchCV(
        TransformedTargetRegressor(model, transformer=StandardScaler()),
        {"regressor__dropout_rate": [0.1, 0.3]},
        cv=2,
    ),
}
TABLE = [
    *((estimator, name) for estimator in ESTIMATORS for name in WRAPPERS),
    *((DropoutMLPClassifier, name) for name in OF_CLASSIFIERS),
    *((DropoutMLPRegressor, name) for name in OF_REGRESSORS),
]


@pytest.fixture(scope="module")
def fitted(two_classes):
    """Of each wrapper in the table, around each estimator."""
    X, y = two_classes
    wrappers = WRAPPERS | OF_CLASSIFIERS | OF_REGRESSORS
    return {
        (estimator, name): wrappers[name](quick(estimator, dropout_rate=0.2)).fit(
            X, target(estimator, y)
        )
        for estimator, name in TABLE
    }


@pytest.mark.parametrize(("estimator", "name"), TABLE)
def test_the_mean_is_what_the_wrapper_predicts(fitted, two_classes, estimator, name):
    X, model = two_classes[0], fitted[estimator, name]
    method = "predict_proba" if estimator is DropoutMLPClassifier else "predict"
    expected = getattr(model, method)(X)
    for wrapped in (model, FrozenEstimator(model), make_pipeline(FrozenEstimator(model))):
        parts = skdropout.predict_uncertainty(wrapped, X)
        np.testing.assert_allclose(parts.mean, expected, rtol=0, atol=1e-9)
        assert (parts.epistemic > 0).all()


@pytest.mark.parametrize(("estimator", "name"), TABLE)
def test_a_table_of_uncertainties_keeps_the_patients_names(fitted, two_classes, estimator, name):
    X, model = two_classes[0][:3], fitted[estimator, name]
    expected = skdropout.predict_uncertainty(model, X)
    named = pd.DataFrame(X, index=[1150, 3, 77])
    for rows, index in ((named, [1150, 3, 77]), (X, [0, 1, 2]), (X.tolist(), [0, 1, 2])):
        frame = skdropout.predict_uncertainty(model, rows, as_frame=True)
        assert frame.index.tolist() == index
        np.testing.assert_allclose(frame["epistemic"], expected.epistemic, rtol=1e-9)
        both = skdropout.predict_uncertainty(model, rows, as_frame=True, return_error=True)
        assert both.index.equals(frame.index)
        assert {"epistemic_error", "total_error"} <= set(both)


def test_rows_without_names_are_numbered(two_classes):
    """Also where a step makes a DataFrame with an index of its own."""
    X, y = two_classes
    named = FunctionTransformer(lambda rows: pd.DataFrame(rows, index=[f"r{r[0]}" for r in rows]))
    model = make_pipeline(named, quick(DropoutMLPClassifier)).fit(X, y)
    frame = skdropout.predict_uncertainty(model, X[:3], as_frame=True)
    assert frame.index.tolist() == [0, 1, 2]
    table = pl.DataFrame(X, schema=list("abcde"))
    for polars_model in (quick(DropoutMLPClassifier), WRAPPERS["pipeline"](quick(ESTIMATORS[0]))):
        polars_model.fit(table, y)
        frame = skdropout.predict_uncertainty(polars_model, table[:3], as_frame=True)
        assert frame.index.tolist() == [0, 1, 2]


def test_the_estimator_itself_takes_a_list_for_a_frame(two_classes):
    X, y = two_classes
    model = quick(DropoutMLPClassifier).fit(X, y)
    assert model.predict_uncertainty(X[:3].tolist(), as_frame=True).index.tolist() == [0, 1, 2]


def test_a_step_that_drops_rows_leaves_no_names(two_classes):
    X, y = two_classes
    model = make_pipeline(FunctionTransformer(), quick(DropoutMLPClassifier)).fit(X, y)
    model.set_params(functiontransformer__func=lambda rows: rows[:-1])
    with pytest.raises(ValueError, match="make 119 rows of the 120 that were given"):
        skdropout.predict_uncertainty(model, X, as_frame=True)


# ---- what looks through wrappers -----------------------------------------------------------------


@pytest.mark.parametrize("name", WRAPPERS)
def test_scorers_displays_and_referral_look_through(fitted, two_classes, name):
    X, y = two_classes
    classifier, regressor = (fitted[estimator, name] for estimator in ESTIMATORS)
    proba = classifier.predict_proba(X)
    parts = skdropout.predict_uncertainty(classifier, X)
    score = metrics.log_predictive_density_scorer(classifier, X, y)
    assert score == pytest.approx(np.log(proba[np.arange(len(y)), y]).mean(), rel=1e-6)
    careful = FixedReferralClassifier(classifier, threshold=np.median(parts.epistemic))
    careful.set_params(uncertainty="epistemic")
    np.testing.assert_array_equal(careful.refer(X), parts.epistemic > careful.threshold)
    shown = UncertaintyDisplay.from_estimator(classifier, X)
    np.testing.assert_allclose(shown.epistemic, parts.epistemic, rtol=1e-12)
    RiskCoverageDisplay.from_estimator(classifier, X, y)

    y = target(DropoutMLPRegressor, y)
    total = skdropout.predict_uncertainty(regressor, X).total
    assert np.isfinite([s(regressor, X, y) for s in OF_REGRESSORS_SCORERS]).all()
    error = FixedReferralRegressor(regressor, threshold=0.1).referral_score(X)
    np.testing.assert_allclose(error, np.sqrt(total * 2 / np.pi), rtol=1e-12)
    ends = skdropout.predict_interval(regressor, X)
    shown = IntervalCoverageDisplay.from_estimator(regressor, X, y, levels=[0.9])
    np.testing.assert_allclose(
        shown.observed, np.mean((ends[:, 0] <= y) & (y <= ends[:, 1])), rtol=1e-12
    )
    np.testing.assert_allclose(
        skdropout.predict_quantiles(regressor, X, [0.05, 0.95]), ends, rtol=1e-9
    )
    plt.close("all")


OF_REGRESSORS_SCORERS = [
    metrics.neg_crps_scorer,
    metrics.neg_interval_score_scorer,
    metrics.log_predictive_density_scorer,
    metrics.neg_aurc_scorer,
]


@pytest.mark.parametrize("search_class", [GridSearchCV, BatchedGridSearchCV])
def test_a_search_by_crps_scores_every_candidate_of_a_home_made_pipeline(real_target, search_class):
    grid = {"dropoutmlpregressor__dropout_rate": [0.1, 0.3]}
    pipe = make_pipeline(SignedLog(), quick(DropoutMLPRegressor))
    by_crps = search_class(pipe, grid, scoring=metrics.neg_crps_scorer, cv=2).fit(*real_target)
    assert np.isfinite(by_crps.cv_results_["mean_test_score"]).all()


@pytest.mark.parametrize("search_class", [GridSearchCV, BatchedGridSearchCV])
def test_a_search_by_doubt_scores_every_candidate_with_samplers(two_classes, search_class):
    X, y = two_classes
    rows = np.flatnonzero((y == 0) | (np.arange(len(y)) % 3 == 0))
    pipe = imblearn.pipeline.make_pipeline(StandardScaler(), smote(), quick(DropoutMLPClassifier))
    grid = {"dropoutmlpclassifier__dropout_rate": [0.1, 0.3]}
    scoring = {"density": metrics.log_predictive_density_scorer, "aurc": metrics.neg_aurc_scorer}
    found = search_class(pipe, grid, scoring=scoring, cv=2, refit="density").fit(X[rows], y[rows])
    for name in scoring:
        assert np.isfinite(found.cv_results_[f"mean_test_{name}"]).all()


LINEAR = {
    "cross-validated": lambda: LogisticRegressionCV(
        Cs=2, use_legacy_attributes=False, l1_ratios=(0,), scoring="neg_log_loss"
    ),
    "home-made step": lambda: make_pipeline(SignedLog(), LogisticRegression()),
    "no base class": lambda: make_pipeline(Halved(), LogisticRegression()),
    "sampler": lambda: imblearn.pipeline.make_pipeline(smote(), LogisticRegression()),
    "cross-validated in a pipeline": lambda: make_pipeline(
        SignedLog(), LINEAR["cross-validated"]()
    ),
}


@pytest.mark.parametrize("name", LINEAR)
def test_referral_around_other_classifiers_keeps_what_they_are_sure_of(two_classes, name):
    X, y = two_classes
    model = LINEAR[name]().fit(X, y)
    doubt = 1 - model.predict_proba(X).max(1)
    careful = FixedReferralClassifier(model, threshold=0.2)
    np.testing.assert_array_equal(careful.predict(X), np.where(doubt > 0.2, -1, model.predict(X)))
    prefit = TunedReferralClassifierCV(model, min_coverage=0.5, cv="prefit").fit(X, y)
    assert prefit.selective_coverage_ == pytest.approx(0.5, abs=0.02)
    RiskCoverageDisplay.from_estimator(model, X, y)
    plt.close("all")


def test_a_threshold_around_a_fitted_model_needs_no_fit(two_classes):
    X, y = two_classes
    model = FixedThresholdClassifier(quick(DropoutMLPClassifier).fit(X, y), threshold=0.3)
    parts = skdropout.predict_uncertainty(model, X)
    np.testing.assert_allclose(parts.mean, model.predict_proba(X), atol=1e-12)
    kept = ~FixedReferralClassifier(model, threshold=0.1).refer(X)
    np.testing.assert_array_equal(kept, parts.total <= 0.1)


# ---- what is refused -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [*sorted(WRAPPERS.keys() - {"of another package"}), *OF_CLASSIFIERS]
)
def test_what_is_not_fitted_says_so_by_name(two_classes, name):
    model = (WRAPPERS | OF_CLASSIFIERS)[name](quick(DropoutMLPClassifier))
    with pytest.raises(NotFittedError, match="is not fitted yet") as caught:
        skdropout.predict_uncertainty(model, two_classes[0])
    assert "StandardScaler" not in str(caught.value)


def test_a_search_without_refit_says_so_everywhere(two_classes):
    X, y = two_classes
    model = search(GridSearchCV, quick(DropoutMLPClassifier), refit=False).fit(X, y)
    sentence = r"GridSearchCV has refit=False.*search with refit=True"
    calls = [
        lambda fitted: skdropout.predict_uncertainty(fitted, X),
        lambda fitted: FixedReferralClassifier(fitted, threshold=0.1).predict(X),
        lambda fitted: metrics.log_predictive_density_scorer(fitted, X, y),
    ]
    for call in calls:
        with pytest.raises(NotFittedError, match=sentence):
            call(model)


@pytest.mark.parametrize(
    "wrap", [lambda model: model, lambda model: make_pipeline(Halved(), model)]
)
def test_calibrated_probabilities_have_no_parts(two_classes, wrap):
    X, y = two_classes
    model = wrap(CalibratedClassifierCV(quick(DropoutMLPClassifier), cv=2)).fit(X, y)
    with pytest.raises(TypeError, match="CalibratedClassifierCV maps the mean probabilities"):
        skdropout.predict_uncertainty(model, X)
