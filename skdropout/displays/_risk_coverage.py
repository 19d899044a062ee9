"""`RiskCoverageDisplay`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import is_classifier

from ..metrics import aurc_score, risk_coverage_curve
from ..metrics._row_scores import classifier_scores, regressor_scores
from ..metrics.referral import Loss, oracle_curve, row_losses
from ._axes import REFERENCE, axes_or_new, legend_if_labelled, name_of, next_style


class RiskCoverageDisplay:
    """Selective risk against selective coverage.

    Make one by `from_estimator` or `from_predictions`.

    Parameters
    ----------
    coverage, risk : ndarray of shape (n_thresholds,)
        The curve.
    aurc : float, default=None
        Area under it, for the label.
    oracle : tuple of ndarray, default=None
        Coverage and risk of an oracle that refers the largest losses first.
    estimator_name : str, default=None
        For the label.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The curve.
    oracle_line_ : matplotlib Line2D or None
        The oracle.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skdropout.displays import RiskCoverageDisplay
    >>> display = RiskCoverageDisplay.from_predictions(
    ...     ["a", "b", "a"], ["a", "b", "b"], [0.1, 0.2, 0.9], name="a model"
    ... )
    >>> display.line_.get_label()
    'a model (AURC 0.111)'
    """

    def __init__(
        self,
        *,
        coverage: np.ndarray,
        risk: np.ndarray,
        aurc: float | None = None,
        oracle: tuple[np.ndarray, np.ndarray] | None = None,
        estimator_name: str | None = None,
    ) -> None:
        self.coverage, self.risk, self.aurc = coverage, risk, aurc
        self.oracle, self.estimator_name = oracle, estimator_name

    @classmethod
    def from_estimator(
        cls,
        estimator: Any,
        X: Any,
        y: Any,
        *,
        uncertainty: str = "total",
        loss: Loss | None = None,
        sample_weight: Any = None,
        name: str | None = None,
        ax: Any = None,
        plot_oracle: bool = False,
        **kwargs: Any,
    ) -> RiskCoverageDisplay:
        """Draw the curve of a fitted estimator.

        Parameters
        ----------
        estimator : estimator
            Fitted: of this package, wrapped by scikit-learn, or any other that
            `skdropout.decision` takes.
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,)
        uncertainty : str, default="total"
            As for `FixedReferralClassifier` or `FixedReferralRegressor`.
        loss : str or callable, default=None
            As for `skdropout.metrics.risk_coverage_curve`. None: "zero_one" for a classifier,
            "absolute_error" for a regressor.
        sample_weight : array-like of shape (n_samples,), default=None
        name : str, default=None
            Label; None for the name of the class.
        ax : matplotlib Axes, default=None
            None for a new figure.
        plot_oracle : bool, default=False
            Also draw the best curve that the same predictions allow.
        **kwargs
            For ``Axes.plot``.

        Returns
        -------
        RiskCoverageDisplay
        """
        if is_classifier(estimator):
            score = classifier_scores(estimator, X, uncertainty).score
            prediction = np.asarray(estimator.predict(X))
        else:
            prediction, score = regressor_scores(estimator, X, uncertainty, 0.9)
        return cls.from_predictions(
            y,
            prediction,
            score,
            loss=loss or ("zero_one" if is_classifier(estimator) else "absolute_error"),
            sample_weight=sample_weight,
            name=name_of(estimator, name),
            ax=ax,
            plot_oracle=plot_oracle,
            **kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: Any,
        y_pred: Any,
        uncertainty: Any,
        *,
        loss: Loss = "zero_one",
        sample_weight: Any = None,
        name: str | None = None,
        ax: Any = None,
        plot_oracle: bool = False,
        **kwargs: Any,
    ) -> RiskCoverageDisplay:
        """Draw the curve of predictions and their uncertainty.

        Parameters
        ----------
        y_true, y_pred, uncertainty : array-like of shape (n_samples,)
        loss, sample_weight
            As for `skdropout.metrics.risk_coverage_curve`.
        name, ax, plot_oracle, **kwargs
            As for `from_estimator`.

        Returns
        -------
        RiskCoverageDisplay
        """
        options = {"loss": loss, "sample_weight": sample_weight}
        curve = risk_coverage_curve(y_true, y_pred, uncertainty, **options)
        weight = None if sample_weight is None else np.asarray(sample_weight, dtype=np.float64)
        losses = row_losses(y_true, y_pred, loss)
        if weight is not None:
            losses, weight = losses[weight > 0], weight[weight > 0]
        display = cls(
            coverage=curve.coverage,
            risk=curve.risk,
            aurc=aurc_score(y_true, y_pred, uncertainty, **options),
            oracle=oracle_curve(losses, weight)[:2],
            estimator_name=name,
        )
        return display.plot(ax, plot_oracle=plot_oracle, **kwargs)

    def plot(
        self, ax: Any = None, *, name: str | None = None, plot_oracle: bool = False, **kwargs: Any
    ) -> RiskCoverageDisplay:
        """Draw on axes, beside curves that are there already.

        Parameters
        ----------
        ax, name, plot_oracle, **kwargs
            As for `from_estimator`.

        Returns
        -------
        RiskCoverageDisplay
            Itself.
        """
        self.ax_ = axes_or_new(ax)
        self.figure_ = self.ax_.figure
        style = next_style(self.ax_, "risk-coverage") | {"marker": None}
        label = name or self.estimator_name
        if label and self.aurc is not None:
            label = f"{label} (AURC {self.aurc:.3g})"
        (self.line_,) = self.ax_.plot(
            self.coverage, self.risk, **{**style, "label": label, **kwargs}
        )
        self.oracle_line_ = None
        if plot_oracle and self.oracle is not None:
            (self.oracle_line_,) = self.ax_.plot(
                *self.oracle, color=REFERENCE, linewidth=1, linestyle=":", label="oracle"
            )
        self.ax_.set(
            xlabel="selective coverage (share of rows kept)",
            ylabel="selective risk (mean loss of rows kept)",
            xlim=(0, 1),
        )
        # Fixing one end stops autoscaling, so make room for this curve first.
        self.ax_.relim()
        self.ax_.autoscale(axis="y")
        self.ax_.set_ylim(bottom=0)
        legend_if_labelled(self.ax_)
        return self
