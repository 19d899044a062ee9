"""`UncertaintyDisplay`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import check_consistent_length, column_or_1d

from .._wrappers.wrapped import predict_uncertainty
from ._axes import COLOURS, MARKERS, REFERENCE, axes_or_new, legend_if_labelled


class UncertaintyDisplay:
    """Epistemic against aleatoric uncertainty, with the errors marked.

    Rows far to the right are ambiguous; rows far up are unlike what the model was trained on.

    Parameters
    ----------
    epistemic, aleatoric : ndarray of shape (n_samples,)
    wrong : ndarray of bool of shape (n_samples,), default=None
        Which rows to mark.
    unit : str, default="variance"
        For the axis labels.

    Attributes
    ----------
    right_, wrong_ : matplotlib Line2D or None
        The rows that are not marked, and those that are.
    threshold_line_ : matplotlib Line2D or None
        Where the total is `threshold`.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(
        self,
        *,
        epistemic: np.ndarray,
        aleatoric: np.ndarray,
        wrong: np.ndarray | None = None,
        unit: str = "variance",
    ) -> None:
        self.epistemic, self.aleatoric, self.wrong, self.unit = epistemic, aleatoric, wrong, unit

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any = None,
        *,
        measure: str = "variance",
        threshold: float | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> UncertaintyDisplay:
        """Draw the uncertainty of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted, with `predict_uncertainty` or around one that has it.
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,), default=None
            To mark errors: of a classifier the wrong labels, of a regressor the rows more than
            two standard deviations of a new observation away from the predicted mean.
        measure : {"variance", "entropy"}, default="variance"
            As for `predict_uncertainty`; a regressor has only variances.
        threshold : float, default=None
            Draw the line of this total, above which rows would be referred.
        ax : matplotlib Axes, default=None
            None for a new figure.
        **kwargs
            For ``Axes.plot``.

        Returns
        -------
        UncertaintyDisplay
        """
        parts = predict_uncertainty(estimator, X, measure=measure)
        if np.ndim(parts.total) == 2 and np.shape(parts.total)[1] > 1:
            raise ValueError(
                f"{cls.__name__}.from_estimator draws one uncertainty per row, and "
                f"{type(estimator).__name__} has {np.shape(parts.total)[1]}, one for each label or "
                f"output; choose one, as in {cls.__name__}.from_predictions("
                "uncertainty.epistemic[:, 0], uncertainty.aleatoric[:, 0])"
            )
        wrong = None
        if y is not None and is_classifier(estimator):
            wrong = np.asarray(estimator.predict(X)) != column_or_1d(y)
        elif y is not None:
            wrong = np.abs(column_or_1d(y) - parts.mean) > 2 * np.sqrt(parts.total)
        return cls.from_predictions(
            parts.epistemic,
            parts.aleatoric,
            wrong,
            unit="nats" if measure == "entropy" else "variance",
            threshold=threshold,
            ax=ax,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        epistemic: Any,
        aleatoric: Any,
        wrong: Any = None,
        *,
        unit: str = "variance",
        threshold: float | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> UncertaintyDisplay:
        """Draw uncertainty that was computed before.

        Parameters
        ----------
        epistemic, aleatoric : array-like of shape (n_samples,)
        wrong : array-like of bool of shape (n_samples,), default=None
            Which rows to mark.
        unit : str, default="variance"
            For the axis labels.
        threshold, ax, **kwargs
            As for `from_estimator`.

        Returns
        -------
        UncertaintyDisplay
        """
        epistemic, aleatoric = column_or_1d(epistemic), column_or_1d(aleatoric)
        wrong = None if wrong is None else column_or_1d(wrong)
        check_consistent_length(epistemic, aleatoric, wrong)
        if wrong is not None and wrong.dtype != bool:
            raise ValueError(f"UncertaintyDisplay: wrong must hold booleans, got {wrong.dtype}")
        display = cls(epistemic=epistemic, aleatoric=aleatoric, wrong=wrong, unit=unit)
        return display.plot(ax, threshold=threshold, **kwargs)

    def plot(
        self, ax: Any = None, *, threshold: float | None = None, **kwargs: Any
    ) -> UncertaintyDisplay:
        """Draw on axes.

        Parameters
        ----------
        ax, threshold, **kwargs
            As for `from_estimator`.

        Returns
        -------
        UncertaintyDisplay
            Itself.
        """
        self.ax_ = axes_or_new(ax)
        self.figure_ = self.ax_.figure
        marked = np.zeros(len(self.epistemic), bool) if self.wrong is None else self.wrong
        self.right_ = self._points(~marked, 0, "right", {"alpha": 0.5, "markersize": 4} | kwargs)
        # Drawn last, in another colour and with another marker: errors are few and matter most.
        self.wrong_ = None
        if self.wrong is not None:
            self.wrong_ = self._points(marked, 1, "wrong", {"markersize": 7} | kwargs)
        self.threshold_line_ = None
        if threshold is not None:
            (self.threshold_line_,) = self.ax_.plot(
                [0, threshold],
                [threshold, 0],
                "--",
                color=REFERENCE,
                label=f"total {threshold:.3g}",
            )
        self.ax_.set(
            xlabel=f"aleatoric: noise in the data ({self.unit})",
            ylabel=f"epistemic: what the model lacks ({self.unit})",
        )
        if self.wrong is not None or threshold is not None:
            legend_if_labelled(self.ax_)
        return self

    def _points(self, rows: np.ndarray, style: int, label: str, options: dict[str, Any]) -> Any:
        marker = {"marker": MARKERS[0], "fillstyle": "none"} if style == 0 else {"marker": "x"}
        options = {"linestyle": "none", "color": COLOURS[style], "label": label} | marker | options
        return self.ax_.plot(self.aleatoric[rows], self.epistemic[rows], **options)[0]
