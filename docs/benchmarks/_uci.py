"""Contestants of `uci.py`, and one fit of one of them scored on a test part."""

from __future__ import annotations

import importlib.util
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from _data import load_table
from scipy.stats import norm
from sklearn.base import BaseEstimator
from sklearn.ensemble import HistGradientBoostingRegressor, RandomForestRegressor
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel
from sklearn.neural_network import MLPRegressor
from sklearn.preprocessing import StandardScaler

from skdropout import DropoutMLPRegressor

LEVELS = (0.5, 0.9, 0.95)
HOMOSCEDASTIC, HETEROSCEDASTIC = "ours, homoscedastic", "ours, heteroscedastic"
UNCALIBRATED = "ours, homoscedastic, calibrate=False"


def _gaussian_process(seed: int, n_features: int) -> GaussianProcessRegressor:
    """One length scale for each input and learned noise: scikit-learn's own kernel has neither."""
    bounds = (1e-2, 1e3)
    kernel = ConstantKernel() * RBF(np.ones(n_features), bounds) + WhiteKernel(0.1)
    return GaussianProcessRegressor(kernel, normalize_y=True, random_state=seed)


def contestants() -> dict[str, Callable[[int, int], BaseEstimator]]:
    """Makers of the estimators, given a seed and the number of inputs."""
    makers: dict[str, Callable[[int, int], Any]] = {
        HOMOSCEDASTIC: lambda seed, _: DropoutMLPRegressor(random_state=seed),
        HETEROSCEDASTIC: lambda seed, _: DropoutMLPRegressor(
            noise="heteroscedastic", random_state=seed
        ),
        UNCALIBRATED: lambda seed, _: DropoutMLPRegressor(calibrate=False, random_state=seed),
        "MLPRegressor": lambda seed, _: MLPRegressor(random_state=seed),
        "GaussianProcessRegressor": _gaussian_process,
        "RandomForestRegressor": lambda seed, _: RandomForestRegressor(random_state=seed),
        "HistGradientBoostingRegressor": lambda seed, _: HistGradientBoostingRegressor(
            random_state=seed
        ),
    }
    if importlib.util.find_spec("ngboost"):
        from ngboost import NGBRegressor

        makers["NGBoost"] = lambda seed, _: NGBRegressor(verbose=False, random_state=seed)
    if importlib.util.find_spec("catboost"):
        from catboost import CatBoostRegressor

        makers["CatBoost, uncertainty"] = lambda seed, _: CatBoostRegressor(
            loss_function="RMSEWithUncertainty",
            thread_count=1,
            allow_writing_files=False,
            verbose=False,
            random_seed=seed,
        )
    return makers


def is_ours(name: str) -> bool:
    return name.startswith("ours")


def fit_and_score(folder: Path, table_name: str, name: str, split: int) -> dict[str, float]:
    """Scores of one contestant on the test part of one split."""
    table = load_table(folder, table_name)
    train, test = table.splits[split]
    scaler = StandardScaler().fit(table.X[train])
    X, X_test = scaler.transform(table.X[train]), scaler.transform(table.X[test])
    y, y_test = table.y[train].astype(float), table.y[test].astype(float)
    model = contestants()[name](split, X.shape[1])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        start = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - start
    if isinstance(model, DropoutMLPRegressor):
        return {**score_ours(model, X_test, y_test), "seconds": seconds}
    mean, std = mean_and_std(name, model, X, y, X_test)
    return {**score_gaussian(mean, std, y_test), "seconds": seconds}


def score_ours(model: DropoutMLPRegressor, X: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """RMSE, log density and interval coverage of the mixture."""
    lower, upper = np.moveaxis(model.predict_interval(X, LEVELS), 1, 0)
    inside = (y[:, None] >= lower) & (y[:, None] <= upper)
    return {
        "rmse": float(np.sqrt(np.mean((model.predict(X) - y) ** 2))),
        "ll": float(model.log_prob(X, y).mean()),
        **dict(zip(map(coverage_key, LEVELS), map(float, inside.mean(0)), strict=True)),
    }


def mean_and_std(
    name: str, model: Any, X: np.ndarray, y: np.ndarray, X_test: np.ndarray
) -> tuple[np.ndarray, np.ndarray | float]:
    """A peer's normal prediction; without one of its own, the residuals' standard deviation."""
    if name == "GaussianProcessRegressor":
        return model.predict(X_test, return_std=True)
    if name == "NGBoost":
        predicted = model.pred_dist(X_test)
        return predicted.loc, predicted.scale
    if name == "CatBoost, uncertainty":
        mean, variance = model.predict(X_test, prediction_type="RMSEWithUncertainty").T
        return mean, np.sqrt(variance)
    return model.predict(X_test), float(np.sqrt(np.mean((y - model.predict(X)) ** 2)))


def score_gaussian(mean: np.ndarray, std: Any, y: np.ndarray) -> dict[str, float]:
    z = np.abs(y - mean) / std
    inside = {
        coverage_key(level): float(np.mean(z <= norm.ppf((1 + level) / 2))) for level in LEVELS
    }
    return {
        "rmse": float(np.sqrt(np.mean((mean - y) ** 2))),
        "ll": float(norm.logpdf(y, mean, std).mean()),
        **inside,
    }


def coverage_key(level: float) -> str:
    return f"{level:.0%}"
