"""A table as it comes: text, gaps and numbers of any scale, fitted without preparing anything.

By default the table is of the Titanic's 1309 passengers, which scikit-learn downloads once from
openml.org. Without a network, or for your own data, name a file:
``python examples/raw_table.py --data patients.csv --target diagnosis``. The script

1. fits `DropoutMLPClassifier` to 70 % of the rows as they are, and scores the others beside
   `HistGradientBoostingClassifier`, for which text is made numbers first;
2. shows the new rows that it is least sure of, and whether for lack of data;
3. refers the least certain fifth, and counts the errors among the rows that are kept.

It takes less than a minute on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from sklearn.compose import make_column_transformer
from sklearn.datasets import fetch_openml
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import accuracy_score, log_loss
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OrdinalEncoder

from skdropout import DropoutMLPClassifier
from skdropout.decision import FixedReferralClassifier
from skdropout.metrics import expected_calibration_error

REFERRED = 0.2
# Names differ in every row; the lifeboat and the number of the body tell who was saved.
TITANIC = {"target": "survived", "drop": ["name", "boat", "body"]}


def read_table(path: str | None, target: str, drop: Sequence[str]) -> tuple[pd.DataFrame, Any]:
    """The columns as they come, and the labels.

    Parameters
    ----------
    path : str or None
        A file of comma-separated values; None downloads the Titanic's passengers.
    target : str
        The column of the labels. Rows without one are left out.
    drop : sequence of str
        Columns to leave out.
    """
    table = passengers() if path is None else pd.read_csv(path)
    table = table.dropna(subset=[target])
    return table.drop(columns=[target, *drop]), table[target].astype(str).to_numpy()


def passengers() -> pd.DataFrame:
    """The Titanic's passengers, from openml.org or from an earlier download."""
    try:
        return fetch_openml("titanic", version=1, as_frame=True).frame
    except OSError as error:
        raise SystemExit(
            f"The passengers could not be downloaded ({error}). Give a table of your own: "
            "--data FILE.csv --target COLUMN"
        ) from error


def boosting(X: pd.DataFrame) -> Any:
    """Boosted trees; levels of text become numbers, which the trees are told are levels."""
    text = X.select_dtypes(exclude="number").columns
    levels = OrdinalEncoder(
        handle_unknown="use_encoded_value",
        unknown_value=np.nan,
        encoded_missing_value=np.nan,
        max_categories=250,
    )
    prepare = make_column_transformer((levels, text), remainder="passthrough")
    trees = HistGradientBoostingClassifier(categorical_features=range(len(text)), random_state=0)
    return make_pipeline(prepare, trees)


def print_shape(X: pd.DataFrame) -> None:
    """How large the table is, and how raw."""
    n_text, n_gaps = X.select_dtypes(exclude="number").shape[1], X.isna().any(axis=1).sum()
    print(f"{len(X)} rows, {n_gaps} with gaps; {X.shape[1]} columns, {n_text} not of numbers")


def print_scores(models: dict[str, Any], X: pd.DataFrame, y: np.ndarray) -> None:
    """One line a model."""
    print(f"\n{'':<34}{'log loss':>10}{'accuracy':>10}{'calibration error':>19}")
    for name, model in models.items():
        proba = model.predict_proba(X)
        loss = log_loss(y, proba, labels=model.classes_)
        right = accuracy_score(y, model.predict(X))
        off = expected_calibration_error(y, proba, labels=model.classes_)
        print(f"{name:<34}{loss:>10.3f}{right:>10.3f}{off:>19.3f}")


def least_sure(
    model: DropoutMLPClassifier, X: pd.DataFrame, y: np.ndarray, n_rows: int = 5
) -> pd.DataFrame:
    """The rows of the largest uncertainty, with it, what was said and what was true."""
    doubt = model.predict_uncertainty(X, as_frame=True)[["total", "epistemic", "aleatoric"]]
    beside = doubt.assign(says=model.predict(X), truth=y).round(3)
    rows = doubt["total"].nlargest(n_rows).index
    return beside.join(X).loc[rows]


def kept_and_wrong(decision: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Share of rows that are not referred, and share of errors among these."""
    kept = decision != "refer"
    return float(kept.mean()), float((decision[kept] != truth[kept]).mean())


def print_referral(model: DropoutMLPClassifier, X: pd.DataFrame, y: np.ndarray) -> None:
    """Errors with and without referral of the least certain rows."""
    # No label is needed to say where the least certain fifth begins.
    limit = np.quantile(model.predict_uncertainty(X).total, 1 - REFERRED)
    careful = FixedReferralClassifier(model, threshold=limit)
    kept, wrong = kept_and_wrong(careful.predict(X), y)
    print(f"\nErrors among all rows: {np.mean(model.predict(X) != y):.1%}")
    print(f"Errors among the {kept:.0%} that are kept: {wrong:.1%}")
    reasons = careful.referral_reason(X)
    for reason, means in (("epistemic", "lacks data"), ("aleatoric", "finds them ambiguous")):
        print(f"Referred because the model {means}: {(reasons == reason).sum()}")


def main(words: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Fit a table as it comes, and refer rows of it.")
    parser.add_argument("--data", metavar="FILE.csv", help="a table (default: the Titanic's)")
    parser.add_argument("--target", default=None, help="column of the labels (default: target)")
    parser.add_argument("--drop", nargs="*", default=None, help="columns to leave out")
    given = parser.parse_args(words)
    default = TITANIC if given.data is None else {"target": "target", "drop": []}
    target = default["target"] if given.target is None else given.target
    X, y = read_table(given.data, target, default["drop"] if given.drop is None else given.drop)
    print_shape(X)
    X_train, X_new, y_train, y_new = train_test_split(
        X, y, test_size=0.3, stratify=y, random_state=0
    )
    model = DropoutMLPClassifier(early_stopping=True, max_iter=500, random_state=0)
    model.fit(X_train, y_train)
    trees = boosting(X_train).fit(X_train, y_train)
    names = ["DropoutMLPClassifier", "HistGradientBoostingClassifier"]
    print_scores(dict(zip(names, (model, trees), strict=True)), X_new, y_new)
    print("\nThe new rows that it is least sure of:")
    print(least_sure(model, X_new, y_new).T.to_string())
    print_referral(model, X_new, y_new)


if __name__ == "__main__":
    main()
