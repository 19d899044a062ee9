"""The example on a raw table runs on a file, and counts what it says."""

import re
import runpy
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

EXAMPLE = str(Path(__file__).parents[1] / "examples" / "raw_table.py")


@pytest.fixture
def example():
    return runpy.run_path(EXAMPLE)


@pytest.fixture
def stays(tmp_path):
    """A file as a ward would have it: a key, text, gaps, and labels of which two are missing."""
    rng = np.random.default_rng(0)
    ward, age = rng.choice(["surgery", "eyes", "skin"], 400), rng.uniform(18, 90, 400).round()
    ill = (ward == "surgery") & (age > 50) ^ (rng.random(400) < 0.05)
    table = pd.DataFrame(
        {
            "key": [f"patient {number}" for number in range(400)],
            "ward": np.where(rng.random(400) < 0.1, None, ward),
            "age": np.where(rng.random(400) < 0.1, np.nan, age),
            "comes back": np.where(ill, "yes", "no"),
        }
    )
    table.loc[[3, 7], "comes back"] = None
    path = tmp_path / "stays.csv"
    table.to_csv(path, index=False)
    return str(path)


def test_a_file_with_text_and_gaps_is_read_fitted_and_referred(example, stays, capsys):
    example["main"](["--data", stays, "--target", "comes back", "--drop", "key"])
    said = capsys.readouterr().out
    table = pd.read_csv(stays).dropna(subset=["comes back"])
    gaps = table[["ward", "age"]].isna().any(axis=1).sum()
    assert said.startswith(f"398 rows, {gaps} with gaps; 2 columns, 1 not of numbers")
    ours, theirs = (
        float(re.search(rf"^{name}\s+([\d.]+)", said, re.M)[1])
        for name in ("DropoutMLPClassifier", "HistGradientBoostingClassifier")
    )
    # To know the shares of the labels alone is 0.46.
    assert max(ours, theirs) < 0.42
    everybody = float(re.search(r"all rows: ([\d.]+)%", said)[1])
    kept, wrong = map(float, re.search(r"the (\d+)% that are kept: ([\d.]+)%", said).groups())
    assert kept == pytest.approx(80, abs=1)
    assert wrong < everybody


def test_columns_and_labels_that_the_titanic_does_not_need_are_left_out(example, monkeypatch):
    frame = pd.DataFrame({"survived": ["1", None, "0"], "name": list("abc"), "age": [1.0, 2, 3]})
    monkeypatch.setitem(example["read_table"].__globals__, "passengers", lambda: frame)
    X, y = example["read_table"](None, "survived", ["name"])
    assert X.columns.tolist() == ["age"]
    assert y.tolist() == ["1", "0"]


def test_without_a_network_it_says_what_to_do(example, monkeypatch):
    def fetch(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setitem(example["passengers"].__globals__, "fetch_openml", fetch)
    with pytest.raises(SystemExit, match=r"no route to host.*--data FILE\.csv --target COLUMN"):
        example["passengers"]()


def test_the_share_kept_and_the_errors_in_it(example):
    decision = np.array(["yes", "refer", "no", "yes", "no"])
    truth = np.array(["yes", "no", "yes", "yes", "no"])
    assert example["kept_and_wrong"](decision, truth) == (0.8, 0.25)
