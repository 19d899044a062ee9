"""`BatchedGridSearchCV` and `BatchedRandomizedSearchCV`."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Callable
from typing import Any

from sklearn.model_selection import GridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline
from sklearn.utils import indexable
from sklearn.utils.validation import _check_method_params

from .._base import DropoutMLP
from ._candidates import Data, Preparation, Prepared
from ._dealing import Dealer, Take
from ._stacks import train_all


class _Splits:
    """A splitter that gives the same splits as often as it is asked."""

    def __init__(self, splits: list) -> None:
        self.splits = splits

    def split(self, X: Any, y: Any = None, groups: Any = None, **params: Any) -> list:
        return self.splits

    def get_n_splits(self, *args: Any, **params: Any) -> int:
        return len(self.splits)


class _Batched:
    """A search of scikit-learn's whose networks are trained together before it fits them.

    Everything is scikit-learn's but for one thing: where it clones its estimator for a candidate
    and a fold, it is handed one that has its network already, and whose `fit` only takes it.
    """

    def fit(self, X: Any, y: Any = None, **params: Any) -> Any:
        """Search, and fit the best candidate to all rows.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features)
        y : array-like of shape (n_samples,) or (n_samples, n_outputs), default=None
        **params
            As for scikit-learn's search: parameters of the estimator's `fit`, the scorer and the
            splitter, such as `groups` and `sample_weight`. What has one entry for each row is
            split with the rows.

        Returns
        -------
        self : object
        """
        if not isinstance(self.estimator, DropoutMLP | Pipeline):
            self._note("the estimator is neither a network of skdropout nor a Pipeline")
            return super().fit(X, y, **params)  # type: ignore[misc]
        dealer = Dealer(self.estimator)
        dealer.data = X, y, params
        # A copy does the work: the search itself changes only once all has gone well.
        search = copy.copy(self)
        search.estimator = dealer.marked()
        super(_Batched, search).fit(X, y, **params)  # type: ignore[misc]
        given = self.get_params(deep=False)  # type: ignore[attr-defined]
        vars(self).update({k: v for k, v in vars(search).items() if k not in given})
        return self

    def _run_search(self, evaluate_candidates: Callable, *, callback_ctx: Any = None) -> None:
        # Versions of scikit-learn before 1.9 know no callback_ctx.
        context = {} if callback_ctx is None else {"callback_ctx": callback_ctx}
        dealer = vars(self.estimator).get("__sklearn_clone__")
        if dealer is None:
            super()._run_search(evaluate_candidates, **context)  # type: ignore[misc]
            return

        def evaluate_trained(candidate_params: Any, *args: Any, **kwargs: Any) -> dict:
            candidates = list(candidate_params)
            splits = self._splits(dealer)
            dealer.searching = True
            dealer.hand = self._train(dealer, candidates, splits)
            return evaluate_candidates(candidates, _Splits(splits), *args, **kwargs)

        super()._run_search(evaluate_trained, **context)  # type: ignore[misc]

    def _splits(self, dealer: Dealer) -> list:
        X, y, params = dealer.data
        X, y = indexable(X, y)
        routed = self._get_routed_params_for_fit(_check_method_params(X, params=params))
        return list(self._checked_cv_orig.split(X, y, **routed.splitter.split))

    def _train(self, dealer: Dealer, candidates: list[dict], splits: list) -> list:
        """For each candidate and fold a trained estimator, or None where scikit-learn shall fit."""
        X, y, params = dealer.data
        X, y = indexable(X, y)
        routed = self._get_routed_params_for_fit(_check_method_params(X, params=params))
        prepare = Preparation(dealer.estimator, Data(X, y, routed.estimator.fit), splits)
        found: list[Prepared | None] = []
        reasons: Counter[str] = Counter()
        for candidate, split in itertools.product(candidates, range(len(splits))):
            try:
                prepared = prepare(candidate, split)
            except Exception:
                # Whatever is wrong with it, its own fit says best.
                prepared = "it cannot be fitted"
            if isinstance(prepared, str):
                reasons[prepared] += 1
            found.append(prepared if isinstance(prepared, Prepared) else None)
        for reason, count in reasons.items():
            self._note(f"{count} of {len(found)} fits are made one by one: {reason}")
        return self._hand(dealer, found)

    def _hand(self, dealer: Dealer, found: list[Prepared | None]) -> list:
        ready = [prepared for prepared in found if prepared is not None]
        jobs = [prepared.job for prepared in ready]
        trained = iter(train_all(jobs, self.n_jobs, self.pre_dispatch, self.verbose))
        hand: list[Any] = []
        for prepared in found:
            if prepared is None:
                hand.append(None)
                dealer.seconds.append(0.0)
                continue
            stack, number, seconds = next(trained)
            vars(prepared.estimator)["fit"] = Take(prepared, stack, number)
            hand.append(prepared.estimator)
            dealer.seconds.append(prepared.seconds + seconds)
        return hand

    def _format_results(self, candidate_params: Any, n_splits: int, out: list, *args: Any) -> dict:
        dealer = vars(self.estimator).get("__sklearn_clone__")
        if dealer is not None:
            # Taking a network is quick; its part of the stack's time belongs to the fit.
            out = [
                {**result, "fit_time": result["fit_time"] + seconds}
                for result, seconds in zip(out, dealer.seconds, strict=True)
            ]
        return super()._format_results(candidate_params, n_splits, out, *args)  # type: ignore[misc]

    def _note(self, text: str) -> None:
        if self.verbose:  # type: ignore[attr-defined]
            print(f"{type(self).__name__}: {text}", flush=True)


class BatchedGridSearchCV(_Batched, GridSearchCV):
    pass


class BatchedRandomizedSearchCV(_Batched, RandomizedSearchCV):
    pass
