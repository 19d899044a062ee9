"""Imports only point down: each file of the package may import from the floors below its own."""

import ast
from pathlib import Path

import pytest

import skdropout

PACKAGE = Path(skdropout.__file__).parent

# From the ground up. Files of one floor know nothing of each other.
FLOORS = [
    {"arrays"},
    {"families/_noise", "families/_members"},
    {"families/_base"},
    {"families/_posterior"},
    {"families/*"},
    {"families/__init__"},
    {"normalization", "activations"},
    {"plain"},
    {"network", "likelihood", "scratch"},
    {"reverse_maps"},
    {
        "gaussian_likelihoods",
        "rows",
        "backprop",
        "flat_parameters",
        "histories",
        "sparsity",
        "uncertainty",
        "proper_scores",
        "activated",
        "gaussian_outputs",
        "metrics/_checks",
        "metrics/_scorer",
        "_device",
        "_random",
    },
    {
        "draws",
        "moment_maps",
        "monte_carlo",
        "_rounds",
        "elastic_net",
        "leaving",
        "_frames",
        "_parameters",
    },
    {"mixture", "skewness"},
    {"moments"},
    {"calibration", "metrics/referral", "metrics/predictive", "metrics/calibration"},
    {"steps", "validation"},
    {"training"},
    {"stopping", "stacking"},
    {"_settings"},
    {"_prediction"},
    {"_trained"},
    {"_calibration"},
    {"_base"},
    {"_predictive", "_probabilities"},
    {"classifier", "regressor"},
    {"wrapped"},
    {"model_selection/_progress", "model_selection/_candidates"},
    {"model_selection/_stacks", "model_selection/_dealing"},
    {"model_selection/_search"},
    {"model_selection/__init__"},
    {"referral_scores"},
    {"metrics/scorers", "metrics/predictive_scorers"},
    {"metrics/__init__"},
    {"decision/_cuts", "decision/_rules", "decision/_labels"},
    {"decision/_folds", "decision/_base"},
    {"decision/_classifier", "decision/_tuning"},
    {"decision/_fixed", "decision/_tuned", "decision/_regressors"},
    {"decision/__init__"},
    {"displays/_axes"},
    {"displays/*"},
    {"displays/__init__"},
    {"__init__"},
]


def _modules():
    paths = PACKAGE.rglob("*.py")
    return sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in paths)


def _floor(module):
    for names in (module, module.rpartition("/")[0] + "/*"):
        for floor, modules in enumerate(FLOORS):
            if names in modules:
                return floor
    raise AssertionError(f"{module}.py stands on no floor; say which in FLOORS")


def _imported(module):
    """Modules of the package that a file imports."""
    parents = module.split("/")[:-1]
    for node in ast.walk(ast.parse((PACKAGE / f"{module}.py").read_text())):
        if isinstance(node, ast.Import):
            assert not any(alias.name.startswith("skdropout") for alias in node.names)
        if not isinstance(node, ast.ImportFrom):
            continue
        assert not (node.module or "").startswith("skdropout"), "imports within are relative"
        if node.level:
            base = parents[: len(parents) - node.level + 1]
            names = [node.module] if node.module else [alias.name for alias in node.names]
            for name in names:
                path = "/".join([*base, *name.split(".")])
                is_package = (PACKAGE / path).is_dir()
                yield f"{path}/__init__" if is_package else path


@pytest.mark.parametrize("module", _modules())
def test_imports_point_down(module):
    for imported in _imported(module):
        assert _floor(imported) < _floor(module), f"{module}.py imports {imported}.py"


def test_the_test_sees_imports():
    assert "draws" in set(_imported("_prediction"))
    assert "families/__init__" in set(_imported("network"))
    assert "families/_noise" in set(_imported("families/_bernoulli"))


@pytest.mark.parametrize(
    "module",
    [
        "uncertainty",
        "mixture",
        "proper_scores",
        "monte_carlo",
        "calibration",
        "metrics/referral",
        "metrics/predictive",
        "metrics/calibration",
    ],
)
def test_the_numbers_know_nothing_of_torch(module):
    path = PACKAGE / f"{module}.py"
    text = path.read_text() if path.exists() else ""
    assert "torch" not in text.replace("PyTorch", "")
