"""Which rows each network is not trained on, against what a user would count."""

import re

import numpy as np
import pytest
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    LeaveOneGroupOut,
    RepeatedKFold,
    ShuffleSplit,
    StratifiedGroupKFold,
    StratifiedKFold,
    TimeSeriesSplit,
)

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout._estimators.described import describe
from skdropout._estimators.fitting import prepare
from tests.reference import CROSS_FITTED, ESTIMATORS, quick, target

RNG = np.random.default_rng(0)
X = RNG.standard_normal((120, 3))


def sides(model, y, weight=None, groups=None):
    """Rows of X that each network is trained on, and those that are held out from it."""
    rows = X[: len(y)]
    fitting = prepare(model, describe(model, rows, y, weight, groups=groups))
    used, owned = fitting.described.given.used, fitting.job.rows.owned
    held_out = [held.numbers for held in fitting.held for _ in held.members]
    if owned is None:
        return [None] * len(held_out), held_out
    return [used[own] for own in owned.numpy()], held_out


def crossed(estimator_class, **parameters):
    return quick(estimator_class, **{**CROSS_FITTED, **parameters})


# ---- folds of rows -----------------------------------------------------------------------------


@pytest.mark.parametrize("n_rows", [20, 21, 24, 99, 120])
@pytest.mark.parametrize("cv", [2, 3, 5])
def test_every_row_is_in_one_fold_and_the_others_are_trained_on(n_rows, cv):
    trained, held_out = sides(crossed(DropoutMLPRegressor, cv=cv), X[:n_rows, 0])
    assert len(held_out) == cv
    assert sorted(np.concatenate(held_out)) == list(range(n_rows))
    sizes = [len(rows) for rows in held_out]
    assert max(sizes) - min(sizes) <= 1
    for train, held in zip(trained, held_out, strict=True):
        assert sorted({*train, *held}) == list(range(n_rows))
        assert not {*train} & {*held}


def test_members_of_a_fold_share_it():
    trained, held_out = sides(crossed(DropoutMLPRegressor, n_members=3), X[:, 0])
    assert len(held_out) == 15
    for first in range(0, 15, 3):
        for other in (first + 1, first + 2):
            np.testing.assert_array_equal(trained[first], trained[other])
            np.testing.assert_array_equal(held_out[first], held_out[other])


@pytest.mark.parametrize("counts", [(60, 60), (100, 20), (70, 47, 3), (113, 5, 2)])
def test_classes_are_in_every_fold_in_their_share(counts):
    y = RNG.permutation(np.repeat(np.arange(len(counts)), counts))
    _, held_out = sides(crossed(DropoutMLPClassifier), y)
    for label, count in enumerate(counts):
        in_folds = [int((y[rows] == label).sum()) for rows in held_out]
        assert sum(in_folds) == count
        assert max(in_folds) - min(in_folds) <= 1


def test_a_class_of_one_row_is_trained_on_by_all():
    y = np.where(np.arange(120) == 17, 2, np.arange(120) % 2)
    trained, held_out = sides(crossed(DropoutMLPClassifier), y)
    assert 17 not in np.concatenate(held_out)
    assert all(17 in train for train in trained)
    model = crossed(DropoutMLPClassifier, store_oof=True).fit(X, y)
    assert model.predict_proba(X).shape == (120, 3)
    assert np.flatnonzero(np.isnan(model.oof_proba_).any(1)).tolist() == [17]


@pytest.mark.parametrize(
    ("n_rows", "n_folds"), [(7, 0), (8, 2), (11, 2), (12, 3), (19, 4), (20, 5), (40, 5)]
)
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_a_small_table_gives_fewer_folds_and_a_tiny_one_none(estimator_class, n_rows, n_folds):
    y = np.arange(n_rows) % 2 if estimator_class is DropoutMLPClassifier else X[:n_rows, 0]
    model = crossed(estimator_class).fit(X[:n_rows], y)
    assert model.n_folds_ == n_folds
    assert len(model.predict_members(X)) == max(n_folds, 1)
    assert np.isfinite(model.log_prob(X[:n_rows], y)).all()


def test_the_folds_follow_from_the_random_state():
    model = crossed(DropoutMLPRegressor)
    first, again = (sides(model, X[:, 0])[1] for _ in range(2))
    other = sides(model.set_params(random_state=1), X[:, 0])[1]
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_rows_of_weight_zero_are_in_no_fold(estimator_class):
    y = target(estimator_class, np.arange(120) % 2)
    weight = np.where(np.arange(120) % 3, 1.0, 0.0)
    used = np.flatnonzero(weight)
    trained, held_out = sides(crossed(estimator_class), y, weight)
    assert sorted(np.concatenate(held_out)) == used.tolist()
    assert {*np.concatenate(trained)} == {*used}


# ---- groups ------------------------------------------------------------------------------------


def assert_groups_are_apart(trained, held_out, groups):
    for train, held in zip(trained, held_out, strict=True):
        assert not {*groups[train]} & {*groups[held]}


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
@pytest.mark.parametrize("labels", [np.arange(13), np.array([f"patient {k}" for k in range(13)])])
def test_a_patient_is_never_on_both_sides(estimator_class, labels):
    y = target(estimator_class, np.arange(120) % 2)
    groups = labels[RNG.integers(13, size=120)]
    trained, held_out = sides(crossed(estimator_class), y, groups=groups)
    assert len(held_out) == 5
    assert sorted(np.concatenate(held_out)) == list(range(120))
    assert_groups_are_apart(trained, held_out, groups)


def test_classes_are_spread_over_folds_of_groups():
    """Forty patients of four rows, a quarter of which are ill."""
    y = np.repeat(np.arange(30) % 4 == 0, 4).astype(int)
    _, held_out = sides(crossed(DropoutMLPClassifier), y, groups=np.repeat(np.arange(30), 4))
    shares = [y[rows].mean() for rows in held_out]
    assert 0.1 < min(shares) <= max(shares) < 0.4


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
@pytest.mark.parametrize("n_groups", [1, 2, 3, 7])
def test_there_are_no_more_folds_than_groups(estimator_class, n_groups):
    y = target(estimator_class, RNG.integers(2, size=120))
    model = crossed(estimator_class).fit(X, y, groups=np.arange(120) % n_groups)
    assert model.n_folds_ == (0 if n_groups == 1 else min(n_groups, 5))
    assert (model.calibration_ is None) == (n_groups == 1)


def test_a_class_that_one_patient_has_is_trained_on_by_all():
    groups = np.repeat(np.arange(12), 10)
    y = np.where(groups == 4, 2, np.arange(120) % 2)
    trained, held_out = sides(crossed(DropoutMLPClassifier), y, groups=groups)
    assert not (groups[np.concatenate(held_out)] == 4).any()
    assert all((y[train] == 2).any() for train in trained)
    assert {*np.concatenate(held_out)} == {*np.flatnonzero(groups != 4)}


@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_the_part_for_early_stopping_has_patients_of_its_own(estimator_class):
    y, groups = target(estimator_class, np.arange(120) % 2), np.arange(120) // 6
    model = quick(estimator_class, early_stopping=True, validation_fraction=0.2)
    fitting = prepare(model, describe(model, X, y, groups=groups))
    (held,) = fitting.held
    train = np.delete(np.arange(120), held.numbers)
    assert len(np.unique(groups[held.numbers])) == 4
    assert not {*groups[train]} & {*groups[held.numbers]}
    assert len(fitting.job.rows) == len(train)


@pytest.mark.parametrize("seed", range(8))
def test_the_part_for_early_stopping_takes_no_class_away(seed):
    groups = np.arange(120) // 20
    y = np.where(groups == 2, 2, np.where(np.arange(120) == 7, 3, np.arange(120) % 2))
    model = quick(DropoutMLPClassifier, early_stopping=True, random_state=seed)
    with pytest.warns(UserWarning, match=r"no rows are held out .*: 3 \(1\)"):
        (held,) = prepare(model, describe(model, X, y, groups=groups)).held
    assert {*groups[held.numbers]} <= {1, 3, 4, 5}


def test_one_patient_cannot_be_held_out():
    model = quick(DropoutMLPRegressor, early_stopping=True)
    with pytest.raises(ValueError, match=r"DropoutMLPRegressor: cannot hold out validation_frac"):
        model.fit(X, X[:, 0], groups=np.zeros(120))


def test_groups_that_are_the_classes_cannot_be_held_out():
    y = np.arange(120) % 2
    assert crossed(DropoutMLPClassifier).fit(X, y, groups=y).n_folds_ == 0
    with pytest.raises(ValueError, match=r"cannot hold out validation_fraction=0\.1"):
        quick(DropoutMLPClassifier, early_stopping=True).fit(X, y, groups=y)


# ---- splitters and iterables -------------------------------------------------------------------

SPLITTERS = {
    "kfold": KFold(4),
    "shuffled": KFold(3, shuffle=True, random_state=2),
    "stratified": StratifiedKFold(4),
    "groups": GroupKFold(3),
    "stratified groups": StratifiedGroupKFold(3),
    "each group": LeaveOneGroupOut(),
    "shuffle split": ShuffleSplit(3, test_size=0.3, random_state=0),
    "repeated": RepeatedKFold(n_splits=2, n_repeats=2, random_state=0),
    "time series": TimeSeriesSplit(3),
}


@pytest.mark.parametrize("kind", SPLITTERS)
@pytest.mark.parametrize("as_list", [False, True])
def test_splits_are_those_of_the_splitter(kind, as_list):
    y, groups = RNG.integers(2, size=120), np.arange(120) % 5 if "group" in kind else None
    expected = list(SPLITTERS[kind].split(X, y, groups))
    cv = expected if as_list else SPLITTERS[kind]
    trained, held_out = sides(crossed(DropoutMLPClassifier, cv=cv), y, groups=groups)
    assert len(held_out) == len(expected)
    for (train, held), ours, theirs in zip(expected, trained, held_out, strict=True):
        # Networks with fewer rows than others see some twice.
        assert {*ours} == {*train}
        np.testing.assert_array_equal(theirs, held)


def test_splits_that_can_be_read_once():
    splits = KFold(3).split(X)
    assert crossed(DropoutMLPRegressor, cv=splits).fit(X, X[:, 0]).n_folds_ == 3


def test_masks_and_negative_numbers_are_splits():
    first = np.arange(120) < 60
    cv = [(first, ~first), (np.arange(-60, 0), range(60))]
    trained, held_out = sides(crossed(DropoutMLPRegressor, cv=cv), X[:, 0])
    np.testing.assert_array_equal(trained, [range(60), range(60, 120)])
    np.testing.assert_array_equal(held_out, [range(60, 120), range(60)])


def test_one_split_is_a_part_that_is_held_out():
    cv = [(np.arange(80), np.arange(80, 120))]
    model = crossed(DropoutMLPRegressor, cv=cv).fit(X, X[:, 0])
    assert model.n_folds_ == 0
    assert model.calibration_["method"] == "held-out part"
    assert model.calibration_["n_rows"] == 40


def test_splits_number_the_rows_as_they_were_given():
    weight = np.where(np.arange(120) < 30, 0.0, 1.0)
    cv = [(np.arange(100), np.arange(100, 120)), (np.arange(50, 120), np.arange(50))]
    trained, held_out = sides(crossed(DropoutMLPRegressor, cv=cv), X[:, 0], weight)
    assert [[*held] for held in held_out] == [[*range(100, 120)], [*range(30, 50)]]
    assert [{*train} for train in trained] == [{*range(30, 100)}, {*range(50, 120)}]


BAD_SPLITS = {
    "both sides": ([(range(70), range(60, 120))], "split 0 .* holds out rows that it trains on"),
    "out of range": ([(range(60), range(60, 121))], "split 0 .* must be two arrays of ints"),
    "no ints": ([([0.0, 1.0], [2.0])], "split 0 .* among the 120 rows of X"),
    "no pairs": ([range(120)], "split 0 .* must be two arrays"),
    "three": ([(range(9), range(9, 20), range(20, 30))], "split 0 .* must be two arrays"),
    "numbers": ([3], "split 0 .* must be two arrays"),
    "nothing to train on": ([([], range(120))], "has 0 rows to train on and 120 held out"),
    "nothing held out": (
        [(range(60), range(60, 120)), (range(60), [])],
        "split 1 .* has 60 rows to train on and 0 held out",
    ),
    "no splits": ([], "must be of one split at least; use cv=None"),
}


@pytest.mark.parametrize("kind", BAD_SPLITS)
def test_bad_splits_get_a_sentence(kind):
    cv, message = BAD_SPLITS[kind]
    model = crossed(DropoutMLPRegressor, cv=cv)
    with pytest.raises(ValueError, match="DropoutMLPRegressor: .*" + message) as caught:
        model.fit(X, X[:, 0])
    assert f"cv={cv!r:.100}" in str(caught.value)
    assert not hasattr(model, "net_")


def test_a_split_whose_rows_have_no_weight_gets_a_sentence():
    weight = np.where(np.arange(120) < 60, 0.0, 1.0)
    cv = [(np.arange(60, 120), np.arange(60)), (np.arange(60), np.arange(60, 120))]
    with pytest.raises(ValueError, match=r"60 rows to train on and 0 held out \(with a weight\)"):
        crossed(DropoutMLPRegressor, cv=cv).fit(X, X[:, 0], weight)


# ---- bad groups --------------------------------------------------------------------------------

BAD_GROUPS = {
    "length": (np.arange(12), r"groups must have one entry for each of the 120 rows.*\(12,\)"),
    "table": (np.zeros((120, 2)), r"groups must have one entry .*\(120, 2\)"),
    "one": (3, r"groups must have one entry"),
    "NaN": (np.where(np.arange(120) == 5, np.nan, 1.0), "groups contains NaN"),
    "None": ([None, "a"] * 60, "groups must be labels of one kind, none of them missing"),
}


@pytest.mark.parametrize("kind", BAD_GROUPS)
@pytest.mark.parametrize("cv", [None, 5])
@pytest.mark.parametrize("estimator_class", ESTIMATORS)
def test_bad_groups_get_a_sentence(estimator_class, kind, cv):
    groups, message = BAD_GROUPS[kind]
    model = quick(estimator_class, cv=cv)
    with pytest.raises(ValueError, match=re.compile(message)):
        model.fit(X, target(estimator_class, np.arange(120) % 2), groups=groups)
    assert not hasattr(model, "net_")
