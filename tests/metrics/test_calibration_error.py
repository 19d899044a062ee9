"""Expected calibration error: by hand, against the plain definition, and its conventions."""

import itertools

import numpy as np
import pytest

from skdropout.metrics import expected_calibration_error
from tests import randomness

# Four bins. Top probabilities 0.9, 0.8, 0.6, 0.55, 0.4; right, right, wrong, right, wrong.
PROBA = np.array(
    [[0.9, 0.1, 0.0], [0.1, 0.8, 0.1], [0.6, 0.2, 0.2], [0.2, 0.25, 0.55], [0.4, 0.3, 0.3]]
)
Y = np.array(["a", "b", "c", "c", "c"])


def plain_definition(stated, came_true, edges):
    """A loop over bins that are closed on the left, the last one on both sides."""
    error = 0.0
    for k, (low, high) in enumerate(itertools.pairwise(edges)):
        inside = (stated >= low) & ((stated < high) | (k == len(edges) - 2))
        if inside.any():
            error += inside.mean() * abs(stated[inside].mean() - came_true[inside].mean())
    return error


def random_case(n=500, seed=0):
    rng = np.random.default_rng(seed)
    proba = rng.dirichlet([0.5, 1, 2], size=n)
    return rng.integers(3, size=n), proba


def test_top_label_by_hand():
    # Bins [0.25, 0.5): 0.4 wrong. [0.5, 0.75): 0.6 wrong, 0.55 right. [0.75, 1]: 0.9, 0.8 right.
    expected = (0.4 + abs(1.15 - 1) + abs(1.7 - 2)) / 5
    assert expected_calibration_error(Y, PROBA, n_bins=4) == pytest.approx(expected)


def test_one_class_by_hand():
    y, proba = [0, 1, 0, 1], [0.1, 0.2, 0.6, 1.0]
    # Bins of a half: 0.1 and 0.2, one of two; 0.6 and 1.0, one of two.
    assert expected_calibration_error(y, proba, n_bins=2) == pytest.approx((0.7 + 0.6) / 4)
    names = np.array(["no", "yes"])[y]
    assert expected_calibration_error(
        names, proba, n_bins=2, pos_label="yes"
    ) == expected_calibration_error(y, proba, n_bins=2)


def test_bins_of_equal_count_by_hand():
    y, proba = [0, 1, 1, 1], [0.1, 0.2, 0.3, 0.9]
    expected = (abs(0.3 - 1) + abs(1.2 - 2)) / 4
    assert expected_calibration_error(y, proba, n_bins=2, strategy="quantile") == pytest.approx(
        expected
    )


def test_the_two_conventions_of_two_classes_differ():
    y, second = [0, 0, 1, 1], np.array([0.2, 0.2, 0.8, 0.6])
    top = expected_calibration_error(y, np.column_stack([1 - second, second]), n_bins=2)
    assert expected_calibration_error(y, second, n_bins=2) == pytest.approx((0.4 + 0.6) / 4)
    assert top == pytest.approx(1 - (0.8 + 0.8 + 0.8 + 0.6) / 4)


@pytest.mark.parametrize("n_bins", [1, 7, 15])
def test_equal_width_is_the_plain_definition(n_bins):
    y, proba = random_case()
    stated, came_true = proba.max(1), proba.argmax(1) == y
    expected = plain_definition(stated, came_true, np.linspace(0, 1, n_bins + 1))
    assert expected_calibration_error(y, proba, n_bins=n_bins) == pytest.approx(expected)


def test_equal_count_is_the_plain_definition():
    y, proba = random_case(n=600)
    stated, came_true = proba.max(1), proba.argmax(1) == y
    order = np.argsort(stated)
    chunks = np.split(order, 15)
    expected = sum(abs(stated[c].mean() - came_true[c].mean()) for c in chunks) / 15
    ours = expected_calibration_error(y, proba, strategy="quantile")
    assert ours == pytest.approx(expected)


@pytest.mark.parametrize("strategy", ["uniform", "quantile"])
def test_weight_is_repetition_and_order_does_not_matter(strategy):
    y, proba = random_case(n=80)
    proba = np.round(proba, 1)  # with ties
    proba[:, 2] = 1 - proba[:, :2].sum(1)
    proba = np.clip(proba, 0, 1)
    rng = np.random.default_rng(1)
    weight, order = rng.integers(4, size=80), rng.permutation(80)
    whole = expected_calibration_error(y, proba, strategy=strategy)
    assert expected_calibration_error(y[order], proba[order], strategy=strategy) == pytest.approx(
        whole
    )
    repeated = expected_calibration_error(
        np.repeat(y, weight), np.repeat(proba, weight, axis=0), strategy=strategy
    )
    weighted = expected_calibration_error(y, proba, strategy=strategy, sample_weight=weight)
    assert weighted == pytest.approx(repeated)


def test_true_probabilities_have_no_error_but_chance():
    """Statistical: the one bin's mean difference is zero, within its standard error."""
    rng = np.random.default_rng(0)
    proba = rng.random(40000)
    y = (rng.random(40000) < proba).astype(int)
    error = expected_calibration_error(y, proba, n_bins=1)
    assert error < randomness.Z * np.sqrt((proba * (1 - proba)).mean() / 40000)


def test_labels_name_the_columns():
    some = Y[:2], PROBA[:2]
    with pytest.raises(ValueError, match=r"3 columns, but there are 2 labels, \['a', 'b'\]"):
        expected_calibration_error(*some)
    assert expected_calibration_error(*some, labels=["a", "b", "c"]) == pytest.approx(0.15)
    shuffled = expected_calibration_error(Y, PROBA[:, [2, 0, 1]], labels=["c", "a", "b"])
    assert shuffled == pytest.approx(expected_calibration_error(Y, PROBA))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: expected_calibration_error([0, 1], [0.5]), "inconsistent numbers"),
        (lambda: expected_calibration_error([], []), "at least one row"),
        (lambda: expected_calibration_error([0, 1], [0.5, 1.5]), r"probabilities in \[0, 1\]"),
        (lambda: expected_calibration_error([0, 1], [0.5, np.nan]), r"probabilities in \[0, 1\]"),
        (lambda: expected_calibration_error([0, 1], [0.5, 0.5], n_bins=0), "n_bins must be.*got 0"),
        (lambda: expected_calibration_error([0, 1], [0.5, 0.5], n_bins=True), "n_bins.*got True"),
        (lambda: expected_calibration_error([0], [0.5], strategy="even"), "strategy.*got 'even'"),
        (lambda: expected_calibration_error([0, 1, 2], [0.5] * 3), "is for two classes"),
        (lambda: expected_calibration_error(["a", "b"], [0.5, 0.5]), "say pos_label"),
        (lambda: expected_calibration_error([2, 3], [0.5, 0.5]), "say pos_label"),
        (lambda: expected_calibration_error(Y, PROBA, pos_label="a"), "pos_label is for"),
        (lambda: expected_calibration_error(Y, PROBA, labels=[0, 1, 2]), "which labels does not"),
        (lambda: expected_calibration_error([0], np.ones((1, 1, 1))), r"got\s+\(1, 1, 1\)"),
        (lambda: expected_calibration_error([0, 1], [0, 1], sample_weight=[0, 0]), "all zero"),
    ],
)
def test_bad_input_gets_a_sentence(call, message):
    with pytest.raises(ValueError, match=message):
        call()
