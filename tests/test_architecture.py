"""The house: rooms on floors, imports that only point down, and no circle within a room."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import skdropout

PACKAGE = Path(skdropout.__file__).parent

# From the ground up. A room is a folder, or a file that lies in the package itself.
FLOORS = [
    {"_support"},
    {"_predictive", "preprocessing"},
    {"families", "_likelihoods", "_modules", "_wrappers"},
    {"_networks", "metrics", "nn"},
    {"_inference", "decision", "displays"},
    {"_training"},
    {"_estimators"},
    {"model_selection"},
    {"__init__"},
]


def _modules():
    paths = PACKAGE.rglob("*.py")
    return sorted(path.relative_to(PACKAGE).with_suffix("").as_posix() for path in paths)


def _room(module):
    return module.split("/")[0]


def _floor(module):
    for floor, rooms in enumerate(FLOORS):
        if _room(module) in rooms:
            return floor
    raise AssertionError(f"{module}.py is in no room; say which in FLOORS")


def _nodes_that_run(tree):
    """All nodes but those of blocks that only a type checker reads."""
    todo = [tree]
    while todo:
        node = todo.pop()
        yield node
        if not (isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"):
            todo += ast.iter_child_nodes(node)


def _imported(module):
    """Modules of the package that a file imports when it runs."""
    parents = module.split("/")[:-1]
    for node in _nodes_that_run(ast.parse((PACKAGE / f"{module}.py").read_text())):
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


def test_there_are_at_most_nine_floors():
    assert len(FLOORS) <= 9


@pytest.mark.parametrize("module", _modules())
def test_imports_point_down(module):
    for imported in _imported(module):
        if _room(imported) != _room(module):
            assert _floor(imported) < _floor(module), f"{module}.py imports {imported}.py"


def test_no_files_import_each_other():
    graph = {module: set(_imported(module)) for module in _modules()}
    # Raises CycleError with the circle, if there is one.
    assert len(list(TopologicalSorter(graph).static_order())) >= len(graph)


def test_the_test_sees_imports():
    assert "_inference/draws" in set(_imported("_training/validation"))
    assert "families/__init__" in set(_imported("_networks/stack"))
    assert "families/_noise" in set(_imported("families/_bernoulli"))


@pytest.mark.parametrize(
    "module",
    [
        "_predictive/uncertainty",
        "_predictive/mixture",
        "_predictive/normal",
        "_predictive/poisson",
        "_predictive/scores",
        "_predictive/errors",
        "_predictive/scaling",
        "metrics/referral",
        "metrics/predictive",
        "metrics/calibration",
        "preprocessing/_cells",
        "preprocessing/_parts",
        "preprocessing/_columns",
        "preprocessing/_encoder",
    ],
)
def test_the_numbers_know_nothing_of_torch(module):
    assert "torch" not in (PACKAGE / f"{module}.py").read_text().replace("PyTorch", "")
