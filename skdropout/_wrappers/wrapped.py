"""Uncertainty, intervals and quantiles for anything that scikit-learn wraps around an estimator."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.compose import TransformedTargetRegressor

from .._predictive.checks import checked_finite, checked_std
from .._predictive.frames import named_as, uncertainty_frame
from .._predictive.levels import as_intervals, checked_levels, checked_quantiles, tails
from .._predictive.normal import NormalMixture
from .._predictive.uncertainty import Uncertainty
from .target_transforms import TargetTransform
from .walk import no_uncertainty, walk

# A transform of the target has to be monotone between these quantiles of each row, at least.
_REACH = np.array([0.001, 0.999])


def predict_uncertainty(fitted: Any, X: Any, **kwargs: Any) -> Any:
    """Uncertainty of a fitted model, through pipelines, searches and other wrappers.

    Parameters
    ----------
    fitted : estimator
        `DropoutMLPClassifier`, `DropoutMLPRegressor` or anything of scikit-learn's around one:
        `Pipeline` (imbalanced-learn's too), every search with ``refit=True``, `FrozenEstimator`,
        the threshold classifiers, `TransformedTargetRegressor` with a linear transform.
    X : array-like of shape (n_samples, n_features)
        Rows as the outermost wrapper takes them.
    **kwargs
        For the estimator's own `predict_uncertainty`: `measure`, `as_frame`, `return_error`. A
        frame is on the index of `X`.

    Returns
    -------
    Uncertainty or DataFrame, or with ``return_error=True`` a pair
        As the estimator's own `predict_uncertainty` gives it.

    Raises
    ------
    TypeError
        If no estimator inside offers `predict_uncertainty`.
    ValueError
        If a target transform is not linear, or a frame is asked for and the steps before the
        estimator add or drop rows.
    sklearn.exceptions.NotFittedError
        If `fitted` is not, or is a search with ``refit=False``.

    Examples
    --------
    >>> import skdropout
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> model = skdropout.DropoutMLPClassifier(n_iter_no_change=1, tol=0.05, random_state=0)
    >>> pipe = make_pipeline(StandardScaler(), model).fit(X, y)
    >>> skdropout.predict_uncertainty(pipe, X[:3]).epistemic.shape
    (3,)
    """
    inner, inner_x = walk(fitted, X)
    if isinstance(inner, TransformedTargetRegressor):
        return _in_the_units_of_y(inner, inner_x, X, **kwargs)
    if not hasattr(inner, "predict_uncertainty"):
        raise TypeError(f"predict_uncertainty: {no_uncertainty(inner)}")
    result = inner.predict_uncertainty(inner_x, **kwargs)
    return named_as(X, result) if kwargs.get("as_frame") else result


def predict_interval(fitted: Any, X: Any, confidence_level: Any = 0.9) -> np.ndarray:
    """Central predictive intervals of a fitted regressor, through wrappers.

    Parameters
    ----------
    fitted : estimator
        `DropoutMLPRegressor`, or a regressor with ``predict(X, return_std=True)``, whose
        predictions are taken as normal; or anything of scikit-learn's around one, as for
        `skdropout.predict_uncertainty`. The transform of a `TransformedTargetRegressor` may be any
        monotone one: intervals are exact through it.
    X : array-like of shape (n_samples, n_features)
        Rows as the outermost wrapper takes them.
    confidence_level : float or array-like of shape (n_levels,), default=0.9
        Probability of the interval, in (0, 1).

    Returns
    -------
    ndarray of shape (n_samples, 2) or (n_samples, 2, n_levels)
        Lower and upper ends, in the units of y. With several outputs the shape is
        (n_samples, n_outputs, 2) or (n_samples, n_outputs, 2, n_levels).

    Raises
    ------
    TypeError
        If the regressor does not say how sure it is.
    ValueError
        For a level out of range, or a target transform that is not monotone.
    sklearn.exceptions.NotFittedError
        If `fitted` is not, or is a search with ``refit=False``.

    Examples
    --------
    >>> import numpy as np
    >>> import skdropout
    >>> from sklearn.compose import TransformedTargetRegressor
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.linear_model import BayesianRidge
    >>> X, y = load_diabetes(return_X_y=True)
    >>> model = TransformedTargetRegressor(BayesianRidge(), func=np.log, inverse_func=np.exp)
    >>> skdropout.predict_interval(model.fit(X, y), X[:3]).shape
    (3, 2)
    """
    return intervals(fitted, X, confidence_level, "predict_interval")


def predict_quantiles(fitted: Any, X: Any, quantiles: Any) -> np.ndarray:
    """Quantiles of the predictive distribution of a fitted regressor, through wrappers.

    Parameters
    ----------
    fitted, X
        As for `skdropout.predict_interval`.
    quantiles : array-like of shape (n_quantiles,)
        Probabilities in (0, 1), increasing.

    Returns
    -------
    ndarray of shape (n_samples, n_quantiles) or (n_samples, n_outputs, n_quantiles)
        In the units of y, increasing along the last axis.

    Raises
    ------
    TypeError, ValueError, sklearn.exceptions.NotFittedError
        As `skdropout.predict_interval`.
    """
    caller = "predict_quantiles"
    return _quantiles(fitted, X, checked_quantiles(caller, quantiles), caller)


# ---- for the rest of the package -----------------------------------------------------------------


def intervals(fitted: Any, X: Any, confidence_level: Any, caller: str) -> np.ndarray:
    """`predict_interval` on behalf of `caller`, whom error messages name."""
    levels = checked_levels(caller, confidence_level)
    inner, inner_x = walk(fitted, X)
    # Those of other packages may mean something else by the same name.
    if hasattr(inner, "predict_interval") and _takes(inner.predict_interval, "confidence_level"):
        return inner.predict_interval(inner_x, confidence_level)
    return as_intervals(_quantiles(inner, inner_x, tails(levels), caller), levels)


def normal_distributions(estimator: Any, X: Any, caller: str) -> NormalMixture:
    """Normal distributions for a regressor that says no more than mean and deviation.

    Parameters
    ----------
    estimator : estimator
        Fitted, without wrappers.
    X : array-like of shape (n_samples, n_features)
    caller : str
        Who asks.

    Returns
    -------
    NormalMixture
        Of one component.

    Raises
    ------
    TypeError
        If it is a classifier, or does not say how sure it is.
    """
    if is_classifier(estimator) or not says_std(estimator):
        raise TypeError(
            f"{caller}: {type(estimator).__name__} does not say how sure it is: it needs a "
            "regressor with predict(X, return_std=True), such as DropoutMLPRegressor"
        )
    predicted = estimator.predict(X, return_std=True)
    name = f"{caller}: {type(estimator).__name__}.predict(return_std=True)"
    mean = checked_finite(name, "mean", np.asarray(predicted[0], dtype=np.float64))
    std = checked_std(name, predicted[1], mean.shape)
    return NormalMixture(mean.reshape(1, len(mean), -1), std.reshape(1, len(mean), -1) ** 2)


def says_std(estimator: Any) -> bool:
    """Whether a regressor has ``predict(X, return_std=True)``."""
    return hasattr(estimator, "predict") and _takes(estimator.predict, "return_std")


def _takes(function: Callable[..., Any], parameter: str) -> bool:
    return parameter in inspect.signature(function).parameters


# ---- through transforms of the target ------------------------------------------------------------


def _in_the_units_of_y(
    fitted: TransformedTargetRegressor, X: Any, named: Any, as_frame: bool = False, **kwargs: Any
) -> Any:
    """Undo a linear transform; `named` are the rows as a person gave them."""
    transform = TargetTransform(fitted, "predict_uncertainty")
    result = predict_uncertainty(fitted.regressor_, X, **kwargs)
    uncertainty, error = result if kwargs.get("return_error") else (result, None)
    shape = np.shape(uncertainty.mean)
    mean, total = (np.reshape(part, (shape[0], -1)) for part in uncertainty[:2])
    reach = 4 * np.sqrt(total)
    _, scale = transform.linear((mean - reach).min(0), (mean + reach).max(0))
    uncertainty = _rescaled(uncertainty, scale)
    # The mean as the wrapper's own predict makes it; the total is added up last, for scaled by
    # itself it could differ in the last bit.
    total = uncertainty.epistemic + uncertainty.aleatoric
    uncertainty = uncertainty._replace(mean=transform.back(mean).reshape(shape), total=total)
    error = None if error is None else _rescaled(error, scale)
    if as_frame:
        return named_as(named, uncertainty_frame(None, uncertainty, error))
    return uncertainty if error is None else (uncertainty, error)


def _rescaled(parts: Uncertainty, scale: np.ndarray) -> Uncertainty:
    """Deviations and variances in other units; of a result, or of its standard error."""
    scales = (np.abs(scale), scale**2, scale**2, scale**2)
    columns = (np.reshape(part, (len(part), -1)) for part in parts)
    scaled = [part * factor for part, factor in zip(columns, scales, strict=True)]
    return Uncertainty(*(part.reshape(np.shape(parts.mean)) for part in scaled))


def _quantiles(fitted: Any, X: Any, probabilities: np.ndarray, caller: str) -> np.ndarray:
    inner, X = walk(fitted, X)
    if isinstance(inner, TransformedTargetRegressor):
        return _through_a_monotone_transform(inner, X, probabilities, caller)
    order, back = np.unique(probabilities, return_inverse=True)
    if hasattr(inner, "predict_quantiles") and _takes(inner.predict_quantiles, "quantiles"):
        return inner.predict_quantiles(X, order)[..., back]
    values = normal_distributions(inner, X, caller).quantiles(order)[..., back]
    return values[:, 0] if values.shape[1] == 1 else values


def _through_a_monotone_transform(
    fitted: TransformedTargetRegressor, X: Any, probabilities: np.ndarray, caller: str
) -> np.ndarray:
    """A quantile of a monotone function is the function of a quantile."""
    transform = TargetTransform(fitted, caller)
    asked = np.concatenate([probabilities, 1 - probabilities, _REACH])
    inside = _quantiles(fitted.regressor_, X, asked, caller)
    columns = inside.reshape(len(inside), -1, len(asked))
    values, falling = transform.quantiles(columns[..., :-2], columns[..., -2:])
    upward, downward = np.split(values, 2, axis=-1)
    values = np.where(falling[..., None], downward, upward)
    return values.reshape(*inside.shape[:-1], len(probabilities))
