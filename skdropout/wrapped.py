"""`predict_uncertainty` for anything that scikit-learn wraps around an estimator."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import FixedThresholdClassifier, TunedThresholdClassifierCV
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from ._predictive.uncertainty import Uncertainty


def predict_uncertainty(fitted: Any, X: Any, **kwargs: Any) -> Any:
    """Uncertainty of a fitted model, through pipelines, searches and other wrappers.

    Parameters
    ----------
    fitted : estimator
        `DropoutMLPClassifier`, `DropoutMLPRegressor` or anything of scikit-learn's around one:
        `Pipeline`, every search with ``refit=True``, `FrozenEstimator`, the threshold
        classifiers, `TransformedTargetRegressor` with a linear transform.
    X : array-like of shape (n_samples, n_features)
        Rows as the outermost wrapper takes them.
    **kwargs
        For the estimator's own `predict_uncertainty`: `measure`, `as_frame`, `return_error`.

    Returns
    -------
    Uncertainty or DataFrame, or with ``return_error=True`` a pair
        As the estimator's own `predict_uncertainty` gives it.

    Raises
    ------
    TypeError
        If no estimator inside offers `predict_uncertainty`.
    ValueError
        If a target transform is not linear, or a search was not refitted.
    sklearn.exceptions.NotFittedError
        If `fitted` is not.

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
    fitted, X = unwrap(fitted, X)
    if isinstance(fitted, TransformedTargetRegressor):
        return _through_target_transform(fitted, X, **kwargs)
    if hasattr(fitted, "predict_uncertainty"):
        return fitted.predict_uncertainty(X, **kwargs)
    raise TypeError(f"predict_uncertainty: {no_uncertainty(fitted)}")


def no_uncertainty(fitted: Any) -> str:
    """Why a model, with its known wrappers taken off, has no uncertainty to split.

    Parameters
    ----------
    fitted : object

    Returns
    -------
    str
        A sentence.
    """
    if isinstance(fitted, CalibratedClassifierCV):
        return (
            "CalibratedClassifierCV maps the mean probabilities after the draws were averaged, so "
            "what it predicts has no epistemic and no aleatoric part. Ask the networks inside, "
            "[c.estimator for c in model.calibrated_classifiers_], whose probabilities are not "
            "calibrated; or use predict_proba of the calibrated ones alone"
        )
    return (
        f"{type(fitted).__name__} neither has a predict_uncertainty method nor is a wrapper that "
        "is known here (Pipeline, a search, FrozenEstimator, FixedThresholdClassifier, "
        "TunedThresholdClassifierCV, TransformedTargetRegressor)"
    )


def unwrap(fitted: Any, X: Any) -> tuple[Any, Any]:
    """The estimator inside wrappers that change at most the inputs, and what it is given.

    Parameters
    ----------
    fitted : estimator
        Fitted.
    X : array-like of shape (n_samples, n_features)
        Rows as the outermost wrapper takes them.

    Returns
    -------
    inner : estimator
        The first one that offers `predict_uncertainty` or is no wrapper known here.
    X_inner : array-like
        The rows as `inner` takes them.
    """
    while not hasattr(fitted, "predict_uncertainty"):
        if isinstance(fitted, Pipeline):
            check_is_fitted(fitted)
            if len(fitted.steps) > 1:
                X = fitted[:-1].transform(X)
            fitted = fitted[-1]
        elif isinstance(fitted, FrozenEstimator):
            fitted = fitted.estimator
        elif isinstance(fitted, FixedThresholdClassifier | TunedThresholdClassifierCV):
            check_is_fitted(fitted)
            fitted = fitted.estimator_
        elif hasattr(fitted, "cv") and hasattr(fitted, "refit"):
            fitted = _best(fitted)
        else:
            break
    return fitted, X


def _best(search: Any) -> Any:
    if not search.refit:
        raise ValueError(
            f"predict_uncertainty: this {type(search).__name__} has refit=False, so there is no "
            "best_estimator_ to ask; search with refit=True"
        )
    check_is_fitted(search)
    return search.best_estimator_


def _through_target_transform(fitted: TransformedTargetRegressor, X: Any, **kwargs: Any) -> Any:
    """Undo a linear transform ``t = (y - shift) / scale`` of the target."""
    check_is_fitted(fitted)
    inner = predict_uncertainty(fitted.regressor_, X, **kwargs)
    if isinstance(inner, Uncertainty):
        return _rescaled(fitted, inner)
    if isinstance(inner, tuple):
        uncertainty, error = inner
        return _rescaled(fitted, uncertainty), _rescaled(fitted, error, is_error=True)
    raise ValueError(
        "predict_uncertainty: as_frame=True is not available through a TransformedTargetRegressor"
    )


def _rescaled(
    fitted: TransformedTargetRegressor, inner: Uncertainty, is_error: bool = False
) -> Uncertainty:
    shape = np.shape(inner.mean)
    mean, total, epistemic, aleatoric = (np.reshape(part, (shape[0], -1)) for part in inner)
    shift, scale = linear_target_transform(fitted, mean.shape[1], "predict_uncertainty")
    epistemic, aleatoric = epistemic * scale**2, aleatoric * scale**2
    if is_error:
        parts = (mean * np.abs(scale), total * scale**2, epistemic, aleatoric)
    else:
        # The total is added up last: scaled by itself it could differ in the last bit.
        parts = (mean * scale + shift, epistemic + aleatoric, epistemic, aleatoric)
    return Uncertainty(*(part.reshape(shape) for part in parts))


def linear_target_transform(
    fitted: TransformedTargetRegressor, n_outputs: int, caller: str
) -> tuple[np.ndarray, np.ndarray]:
    """The transform ``y = t * scale + shift`` that takes predictions back to the units of y.

    Parameters
    ----------
    fitted : TransformedTargetRegressor
    n_outputs : int
    caller : str
        Who asks.

    Returns
    -------
    shift, scale : ndarray of shape (n_outputs,)

    Raises
    ------
    ValueError
        If the transform is not linear.
    """
    probes = np.linspace(-2.0, 2.0, 9)[:, None] * np.ones(n_outputs)
    values = fitted.transformer_.inverse_transform(probes)
    scale = (values[-1] - values[0]) / 4.0
    if not np.allclose(values, values[4] + probes * scale, rtol=1e-6, atol=1e-9 * np.ptp(values)):
        raise ValueError(
            f"{caller}: the target transform "
            f"{type(fitted.transformer_).__name__} is not linear, so a variance cannot be taken "
            "back to the units of y; predict on the transformed scale, or sample"
        )
    return values[4], scale
