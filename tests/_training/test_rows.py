import pytest
import torch

from skdropout._training.rows import Blocks, Rows, join_rows, part_sizes
from skdropout.families import NoiseSource

CPU = torch.device("cpu")


def _rows(n_rows=10, weighted=True):
    x = torch.arange(n_rows, dtype=torch.float32).unsqueeze(1)
    return Rows(x, 10 * x[:, 0], 100 * x[:, 0] if weighted else None)


def _blocks(rows, block_size, order):
    return [rows[index] for index in Blocks(rows, block_size, order)]


def test_without_an_order_the_rows_come_as_they_are():
    blocks = _blocks(_rows(), 4, None)
    assert [block[0].shape for block in blocks] == [(1, 4, 1), (1, 4, 1), (1, 2, 1)]
    assert torch.equal(torch.cat([x for x, _, _ in blocks], 1)[0, :, 0], torch.arange(10.0))


@pytest.mark.parametrize("block_size", [1, 3, 10, 99])
def test_an_epoch_holds_every_row_once_with_its_target_and_weight(block_size):
    x, y, weight = (
        torch.cat(parts, 1)
        for parts in zip(*_blocks(_rows(), block_size, NoiseSource([0, 1], CPU)), strict=True)
    )
    for member in range(2):
        assert torch.equal(x[member, :, 0].sort().values, torch.arange(10.0))
    assert torch.equal(y, 10 * x[..., 0])
    assert torch.equal(weight, 100 * x[..., 0])


def test_epochs_and_members_have_orders_of_their_own():
    blocks = Blocks(_rows(50), 50, NoiseSource([0, 1], CPU))
    (first,), (second,) = list(blocks), list(blocks)
    assert not torch.equal(first, second)
    assert not torch.equal(first[0], first[1])


def test_the_order_does_not_depend_on_the_block_size():
    orders = [
        torch.cat(list(Blocks(_rows(50), size, NoiseSource([0], CPU))), 1) for size in (7, 50)
    ]
    assert torch.equal(*orders)


@pytest.mark.parametrize("smallest", [1, 2])
def test_every_row_is_in_one_batch_and_no_batch_is_too_small(smallest):
    for n_rows in range(smallest, 60):
        for size in range(smallest, 25):
            sizes = part_sizes(n_rows, size, smallest)
            assert sum(sizes) == n_rows
            assert min(sizes) >= smallest
            # As small as the rule allows: only a rest that is too small makes a part larger.
            assert set(sizes[:-1]) <= {size}
            assert sizes[-1] < size + smallest
            if smallest == 1 or n_rows % size != 1:
                assert sizes == [len(part) for part in torch.arange(n_rows).split(size)]


@pytest.mark.parametrize("order", [None, NoiseSource([0, 5], CPU)])
def test_blocks_and_their_batches_leave_no_row_alone(order):
    for n_rows in range(2, 40):
        for size in range(2, 9):
            for per_block in (1, 2, 5):
                blocks = Blocks(_rows(n_rows), per_block * size, order, smallest=2)
                starts, parts = [], []
                for block in blocks:
                    starts.append(blocks.start)
                    parts.append(block)
                    assert min(part_sizes(block.shape[1], size, 2)) >= 2
                numbers = torch.cat(parts, 1)
                assert (numbers.sort().values == torch.arange(n_rows)).all()
                assert starts == [sum(p.shape[1] for p in parts[:k]) for k in range(len(parts))]


def test_rows_without_weights():
    rows = _rows(weighted=False)
    assert len(rows.to(CPU)) == 10
    assert rows[2:4][2] is None


@pytest.mark.parametrize("order", [None, NoiseSource([0, 0, 5], CPU)])
def test_members_with_rows_of_their_own(order):
    first, second = _rows(6), Rows(torch.full((6, 1), -1.0), torch.full((6,), -10.0))
    rows = join_rows([first, second, first])
    assert len(rows) == 6
    assert len(rows.x) == 12
    x, y, weight = (torch.cat(parts, 1) for parts in zip(*_blocks(rows, 4, order), strict=True))
    assert torch.equal(x[[0, 2], :, 0].sort().values, torch.arange(6.0).expand(2, -1))
    assert torch.equal(y, 10 * x[..., 0])
    assert (weight[1] == 1).all()
    assert torch.equal(weight[[0, 2]], 100 * x[[0, 2], :, 0])
    (few,) = Blocks(rows.select(torch.tensor([1])), 99, None)
    assert torch.equal(few, torch.arange(6, 12).unsqueeze(0))


@pytest.mark.parametrize("weighted", [False, True])
def test_members_with_fewer_rows(weighted):
    rows = join_rows([_rows(6, weighted), _rows(5, weighted)])
    assert len(rows) == 6
    blocks = Blocks(rows, 4, NoiseSource([0, 0], CPU, [6, 5]))
    (first, whole), (last, weight) = [(index, blocks.weight(index)) for index in blocks]
    assert blocks.counting(2).tolist() == [2, 1]
    numbers = torch.cat([first, last], 1)
    assert torch.equal(numbers[0].sort().values, torch.arange(6))
    # The second member's rows stand behind the six of the first.
    assert torch.equal(numbers[1, :5].sort().values, torch.arange(6, 11))
    if weighted:
        assert torch.equal(whole, rows.weight[first])
        assert torch.equal(weight, rows.weight[last] * torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    else:
        assert whole is None
        assert torch.equal(weight, torch.tensor([[1.0, 1.0], [1.0, 0.0]]))
    alone = Blocks(_rows(5), 99, NoiseSource([0], CPU))
    assert torch.equal(next(iter(alone))[0] + 6, numbers[1, :5])
    few = rows.select(torch.tensor([False, True])).to(CPU)
    assert few.lengths.tolist() == [5]


def test_members_with_rows_for_fewer_blocks():
    rows = join_rows([_rows(6, False), _rows(3, False), _rows(1, False)])
    blocks = Blocks(rows, 2, None)
    counts = [(blocks.counting(2), blocks.weight(index)) for index in blocks]
    assert [count.tolist() for count, _ in counts] == [[2, 2, 1], [2, 1, 0], [2, 0, 0]]
    weight = torch.cat([part for _, part in counts], 1)
    assert torch.equal(weight.sum(1), torch.tensor([6.0, 3.0, 1.0]))
    assert torch.equal(weight[1], torch.tensor([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]))


def test_members_that_leave_between_epochs():
    parts = [_rows(6), Rows(torch.full((6, 1), -1.0), torch.full((6,), -10.0))]
    rows, order = join_rows([parts[k] for k in (0, 1, 0, 1)]), NoiseSource([0, 0, 0, 5], CPU)
    blocks = Blocks(rows, 99, order)
    (before,) = blocks
    assert [len(values) for values in blocks.kinds] == [3, 4]
    kept = torch.tensor([False, True, False, True])
    blocks.rows, blocks.order = rows.select(kept), order.select([1, 3])
    (after,) = blocks
    assert [len(values) for values in blocks.kinds] == [2, 2]
    for index in (before[kept], after):
        assert (rows.x[index] == -1).all()
    assert torch.equal(blocks.take(rows.x, after), rows.x[after])


def test_rows_with_gaps_in_their_targets_are_the_same_rows():
    """So that candidates of a search hold them once; a gap is equal to nothing but a gap."""
    x = torch.arange(6.0).view(3, 2)
    y = torch.tensor([[1.0, torch.nan], [torch.nan, 2.0], [3.0, 4.0]])
    rows = Rows(x, y)
    assert rows.has_gaps
    assert rows.same_as(Rows(x.clone(), y.clone()))
    for other in (y.nan_to_num(0.0), y[:, :1], y.flip(1), y + 1):
        assert not rows.same_as(Rows(x, other))
        assert not Rows(x, other).same_as(rows)
    assert not Rows(x, y.nan_to_num(0.0)).has_gaps
    assert not Rows(x, torch.tensor([1, 0, 1])).has_gaps


@pytest.mark.parametrize("shuffled", [False, True])
def test_members_have_rows_of_their_own(shuffled):
    """One has fewer than the others, and sees two of them twice in an epoch."""
    numbers = [torch.tensor(own) for own in ([0, 2, 4, 6, 8], [1, 3, 5], [5, 6, 7, 8, 9])]
    rows = _rows().of_members(numbers)
    assert len(rows) == 5
    order = NoiseSource([0, 1, 2], CPU) if shuffled else None
    for _ in range(2):
        x, y, weight = (torch.cat(parts, 1) for parts in zip(*_blocks(rows, 2, order), strict=True))
        seen = [own.sort().values.tolist() for own in x[..., 0]]
        assert seen == [[0, 2, 4, 6, 8], [1, 1, 3, 3, 5], [5, 6, 7, 8, 9]]
        assert torch.equal(y, 10 * x[..., 0])
        assert torch.equal(weight, 100 * x[..., 0])
    if not shuffled:
        assert torch.equal(x[1, :, 0], torch.tensor([1.0, 3, 5, 1, 3]))


@pytest.mark.parametrize("shuffled", [False, True])
def test_members_with_the_same_rows_get_copies(shuffled):
    """Two networks of one fold: what was taken once is theirs both, if they have one order."""
    numbers = [torch.tensor(own) for own in ([0, 1, 2, 5], [0, 1, 2, 5], [0, 3, 4, 5])]
    rows = _rows().of_members(numbers)
    blocks = Blocks(rows, 4, NoiseSource([0, 0, 1], CPU) if shuffled else None)
    for index in blocks:
        assert len(blocks.kinds[0]) == 2
        assert torch.equal(blocks.take(rows.x, index), rows.x[index])
    apart = Blocks(rows, 4, NoiseSource([0, 1, 2], CPU))
    for index in apart:
        assert torch.equal(apart.take(rows.x, index), rows.x[index])


def test_fewer_members_keep_the_rows_that_are_theirs():
    rows = _rows().of_members([torch.tensor([0, 1]), torch.tensor([2, 3]), torch.tensor([4, 5])])
    (index,) = Blocks(rows.select(torch.tensor([0, 2])), 2, None)
    assert index.tolist() == [[0, 1], [4, 5]]


def test_rows_of_members_cannot_be_joined_with_others():
    """They would be taken for the rows of one member."""
    own = _rows().of_members([torch.tensor([0, 1]), torch.tensor([2, 3])])
    assert join_rows([own, own]) is own
    with pytest.raises(ValueError, match="cannot be joined"):
        join_rows([own, _rows()])
