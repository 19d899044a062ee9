"""Pages and example on referral run, and the example counts what it says."""

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("page", ["docs/referral.md"])
def test_python_blocks_of_a_page_run_in_order(page):
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.S | re.M)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    referred = names["busy"].refer(names["X_new"]).mean()
    assert 0.1 < referred < 0.3
    assert names["careful"].risk_bound_ <= 0.05


def test_example_counts_the_costs_of_decisions():
    example = runpy.run_path(str(ROOT / "examples" / "cost_matrix_referral.py"))
    said = np.array(["benign", "malignant", "benign", "refer"])
    truth = np.array(["benign", "benign", "malignant", "malignant"])
    assert example["cost_per_100"](said, truth) == pytest.approx(100 * (0 + 1 + 50 + 0.5) / 4)
