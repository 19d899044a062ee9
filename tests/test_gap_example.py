"""The example of a gap runs, and shows what it says."""

import re
import runpy
from pathlib import Path

import pytest

EXAMPLE = str(Path(__file__).parents[1] / "examples" / "gap.py")


def test_the_bands_open_in_the_gap_and_the_picture_is_drawn(tmp_path, capsys):
    pytest.importorskip("matplotlib").use("Agg")
    path = tmp_path / "gap.png"
    runpy.run_path(EXAMPLE)["main"](["--rows", "80", "--points", "9", "--figure", str(path)])
    found = dict(re.findall(r"^(\S+).*gap +([\d.]+)", capsys.readouterr().out, re.M))
    assert float(found["distance_awareness=1"]) > 2 > float(found["DropoutMLPRegressor"])
    assert path.stat().st_size > 10_000
