"""Rules of the house, read off the syntax trees of the package.

A class of ours is an interface or a leaf, and private names of others stand in few files.
"""

import ast
from pathlib import Path

import pytest

import skdropout

PACKAGE = Path(skdropout.__file__).parent

# Modules whose classes still override methods with bodies. Take one off when it no longer does.
NOT_YET: set[str] = set()


def _trees():
    for path in sorted(PACKAGE.rglob("*.py")):
        yield path.relative_to(PACKAGE).with_suffix("").as_posix(), ast.parse(path.read_text())


def classes_of(trees):
    """Every class by its name: the module, the node and the names of its bases.

    A base is found by its name alone, so two classes may have the same only where neither is one.
    """
    found, bases = {}, set()
    for module, tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                above = [ast.unparse(base).rpartition(".")[2] for base in node.bases]
                bases |= set(above)
                found.setdefault(node.name, []).append((module, node, above))
    assert not [name for name in bases if len(found.get(name, ())) > 1]
    return {
        name if number == 0 else f"{name} {number}": entry
        for name, entries in found.items()
        for number, entry in enumerate(entries)
    }


def ancestors(name, classes):
    """Our classes that a class derives from, itself not among them."""
    for base in classes[name][2]:
        if base in classes:
            yield base
            yield from ancestors(base, classes)


def _methods(node):
    return [part for part in node.body if isinstance(part, ast.FunctionDef)]


def is_hook(method):
    """Whether a method has no body of its own: it is abstract, or says "nothing" and no more.

    A hook's body, behind its docstring, is at most one statement: ``...``, ``pass``, ``raise
    NotImplementedError(...)``, or ``return`` of nothing or of a constant (None, True, False, a
    number, a string). Everything else is a body, an abstract method's too.
    """
    body = method.body[1:] if ast.get_docstring(method) is not None else method.body
    if not body:
        return True
    statement, *others = body
    if others:
        return False
    if isinstance(statement, ast.Return):
        return statement.value is None or isinstance(statement.value, ast.Constant)
    if isinstance(statement, ast.Raise):
        return "NotImplementedError" in ast.unparse(statement.exc or ast.Constant(None))
    nothing = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
    return isinstance(statement, ast.Pass) or (nothing and statement.value.value is ...)


def _extends_constructor(method):
    return method.name in {"__init__", "__init_subclass__"} and any(
        isinstance(node, ast.Call) and ast.unparse(node.func) == f"super().{method.name}"
        for node in ast.walk(method)
    )


def _own_names(node):
    """What a class sets: methods, and attributes that could hide one."""
    for part in node.body:
        if isinstance(part, ast.FunctionDef) and not _extends_constructor(part):
            yield part.name
        elif isinstance(part, ast.Assign):
            yield from (target.id for target in part.targets if isinstance(target, ast.Name))
        elif isinstance(part, ast.AnnAssign) and part.value is not None:
            yield ast.unparse(part.target)


def overridden(classes):
    """Methods with a body that a class of ours overrides: module, and what is wrong.

    Constructors that call the one above extend it and are none of them.
    """
    for name, (module, node, _) in classes.items():
        own = set(_own_names(node))
        for base in dict.fromkeys(ancestors(name, classes)):
            for method in _methods(classes[base][1]):
                if method.name in own and not is_hook(method):
                    yield module, f"{name}.{method.name} overrides {base}'s"


def depth(name, classes, top):
    """Classes from `top` down to a class, both counted; 0 for one that does not derive from it."""
    if name == top:
        return 1
    above = [depth(base, classes, top) for base in classes[name][2] if base in classes]
    return max(above, default=0) + 1 if any(above) else 0


CLASSES = classes_of(_trees())
FOUND = list(overridden(CLASSES))


@pytest.mark.parametrize("module", [module for module, _ in _trees()])
def test_no_method_with_a_body_is_overridden(module):
    wrong = [what for where, what in FOUND if where == module]
    if module in NOT_YET:
        assert wrong, f"take {module} off NOT_YET"
    else:
        assert not wrong


@pytest.mark.parametrize(("top", "most"), [("NoisyLinear", 3), ("Family", 3), ("ReversePass", 2)])
def test_families_are_at_most_three_classes_deep(top, most):
    """Counted from the interface down. What gives every module its pickles stands below it."""
    depths = {name: depth(name, CLASSES, top) for name in CLASSES}
    assert max(depths.values()) == most, depths


def test_the_test_tells_hooks_from_bodies():
    source = '''
class Base:
    def silent(self):
        """Says nothing."""
    def constant(self): return None
    def ellipsis(self): ...
    def refusal(self): raise NotImplementedError("no")
    def body(self): return self.x
    def two(self):
        self.x = 1
        return None
    def __init__(self): self.x = 1
'''
    (base,) = ast.parse(source).body
    assert [method.name for method in _methods(base) if not is_hook(method)] == [
        "body",
        "two",
        "__init__",
    ]


@pytest.mark.parametrize(
    ("leaf", "wrong"),
    [
        ("def hook(self): return 1", False),
        ("def body(self): return 1", True),
        ("body = None", True),
        ("def __init__(self): super().__init__()", False),
        ("def __init__(self): self.x = 2", True),
        ("def other(self): return 1", False),
    ],
)
def test_the_test_finds_what_is_overridden_two_classes_up(leaf, wrong):
    source = f"""
class Base:
    def hook(self): return None
    def body(self): return self.x
    def __init__(self): self.x = 1
class Middle(Base):
    pass
class Leaf(Middle):
    {leaf}
"""
    found = list(overridden(classes_of([("file", ast.parse(source))])))
    assert len(found) == wrong


@pytest.mark.parametrize("kind", ["MLP", "Module"])
@pytest.mark.parametrize("answer", ["Classifier", "Regressor"])
def test_an_estimator_stands_on_what_all_share_its_kind_and_its_parameters(kind, answer):
    parameters = "Parameters" if kind == "MLP" else "ModuleParameters"
    leaf, answers = f"Dropout{kind}{answer}", {"Classifier": "ClassAnswers"}.get(answer)
    above = {answers or "NumberAnswers", f"Dropout{kind}", parameters, "DropoutEstimator"}
    assert set(ancestors(leaf, CLASSES)) == above
    assert depth(leaf, CLASSES, parameters) == depth(leaf, CLASSES, "DropoutEstimator") == 3


# ---- private names of others ---------------------------------------------------------------------

# Underscore names of scikit-learn, torch and skorch, and torch's optimizers as functions, in the
# only files that may hold them. What is imported stands for its package.
FOREIGN = {
    # scikit-learn checks parameters and rows with them; the rest of the package asks this file.
    "_support/sklearn": {"sklearn", "_validate_params"},
    # torch has no way to copy a module with other parameters: what it holds is set.
    "_support/members": {"_parameters", "_buffers", "_modules"},
    # Arrays in pickles stand for the tensors.
    "_support/arrays": {"_parameters", "_buffers"},
    # Where MKL's own number of threads is set.
    "_support/threads": {"_C"},
    # Adam's step without the wrappers, which take as long again.
    "_training/optimizer": {"torch.optim.adam"},
    # skorch has no public way to give a score to a callback of ours.
    "_training/callbacks": {"_scoring", "_record_score"},
    # skorch's pickles look for the device again.
    "_training/net": {"_check_device"},
}
OTHERS = ("sklearn", "torch", "skorch")
# Documented all the same: of named tuples, and of the standard library.
PUBLIC = {"_asdict", "_make", "_replace", "_getframe"}


def _is_private(name):
    return name.startswith("_") and not name.endswith("__")


def _names_of_ours(trees):
    """What the package defines: functions, classes, variables and attributes of `self`."""
    for _, tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, (ast.FunctionDef, ast.ClassDef, ast.arg)):
                yield getattr(node, "name", None) or node.arg
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                yield node.id
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                yield from [node.attr] if ast.unparse(node.value) == "self" else []


def _imports_of_others(node):
    """Packages whose private names an import statement names, and functional optimizers."""
    names = [alias.name for alias in getattr(node, "names", ())]
    if isinstance(node, ast.ImportFrom):
        names = [] if node.level else [f"{node.module}.{name}" for name in names]
    for name in names if isinstance(node, (ast.Import, ast.ImportFrom)) else []:
        parts = name.split(".")
        if parts[0] in OTHERS and any(map(_is_private, parts)):
            yield parts[0]
        elif parts[:2] == ["torch", "optim"] and len(parts) > 3:
            yield ".".join(parts[:3])


def foreign_names(tree, ours):
    """Private names of other packages that a file uses."""
    for node in ast.walk(tree):
        yield from _imports_of_others(node)
        if isinstance(node, ast.Attribute) and _is_private(node.attr):
            yield from {node.attr} - ours - PUBLIC


OURS = set(_names_of_ours(_trees()))


@pytest.mark.parametrize(
    ("module", "tree"), [pytest.param(*entry, id=entry[0]) for entry in _trees()]
)
def test_private_names_of_others_stand_in_few_files(module, tree):
    assert set(foreign_names(tree, OURS)) == FOREIGN.get(module, set())


def test_the_files_that_may_hold_private_names_are_there():
    assert FOREIGN.keys() <= {module for module, _ in _trees()}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("from sklearn.utils._tags import get_tags", {"sklearn"}),
        ("from sklearn.utils import _safe_indexing", {"sklearn"}),
        ("import torch._C", {"torch"}),
        ("from torch.optim.adam import adam", {"torch.optim.adam"}),
        ("from torch.optim import Adam", set()),
        ("small._buffers = dict(large._buffers)", {"_buffers"}),
        ("self.thing._ours(row._replace(a=1).__class__)", set()),
        ("from ._base import _ours", set()),
    ],
)
def test_the_test_finds_private_names(line, found):
    assert set(foreign_names(ast.parse(line), {"_ours"})) == found
