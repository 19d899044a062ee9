import pickle

import numpy as np
import torch

from skdropout.families import BlockNoise, NoiseSource
from tests.randomness import assert_mean, assert_share, assert_variance

CPU = torch.device("cpu")


def test_bits_are_uniform_over_all_16_bit_integers():
    bits = NoiseSource([0], CPU).bits(1000, 200).numpy().ravel()
    assert bits.dtype == np.int16
    for bit in range(16):
        assert_share(int(((bits >> bit) & 1).sum()), bits.size, 0.5)
    for threshold in (-30000, -1000, 0, 1000, 30000):
        assert_share(int((bits < threshold).sum()), bits.size, (threshold + 2**15) / 2**16)


def test_neighbouring_bits_of_a_word_are_independent():
    words = NoiseSource([1], CPU).bits(100_000, 4).numpy()[0] >= 0
    for first in range(4):
        for second in range(first):
            both = int((words[:, first] & words[:, second]).sum())
            assert_share(both, len(words), 0.25)


def test_bits_of_a_count_that_no_word_divides():
    assert NoiseSource([0], CPU).bits(3, 5).shape == (1, 3, 5)


def test_normal_has_mean_zero_and_variance_one():
    numbers = NoiseSource([0], CPU).normal(500, 400).numpy().ravel()
    assert numbers.dtype == np.float32
    assert_mean(numbers.astype(float), 0.0)
    assert_variance(numbers.astype(float), 1.0)


def test_permutation_holds_every_row_once():
    orders = NoiseSource([0, 1], CPU).permutation(50).numpy()
    assert (np.sort(orders, axis=1) == np.arange(50)).all()
    assert (orders[0] != orders[1]).any()


def _all_kinds(source):
    return [source.bits(7, 3), source.normal(7, 3), source.permutation(7), source.bits(2, 2)]


def test_a_member_gets_the_numbers_that_it_gets_alone():
    seeds = [5, 3, 9]
    together = _all_kinds(NoiseSource(seeds, CPU))
    for member, seed in enumerate(seeds):
        alone = _all_kinds(NoiseSource([seed], CPU))
        for stacked, single in zip(together, alone, strict=True):
            assert torch.equal(stacked[member], single[0])


def test_members_with_equal_seeds_share_one_stream():
    assert NoiseSource([4, 4, 4], CPU).bits(5, 5).shape[0] == 1
    mixed = NoiseSource([4, 2, 4], CPU).normal(5, 5)
    assert torch.equal(mixed[0], mixed[2])
    assert not torch.equal(mixed[0], mixed[1])


def test_the_stream_goes_on_after_pickling():
    source = NoiseSource([1, 2], CPU)
    source.bits(3, 3)
    copy = pickle.loads(pickle.dumps(source))
    for ours, theirs in zip(_all_kinds(source), _all_kinds(copy), strict=True):
        assert torch.equal(ours, theirs)


def test_members_with_fewer_rows_read_streams_of_their_own():
    source = NoiseSource([3, 3, 3], CPU, [9, 7, 9])
    assert len(source.generators) == 2
    noise = BlockNoise(source, 4, torch.tensor([4, 2, 4]))
    together = [noise.bits(4, 3), noise.normal(4, 20), source.bits(2, 3)]
    for member, n_rows in enumerate((4, 2, 4)):
        own = NoiseSource([3], CPU)
        alone = [own.bits(n_rows, 3), own.normal(n_rows, 20), own.bits(2, 3)]
        for ours, theirs in zip(together, alone, strict=True):
            assert torch.equal(ours[member, : theirs.shape[1]], theirs[0])
    assert (together[1][1, 2:] == 0).all()
    few = NoiseSource([3, 3, 3], CPU, [9, 7, 9]).bits(5, some=torch.tensor([1, 2]))
    assert torch.equal(few, NoiseSource([3, 3], CPU, [7, 9]).bits(5))


def test_a_copy_goes_on_apart():
    source = NoiseSource([0, 1, 0], CPU)
    source.bits(3)
    other = source.copy()
    assert torch.equal(source.stream, other.stream)
    expected = other.bits(100)
    assert torch.equal(source.bits(100), expected)
    assert not torch.equal(source.bits(100), expected)


def test_streams_of_one_member_each_are_not_copied():
    source = NoiseSource([7, 3, 5], CPU)
    streams = source.stream_normal(4)
    assert source.per_member(streams) is streams
    for seed, own in zip([7, 3, 5], streams, strict=True):
        alone = NoiseSource([seed], CPU).normal(4)
        torch.testing.assert_close(own, alone[0], rtol=0, atol=0)
    few = source.select([0, 2])
    ahead = few.normal(4)
    assert few.per_member(ahead) is ahead


def test_noise_in_parts_is_the_noise_of_the_block():
    whole, parted = (NoiseSource([0, 1, 0], CPU) for _ in range(2))
    expected = [whole.bits(10, 3), whole.normal(10, 2)]
    noise, parts = BlockNoise(parted, 10), []
    for size in (4, 4, 2):
        parts.append((noise.bits(size, 3), noise.normal(size, 2)))
        noise.advance(size)
    for ours, theirs in zip(zip(*parts, strict=True), expected, strict=True):
        assert torch.equal(torch.cat(ours, 1), theirs)
