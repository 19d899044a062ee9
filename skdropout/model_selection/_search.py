"""`BatchedGridSearchCV` and `BatchedRandomizedSearchCV`."""

from __future__ import annotations

import copy
import itertools
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

from sklearn.base import is_classifier
from sklearn.model_selection import GridSearchCV, RandomizedSearchCV, check_cv
from sklearn.pipeline import Pipeline
from sklearn.utils import Tags, get_tags, indexable

from .._estimators.mlp import DropoutMLP
from .._support.sklearn import check_method_params
from ._candidates import Data, Preparation, Prepared
from ._dealing import Dealer, Handover
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

    estimator: Any
    n_jobs: Any
    pre_dispatch: Any
    verbose: Any
    cv: Any
    _get_routed_params_for_fit: Any

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
        if isinstance(self.cv, Iterator):
            # It is read twice, here and by scikit-learn.
            search.cv = list(self.cv)
        super(_Batched, search).fit(X, y, **params)  # type: ignore[misc]
        given = self.get_params(deep=False)  # type: ignore[attr-defined]
        vars(self).update({k: v for k, v in vars(search).items() if k not in given})
        return self

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()  # type: ignore[misc]
        # scikit-learn's searches pass on what its own estimators take, but not this.
        tags.input_tags.allow_nan = get_tags(self.estimator).input_tags.allow_nan
        return tags

    def _run_search(self, evaluate_candidates: Callable, *, callback_ctx: Any = None) -> None:
        # Versions of scikit-learn before 1.9 know no callback_ctx.
        context = {} if callback_ctx is None else {"callback_ctx": callback_ctx}
        dealer = vars(self.estimator).get("__sklearn_clone__")
        if dealer is None:
            super()._run_search(evaluate_candidates, **context)  # type: ignore[misc]
            return

        def evaluate_trained(candidate_params: Any, *args: Any, **kwargs: Any) -> dict:
            candidates = list(candidate_params)
            data, splits = self._routed(dealer)
            dealer.searching = True
            dealer.hand = self._train(dealer, data, candidates, splits)
            return evaluate_candidates(candidates, _Splits(splits), *args, **kwargs)

        super()._run_search(evaluate_trained, **context)  # type: ignore[misc]

    def _routed(self, dealer: Dealer) -> tuple[Data, list]:
        """What the estimator is to be fitted to, and the splits."""
        X, y, params = dealer.data
        X, y = indexable(X, y)
        routed = self._get_routed_params_for_fit(check_method_params(X, params=params))
        splitter = check_cv(self.cv, y, classifier=is_classifier(self.estimator))
        splits = list(splitter.split(X, y, **routed.splitter.split))
        return Data(X, y, routed.estimator.fit), splits

    def _train(self, dealer: Dealer, data: Data, candidates: list[dict], splits: list) -> list:
        """For each candidate and fold a trained estimator, or None where scikit-learn shall fit."""
        prepare = Preparation(dealer.estimator, data, splits)
        found: list[Prepared | None] = []
        reasons: Counter[str] = Counter()
        for candidate, split in itertools.product(candidates, range(len(splits))):
            try:
                prepared: Prepared | str = prepare(candidate, split)
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
        jobs = [prepared.fitting.job for prepared in ready]
        trained = iter(train_all(jobs, self.n_jobs, self.pre_dispatch, self.verbose))
        hand: list[Any] = []
        for prepared in found:
            stack, number, seconds = next(trained) if prepared else (None, 0, 0.0)
            if prepared is None or stack is None:
                hand.append(None)
                dealer.seconds.append(0.0)
                continue
            vars(prepared.estimator)["fit"] = Handover(prepared, stack, number)
            hand.append(prepared.estimator)
            dealer.seconds.append(prepared.seconds + seconds)
        if failed := hand.count(None) - found.count(None):
            self._note(f"{failed} of {len(found)} fits are made one by one: their stack failed")
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
        if self.verbose:
            print(f"{type(self).__name__}: {text}", flush=True)


class BatchedGridSearchCV(_Batched, GridSearchCV):
    """scikit-learn's `GridSearchCV`, with the networks of candidates and folds trained together.

    Parameters, attributes and results are those of `GridSearchCV`. Each candidate is judged by one
    network, whatever its `cv`, and gets the scores that it would get in `GridSearchCV` with
    ``cv=None``: the same rows, batches and random numbers. The best one is fitted as it is, with
    its folds. It takes a fraction of the time, because many small networks are trained as one
    stack.

    Parameters
    ----------
    estimator : estimator
        `DropoutMLPClassifier`, `DropoutMLPRegressor`, or a `Pipeline` that ends in one of them.
        The steps before it are fitted once for each fold and each of their own settings. With
        anything else the search is scikit-learn's own.
    param_grid : dict or list of dict
        Values to try, for each parameter. Candidates that differ in `dropout_rate`,
        `input_dropout_rate`, `alpha`, `l1_ratio`, `learning_rate_init`, `random_state`,
        `class_weight` and parameters of the noise family share a stack.
    scoring : str, callable, list, tuple or dict, default=None
        One score or several.
    n_jobs : int, default=None
        Processes that stacks, and then scores, are spread over by joblib.
    refit : bool, str or callable, default=True
        Whether, or by which score or rule, to fit the best candidate to all rows.
    cv : int, splitter or iterable, default=None
        Folds; 5 by default.
    verbose : int, default=0
        From 1 on a bar is shown while networks are trained, and a note for candidates that have
        to be fitted one by one.
    pre_dispatch : int or str, default="2*n_jobs"
        How many tasks are sent out beforehand.
    error_score : "raise" or numeric, default=np.nan
        Score of a candidate that cannot be fitted. It does not disturb the others.
    return_train_score : bool, default=False
        Whether to score the training parts too.

    Attributes
    ----------
    cv_results_ : dict of ndarray
        Scores, ranks, times and parameters of the candidates. The time of a fit is its share of
        its stack's.
    best_estimator_ : estimator
        Fitted to all rows. Only with `refit`.
    best_score_ : float
        Mean score of the best candidate over the folds.
    best_params_ : dict
        Its parameters.
    best_index_ : int
        Its place in `cv_results_`.
    scorer_ : callable or dict
        What scored.
    n_splits_ : int
        Number of folds.
    refit_time_ : float
        Seconds of the last fit. Only with `refit`.
    multimetric_ : bool
        Whether there are several scores.
    classes_ : ndarray of shape (n_classes,)
        Labels, for a classifier. Only with `refit`.
    n_features_in_ : int
        Columns of `X`. Only with `refit`.
    feature_names_in_ : ndarray of shape (n_features_in_,)
        Names of the columns of `X`, where it has names. Only with `refit`.

    See Also
    --------
    BatchedRandomizedSearchCV : The same for parameters drawn at random.
    sklearn.model_selection.GridSearchCV : The search that this is.

    Notes
    -----
    A stack multiplies its matrices in one operation, which rounds float32 numbers differently in
    the seventh digit. After the same number of steps weights agree with those of a fit of their
    own to about 1e-5; scores differ by as little, unless a row lies exactly on a border.

    Examples
    --------
    >>> from sklearn.datasets import load_breast_cancer
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> from skdropout import DropoutMLPClassifier
    >>> from skdropout.model_selection import BatchedGridSearchCV
    >>> X, y = load_breast_cancer(return_X_y=True)
    >>> network = DropoutMLPClassifier(max_iter=500, tol=0.01, random_state=0)
    >>> search = BatchedGridSearchCV(
    ...     make_pipeline(StandardScaler(), network),
    ...     {"dropoutmlpclassifier__dropout_rate": [0.1, 0.3, 0.5]},
    ...     scoring="neg_log_loss",
    ... )
    >>> print(search.fit(X, y).best_score_ > -0.15)
    True
    """


class BatchedRandomizedSearchCV(_Batched, RandomizedSearchCV):
    """scikit-learn's `RandomizedSearchCV`, with candidates and folds trained together.

    As `BatchedGridSearchCV`, which see, for parameters that are drawn from distributions.

    Parameters
    ----------
    estimator : estimator
        As for `BatchedGridSearchCV`.
    param_distributions : dict or list of dict
        Lists of values, or distributions with a method `rvs`, for each parameter.
    n_iter : int, default=10
        Number of candidates.
    scoring, n_jobs, refit, cv, verbose, pre_dispatch, error_score, return_train_score
        As for `BatchedGridSearchCV`.
    random_state : int, RandomState instance or None, default=None
        Of the choice of candidates. The networks have their own.

    Attributes
    ----------
    cv_results_, best_estimator_, best_score_, best_params_, best_index_, scorer_, n_splits_, \
            refit_time_, multimetric_, classes_, n_features_in_, feature_names_in_
        As for `BatchedGridSearchCV`.

    Examples
    --------
    >>> from scipy.stats import loguniform
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> from skdropout import DropoutMLPRegressor
    >>> from skdropout.model_selection import BatchedRandomizedSearchCV
    >>> X, y = load_diabetes(return_X_y=True)
    >>> search = BatchedRandomizedSearchCV(
    ...     DropoutMLPRegressor(early_stopping=True, random_state=0),
    ...     {"alpha": loguniform(1e-4, 1.0), "dropout_rate": [0.05, 0.1, 0.2]},
    ...     random_state=0,
    ... )
    >>> len(search.fit(scale(X), y).cv_results_["params"])
    10
    """
