import pickle

import numpy as np
import pytest
import torch
from scipy import sparse

from skdropout._support.compressed import (
    Compressed,
    given,
    held,
    joined,
    rows_of,
    rows_within,
)


@pytest.fixture(params=["any lengths", "nearly equal lengths"])
def matrix(request):
    matrix = sparse.lil_matrix((30, 12))
    rng = np.random.default_rng(0)
    equal = request.param == "nearly equal lengths"
    for row in range(30):
        length = 4 - (row % 5 == 0) if equal else rng.integers(0, 6)
        matrix[row, rng.choice(11, length, replace=False)] = rng.uniform(-1, 1, length)
    # A row and a column without an entry, and the largest one.
    matrix[4], matrix[:, 3], matrix[7, 0] = 0, 0, 1.5
    if not equal:
        matrix[7] = 1.5
    matrix = matrix.tocsr()
    assert (rows_of(matrix).each is not None) == equal
    return matrix


def test_dense_rows_are_those_of_the_matrix(matrix):
    for some in (matrix, sparse.csr_array(matrix), matrix.astype(np.float32)):
        rows = rows_of(some)
        assert (rows.shape, len(rows)) == ((30, 12), 30)
        np.testing.assert_array_equal(rows.to_dense().numpy(), some.toarray())
        assert rows.to(torch.float32).to_dense().dtype == torch.float32
        np.testing.assert_array_equal(given(rows).toarray(), some.toarray())


@pytest.mark.parametrize("index", [[3], [4, 4, 29], [29, 0, 7, 7, 4], list(range(30))[::-1], []])
def test_some_rows_in_any_order(matrix, index):
    rows = rows_of(matrix).index_select(0, torch.tensor(index, dtype=torch.int64))
    np.testing.assert_array_equal(rows.to_dense().numpy(), matrix.toarray()[index])


@pytest.mark.parametrize("part", [slice(3, 9), slice(0), slice(28, 99), slice(None), slice(9, 3)])
def test_some_rows_in_a_row(matrix, part):
    some = rows_of(matrix)[part]
    np.testing.assert_array_equal(some.to_dense().numpy(), matrix.toarray()[part])


def test_parts_that_are_joined_are_the_whole(matrix):
    rows = rows_of(matrix)
    whole = joined([rows[:5], rows[5:5], rows[5:29], rows[29:]])
    assert whole.equal(rows)
    assert not whole.equal(rows[torch.arange(30).flip(0)])


def test_several_entries_of_a_cell_are_added_up_and_the_callers_matrix_is_as_it_was():
    matrix = sparse.csr_matrix(([1.0, 2.0, 4.0], [1, 1, 0], [0, 3]), shape=(1, 2))
    np.testing.assert_array_equal(rows_of(matrix).to_dense().numpy(), [[4.0, 3.0]])
    assert matrix.data.tolist() == [1.0, 2.0, 4.0]


def test_a_pickle_holds_the_entries_only(matrix):
    wide = rows_of(sparse.random(50, 10**6, 1e-5, format="csr", random_state=0))
    again = pickle.loads(pickle.dumps(wide))
    assert isinstance(again, Compressed)
    assert again.equal(wide)
    assert len(pickle.dumps(wide)) < 20_000


def test_how_many_rows_are_dense_at_once(matrix):
    rows = rows_of(matrix)
    assert rows_within(rows, 30, 12 * 8 * 5) == 5
    assert rows_within(rows, 3, 12 * 8 * 5) == 3
    assert rows_within(rows, 30, 1) == 1
    assert rows_within(rows_of(matrix.toarray()), 30, 1) == 30
    assert held(rows).abs().max() == 1.5
