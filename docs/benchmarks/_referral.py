"""Who is compared in `referral.py`: predictions and doubt of every method on one test part."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
from _data import Table, load_table, preprocessed, timed_fit
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.neural_network import MLPClassifier

from skdropout import DropoutMLPClassifier
from skdropout.metrics import aurc_score, excess_aurc_score, risk_at_coverage
from skdropout.metrics._row_scores import classifier_scores

TABLES = ("pima", "mammographic-mass", "messidor-dr", "ann-thyroid")
KEPT = (0.5, 0.7, 0.9)
PARTS = ("total", "epistemic", "aleatoric", "entropy")
WITHOUT_DRAWS = "max. probability, no draws"
RANDOM = "at random"
RADIOLOGISTS = "radiologists' score"
RIVALS = {
    "MLPClassifier": lambda seed: MLPClassifier(random_state=seed),
    "logistic regression": lambda seed: LogisticRegression(max_iter=1000),
    "random forest": lambda seed: RandomForestClassifier(random_state=seed),
    "HistGradientBoosting": lambda seed: HistGradientBoostingClassifier(random_state=seed),
}


class Doubted(NamedTuple):
    """Truth, prediction and doubt of the rows of a test part, each ``(n_rows,)``."""

    y: np.ndarray
    predicted: np.ndarray
    doubt: np.ndarray

    def scores(self) -> dict[str, float]:
        """Accuracy of all and of the surest rows, AURC and excess AURC."""
        accuracies = 1 - risk_at_coverage(*self, coverage=KEPT)
        kept = {f"kept {share:.0%}": float(a) for share, a in zip(KEPT, accuracies, strict=True)}
        return {
            "accuracy": float(np.mean(self.predicted == self.y)),
            **kept,
            "AURC": aurc_score(*self),
            "excess AURC": excess_aurc_score(*self),
        }


def ten_folds(folder: Path, name: str) -> Table:
    """A table in 10 folds, also where the file has one official split."""
    table = load_table(folder, name)
    if not table.official:
        return table
    folds = StratifiedKFold(10, shuffle=True, random_state=0)
    return replace(table, splits=list(folds.split(table.X, table.y)))


def network(seed: int) -> DropoutMLPClassifier:
    """The network that refers, at its defaults."""
    return DropoutMLPClassifier(random_state=seed)


def compared(
    table: Table, train: np.ndarray, test: np.ndarray, seed: int, birads: np.ndarray | None
) -> dict[str, Doubted]:
    """Every method on one split."""
    X, X_test = preprocessed(table, train, test)
    y, y_test = table.y[train], table.y[test]
    net = timed_fit(network(seed), X, y)[0]
    predicted = net.predict(X_test)
    methods = {
        part: Doubted(y_test, predicted, classifier_scores(net, X_test, part).score)
        for part in PARTS
    }
    doubt = np.random.default_rng(seed).random(len(test))
    methods[RANDOM] = Doubted(y_test, predicted, doubt)
    models = {WITHOUT_DRAWS: net.set_params(n_draws=0)}
    models |= {name: timed_fit(make(seed), X, y)[0] for name, make in RIVALS.items()}
    for name, model in models.items():
        proba = model.predict_proba(X_test)
        label = model.classes_[proba.argmax(1)]
        methods[name] = Doubted(y_test, label, 1 - proba.max(1).astype(np.float64))
    if birads is not None:
        methods[RADIOLOGISTS] = by_radiologists(birads[train], y, birads[test], y_test)
    return methods


def by_radiologists(
    score: np.ndarray, y: np.ndarray, score_test: np.ndarray, y_test: np.ndarray
) -> Doubted:
    """Diagnosis by the share of malignant cases among training rows of the same score."""
    overall = float(np.mean(y))
    rate = {value: float(np.mean(y[score == value])) for value in np.unique(score)}
    share = np.array([rate.get(value, overall) for value in score_test])
    return Doubted(y_test, (share > 0.5).astype(y.dtype), np.minimum(share, 1 - share))


def load_birads(folder: Path, name: str) -> np.ndarray | None:
    """The radiologists' score of each row; -1 where it is missing or not one of 0 to 6."""
    with np.load(folder / f"{name}.npz", allow_pickle=False) as file:
        if "birads" not in file:
            return None
        score = file["birads"].astype(np.float64)
    return np.where(np.isin(score, range(7)), score, -1)
