"""How jobs are cut into stacks, and what travels between processes."""

import pickle
import warnings

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import GridSearchCV

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.model_selection import BatchedGridSearchCV, _stacks
from skdropout.model_selection._search import _Batched
from skdropout.model_selection._stacks import cut, step_bytes
from tests.reference import CROSS_FITTED, fitting_of, quick, target


def _jobs(X, y, sizes, **parameters):
    model = quick(DropoutMLPClassifier, batch_size=16, **parameters)
    return [fitting_of(model, X[:size], y[:size]).job for size in sizes]


def _costs(jobs, stacks):
    """Of each stack: what its steps move, and what any step costs besides."""
    steps = [job.max_iter * -(-len(job.rows) // job.plan.batch_size) for job in jobs]
    return [
        steps[stack[0]] * (_stacks._STEP_BYTES + sum(step_bytes(jobs[k]) for k in stack))
        for stack in stacks
    ]


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 7, 50])
@pytest.mark.parametrize("sizes", [[64] * 8, [64] * 8 + [80] * 2, [32, 64, 96], [64]])
def test_every_job_is_in_one_stack_with_its_equals(two_classes, n_jobs, sizes):
    jobs = _jobs(*two_classes, sizes)
    stacks = cut(jobs, n_jobs)
    assert sorted(position for stack in stacks for position in stack) == list(range(len(jobs)))
    for stack in stacks:
        assert len({jobs[position].stack_key() for position in stack}) == 1
    costs = _costs(jobs, stacks)
    assert costs == sorted(costs, reverse=True)


def test_two_processes_have_as_much_to_do(two_classes):
    # Folds of 64 rows have four batches, those of 80 have five: they cannot share a stack. Of
    # networks so wide, what any step costs besides is little.
    jobs = _jobs(*two_classes, [80] * 10 + [64] * 40, hidden_layer_sizes=(9000,))
    costs = _costs(jobs, cut(jobs, 2, stack_bytes=2**40))
    assert len(costs) == 3
    largest = max(_costs(jobs, [[position] for position in range(50)]))
    assert abs(costs[0] - (costs[1] + costs[2])) <= largest


def test_nothing_to_train():
    assert cut([], 2) == []


def test_stacks_stay_below_their_size(two_classes):
    jobs = _jobs(*two_classes, [64] * 10)
    stacks = cut(jobs, 1, stack_bytes=3 * step_bytes(jobs[0]))
    assert sorted(len(stack) for stack in stacks) == [2, 2, 3, 3]
    assert [len(stack) for stack in cut(jobs, 1, stack_bytes=1)] == [1] * 10


def test_processes_share_the_stacks(two_classes):
    """In float32, as other processes train, so by a few steps that do not make rounding grow."""
    model, grid = quick(DropoutMLPClassifier, solver="sgd"), {"dropout_rate": [0.1, 0.3, 0.5]}
    ours, theirs = (
        search_class(model, grid, cv=3, scoring="neg_log_loss", n_jobs=2).fit(*two_classes)
        for search_class in (BatchedGridSearchCV, GridSearchCV)
    )
    for name in ("mean_test_score", "std_test_score"):
        np.testing.assert_allclose(ours.cv_results_[name], theirs.cv_results_[name], rtol=1e-5)
    assert ours.best_index_ == theirs.best_index_


# ---- what travels ------------------------------------------------------------------------------


def _with_pickles(monkeypatch):
    """Let searches go on with copies of their trained estimators. Returns the pickles."""
    pickles, hand = [], _Batched._hand

    def watched(self, *args):
        pickles[:] = [pickle.dumps(estimator) for estimator in hand(self, *args)]
        return [pickle.loads(dumped) for dumped in pickles]

    monkeypatch.setattr(_Batched, "_hand", watched)
    return pickles


@pytest.mark.parametrize("calibrate", [False, True])
@pytest.mark.parametrize("estimator_class", [DropoutMLPClassifier, DropoutMLPRegressor])
def test_what_went_through_a_pickle_is_the_same(
    two_classes, monkeypatch, estimator_class, calibrate
):
    X, y = two_classes
    y = target(estimator_class, y)
    model = quick(estimator_class, calibrate=calibrate)
    search = BatchedGridSearchCV(model, {"dropout_rate": [0.1, 0.4]}, cv=3, refit=False)
    expected = search.fit(X, y).cv_results_["mean_test_score"]
    pickles = _with_pickles(monkeypatch)
    np.testing.assert_array_equal(search.fit(X, y).cv_results_["mean_test_score"], expected)
    assert len(pickles) == 6


def test_rows_travel_only_with_estimators_that_need_them(two_classes, monkeypatch):
    pickles = _with_pickles(monkeypatch)
    X, y = two_classes
    X = np.tile(X, (20, 10)).astype(np.float32)
    y = np.tile(y, 20)
    sizes = {}
    for calibrate in (False, True):
        model = quick(DropoutMLPClassifier, calibrate=calibrate, max_iter=3, batch_size=200)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            BatchedGridSearchCV(model, {"dropout_rate": [0.1]}, cv=2, refit=False).fit(X, y)
        sizes[calibrate] = len(pickles[0])
    rows = X.nbytes // 2
    assert sizes[False] < rows / 4
    assert sizes[True] > rows


def test_candidates_that_stop_and_calibrate_in_two_processes(real_target):
    """Their networks go to another process to be scored, with rows that calibrate them."""
    X, y = real_target
    model = quick(DropoutMLPRegressor, **CROSS_FITTED, validation_fraction=0.2, max_iter=12)
    grid = {"dropout_rate": [0.05, 0.2], "n_members": [1, 2]}
    here, there = (
        BatchedGridSearchCV(model, grid, cv=2, scoring=_scale, n_jobs=n_jobs, refit=False)
        for n_jobs in (None, 2)
    )
    here.fit(X, y)
    there.fit(X, y)
    for name in ("mean_test_scale", "mean_test_log_prob"):
        np.testing.assert_allclose(there.cv_results_[name], here.cv_results_[name], rtol=1e-6)


def _scale(estimator, X, y):
    return {
        "scale": float(estimator.calibration_["scale"]),
        "log_prob": estimator.log_prob(X, y).mean(),
    }
