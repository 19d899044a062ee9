"""What is asked of a classifier, whatever its network is: of labels, and of probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse
from sklearn.base import ClassifierMixin
from sklearn.utils import compute_class_weight, compute_sample_weight
from sklearn.utils.multiclass import check_classification_targets

from .._inference.functions import reduce
from .._inference.probabilities import MEASURES
from .._support.caller_warnings import one_column
from .._support.gaps import split_gaps
from .answering import functions_of, sampled_functions
from .base import DropoutEstimator
from .class_labels import ClassLabels
from .gap_scores import accuracy_of_rows
from .label_indicators import LabelIndicators, checked_indicators
from .label_targets import LabelTarget


class ClassAnswers(ClassifierMixin, DropoutEstimator):
    """What labels are, and what is asked of their probabilities."""

    class_weight: Any
    classes_: np.ndarray
    _numeric_target = False

    # ---- fit -----------------------------------------------------------------------------

    def partial_fit(self, X: Any, y: Any, sample_weight: Any = None, *, classes: Any = None) -> Any:
        """Train for one pass over the given rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            Single labels of several per row may be missing, as in `fit`; in the first call each
            label must be known of some row.
        sample_weight : array-like of shape (n_samples,), default=None
            Factor on each row's loss. What one row weighs against another counts as in `fit`. The
            mean weight of the call's rows, `class_weight` included, says how far the call moves
            the network: 20 is the same as 20 calls (and takes their time; 100 are made at most),
            0.25 moves everything by a quarter of what one call does, 1e-6 by next to nothing, and
            ones are the same as no weights.
        classes : array-like of shape (n_classes,), default=None
            All labels that will ever come. Needed in the first call if `y` does not hold all. With
            several labels per row ``range(n_labels)`` or None.

        Returns
        -------
        self : object

        Raises
        ------
        ValueError
            As `fit`; for ``class_weight="balanced"``, as one call does not show how frequent the
            classes are; and for `classes` that are not those of the first call.
        """
        if isinstance(self.class_weight, str):
            raise ValueError(
                f"{type(self).__name__}.partial_fit: class_weight={self.class_weight!r} is not "
                "supported, as one call does not show how frequent the classes are; give a dict, "
                "such as from sklearn.utils.class_weight.compute_class_weight('balanced', ...) on "
                "a large part of the data"
            )
        return self._partial_fit(X, y, sample_weight, classes)

    def _checked_target(self, y: Any, reset: bool) -> np.ndarray:
        y = y.toarray() if sparse.issparse(y) else y
        if y.ndim == 2 and y.shape[1] > 1:
            y = checked_indicators(y, type(self).__name__)
        else:
            y = one_column(y)
            check_classification_targets(y)
        if not reset:
            self._target.check_shape(y)
        return y

    def _total_weight(
        self, y: np.ndarray, weight: np.ndarray | None, classes: Any, again: bool
    ) -> np.ndarray | None:
        if self.class_weight is None:
            return weight
        if y.ndim == 2:
            raise ValueError(
                f"{type(self).__name__}: class_weight={self.class_weight!r} is for one label per "
                f"row, and y has {y.shape[1]}; use class_weight=None, and sample_weight to weigh "
                "rows"
            )
        known = self.classes_ if again and classes is None else classes
        if weight is None:
            return self._class_weights(y, known)
        # Classes are balanced over the rows that count.
        used, total = weight > 0, weight.copy()
        total[used] *= self._class_weights(y[used], known)
        return total

    def _class_weights(self, y: np.ndarray, known: Any) -> np.ndarray:
        """Weights that the rows have by their classes: ``(n_samples,)``."""
        if not isinstance(self.class_weight, dict) or known is None:
            return compute_sample_weight(self.class_weight, y)
        # A dictionary may name labels that are not among these rows.
        labels = np.union1d(known, y)
        weights = compute_class_weight(self.class_weight, classes=labels, y=labels)
        return weights[np.searchsorted(labels, y)]

    def _check_again(self, y: np.ndarray, classes: Any) -> None:
        if classes is not None and not np.array_equal(np.unique(classes), self.classes_):
            raise ValueError(
                f"{type(self).__name__}.partial_fit: classes must be those of the first call, "
                f"{self.classes_.tolist()}, or left out, got {np.unique(classes).tolist()}"
            )

    def _read_target(self, y: np.ndarray, weight: np.ndarray | None, classes: Any) -> LabelTarget:
        if y.ndim == 2:
            return self._indicators(y.shape[1], classes)
        all_classes = np.unique(y if classes is None else classes)
        learned = np.unique(y if weight is None else y[weight > 0])
        n_classes = len(learned if classes is None else all_classes)
        if n_classes < 2:
            raise ValueError(
                f"{type(self).__name__}: y must hold at least 2 classes with a positive weight, "
                f"got {n_classes} class: {learned.tolist()}"
            )
        return ClassLabels(all_classes, type(self).__name__)

    def _indicators(self, n_labels: int, classes: Any) -> LabelIndicators:
        target = LabelIndicators(n_labels, type(self).__name__)
        if classes is not None and not np.array_equal(np.unique(classes), target.classes):
            raise ValueError(
                f"{type(self).__name__}.partial_fit: y has {n_labels} labels per row, so classes "
                f"must be range({n_labels}) or left out, got {np.unique(classes).tolist()}"
            )
        return target

    # ---- prediction ----------------------------------------------------------------------

    def predict(self, X: Any) -> np.ndarray:
        """The most probable class, or labels, by the mean of the probabilities over the draws.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples,) or (n_samples, n_labels)
            Labels from `classes_`. With several labels per row 1 for those whose probability
            exceeds one half, otherwise 0.
        """
        proba = self.predict_proba(X)
        return self._target.decide(proba)

    def predict_proba(self, X: Any, return_std: bool = False) -> Any:
        """Probabilities of the classes, or labels: the mean over the draws.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        return_std : bool, default=False
            Also return the standard deviation of the probabilities over the draws.

        Returns
        -------
        proba : ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            Columns in the order of `classes_`.
        std : ndarray of the same shape
            Only with ``return_std=True``.

        Raises
        ------
        ValueError
            If ``return_std=True`` is asked of a model without noise and with one member, or
            with ``n_draws=0``.
        """
        x = self._check_x(X)
        functions = functions_of(self, "predict_proba(return_std=True)" if return_std else None)
        if return_std:
            return self._over_rows(x, functions, lambda classes: (classes.mean(), classes.std()))
        return self._over_rows(x, functions, lambda classes: (classes.mean(),))[0]

    def predict_log_proba(self, X: Any) -> np.ndarray:
        """Logarithm of `predict_proba`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)

        Returns
        -------
        ndarray of shape (n_samples, n_classes) or (n_samples, n_labels)
            A probability of zero, which rounding can give, has the logarithm of the smallest
            positive number, not minus infinity.
        """
        proba = self.predict_proba(X)
        return np.log(np.maximum(proba, np.finfo(proba.dtype).tiny))

    def sample_proba(self, X: Any, n_samples: int = 10, random_state: Any = None) -> np.ndarray:
        """Class probabilities under single functions from the posterior.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        n_samples : int, default=10
            Number of functions.
        random_state : int, RandomState instance or None, default=None
            None gives the first of the functions that predict; the mean over all of them
            (`n_draws`, evenly from all networks) is `predict_proba`. Anything else draws new
            functions.

        Returns
        -------
        ndarray of shape (n_functions, n_samples, n_classes) or (n_functions, n_samples, n_labels)
            Draws first.
        """
        x = self._check_x(X)
        functions, turns = sampled_functions(self, "sample_proba", n_samples, random_state)

        def rows_first(outputs: list[Any]) -> tuple[np.ndarray]:
            return (np.moveaxis(self._predictive(outputs).each()[turns], 1, 0),)

        return np.moveaxis(reduce(functions, x, rows_first)[0], 0, 1)

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Accuracy, as of every classifier of scikit-learn.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_labels)
            True labels. Of several per row single ones may be missing.
        sample_weight : array-like of shape (n_samples,), default=None

        Returns
        -------
        float
            With several labels per row the share of the rows all of whose labels are right. Labels
            that are missing are not asked for, and rows without any are left out.
        """
        filled, gaps = split_gaps(y)
        if gaps is None:
            return super().score(X, y, sample_weight)
        name = type(self).__name__
        return accuracy_of_rows(filled, gaps, self.predict(X), sample_weight, name)

    def _measures(self) -> frozenset[str]:
        return MEASURES

    def _scored_target(self, y: np.ndarray) -> np.ndarray:
        return self._target.encode(y)

    def _shaped(self, values: np.ndarray) -> np.ndarray:
        return values

    def _column_names(self) -> list[str] | None:
        return self._target.column_names()
