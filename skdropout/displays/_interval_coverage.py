"""`IntervalCoverageDisplay`."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import binom
from sklearn.utils import column_or_1d

from .._wrappers.wrapped import intervals
from ._axes import COLOURS, REFERENCE, axes_or_new, legend_if_labelled, name_of, next_style

LEVELS = tuple(np.round(np.linspace(0.1, 0.95, 18), 2))


class IntervalCoverageDisplay:
    """Observed against nominal coverage of predictive intervals.

    Below the diagonal intervals are too narrow, above it too wide.

    Parameters
    ----------
    nominal : ndarray of shape (n_levels,)
        Confidence levels of the intervals.
    observed : ndarray of shape (n_levels,)
        Share of the targets that are inside.
    n_samples : int
        Number of targets.
    estimator_name : str, default=None
        For the label.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    diagonal_ : matplotlib Line2D or None
        Where both are equal; drawn once on the same axes.
    band_ : matplotlib collection or None
        Where 95 % of observed coverages are if the intervals are right, level by level.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(
        self,
        *,
        nominal: np.ndarray,
        observed: np.ndarray,
        n_samples: int,
        estimator_name: str | None = None,
    ) -> None:
        self.nominal, self.observed = nominal, observed
        self.n_samples, self.estimator_name = n_samples, estimator_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        levels: Any = LEVELS,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> IntervalCoverageDisplay:
        """Draw the coverage of a fitted regressor's intervals.

        Parameters
        ----------
        estimator : estimator
            Fitted. Its intervals are those of `skdropout.predict_interval`, which looks through
            pipelines, searches and monotone transforms of the target.
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        levels : array-like of shape (n_levels,), default=0.1, 0.15, ..., 0.95
            Confidence levels, each in (0, 1).
        name : str, default=None
            Label; None for the name of the class.
        ax : matplotlib Axes, default=None
            None for a new figure.
        **kwargs
            For ``Axes.plot``.

        Returns
        -------
        IntervalCoverageDisplay
        """
        levels = _checked_levels(levels)
        ends = intervals(estimator, X, list(levels), cls.__name__)
        lower, upper = np.moveaxis(ends, -2, 0)
        return cls.from_predictions(
            y, lower, upper, levels=levels, name=name_of(estimator, name), ax=ax, **kwargs
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        lower: Any,
        upper: Any,
        *,
        levels: Any,
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> IntervalCoverageDisplay:
        """Draw the coverage of intervals.

        Parameters
        ----------
        y_true : array-like of shape (n_samples,)
        lower, upper : array-like of shape (n_samples, n_levels)
            Ends of the intervals, which belong to them.
        levels : array-like of shape (n_levels,)
            Their confidence levels.
        name, ax, **kwargs
            As for `from_estimator`.

        Returns
        -------
        IntervalCoverageDisplay

        Raises
        ------
        ValueError
            If shapes do not agree or a level is out of range.
        """
        y_true, levels = column_or_1d(y_true), _checked_levels(levels)
        lower, upper = np.asarray(lower), np.asarray(upper)
        shape = (len(y_true), len(levels))
        if lower.shape != shape or upper.shape != shape:
            raise ValueError(
                f"IntervalCoverageDisplay: lower and upper must have one row for each of the "
                f"{shape[0]} targets and one column for each of the {shape[1]} levels, got shapes "
                f"{lower.shape} and {upper.shape}"
            )
        inside = (lower <= y_true[:, None]) & (y_true[:, None] <= upper)
        display = cls(
            nominal=levels, observed=inside.mean(0), n_samples=len(y_true), estimator_name=name
        )
        return display.plot(ax, **kwargs)

    def plot(self, ax: Any = None, *, name: str | None = None, **kwargs: Any) -> Any:
        """Draw on axes, beside curves that are there already.

        Parameters
        ----------
        ax, name, **kwargs
            As for `from_estimator`.

        Returns
        -------
        IntervalCoverageDisplay
            Itself.
        """
        self.ax_ = axes_or_new(ax)
        self.figure_ = self.ax_.figure
        self.diagonal_, self.band_ = None, None
        style = next_style(self.ax_, "interval coverage") | {"markersize": 4}
        if style["color"] == COLOURS[0]:
            self._draw_reference()
        label = name or self.estimator_name
        (self.line_,) = self.ax_.plot(
            self.nominal, self.observed, **{**style, "label": label, **kwargs}
        )
        self.ax_.set(
            xlabel="nominal interval coverage",
            ylabel="observed interval coverage",
            xlim=(0, 1),
            ylim=(0, 1),
            aspect="equal",
        )
        legend_if_labelled(self.ax_)
        return self

    def _draw_reference(self) -> None:
        (self.diagonal_,) = self.ax_.plot([0, 1], [0, 1], color=REFERENCE, linewidth=1)
        level = np.linspace(0, 1, 101)
        low, high = (binom.ppf(tail, self.n_samples, level) for tail in (0.025, 0.975))
        self.band_ = self.ax_.fill_between(
            level,
            low / self.n_samples,
            high / self.n_samples,
            color="0.88",
            label=f"95 % of right intervals, n = {self.n_samples}",
        )


def _checked_levels(levels: Any) -> np.ndarray:
    values = np.atleast_1d(np.asarray(levels, dtype=np.float64))
    if values.ndim != 1 or not ((values > 0) & (values < 1)).all():
        raise ValueError(f"IntervalCoverageDisplay: levels must be in (0, 1), got {levels!r}")
    return values
