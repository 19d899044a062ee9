"""`DropoutRateDisplay`."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.utils.validation import check_is_fitted

from ._axes import axes_or_new, legend_if_labelled, next_style


class DropoutRateDisplay:
    """Cross-validated score against the dropout rate, from a search.

    Parameters
    ----------
    rates : ndarray of shape (n_rates,)
        Increasing.
    scores : ndarray of shape (n_rates, n_splits)
        Of each split; greater is better.
    score_name : str, default="score"
        For the axis label.
    estimator_name : str, default=None
        For the label.

    Attributes
    ----------
    line_ : matplotlib Line2D
        Mean over the splits.
    error_bars_ : matplotlib LineCollection
        Standard error of the mean, as if the splits were independent.
    best_ : matplotlib Line2D
        A ring around the best mean.
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure
    """

    def __init__(
        self,
        *,
        rates: np.ndarray,
        scores: np.ndarray,
        score_name: str = "score",
        estimator_name: str | None = None,
    ) -> None:
        self.rates, self.scores = rates, scores
        self.score_name, self.estimator_name = score_name, estimator_name

    @classmethod
    def from_estimator(
        cls,
        search: Any,
        *,
        param: str | None = None,
        metric: str = "score",
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> DropoutRateDisplay:
        """Draw a fitted search over dropout rates.

        If other parameters were searched too, each rate gets its best candidate.

        Parameters
        ----------
        search : estimator
            A fitted search, with `cv_results_`.
        param : str, default=None
            Which parameter; None for the only one whose name ends in "dropout_rate".
        metric : str, default="score"
            Which of several metrics.
        name : str, default=None
            Label.
        ax : matplotlib Axes, default=None
            None for a new figure.
        **kwargs
            For ``Axes.plot``.

        Returns
        -------
        DropoutRateDisplay

        Raises
        ------
        ValueError
            If there is no such parameter, or it is not one number a candidate.
        """
        check_is_fitted(search, "cv_results_")
        results = search.cv_results_
        values = np.asarray(list(results[_column(results, param)]), dtype=object)
        if any(np.ndim(value) for value in values):
            raise ValueError(
                "DropoutRateDisplay: some candidates have a rate for each layer; only single "
                "rates have a place on an axis"
            )
        candidate_rates = values.astype(np.float64)
        splits = np.stack(
            [results[f"split{k}_test_{metric}"] for k in range(search.n_splits_)], axis=1
        )
        rates = np.unique(candidate_rates)
        best = [_best_of(candidate_rates == rate, splits) for rate in rates]
        label = search.scoring if isinstance(search.scoring, str) else metric
        return cls.from_predictions(
            rates, splits[best], score_name=label, name=name, ax=ax, **kwargs
        )

    @classmethod
    def from_predictions(
        cls,
        rates: Any,
        scores: Any,
        *,
        score_name: str = "score",
        name: str | None = None,
        ax: Any = None,
        **kwargs: Any,
    ) -> DropoutRateDisplay:
        """Draw scores that were computed before.

        Parameters
        ----------
        rates : array-like of shape (n_rates,)
        scores : array-like of shape (n_rates, n_splits)
            Greater is better.
        score_name : str, default="score"
            For the axis label.
        name, ax, **kwargs
            As for `from_estimator`.

        Returns
        -------
        DropoutRateDisplay
        """
        rates = np.asarray(rates, dtype=np.float64)
        scores = np.asarray(scores, dtype=np.float64)
        if rates.ndim != 1 or scores.ndim != 2 or len(scores) != len(rates):
            raise ValueError(
                "DropoutRateDisplay: scores must have one row for each rate and one column for "
                f"each split, got shapes {rates.shape} and {scores.shape}"
            )
        order = np.argsort(rates)
        display = cls(
            rates=rates[order], scores=scores[order], score_name=score_name, estimator_name=name
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
        DropoutRateDisplay
            Itself.
        """
        self.ax_ = axes_or_new(ax)
        self.figure_ = self.ax_.figure
        style = next_style(self.ax_, "dropout rate") | {"label": name or self.estimator_name}
        mean, n_splits = self.scores.mean(1), self.scores.shape[1]
        error = self.scores.std(1, ddof=1) / np.sqrt(n_splits) if n_splits > 1 else 0 * mean
        (self.line_,) = self.ax_.plot(self.rates, mean, **{**style, **kwargs})
        colour = self.line_.get_color()
        self.error_bars_ = self.ax_.vlines(self.rates, mean - error, mean + error, color=colour)
        best = int(mean.argmax())
        (self.best_,) = self.ax_.plot(
            self.rates[best], mean[best], "o", markersize=12, fillstyle="none", color=colour
        )
        self.ax_.set(xlabel="dropout rate (probability of dropping)", ylabel=self.score_name)
        legend_if_labelled(self.ax_)
        return self


def _column(results: dict[str, Any], param: str | None) -> str:
    """Key of the parameter's values in `cv_results_`."""
    searched = [key.removeprefix("param_") for key in results if key.startswith("param_")]
    if param is None:
        found = [name for name in searched if name.split("__")[-1] == "dropout_rate"]
    else:
        found = [name for name in searched if name == param]
    if len(found) != 1:
        raise ValueError(
            f"DropoutRateDisplay: the search is over {searched}; say by param which of them is "
            "the dropout rate"
        )
    return f"param_{found[0]}"


def _best_of(candidates: np.ndarray, splits: np.ndarray) -> int:
    rows = np.flatnonzero(candidates)
    return int(rows[splits[rows].mean(1).argmax()])
