"""Draws of modules are fixed functions with the moments of passes in train mode."""

import copy
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from torch import nn

from skdropout._modules.drawn import ModuleMember, ModuleStack, Readout, with_prefix
from skdropout._modules.layout import layout_of
from skdropout._modules.watching import ModuleRefusedError
from skdropout.nn import ConcreteDropout
from tests.module_reference import NETWORKS, in_train_mode, network
from tests.randomness import assert_mean, assert_same_moments


def stack_of(module, rows, seed=3):
    member = ModuleMember(seed, module, layout_of(module, rows), Readout())
    return ModuleStack([with_prefix(member, rows)])


def outputs(drawn, rows):
    with torch.inference_mode():
        chunks = [raw for _, (raw,) in drawn.evaluate(rows)]
        return torch.cat(chunks, 1).numpy()


@pytest.mark.parametrize("name", NETWORKS)
def test_draws_have_the_moments_of_passes_in_train_mode(name):
    """Statistical, by `tests.randomness`."""
    module, rows = network(name)
    drawn = outputs(stack_of(module, rows).draw(4000), rows)
    assert_same_moments(drawn, in_train_mode(module, rows, 4000, seed=1))


def test_a_draw_at_a_learned_rate_has_the_moments_of_dropout_at_that_rate():
    """Statistical. The mask of training is relaxed; a draw's is hard, as of nn.Dropout."""
    module, rows = network("dense")
    learned = copy.deepcopy(module)
    learned[2] = ConcreteDropout(0.4).eval()
    drawn = outputs(stack_of(learned, rows).draw(4000), rows)
    assert_same_moments(drawn, in_train_mode(module, rows, 4000, seed=1))


@pytest.mark.parametrize("name", NETWORKS)
def test_what_a_row_gets_does_not_depend_on_the_rows_beside_it(name):
    module, rows = network(name)
    rows = (
        rows.repeat(20, *[1] * (rows.ndim - 1))
        + torch.arange(240).view(-1, *[1] * (rows.ndim - 1)) / 100
    )
    # In float64 products of other sizes differ by 1e-16; a mask that differs would be seen.
    drawn = stack_of(module, rows).draw(30)
    together = outputs(drawn, rows.double())
    order = np.random.default_rng(0).permutation(240)
    np.testing.assert_allclose(outputs(drawn, rows.double()[order]), together[:, order], atol=1e-12)
    for row in (0, 100, 239):
        alone = outputs(drawn, rows.double()[row : row + 1])
        np.testing.assert_allclose(alone, together[:, row : row + 1], atol=1e-12)


def test_the_second_call_and_eight_threads_give_the_same_bit_for_bit():
    module, rows = network("convnet")
    drawn = stack_of(module, rows).draw(30)
    first = outputs(drawn, rows)
    with ThreadPoolExecutor(8) as threads:
        for again in threads.map(lambda _: outputs(drawn, rows), range(16)):
            np.testing.assert_array_equal(again, first)


def test_more_draws_begin_with_fewer():
    module, rows = network("convnet")
    stack = stack_of(module, rows)
    few, many = outputs(stack.draw(5), rows.double()), outputs(stack.draw(40), rows.double())
    np.testing.assert_allclose(many[:5], few, atol=1e-12)


@pytest.mark.parametrize("name", NETWORKS)
def test_watching_and_drawing_leave_module_and_global_generators_alone(name):
    module, rows = network(name)
    state = copy.deepcopy(module.state_dict())
    modes = [part.training for part in module.modules()]
    hooks = [len(part._forward_hooks) for part in module.modules()]
    before = torch.get_rng_state()
    outputs(stack_of(module, rows).draw(5), rows)
    assert torch.equal(torch.get_rng_state(), before)
    assert all(torch.equal(values, state[key]) for key, values in module.state_dict().items())
    assert [part.training for part in module.modules()] == modes
    assert [len(part._forward_hooks) for part in module.modules()] == hooks


def test_what_comes_before_the_first_dropout_is_computed_once():
    class Counting(nn.Module):
        rows = 0

        def forward(self, x):
            Counting.rows += len(x)
            return x

    module = nn.Sequential(Counting(), nn.Linear(6, 8), nn.Dropout(0.3), nn.Linear(8, 2)).eval()
    rows = torch.randn(64, 6, generator=torch.Generator().manual_seed(0))
    stack = stack_of(module, rows)
    Counting.rows = 0
    outputs(stack.draw(100), rows)
    assert Counting.rows == 64


def test_a_network_that_adds_what_was_before_the_dropout_draws_from_the_start():
    module, rows = network("functional, residual")
    (member,) = stack_of(module, rows).members
    assert not member.layout.late
    module, rows = network("dense")
    (member,) = stack_of(module, rows).members
    assert member.layout.late


def test_without_draws_it_is_the_module_in_evaluation_mode():
    module, rows = network("after batch norm")
    with torch.no_grad():
        np.testing.assert_allclose(
            outputs(stack_of(module, rows).plain(), rows)[0], module(rows).numpy(), atol=1e-6
        )


def test_memory_does_not_grow_with_the_rows_or_the_draws():
    """The largest tensor of a pass stays within the budget of a step, 32 megabytes."""

    class Largest(nn.Module):
        elements = 0

        def forward(self, x):
            Largest.elements = max(Largest.elements, x.numel())
            return x

    module = nn.Sequential(
        nn.Dropout(0.3), nn.Linear(4, 3000), Largest(), nn.ReLU(), nn.Linear(3000, 1)
    ).eval()
    rows = torch.ones(40, 4)
    drawn = stack_of(module, rows).draw(200)
    for chunk, _ in drawn.evaluate(rows):
        assert chunk.stop - chunk.start <= 40
    assert 4 * Largest.elements <= 2**25


def test_the_mean_over_rows_of_a_mask_is_its_own():
    """Statistical: units of one row are dropped at the rate, and apart from each other."""
    module = nn.Sequential(nn.Dropout(0.25)).eval()
    rows = torch.ones(3, 50)
    drawn = outputs(stack_of(module, rows).draw(2000), rows)
    np.testing.assert_array_equal(drawn[:, 0], drawn[:, 2])
    kept = drawn[:, 0] > 0
    assert_mean(kept.ravel(), 0.75)
    assert_mean((kept[:, ::2] & kept[:, 1::2]).ravel(), 0.75**2)


def test_a_module_that_drops_otherwise_for_later_rows_is_refused_when_they_come():
    class Deeper(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout(0.5)

        def forward(self, x):
            x = self.drop(x)
            return self.drop(x) if bool((x > 100).any()) else x

    stack = stack_of(Deeper().eval(), torch.ones(4, 3))
    with pytest.raises(ModuleRefusedError, match=r"calls more than 1 dropouts for these rows"):
        outputs(stack.draw(2), torch.full((2, 3), 1000.0))
