"""Contestants of `board.py`: what each gets, how it is fitted, and the distribution it states."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from _data import Z90, Table
from inputs import by_hand
from scipy.stats import norm
from sklearn.base import BaseEstimator, TransformerMixin, clone
from sklearn.ensemble import (
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)
from sklearn.gaussian_process import GaussianProcessClassifier, GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.neural_network import MLPClassifier, MLPRegressor

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.metrics import crps_loss, interval_score_loss, log_predictive_density_score

OURS, SEARCHED, CATBOOST = "ours", "ours, searched", "CatBoost"
BY_LOG_LOSS = "RealMLP by log loss"
LEVEL = 0.9
CANDIDATES = 50
# Rows of a training part that a Gaussian process fits in memory and in time.
MOST_ROWS_OF_A_PROCESS = 1500


# ---- what a model gets ---------------------------------------------------------------------------


class AsCategories(TransformerMixin, BaseEstimator):
    """A table as it is, its text as categories: for models that take these.

    Parameters
    ----------
    name_gaps : bool
        Missing text, and text that the training rows do not have, become a category of their own.
    fill_gaps : bool
        Missing numbers become the training part's medians.
    """

    def __init__(self, name_gaps: bool = False, fill_gaps: bool = False) -> None:
        self.name_gaps, self.fill_gaps = name_gaps, fill_gaps

    def fit(self, X: Any, y: Any = None) -> AsCategories:
        import pandas as pd

        frame = pd.DataFrame(X)
        numbers = frame.select_dtypes("number")
        self.medians_ = numbers.median()
        text = frame.columns.difference(numbers.columns, sort=False)
        self.categories_ = {name: sorted(frame[name].dropna().unique()) for name in text}
        return self

    def transform(self, X: Any) -> Any:
        import pandas as pd

        frame = pd.DataFrame(X).copy()
        if self.fill_gaps:
            frame[self.medians_.index] = frame[self.medians_.index].fillna(self.medians_)
        for name, known in self.categories_.items():
            column = frame[name].astype(pd.CategoricalDtype(known))
            if self.name_gaps:
                column = column.cat.add_categories("(missing)").fillna("(missing)")
            frame[name] = column
        return frame


def dense(table: Table) -> Any:
    """Medians for gaps, standardised numbers, one-hot text."""
    return by_hand(table, one_hot_as_it_comes=False)


def as_it_comes(table: Table) -> Any:
    """Nothing is done."""
    return None


def _categories(**options: bool) -> Callable[[Table], Any]:
    return lambda table: AsCategories(**options)


# ---- distributions of numbers --------------------------------------------------------------------


class Normal:
    """Normal distributions, one a row.

    Parameters
    ----------
    mean : ndarray of shape (n_rows,)
    std : float or ndarray of shape (n_rows,)
    """

    def __init__(self, mean: np.ndarray, std: Any) -> None:
        self.mean = np.asarray(mean, float).ravel()
        self.std = np.broadcast_to(np.asarray(std, float), self.mean.shape)

    def scores(self, y: np.ndarray) -> dict[str, float]:
        """Log density, CRPS, and how 90 % intervals do."""
        half = Z90 * self.std
        density = log_predictive_density_score(y, self.mean, self.std)
        interval = np.stack([self.mean - half, self.mean + half], axis=-1)
        return {
            "log density": density,
            "CRPS": crps_loss(y, self.mean, self.std),
            **interval_scores(y, interval),
        }


def interval_scores(y: np.ndarray, interval: np.ndarray) -> dict[str, float]:
    """Coverage and interval score of 90 % intervals, ``(n_rows, 2)``."""
    covered = (interval[:, 0] <= y) & (y <= interval[:, 1])
    score = interval_score_loss(y, interval, confidence_level=LEVEL)
    return {"coverage": float(covered.mean()), "interval score": float(score)}


def own_scores(model: Any, X: Any, y: np.ndarray) -> dict[str, float]:
    """The same scores of our regressor's mixture."""
    return {
        "log density": float(np.mean(model.log_prob(X, y))),
        "CRPS": float(np.mean(model.crps(X, y))),
        **interval_scores(y, model.predict_interval(X, LEVEL)),
    }


assert np.isclose(norm.ppf(0.5 + LEVEL / 2), Z90)


# ---- contestants ---------------------------------------------------------------------------------


def fit_plainly(model: Any, X: Any, y: np.ndarray) -> Any:
    return model.fit(X, y)


def _fit_with_categories(model: Any, X: Any, y: np.ndarray) -> Any:
    names = list(X.select_dtypes("category").columns)
    return model.fit(X, y, cat_features=names)


def a_fifth(n_rows: int) -> np.ndarray:
    """Numbers of the rows whose residuals say how far a model is off."""
    return np.random.default_rng(0).permutation(n_rows)[: n_rows // 5]


def _fit_without_a_fifth(model: Any, X: Any, y: np.ndarray) -> Any:
    """It keeps a fifth of the rows to stop by anyway: these."""
    return model.fit(X, y, val_idxs=a_fifth(len(y)))


@dataclass(frozen=True)
class Contestant:
    """A model at its defaults.

    Attributes
    ----------
    name : str
    classifier, regressor : callable
        An estimator, not yet fitted, given a seed. None: there is none.
    inputs : callable
        An unfitted transformer for a table, or None.
    states : callable or None
        Mean and standard deviation of the rows, of a fitted regressor and their inputs. None: a
        spread of residuals is needed.
    refits : bool
        Whether the spread takes a fit of its own, without a fifth of the rows.
    fit : callable
    """

    name: str
    classifier: Callable[[int], Any] | None
    regressor: Callable[[int], Any] | None
    inputs: Callable[[Table], Any] = dense
    states: Callable[[Any, Any], tuple] | None = None
    refits: bool = True
    fit: Callable[[Any, Any, np.ndarray], Any] = fit_plainly

    def maker(self, task: str) -> Callable[[int], Any] | None:
        return self.classifier if task == "classification" else self.regressor

    def spread(self, model: Any, X: Any, y: np.ndarray) -> float:
        """Root mean square of residuals of a fifth of the training rows that were not fitted."""
        held = a_fifth(len(y))
        rows = X.iloc if hasattr(X, "iloc") else X
        if self.refits:
            rest = np.setdiff1d(np.arange(len(y)), held)
            model = self.fit(clone(model), rows[rest], y[rest])
        return float(np.sqrt(np.mean((np.ravel(model.predict(rows[held])) - y[held]) ** 2)))


def _process(seed: int, regressor: bool) -> Any:
    kernel = ConstantKernel() * RBF()
    if regressor:
        return GaussianProcessRegressor(kernel + WhiteKernel(), normalize_y=True, random_state=seed)
    return GaussianProcessClassifier(kernel, random_state=seed)


def _ngboost_states(model: Any, X: Any) -> tuple:
    distribution = model.pred_dist(X)
    return distribution.loc, distribution.scale


def _lightgbm(kind: str) -> Callable[[int], Any]:
    def make(seed: int) -> Any:
        import lightgbm

        return getattr(lightgbm, kind)(random_state=seed, n_jobs=1, verbose=-1)

    return make


def _catboost(kind: str) -> Callable[[int], Any]:
    def make(seed: int) -> Any:
        import catboost

        quiet = {"verbose": False, "allow_writing_files": False}
        return getattr(catboost, kind)(thread_count=1, random_seed=seed, **quiet)

    return make


def _ngboost(classes: bool) -> Callable[[int], Any]:
    def make(seed: int) -> Any:
        import ngboost

        if not classes:
            return ngboost.NGBRegressor(verbose=False, random_state=seed)
        return _NGBClassifierOfAnyClasses(seed)

    return make


class _NGBClassifierOfAnyClasses(BaseEstimator):
    """NGBoost's classifier, which wants to know how many classes there are before it sees them."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def fit(self, X: Any, y: np.ndarray) -> Any:
        import ngboost

        kind = ngboost.distns.k_categorical(len(np.unique(y)))
        model = ngboost.NGBClassifier(Dist=kind, verbose=False, random_state=self.seed)
        self.model_ = model.fit(X, y)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        return self.model_.predict_proba(X)


def _pytabkit(kind: str, **options: Any) -> Callable[[int], Any]:
    def make(seed: int) -> Any:
        import pytabkit

        alone = {"device": "cpu", "n_cv": 1, "n_threads": 1}
        return getattr(pytabkit, kind)(random_state=seed, **alone, **options)

    return make


def searched(model: Any) -> Any:
    """A search over our ready space."""
    from skdropout.metrics import log_predictive_density_scorer
    from skdropout.model_selection import BatchedRandomizedSearchCV, search_space

    classes = isinstance(model, DropoutMLPClassifier)
    return BatchedRandomizedSearchCV(
        model,
        search_space(model),
        n_iter=CANDIDATES,
        scoring="neg_log_loss" if classes else log_predictive_density_scorer,
        cv=3,
        random_state=model.random_state,
    )


CONTESTANTS = (
    Contestant(
        "linear",
        lambda seed: LogisticRegression(max_iter=1000),
        lambda seed: RidgeCV(np.logspace(-3, 3, 13)),
    ),
    Contestant(
        "HistGradientBoosting",
        lambda seed: HistGradientBoostingClassifier(
            categorical_features="from_dtype", random_state=seed
        ),
        lambda seed: HistGradientBoostingRegressor(
            categorical_features="from_dtype", random_state=seed
        ),
        _categories(),
    ),
    Contestant("LightGBM", _lightgbm("LGBMClassifier"), _lightgbm("LGBMRegressor"), _categories()),
    Contestant(
        "MLP",
        lambda seed: MLPClassifier(random_state=seed),
        lambda seed: MLPRegressor(random_state=seed),
    ),
    Contestant(
        "random forest",
        lambda seed: RandomForestClassifier(random_state=seed),
        lambda seed: RandomForestRegressor(random_state=seed),
    ),
    Contestant("NGBoost", _ngboost(True), _ngboost(False), states=_ngboost_states),
    Contestant(
        "Gaussian process",
        lambda seed: _process(seed, False),
        lambda seed: _process(seed, True),
        states=lambda model, X: model.predict(X, return_std=True),
    ),
    Contestant(
        CATBOOST,
        _catboost("CatBoostClassifier"),
        _catboost("CatBoostRegressor"),
        _categories(name_gaps=True),
        fit=_fit_with_categories,
    ),
    Contestant(
        "RealMLP",
        _pytabkit("RealMLP_TD_Classifier"),
        _pytabkit("RealMLP_TD_Regressor"),
        _categories(name_gaps=True, fill_gaps=True),
        refits=False,
        fit=_fit_without_a_fifth,
    ),
    Contestant(
        BY_LOG_LOSS,
        _pytabkit("RealMLP_TD_Classifier", val_metric_name="cross_entropy", use_ls=False),
        None,
        _categories(name_gaps=True, fill_gaps=True),
        refits=False,
        fit=_fit_without_a_fifth,
    ),
    Contestant(
        "TabM",
        _pytabkit("TabM_D_Classifier"),
        _pytabkit("TabM_D_Regressor"),
        _categories(name_gaps=True, fill_gaps=True),
        refits=False,
        fit=_fit_without_a_fifth,
    ),
    Contestant(
        OURS,
        lambda seed: DropoutMLPClassifier(random_state=seed),
        lambda seed: DropoutMLPRegressor(random_state=seed),
        as_it_comes,
    ),
    Contestant(
        SEARCHED,
        lambda seed: searched(DropoutMLPClassifier(random_state=seed)),
        lambda seed: searched(DropoutMLPRegressor(random_state=seed)),
        as_it_comes,
    ),
)
BY_NAME = {contestant.name: contestant for contestant in CONTESTANTS}
