"""Mean and covariance of a noisy network's outputs in closed form, without draws.

The derivation, what is exact and what is not, is in docs/moments.md. In short: one pass forward
carries the mean and variance of every unit; one pass backward, for each output, carries what
each source of noise contributes to the output's variance, first derivative and curvature.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial
from itertools import pairwise

import torch
from torch import Tensor

from ..._networks.plain import MomentStack
from ..._support.compressed import Compressed, rows_within
from ..._support.threads import spread
from ..columns import Reader
from .activated import activated, without_noise
from .maps import MomentMap, Passed, by_columns
from .outputs import GaussianOutputs, closest_decision, joined
from .skewness import skewness

# Bytes of one intermediate result, of which a dozen and more are alive at once.
_CHUNK_BYTES = 2**19
# Fewer rows at a time, and starting operations would take longer than they do.
_LEAST_ROWS = 128
# Directions of the outputs whose derivatives go with full chunks. With twice as many a chunk has
# half of the rows, and so on.
_MANY = 16
# Bytes of what is made of the Gaussian outputs of the rows that are handed out together, and what
# such a result has per output and row: about as many points stand for a Gaussian.
_GROUP_BYTES, _POINTS = 2**22, 64
# Bytes of compressed rows that are dense at once.
_DENSE_BYTES = 2**25
# Directions of the outputs up to which the curvature is followed, which doubles the way back, and
# in two layers the skewness of a decision between classes.
_MOST_FOLLOWED = 4


def propagate(
    stack: MomentStack, x: Tensor | Compressed
) -> Iterator[tuple[slice, list[GaussianOutputs]]]:
    """Moments of the raw outputs, a group of rows at a time.

    Parameters
    ----------
    stack : MomentStack
    x : Tensor or Compressed of shape (rows, n_features)
        Its dtype and device are those of the computation.

    Yields
    ------
    rows : slice
        The rows of the group.
    outputs : list of GaussianOutputs, one per member
        What a row gets does not depend on the rows beside it, but for rounding.
    """
    reader, read, members = Reader(stack, x.dtype), None, []
    widest = max(layer.linear.weight.shape[1] for layer in stack.layers)
    plenty = 1 if x.device.type == "cpu" else 2**6
    n_raw = stack.layers[-1].linear.bias.shape[1]
    n_directions = n_raw if stack.directions is None else len(stack.directions)
    wide = widest * max(1, n_directions // _MANY)
    chunk = max(_LEAST_ROWS, plenty * _CHUNK_BYTES // (wide * x.element_size()))
    group_bytes = _POINTS * n_directions * x.element_size() * chunk
    group = chunk * max(1, plenty * _GROUP_BYTES // group_bytes)
    group = rows_within(x, group, plenty * _DENSE_BYTES)
    for start in range(0, len(x), group):
        narrow, inputs = reader(x[start : start + group])
        rows = slice(start, start + len(inputs))
        if narrow is not read:
            members = [_Member(narrow, index, x.dtype) for index in range(stack.n_members)]
            read = narrow
        yield rows, [member(inputs, chunk) for member in members]


class _Member:
    """The noisy maps of one member of a stack, ready for evaluation.

    Parameters
    ----------
    stack : MomentStack
    index : int
        Which member.
    dtype : torch.dtype
        Of the computation.

    Attributes
    ----------
    directions : Tensor of shape (n_directions, n_raw)
        What is asked of the last map's outputs.
    first : Tensor of shape (n_directions, n_in)
        Derivatives of it with respect to what the last map reads: the same for all rows.
    """

    def __init__(self, stack: MomentStack, index: int, dtype: torch.dtype) -> None:
        self._widened = partial(_Member, stack, index, torch.float64)
        *self.hidden, self.last = [MomentMap(layer, index, dtype) for layer in stack.layers]
        self.activation = stack.activation
        self.directions = torch.eye(len(self.last.bias)).to(self.last.bias)
        if stack.directions is not None:
            self.directions = stack.directions.to(self.last.bias)
        self.bias = self.directions @ self.last.bias
        self.first = self.directions @ self.last.weight.T
        self.weight = by_columns(self.first.T)
        # Only noise that multiplies units is large and lopsided enough for the curvature.
        lopsided = any(layer.gain_variance is not None for layer in [*self.hidden, self.last])
        few = len(self.directions) <= _MOST_FOLLOWED
        self.curved = lopsided and few
        self.decides = stack.log_odds and len(self.directions) > 1
        # Of many classes, two layers are near enough without.
        self.skewed = stack.log_odds and (few or len(self.hidden) != 2)
        if self.hidden:
            # Slopes of the last hidden layer to derivatives of all directions, in one product.
            self.back, self.back_second = (
                by_columns((self.weight.unsqueeze(2) * weight.T.unsqueeze(1)).flatten(1))
                for weight in (self.hidden[-1].weight, self.hidden[-1].second)
            )

    def __call__(self, x: Tensor, chunk: int) -> GaussianOutputs:
        n_weights = sum(layer.weight.numel() for layer in [*self.hidden, self.last])
        work = min(chunk, len(x)) * n_weights if x.device.type == "cpu" else 0
        parts = spread(self._outputs, x.split(chunk), work)
        outputs = parts[0] if len(parts) == 1 else joined(parts)
        if x.dtype == torch.float32 and not outputs.is_finite():
            # Fourth powers of units beyond 1e9 are beyond float32.
            return self._wide(x.double(), chunk).to(x.dtype)
        return outputs

    @cached_property
    def _wide(self) -> _Member:
        """The member in float64."""
        return self._widened()

    def _outputs(self, x: Tensor) -> GaussianOutputs:
        passed = self._forward(x)
        mean = torch.addmm(self.bias, passed[-1].units.mean, self.weight)
        covariance = self._covariance(passed)
        decision = closest_decision(mean) if self.decides else None
        of_skewness = skewness(passed, covariance, decision) if self.skewed else None
        return GaussianOutputs(mean, covariance, of_skewness, decision)

    def _forward(self, x: Tensor) -> list[Passed]:
        """All maps, with what they read."""
        units, passed = without_noise(x), []
        for layer in self.hidden:
            passed.append(Passed(layer, units))
            units = activated(self.activation, *passed[-1].moments_of_sums())
        return [*passed, Passed(self.last, units)]

    def _covariance(self, passed: list[Passed]) -> Tensor:
        """What all sources of noise contribute to it, from the outputs back."""
        *_, last = passed
        last.sums, last.first = self.directions.unsqueeze(0), self.first.unsqueeze(0)
        total = self.first.new_zeros(len(last.units.mean), len(self.directions) ** 2)
        if last.own is not None:
            total.addmm_(last.own, _pairs(self.directions))
        if last.spread is not None:
            total.addmm_(last.rest, _pairs(self.first))
        total = total.view(-1, *[len(self.directions)] * 2)
        first, second = last.first, None
        for above, below in pairwise(passed[::-1]):
            if above.units.noise is None:
                break
            noise = above.units.noise
            if above is last and below.norm is None and below.own is None:
                # Nothing that has rows, directions and units goes into the product.
                shape = len(total), len(self.directions), -1
                below.first = first = (noise.slope @ self.back).view(shape)
                if self.curved:
                    second = (noise.curvature @ self.back_second).view(shape)
            else:
                first, second = below.back(noise, first, second, self.curved)
            below.add_noise(total, first, second)
        return total


def _pairs(slopes: Tensor) -> Tensor:
    """Products of all pairs of directions: ``(n, units)`` to ``(units, n * n)``."""
    return (slopes.unsqueeze(0) * slopes.unsqueeze(1)).flatten(0, 1).T
