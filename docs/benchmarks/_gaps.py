"""Epistemic uncertainty where the training rows have a gap; used by `uci.py`."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import numpy as np
from _data import load_table
from _uci import coverage_key, score_ours
from sklearn.preprocessing import StandardScaler

from skdropout import DropoutMLPRegressor

# What might know better than the default, five networks with Bernoulli dropout, that it was not
# told; and what it knew as one network on all rows.
CONFIGURATIONS: dict[str, dict[str, Any]] = {
    "default": {},
    "no dropout": {"dropout": None},
    "bayes_by_backprop": {"dropout": "bayes_by_backprop"},
    "one network": {"cv": None, "early_stopping": False},
    "5 on all rows, no dropout": {
        "cv": None,
        "early_stopping": False,
        "n_members": 5,
        "dropout": None,
    },
}
# Of these, the intervals after calibration too.
CALIBRATED = ("default", "no dropout")


def gap_inputs(X: np.ndarray, n_inputs: int) -> list[int]:
    """The inputs with the most distinct values, in the order of the columns."""
    distinct = [len(np.unique(column)) for column in X.T]
    return sorted(np.argsort(distinct, kind="stable")[::-1][:n_inputs].tolist())


def gap_rows(X: np.ndarray, column: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows in the middle third of an input; a fifth of the others, held out; the rest."""
    order = np.argsort(X[:, column], kind="stable")
    third = len(order) // 3
    gap = order[third : len(order) - third]
    others = np.random.default_rng(0).permutation(np.setdiff1d(order, gap))
    return gap, others[: len(others) // 5], others[len(others) // 5 :]


def fit_gaps(
    folder: Path, table_name: str, n_inputs: int, options: dict[str, Any]
) -> list[dict[str, float]]:
    """Networks without the rows of a gap, and with most of them, for each input in turn.

    The fifth of the gap's rows that no network is trained on is what both are asked about:
    `std_new` is their mean epistemic standard deviation without the gap's other rows, `std_known`
    with them.
    """
    table = load_table(folder, table_name)
    models, data, asked = [], [], []
    for column in gap_inputs(table.X, n_inputs):
        gap, outside, train = gap_rows(table.X, column)
        gap_order = np.random.default_rng(1).permutation(gap)
        kept, new = gap_order[len(gap) // 5 :], gap_order[: len(gap) // 5]
        for rows in (train, np.concatenate([train, kept])):
            scaler = StandardScaler().fit(table.X[rows])
            data.append((scaler.transform(table.X[rows]), table.y[rows].astype(float)))
            models.append(DropoutMLPRegressor(random_state=0, **options))
            asked.append([(scaler.transform(table.X[r]), table.y[r]) for r in (gap, outside, new)])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for model, (X, y) in zip(models, data, strict=True):
            model.fit(X, y)
    scores = []
    for without, with_, (gap, outside, new), (*_, known) in zip(
        models[::2], models[1::2], asked[::2], asked[1::2], strict=True
    ):
        scores.append(
            {
                "std_gap": _epistemic_std(without, gap),
                "std_outside": _epistemic_std(without, outside),
                "std_new": _epistemic_std(without, new),
                "std_known": _epistemic_std(with_, known),
                "coverage_gap": score_ours(without, *gap)[coverage_key(0.9)],
                "coverage_outside": score_ours(without, *outside)[coverage_key(0.9)],
            }
        )
    return scores


def _epistemic_std(model: DropoutMLPRegressor, rows: tuple[np.ndarray, np.ndarray]) -> float:
    return float(np.sqrt(model.predict_uncertainty(rows[0]).epistemic).mean())
