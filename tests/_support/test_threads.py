"""One thread for small work, the caller's for large work, and nothing that others would notice."""

import threading

import numpy as np
import pytest
import torch
from sklearn.exceptions import ConvergenceWarning
from skorch.callbacks import Callback

from skdropout import DropoutMLPRegressor
from skdropout._support import threads
from skdropout._support.threads import spread, threads_for
from skdropout.model_selection import BatchedGridSearchCV
from tests.reference import ESTIMATORS, quick, target

LARGE = 10**12


@pytest.fixture(autouse=True)
def two_threads():
    """What a user with two cores has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


class Spy(Callback):
    """Notes what `look` sees at the end of each epoch."""

    seen: list = []

    def __init__(self, look=torch.get_num_threads):
        self.look = look

    def on_epoch_end(self, net, **kwargs):
        self.seen.append(self.look())


@pytest.fixture
def seen(monkeypatch):
    monkeypatch.setattr(Spy, "seen", [])
    return Spy.seen


@pytest.fixture
def addmm(monkeypatch):
    """Numbers of threads of all products of the draws."""
    counts, original = [], torch.addmm

    def counted(*args, **kwargs):
        counts.append(torch.get_num_threads())
        return original(*args, **kwargs)

    monkeypatch.setattr(torch, "addmm", counted)
    return counts


def in_a_new_thread(function):
    result = []
    thread = threading.Thread(target=lambda: result.append(function()))
    thread.start()
    thread.join()
    return result[0]


def mkl_threads():
    """MKL's own number in this thread; zero where it has none, or where there is no MKL."""
    set_local = threads._mkl_set_local()
    n_threads = set_local(1)
    set_local(n_threads)
    return n_threads


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_a_small_network_is_trained_on_one_thread(estimator_class, two_classes, seen):
    X, y = two_classes
    model = quick(estimator_class, callbacks=[("spy", Spy())], early_stopping=True)
    model.fit(X, target(estimator_class, y))
    assert set(seen) == {1}
    model.set_params(early_stopping=False).partial_fit(X, target(estimator_class, y))
    assert set(seen) == {1}


def test_a_large_network_is_trained_on_all_threads(real_target, seen):
    parameters = {"hidden_layer_sizes": (512, 512), "batch_size": 120, "max_iter": 1}
    model = quick(DropoutMLPRegressor, **parameters, callbacks=[("spy", Spy())])
    with pytest.warns(ConvergenceWarning):
        model.fit(*real_target)
    assert seen == [2]


def test_a_search_trains_small_stacks_on_one_thread(real_target, seen):
    model = quick(DropoutMLPRegressor, callbacks=[("spy", Spy())])
    BatchedGridSearchCV(model, {"dropout_rate": [0.1, 0.2]}, cv=2).fit(*real_target)
    assert seen
    assert set(seen) == {1}


def test_few_small_draws_are_one_product_on_one_thread(real_target, addmm):
    X, y = real_target
    model = quick(DropoutMLPRegressor).fit(X, y)
    addmm.clear()
    model.predict(X[:50])
    assert set(addmm) == {1}


def test_many_draws_of_a_wide_layer_are_parts_on_one_thread_each(real_target, addmm):
    X, y = real_target
    model = quick(DropoutMLPRegressor, hidden_layer_sizes=(300,)).fit(X, y)
    model.set_params(n_draws=1000)
    addmm.clear()
    model.predict(np.tile(X, (10, 1))[:200])
    # 60 million multiply-adds in parts of nearly ten, and the map that all draws share.
    assert addmm == [1] * (1 + 7)


def test_few_rows_of_a_wide_network_are_one_product_on_all_threads(real_target, monkeypatch):
    X, y = real_target
    model = quick(DropoutMLPRegressor, hidden_layer_sizes=(200, 200)).fit(X, y)
    counts, original = [], torch.matmul

    def counted(*args):
        counts.append(torch.get_num_threads())
        return original(*args)

    monkeypatch.setattr(torch, "matmul", counted)
    model.set_params(n_draws=100).predict(X[:50])
    assert set(counts) == {2}


def test_draws_of_deep_networks_take_one_thread_each(real_target, addmm):
    X, y = real_target
    model = quick(DropoutMLPRegressor, hidden_layer_sizes=(100, 100)).fit(X, y)
    addmm.clear()
    model.predict(np.tile(X, (10, 1))[:200])
    assert set(addmm) == {1}


@pytest.mark.parametrize("hidden", [(60, 60), (60,)])
@pytest.mark.parametrize("inference", ["draws", "moments"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_predictions_do_not_depend_on_the_number_of_threads(real_target, inference, dtype, hidden):
    X, y = real_target
    model = quick(DropoutMLPRegressor, hidden_layer_sizes=hidden, inference=inference).fit(X, y)
    X = np.random.default_rng(0).standard_normal((12_000, X.shape[1])).astype(dtype)
    with_two = model.predict_uncertainty(X)
    torch.set_num_threads(1)
    with_one = model.predict_uncertainty(X)
    torch.set_num_threads(2)
    for one, two in zip(with_one, with_two, strict=True):
        np.testing.assert_array_equal(one, two)


def test_other_threads_keep_theirs_while_a_network_is_trained(real_target, seen):
    """Those that use torch for the first time too, now and later."""
    asked, ask, answer, old = threading.Event(), threading.Event(), threading.Event(), []

    def older_thread():
        old.append(torch.get_num_threads())
        asked.set()
        assert ask.wait(60)
        old.append(torch.get_num_threads())
        answer.set()

    thread = threading.Thread(target=older_thread)
    thread.start()
    assert asked.wait(60)

    def look():
        ask.set()
        assert answer.wait(60)
        return torch.get_num_threads(), in_a_new_thread(torch.get_num_threads)

    quick(DropoutMLPRegressor, callbacks=[("spy", Spy(look))]).fit(*real_target)
    thread.join()
    assert set(seen) == {(1, 2)}
    assert old == [2, 2]
    assert in_a_new_thread(torch.get_num_threads) == 2


def test_a_thread_that_never_used_torch_trains_on_one_and_has_two_afterwards(real_target, seen):
    def fit_and_look():
        quick(DropoutMLPRegressor, callbacks=[("spy", Spy())]).fit(*real_target)
        return torch.get_num_threads()

    assert in_a_new_thread(fit_and_look) == 2
    assert set(seen) == {1}


def test_errors_of_a_callback_put_the_threads_back(real_target):
    def fail():
        raise RuntimeError("the power went out")

    before = mkl_threads()
    with pytest.raises(RuntimeError, match="the power went out"):
        quick(DropoutMLPRegressor, callbacks=[("spy", Spy(fail))]).fit(*real_target)
    assert torch.get_num_threads() == 2
    assert mkl_threads() == before
    assert threads.allowed_threads() == 2


# ---- blocks and turns ------------------------------------------------------------------------


def test_a_large_operation_in_a_block_has_what_the_caller_has():
    before = mkl_threads()
    with threads_for():
        assert torch.get_num_threads() == 1
        assert mkl_threads() <= 1
        with threads_for(LARGE):
            assert torch.get_num_threads() == 2
            with threads_for():
                assert torch.get_num_threads() == 1
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    assert mkl_threads() == before


def test_one_thread_stays_one_thread():
    torch.set_num_threads(1)
    with threads_for(LARGE):
        assert torch.get_num_threads() == 1
    assert len(set(spread(lambda _: threading.get_ident(), range(8), LARGE))) == 1
    torch.set_num_threads(2)


def test_items_are_taken_by_all_threads_at_once():
    # Each waits for another one, so it hangs and fails if they go one after the other.
    meeting = threading.Barrier(2, timeout=60)

    def meet(number):
        meeting.wait()
        with threads_for(LARGE):
            return number, threading.get_ident(), torch.get_num_threads()

    numbers, threads, _ = zip(*spread(meet, range(2), LARGE), strict=True)
    assert numbers == (0, 1)
    assert len(set(threads)) == 2
    assert torch.get_num_threads() == 2


def test_threads_that_help_are_in_the_callers_modes():
    meeting = threading.Barrier(2, timeout=60)

    def modes(_):
        meeting.wait()
        return torch.is_inference_mode_enabled(), torch.is_grad_enabled(), torch.get_num_threads()

    with torch.inference_mode():
        assert spread(modes, range(2), LARGE) == [(True, False, 1)] * 2
    with torch.no_grad():
        assert spread(modes, range(2), LARGE) == [(False, False, 1)] * 2


@pytest.mark.parametrize("failing", ["helper", "caller"])
def test_an_error_in_any_thread_is_the_callers(failing):
    meeting, here = threading.Barrier(2, timeout=60), threading.get_ident()

    def fail(number):
        if number < 2:
            meeting.wait()
            if (threading.get_ident() == here) == (failing == "caller"):
                raise RuntimeError("the power went out")

    with pytest.raises(RuntimeError, match="the power went out"):
        spread(fail, range(100), LARGE)
    assert torch.get_num_threads() == 2


def test_small_items_and_few_items_stay_in_the_callers_thread():
    for n_items, size in [(100, 10), (1, LARGE), (100, 0)]:
        threads = set(spread(lambda _: threading.get_ident(), range(n_items), size))
        assert threads == {threading.get_ident()}
