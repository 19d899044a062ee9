"""Tables, their splits, and the scores of a fitted model on a test part."""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, is_classifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from skdropout.metrics import expected_calibration_error

CLASSIFICATION = (
    "adult",
    "ann-thyroid",
    "pima",
    "mammographic-mass",
    "messidor-dr",
    "magic-gamma",
    "bank",
)
# Gray values of pixels, 0 to 255, with an official test part.
IMAGES = ("mnist",)
REGRESSION = ("boston", "concrete", "energy", "wine-red", "yacht")
# Of these folder's `.csv.gz` with text and gaps, the ones whose target is a number.
RAW = "raw"
RAW_REGRESSION = ("abalone", "ames", "california-housing", "diamonds")

# Half the width of a Gaussian's central 90 % interval, in standard deviations.
Z90 = 1.6448536269514722


@dataclass(frozen=True)
class Table:
    """A table and its train and test parts, as the file gives them.

    `scaled` inputs are on one scale already, as pixels are. `is_numeric` says which columns are
    neither text nor one of several that stand for it; None is all.
    """

    name: str
    X: Any
    y: np.ndarray
    splits: list[tuple[np.ndarray, np.ndarray]]
    scaled: bool = False
    is_numeric: np.ndarray | None = None

    @property
    def official(self) -> bool:
        """Whether there is one split, which came with the data."""
        return len(self.splits) == 1


def load_table(folder: Path, name: str) -> Table:
    """Read one ``.npz``: `X`, `y` and either `fold` or `train_idx` and `test_idx`, or images."""
    with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
        if name in IMAGES:
            X, y = (np.concatenate([file[f"{key}_train"], file[f"{key}_test"]]) for key in "Xy")
            split = tuple(np.split(np.arange(len(y)), [len(file["y_train"])]))
            X = X.reshape(len(X), -1).astype(np.float32) / 255
            return Table(name, X, y.astype(int), [split], scaled=True)
        if "fold" in file:
            splits = splits_of_folds(file["fold"])
        else:
            parts = np.atleast_2d(file["train_idx"]), np.atleast_2d(file["test_idx"])
            splits = list(zip(*parts, strict=True))
        return Table(name, file["X"], file["y"], splits, is_numeric=file.get("is_numeric"))


def load_raw_table(folder: Path, name: str) -> Table:
    """Read one ``raw/NAME.csv.gz``: columns `target` and `fold`, then the inputs, a DataFrame."""
    import pandas as pd

    frame = pd.read_csv(folder / RAW / f"{name}.csv.gz")
    X = frame.drop(columns=["target", "fold"])
    is_numeric = np.array([pd.api.types.is_any_real_numeric_dtype(dtype) for dtype in X.dtypes])
    splits = splits_of_folds(frame["fold"].to_numpy())
    return Table(name, X, frame["target"].to_numpy(), splits, is_numeric=is_numeric)


def splits_of_folds(fold: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """Training and test rows of each fold, given the fold of each row."""
    return [(np.flatnonzero(fold != k), np.flatnonzero(fold == k)) for k in np.unique(fold)]


def preprocessed(
    table: Table, train: np.ndarray, test: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Scaled inputs of both parts; medians and scales are those of the training part."""
    if table.scaled:
        return table.X[train], table.X[test]
    steps: list[Any] = [StandardScaler()]
    if np.isnan(table.X).any():
        steps.insert(0, SimpleImputer(strategy="median"))
    pipeline = make_pipeline(*steps).fit(table.X[train])
    return pipeline.transform(table.X[train]), pipeline.transform(table.X[test])


def timed_fit(
    model: BaseEstimator, X: np.ndarray, y: np.ndarray
) -> tuple[BaseEstimator, float, bool]:
    """The fitted model, its seconds, and whether it stopped before `max_iter`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        start = time.perf_counter()
        model.fit(X, y)
        seconds = time.perf_counter() - start
    return model, seconds, not any(issubclass(w.category, ConvergenceWarning) for w in caught)


def widened_error(differences: np.ndarray, n_train: int, n_test: int) -> float:
    """Standard error of the mean difference over splits whose training parts overlap.

    Nadeau and Bengio 2003, Inference for the generalization error, Machine Learning 52.
    """
    if len(differences) < 2:
        return float("nan")
    return float(np.sqrt((1 / len(differences) + n_test / n_train) * np.var(differences, ddof=1)))


# ---- scores of single rows -----------------------------------------------------------------


def class_rows(model: BaseEstimator, X: np.ndarray, y: np.ndarray) -> dict[str, np.ndarray]:
    """Per row: whether right, log loss in nats, and the top probability."""
    proba = np.asarray(model.predict_proba(X), dtype=np.float64)
    # The same floor for everybody, as in scikit-learn's log_loss for float32 probabilities.
    proba = np.clip(proba, np.finfo(np.float32).eps, 1)
    proba /= proba.sum(1, keepdims=True)
    index = np.searchsorted(model.classes_, y)
    return {
        "right": (proba.argmax(1) == index).astype(np.float64),
        "loss": -np.log(proba[np.arange(len(y)), index]),
        "top": proba.max(1),
    }


def gaussian_rows(mean: np.ndarray, std: Any, y: np.ndarray) -> dict[str, np.ndarray]:
    """Per row: squared error, log density, and whether the 90 % interval covers, of a Gaussian."""
    z = (y - mean) / std
    return {
        "square": (y - mean) ** 2,
        "density": -0.5 * z**2 - np.log(std) - 0.5 * np.log(2 * np.pi),
        "covered": (np.abs(z) <= Z90).astype(np.float64),
    }


def summary(rows: dict[str, np.ndarray]) -> dict[str, float]:
    """The scores of a test part from those of its rows."""
    if "top" in rows:
        error = expected_calibration_error(rows["right"], rows["top"])
        return {
            "accuracy": rows["right"].mean(),
            "log loss": rows["loss"].mean(),
            "calibration error": error,
        }
    return {
        "RMSE": np.sqrt(rows["square"].mean()),
        "log density": rows["density"].mean(),
        "calibration error": abs(rows["covered"].mean() - 0.9),
    }


def score_rows(
    model: BaseEstimator, X: np.ndarray, y: np.ndarray, std: Callable | None = None
) -> dict[str, np.ndarray]:
    """Per-row scores of a classifier, of our regressor, or of one that is given a `std`."""
    if is_classifier(model):
        return class_rows(model, X, y)
    if std is not None:
        return gaussian_rows(model.predict(X), std(model), y)
    if model.dropout is None or not np.any([model.dropout_rate, model.input_dropout_rate]):
        rows = gaussian_rows(model.predict(X), model.noise_std_, y)
    else:
        rows = gaussian_rows(*model.predict(X, return_std=True), y)
    return {**rows, "density": model.log_prob(X, y)}
