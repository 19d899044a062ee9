"""Every warning of the package names the line that the user wrote."""

import ast
import warnings
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import BayesianRidge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from skorch.callbacks import Callback
from torch import nn

import skdropout
from skdropout import DropoutMLPClassifier, DropoutMLPRegressor, DropoutModuleClassifier
from skdropout.decision import (
    FixedReferralClassifier,
    TunedReferralClassifierCV,
    TunedReferralRegressorCV,
)
from skdropout.families import Concrete
from skdropout.model_selection import BatchedGridSearchCV
from tests.reference import quick

RNG = np.random.default_rng(0)
X = RNG.standard_normal((60, 3))
LABELS = (X[:, 0] > 0).astype(int)
UNFINISHED = {"max_iter": 1, "tol": 0.0}


class PressesCtrlC(Callback):
    def on_batch_end(self, net, **kwargs):
        raise KeyboardInterrupt


def too_large_a_batch():
    quick(DropoutMLPClassifier, batch_size=500).fit(X, LABELS)


def too_large_a_batch_in_a_stream():
    quick(DropoutMLPClassifier, batch_size=500).partial_fit(X, LABELS)


def unfinished():
    quick(DropoutMLPClassifier, **UNFINISHED).fit(X, LABELS)


def unfinished_in_a_pipeline():
    make_pipeline(StandardScaler(), quick(DropoutMLPClassifier, **UNFINISHED)).fit(X, LABELS)


def unfinished_in_a_search():
    network = quick(DropoutMLPClassifier, **UNFINISHED)
    BatchedGridSearchCV(network, {"alpha": [0.1, 1.0]}, cv=2).fit(X, LABELS)


def interrupted():
    quick(DropoutMLPClassifier, callbacks=[PressesCtrlC()]).fit(X, LABELS)


def one_network_of_two_that_diverges():
    """It alone is trained on a row that is far from the others."""
    far = np.where(np.arange(60)[:, None] == 0, 1e15, X)
    halves = np.array_split(np.arange(60), 2)
    options = {"solver": "sgd", "cv": [halves, halves[::-1]], "input_encoding": None}
    quick(DropoutMLPRegressor, **options).fit(far, X[:, 0])


def a_rate_that_collapses():
    family = Concrete(kl_weight=0.0, noise_speed=500.0)
    quick(DropoutMLPClassifier, dropout=family, learning_rate_init=0.1, max_iter=300).fit(X, LABELS)


def heavy_rows():
    quick(DropoutMLPClassifier).partial_fit(X[:10], LABELS[:10], [1000.0] * 10, classes=[0, 1])


def a_constant_target():
    quick(DropoutMLPRegressor).fit(X, np.ones(60))


def a_class_of_one_row():
    y = np.where(np.arange(60) == 0, 2, LABELS)
    quick(DropoutMLPClassifier, early_stopping=True).fit(X, y)


def a_module_that_normalizes_what_it_dropped():
    layers = nn.Linear(3, 4), nn.Dropout(), nn.LayerNorm(4), nn.Linear(4, 2)
    DropoutModuleClassifier.from_trained(nn.Sequential(*layers), [0, 1]).predict(X)


def a_column_of_labels():
    quick(DropoutMLPClassifier).fit(X, LABELS[:, None])


def a_column_of_labels_for_referral():
    FixedReferralClassifier(DummyClassifier(), threshold=0.5).fit(X, LABELS[:, None])


def no_row_that_is_kept():
    referring = FixedReferralClassifier(quick(DropoutMLPClassifier), threshold=-1.0)
    referring.fit(X, LABELS).score(X, LABELS)


def no_threshold():
    TunedReferralRegressorCV(BayesianRidge(), max_error=1e-9, max_risk=0.01).fit(X, X[:, 0] ** 2)


def one_class_that_is_kept():
    y = (RNG.uniform(size=400) < 0.02).astype(int)
    TunedReferralClassifierCV(DummyClassifier(), max_risk=0.2).fit(np.ones((400, 1)), y)


CASES = {
    too_large_a_batch: "batch_size=500",
    too_large_a_batch_in_a_stream: "batch_size=500",
    unfinished: "max_iter=1 reached",
    unfinished_in_a_pipeline: "max_iter=1 reached",
    unfinished_in_a_search: "max_iter=1 reached",
    interrupted: "training interrupted",
    one_network_of_two_that_diverges: "1 of 2 networks diverged",
    a_rate_that_collapses: "collapsed",
    heavy_rows: "mean of 1000",
    a_constant_target: "y is constant",
    a_class_of_one_row: "no rows are held out",
    a_module_that_normalizes_what_it_dropped: "normalizes units right after a dropout",
    a_column_of_labels: "column-vector",
    a_column_of_labels_for_referral: "column-vector",
    no_row_that_is_kept: "score is NaN",
    no_threshold: "no threshold reaches",
    one_class_that_is_kept: "other classes are always referred",
}


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_a_warning_names_the_users_line(case):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        case()
    ours = [warning for warning in caught if CASES[case] in str(warning.message)]
    assert ours, [str(warning.message) for warning in caught]
    assert {warning.filename for warning in ours} == {__file__}


def _calls(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield ast.unparse(node.func), {keyword.arg for keyword in node.keywords}


def test_no_warning_goes_another_way():
    """A new one needs a case above; so do those that scikit-learn's checks would give."""
    package, found = Path(skdropout.__file__).parent, Counter()
    for path in package.rglob("*.py"):
        if path.name == "caller_warnings.py":
            continue
        for name, keywords in _calls(ast.parse(path.read_text())):
            assert not name.startswith("warnings.warn"), path
            assert name != "column_or_1d" or "warn" not in keywords, path
            found[path.name] += name == "warn"
    # Three complaints about a training share one of them.
    assert found.total() == len({*CASES.values()} - {"column-vector"}) - 2, +found
