"""The example of docs/new-family.md runs and keeps every law; no other file knows of it."""

import sys
import types
from pathlib import Path

import pytest

from skdropout.families import FAMILIES, Bernoulli
from tests.families.laws import LAWS

PAGE = Path(__file__).parents[2] / "docs" / "new-family.md"
BLOCKS = [part.split("```")[0] for part in PAGE.read_text().split("```python\n")[1:]]


@pytest.fixture(scope="module")
def family():
    before = dict(FAMILIES)
    namespace = {"__name__": "new_family"}
    exec(BLOCKS[0], namespace)
    # Pickle looks classes up by their module.
    module = types.ModuleType("new_family")
    vars(module).update(namespace)
    sys.modules["new_family"] = module
    yield namespace["DropConnect"]
    del sys.modules["new_family"]
    FAMILIES.clear()
    FAMILIES.update(before)


@pytest.mark.parametrize("law", LAWS, ids=lambda law: law.__name__)
def test_law(family, law):
    law(family())


def test_the_estimators_know_it_by_its_name(family, capsys):
    exec(BLOCKS[1], {})
    assert capsys.readouterr().out == "(569,)\n"


def test_the_example_is_short():
    assert sum(bool(line.strip()) for line in BLOCKS[0].splitlines()) <= 32


def test_a_broken_family_breaks_a_law():
    """The loop can fail: a family that forgets to divide by the kept share."""

    class Unscaled(Bernoulli.layer):
        def training_gain(self, n_rows, source):
            return super().training_gain(n_rows, source) / self.scale

    class Broken(Bernoulli):
        layer = Unscaled

    (law,) = [law for law in LAWS if law.__name__ == "draws_and_training_noise_agree"]
    with pytest.raises(AssertionError, match="standard errors"):
        law(Broken())
