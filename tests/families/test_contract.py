"""What every family promises, held for all in the table and for no noise."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skdropout.families import FAMILIES, Noiseless, NoiseSource

CPU = torch.device("cpu")
ALL = [*FAMILIES.values(), Noiseless]
RATES = (0.2, 0.5)


def _linear(family, rates=RATES):
    linear = family.layer(4, 3, rates, [family()] * len(rates))
    # Streams of its own for each member, so that a member is the same alone.
    with torch.no_grad():
        for parameter in (linear.weight, linear.bias):
            for row in range(len(rates)):
                parameter[row].normal_(generator=torch.Generator().manual_seed(row))
    return linear


def _rngs(*seeds):
    return [np.random.default_rng(seed) for seed in seeds]


def _tensors(drawn):
    return [values for values in (drawn.weight, drawn.bias, drawn.gain) if values is not None]


@pytest.fixture(params=ALL, ids=lambda family: family.__name__)
def family(request):
    return request.param


def test_the_table_knows_each_family_by_its_name():
    assert {name: family.name for name, family in FAMILIES.items()} == {n: n for n in FAMILIES}
    assert {"bernoulli", "gaussian"} <= set(FAMILIES)


def test_a_family_is_a_small_estimator(family):
    one = family()
    assert clone(one).get_params() == one.get_params()
    assert pickle.loads(pickle.dumps(one)).get_params() == one.get_params()
    assert "References" in family.__doc__


def test_the_noisy_product_has_a_row_for_each_row_and_member(family):
    out = _linear(family)(torch.ones(2, 7, 4), NoiseSource([0, 1], CPU))
    assert out.shape == (2, 7, 3)
    assert out.dtype == torch.float32


def test_the_noisy_product_differs_from_row_to_row(family):
    linear = _linear(family)
    out = linear(torch.ones(2, 50, 4), NoiseSource([0, 1], CPU))
    assert linear.noisy == bool((out.std(1) > 0).all())


def test_draws_have_the_shapes_of_a_plain_linear(family):
    drawn = _linear(family).draw(5, _rngs(0, 1))
    assert drawn.weight.shape in [(2, 1, 4, 3), (2, 5, 4, 3)]
    assert drawn.bias.shape in [(2, 1, 3), (2, 5, 3)]
    assert drawn.gain is None or drawn.gain.shape == (2, 5, 4)
    assert not any(values.requires_grad for values in _tensors(drawn))


def test_draws_differ_where_there_is_noise(family):
    linear = _linear(family)
    assert linear.noisy != linear.draw(5, _rngs(0, 1)).shared


def test_the_first_draws_of_many_are_those_of_few(family):
    linear = _linear(family)
    many, few = linear.draw(9, _rngs(0, 1)), linear.draw(4, _rngs(0, 1))
    for long, short in zip(_tensors(many), _tensors(few), strict=True):
        assert torch.equal(long[:, : short.shape[1]], short)


def test_a_member_of_a_stack_is_what_it_is_alone(family):
    x = torch.linspace(-1, 1, 28).view(1, 7, 4)
    together = _linear(family)
    out = together(x.expand(2, -1, -1), NoiseSource([5, 6], CPU))
    drawn = together.draw(3, _rngs(5, 6))
    for member, (rate, seed) in enumerate(zip(RATES, (5, 6), strict=True)):
        alone = family.layer(4, 3, [rate], [family()])
        state = {
            name: values[member : member + 1] for name, values in together.state_dict().items()
        }
        alone.load_state_dict(state)
        torch.testing.assert_close(alone(x, NoiseSource([seed], CPU))[0], out[member])
        for ours, theirs in zip(_tensors(alone.draw(3, _rngs(seed))), _tensors(drawn), strict=True):
            torch.testing.assert_close(ours[0], theirs[member])


def test_the_weight_scaling_rule_is_one_plain_map(family):
    linear = _linear(family)
    plain = linear.plain()
    assert plain.shared
    assert torch.equal(plain.weight[:, 0], linear.weight)
    assert torch.equal(plain.bias, linear.bias)


def test_kl_is_one_finite_number_a_member(family):
    kl = _linear(family).kl()
    assert kl.shape == (2,)
    assert kl.isfinite().all()
