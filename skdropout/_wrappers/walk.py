"""The way from what scikit-learn wraps around an estimator to the estimator that predicts.

Everything that looks through wrappers goes this way: `skdropout.predict_uncertainty`, referral,
scorers and displays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import NotFittedError
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from .._support.sklearn import BaseSearchCV


class Inside(NamedTuple):
    """The end of the way.

    Attributes
    ----------
    estimator : object
        The first one that is no wrapper known here.
    X : array-like
        The rows as this estimator gets them when the outermost wrapper predicts.
    """

    estimator: Any
    X: Any


class NotRefittedError(NotFittedError):
    """A search was fitted, but its best candidate was not."""


def walk(fitted: Any, X: Any) -> Inside:
    """The estimator inside wrappers that change at most the inputs, and what it is given.

    Parameters
    ----------
    fitted : object
        Fitted: an estimator, or anything around one.
    X : array-like of shape (n_samples, n_features)
        Rows as the outermost wrapper takes them.

    Returns
    -------
    Inside

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If a wrapper is not fitted, or a search has ``refit=False``.
    """
    for wrapper in _wrappers(fitted):
        if isinstance(wrapper, Pipeline):
            X = _as_the_last_step_gets_it(wrapper, X)
    return Inside(innermost(fitted), X)


def innermost(fitted: Any) -> Any:
    """The estimator at the end of the way, without rows.

    Parameters
    ----------
    fitted : object
        As for `walk`, which also says what is raised.

    Returns
    -------
    object
    """
    *_, last = fitted, *map(_what_is_inside, _wrappers(fitted))
    return last


def no_uncertainty(estimator: Any) -> str:
    """Why a model, with its known wrappers taken off, has no uncertainty to split.

    Parameters
    ----------
    estimator : object

    Returns
    -------
    str
        A sentence.
    """
    if isinstance(estimator, CalibratedClassifierCV):
        return (
            "CalibratedClassifierCV maps the mean probabilities after the draws were averaged, so "
            "what it predicts has no epistemic and no aleatoric part. Ask the networks inside, "
            "[c.estimator for c in model.calibrated_classifiers_], whose probabilities are not "
            "calibrated; or use predict_proba of the calibrated ones alone"
        )
    return (
        f"{type(estimator).__name__} neither has a predict_uncertainty method nor is a wrapper "
        "that is known here (Pipeline, a search, FrozenEstimator, FixedThresholdClassifier, "
        "TunedThresholdClassifierCV, TransformedTargetRegressor)"
    )


def _wrappers(fitted: Any) -> Iterator[Any]:
    """The wrappers that are known here, from the outermost on."""
    while (inside := _what_is_inside(fitted)) is not None:
        yield fitted
        fitted = inside


def _what_is_inside(fitted: Any) -> Any:
    for is_wrapper, inside in _WRAPPERS:
        if is_wrapper(fitted):
            return inside(fitted)
    return None


def _is_a(*types: type) -> Callable[[Any], bool]:
    return lambda fitted: isinstance(fitted, types)


def _is_search(fitted: Any) -> bool:
    # `cv` and `refit` do not make a search: LogisticRegressionCV has both. Searches of other
    # packages need not inherit from scikit-learn's.
    foreign = hasattr(fitted, "estimator") and hasattr(fitted, "best_estimator_")
    return isinstance(fitted, BaseSearchCV) or foreign


def _refers(fitted: Any) -> bool:
    return hasattr(fitted, "referral_score") and hasattr(fitted, "estimator")


def _last_step(pipeline: Pipeline) -> Any:
    check_is_fitted(pipeline)
    return pipeline.steps[-1][1]


def _best(search: Any) -> Any:
    if not search.refit:
        raise NotRefittedError(
            f"this {type(search).__name__} has refit=False, so there is no best_estimator_ to "
            "ask; search with refit=True"
        )
    check_is_fitted(search)
    return search.best_estimator_


def _given_or_refitted(wrapper: Any) -> Any:
    # These also predict by an estimator that was fitted before it was given to them.
    return getattr(wrapper, "estimator_", wrapper.estimator)


# How a wrapper is known, and what is inside it.
_WRAPPERS: tuple[tuple[Callable[[Any], bool], Callable[[Any], Any]], ...] = (
    (_is_a(FrozenEstimator), lambda frozen: frozen.estimator),
    (_is_a(Pipeline), _last_step),
    (_is_a(FixedThresholdClassifier, TunedThresholdClassifierCV), _given_or_refitted),
    (_is_search, _best),
    (_refers, _given_or_refitted),
)


def _as_the_last_step_gets_it(pipeline: Pipeline, X: Any) -> Any:
    """Transform step by step, as the pipeline's own `predict` does.

    A slice of the pipeline would be asked whether it is fitted, which steps without fitted
    attributes cannot say, and would want samplers to transform, which play no part here.
    """
    for _, step in pipeline.steps[:-1]:
        if step is None or isinstance(step, str) or _only_resamples(step):
            continue
        X = step.transform(X)
    return X


def _only_resamples(step: Any) -> bool:
    return hasattr(step, "fit_resample") and not hasattr(step, "transform")
