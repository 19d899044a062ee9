"""Pages and docstrings: shared parameters have one description, and code in them runs."""

import ast
import doctest
import importlib
import inspect
import pkgutil
import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import skdropout
from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from tests.test_architecture import FLOORS, PACKAGE

ROOT = Path(__file__).parents[1]
OWN = {"class_weight", "loss", "noise", "normalize_y"}
DIFFERENT_DEFAULTS = {
    "alpha",
    "beta_2",
    "dropout_rate",
    "hidden_layer_sizes",
    "learning_rate",
    "max_iter",
}
# Parameters that do something else in each.
DIFFERENT_WORDS = {"batch_size", "calibrate", "store_oof"}


def described_parameters(estimator):
    """Text of each parameter in the class docstring."""
    section = inspect.getdoc(estimator).split("\nParameters\n----------\n")[1]
    section = section.split("\nAttributes\n----------\n")[0]
    entries = re.split(r"^(?=\w+ : )", section, flags=re.MULTILINE)
    return {entry.split(" : ")[0]: entry.strip() for entry in entries if entry.strip()}


@pytest.mark.parametrize("estimator", [DropoutMLPClassifier, DropoutMLPRegressor])
def test_docstring_describes_every_parameter_with_its_default(estimator):
    described = described_parameters(estimator)
    defaults = estimator().get_params(deep=False)
    assert set(described) == set(defaults)
    for name, default in defaults.items():
        stated = described[name].splitlines()[0].split("default=")[1]
        assert ast.literal_eval(stated) == default, name


def test_shared_parameters_are_described_in_the_same_words():
    classifier = described_parameters(DropoutMLPClassifier)
    regressor = described_parameters(DropoutMLPRegressor)
    for name in classifier.keys() & regressor.keys():
        words = [text[name] for text in (classifier, regressor)]
        if name in DIFFERENT_DEFAULTS:
            words = [re.sub(r"default=.*", "", text) for text in words]
        assert (words[0] != words[1]) == (name in DIFFERENT_WORDS), name
    assert (classifier.keys() ^ regressor.keys()) <= OWN


@pytest.mark.parametrize("answer", ["Classifier", "Regressor"])
def test_estimators_of_modules_describe_what_they_share_in_the_same_words(answer):
    of_layers, of_modules = (getattr(skdropout, f"Dropout{k}{answer}") for k in ("MLP", "Module"))
    layers, modules = map(described_parameters, (of_layers, of_modules))
    names = set(inspect.signature(of_modules).parameters)
    assert set(modules) == names
    modules = {name: text.split("\n**")[0] for name, text in modules.items()}
    defaults = of_layers().get_params(deep=False)
    for name in names - {"module"}:
        different = layers[name] != modules[name]
        assert different == (name in {"cv", "inference"} or "`noise`" in layers[name]), name
        assert inspect.signature(of_modules).parameters[name].default == defaults[name]


def modules():
    return [info.name for info in pkgutil.walk_packages(skdropout.__path__, "skdropout.")]


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings(name):
    assert doctest.testmod(importlib.import_module(name)).failed == 0


def names_after(page):
    """What is defined once the blocks of a page have run in order."""
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.S | re.M)
    assert blocks
    names = {}
    for block in blocks:
        exec(compile(block, page, "exec"), names)
    return names


def test_readme_refers_whom_it_says():
    """By how much: with five seeds all 15 to 18 of them, and up to four others."""
    names = names_after("README.md")
    X, referred = names["X"], names["decided"] == "refer"
    unknown = X["age"].isna() & (X["ward"] == "heart")
    assert referred[unknown].mean() > 0.8
    assert referred[~unknown].mean() < 0.02


@pytest.mark.parametrize(
    "page",
    [
        "docs/index.md",
        "docs/families.md",
        "docs/own-networks.md",
        "docs/search.md",
        "docs/tables.md",
        "docs/wrappers.md",
    ],
)
def test_python_blocks_of_a_page_run_in_order(page):
    names_after(page)


NUMBER = re.compile(r"-?\d+(?:\.\d+)?")


def test_calibration_page_shows_what_its_code_prints(capsys):
    """Words are compared exactly. Numbers may move with the machine: shares by a twentieth."""
    page = (ROOT / "docs" / "calibration.md").read_text()
    blocks = re.findall(r"^```(python|text)\n(.*?)^```", page, re.S | re.M)
    names, n_compared = {}, 0
    for kind, block in blocks:
        if kind == "python":
            exec(compile(block, "docs/calibration.md", "exec"), names)
            continue
        printed = capsys.readouterr().out
        assert NUMBER.sub("#", printed) == NUMBER.sub("#", block), printed
        ours, shown = (list(map(float, NUMBER.findall(text))) for text in (printed, block))
        np.testing.assert_allclose(ours, shown, rtol=0.1, atol=0.05, err_msg=printed)
        n_compared += 1
    assert n_compared == 4


@pytest.mark.parametrize("page", [ROOT / "README.md", *(ROOT / "docs").glob("**/*.md")], ids=str)
def test_links_lead_to_files(page):
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
        if not target.startswith("https://"):
            assert (page.parent / target).exists(), target


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
# Of other packages, and not imported here.
FOREIGN = {"DataFrame", "DataLoader"}


def rows_of_rooms():
    """Floor, room and what lives there, from the table."""
    return re.findall(r"^\| (\d) \| `(\w+)/` \| (.*) \|$", ARCHITECTURE, re.M)


def test_architecture_shows_every_room_on_its_floor():
    shown = [set() for _ in FLOORS]
    for floor, room, _ in rows_of_rooms():
        shown[int(floor) - 1].add(room)
    # What lies in the package itself is no room.
    assert shown[:-1] == FLOORS[:-1]


def test_architecture_names_files_that_are_there():
    listed = [(PACKAGE / room, text) for _, room, text in rows_of_rooms()]
    rest = re.sub(r"^\|.*$", "", ARCHITECTURE, flags=re.M)
    named = [
        folder / name
        for folder, text in [*listed, (ROOT, rest)]
        for name in re.findall(r"`([\w/]+(?:\.py|/))`", text)
        # A room is named without the package in which it lies.
        if not (PACKAGE / name).is_dir()
    ]
    assert len(named) > 40
    assert not [path for path in named if not path.exists()]


def test_architecture_names_classes_that_are_there():
    used = {
        name
        for path in PACKAGE.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [node.name]
            if isinstance(node, ast.ClassDef)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    code = re.findall(r"^```\n(.*?)^```", ARCHITECTURE, re.S | re.M)
    code += re.findall(r"`([^`\n]+)`", ARCHITECTURE)
    # Capitals within a name, or a name that begins a line: "Stack", "Job.net", "-> Fitting  ...".
    pattern = r"\b[A-Z][a-z]+(?:[A-Z]+[a-z]*)+\b|(?<![^ ])[A-Z][a-z]+(?=\.\w|  |$)"
    named = {name for part in code for name in re.findall(pattern, part, re.M)}
    assert len(named) > 30
    assert named - used == FOREIGN


def test_quick_start_is_short():
    section = (ROOT / "README.md").read_text().split("\n## Quick start\n")[1].split("\n## ")[0]
    (block,) = re.findall(r"^```python\n(.*?)^```", section, re.S | re.M)
    assert len([line for line in block.splitlines() if line]) <= 11
    assert "torch" not in block


def test_example_counts_what_is_kept_and_the_errors_in_it():
    example = runpy.run_path(str(ROOT / "examples" / "medical_referral.py"))
    truth = np.array(["benign", "malignant", "benign", "malignant", "benign"])
    decision = np.array(["benign", "refer", "malignant", "malignant", "benign"])
    assert example["kept_and_wrong"](decision, truth) == (0.8, 0.25)


def test_example_counts_the_errors_that_referral_leaves(capsys):
    example = runpy.run_path(str(ROOT / "examples" / "medical_referral.py"))
    wrong = np.arange(20) < 4
    best, worst = np.where(wrong, 1.0, 0.0), np.where(wrong, 0.0, 1.0)
    # Distinct doubts, for rows of equal doubt are kept together.
    best, worst = best + np.arange(20) / 100, worst + np.arange(20) / 100
    orders = {"total uncertainty": (wrong, best), "another": (wrong, worst)}
    example["print_referral"](orders, np.zeros(20, bool))
    line = next(line for line in capsys.readouterr().out.splitlines() if "(10%)" in line)
    assert line.split("   ", 1)[0].strip() == "2 (10%)"
    assert re.findall(r"[\d.]+(?= \()", line) == ["2", "2", "4", "3.6"]
