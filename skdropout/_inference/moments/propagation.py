"""Mean and covariance of a noisy network's outputs in closed form, without draws.

The derivation, what is exact and what is not, is in docs/moments.md. In short: one pass forward
carries the mean and variance of every unit; one pass backward, for each output, carries what
each source of noise contributes to the output's variance, first derivative and curvature.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property, partial

import torch
from torch import Tensor

from ..._networks.activations import ACTIVATIONS
from ..._networks.plain import MomentStack
from ..._support.threads import spread
from .activated import ACTIVATED, without_noise
from .maps import MomentMap, Normalized, Passed, add_products, by_columns, unexplained
from .outputs import GaussianOutputs, closest_decision, joined
from .skewness import Source, skewness, third_moments

# Bytes of one intermediate result. A dozen and more are alive at once: with twice as many bytes
# they may be more than the C library keeps (`keep_freed_memory`).
_CHUNK_BYTES = 2**20
# Fewer rows at a time, and starting operations would take longer than they do.
_LEAST_ROWS = 128
# Directions of the outputs whose derivatives go with full chunks. With twice as many a chunk has
# half of the rows, and so on.
_MANY = 16
# Directions of the outputs up to which the curvature is followed, which doubles the way back, and
# in two layers the skewness of a decision between classes.
_MOST_FOLLOWED = 4
# Hidden layers from which on the skewness of the last one's sums is not neglected.
_LEAST_SKEWED = 3
# Hidden layers from which on the formulas are off by some hundredths of what noise adds, so that
# float32's errors of 1e-7 do no harm there.
_LEAST_NARROW = 2
# Bytes of the derivatives of many outputs: more of them leave the cache.
_BLOCK_BYTES = 2**20
# Bytes of what is made of the Gaussian outputs of the rows that are handed out together.
_GROUP_BYTES = 2**22
# What such a result has per output and row: about as many points stand for a Gaussian.
_POINTS = 64


def propagate(stack: MomentStack, x: Tensor) -> Iterator[tuple[slice, list[GaussianOutputs]]]:
    """Moments of the raw outputs, a group of rows at a time.

    Parameters
    ----------
    stack : MomentStack
    x : Tensor of shape (rows, n_features)
        Its dtype and device are those of the computation. In float64, from two hidden layers on
        and without layer normalization, that is the dtype of the network without noise; what
        noise adds is made in float32.

    Yields
    ------
    rows : slice
        The rows of the group.
    outputs : list of GaussianOutputs, one per member
        What a row gets does not depend on the rows beside it, but for rounding.
    """
    of_noise = _dtype_of_noise(stack, x.dtype)
    members = [_Member(stack, index, x.dtype, of_noise) for index in range(stack.n_members)]
    widest = max(layer.linear.weight.shape[1] for layer in stack.layers)
    n_directions = len(members[0].directions)
    plenty = 1 if x.device.type == "cpu" else 2**6
    row_bytes = n_directions * x.element_size()
    wide = widest * max(1, n_directions // _MANY)
    chunk = max(_LEAST_ROWS, plenty * _CHUNK_BYTES // (wide * of_noise.itemsize))
    group = chunk * max(1, plenty * _GROUP_BYTES // (_POINTS * row_bytes * chunk))
    for start in range(0, x.shape[0], group):
        rows = slice(start, min(start + group, x.shape[0]))
        inputs = x[rows]
        if stack.inputs is not None:
            inputs = inputs.index_select(1, stack.inputs)
        yield rows, [member(inputs, chunk) for member in members]


def _dtype_of_noise(stack: MomentStack, dtype: torch.dtype) -> torch.dtype:
    n_hidden = len(stack.layers) - 1
    # Layer normalization works on the units and their noise together.
    normalized = any(layer.norm is not None for layer in stack.layers)
    return dtype if n_hidden < _LEAST_NARROW or normalized else torch.float32


class _Member:
    """The noisy maps of one member of a stack, ready for evaluation.

    Parameters
    ----------
    stack : MomentStack
    index : int
        Which member.
    dtype : torch.dtype
        Of the outputs, and of the network without noise.
    of_noise : torch.dtype
        Of what noise adds. Not wider than `dtype`.

    Attributes
    ----------
    plain : list of (Tensor, Tensor)
        Biases and mean weights of all maps, of `dtype`. Of the last map's outputs only some
        directions are asked for.
    weight : Tensor of shape (n_in, n_directions)
        The last of these weights, as the noise sees them.
    first : Tensor of shape (n_directions, n_in)
        Derivatives of the outputs with respect to what the last map reads: the same for all rows.
    """

    def __init__(
        self, stack: MomentStack, index: int, dtype: torch.dtype, of_noise: torch.dtype
    ) -> None:
        self.narrow = of_noise != dtype
        self._widened = partial(_Member, stack, index, torch.float64, torch.float64)
        linears = [layer.linear for layer in stack.layers]
        self.plain = [
            (linear.bias[index].to(dtype), by_columns(linear.weight[index].to(dtype)))
            for linear in linears
        ]
        *hidden, self.last = [MomentMap(layer, index, of_noise) for layer in stack.layers]
        self.hidden = hidden
        self.function = ACTIVATIONS[stack.activation].function
        self.activated = ACTIVATED[stack.activation]
        bias, weight = self.plain[-1]
        directions = torch.eye(len(bias), dtype=dtype, device=bias.device)
        if stack.directions is not None:
            directions = stack.directions.to(directions)
        weight = torch.matmul(weight, directions.T)
        self.plain[-1] = torch.mv(directions, bias), by_columns(weight)
        self.weight, self.directions = by_columns(weight.to(of_noise)), directions.to(of_noise)
        # Only noise that multiplies units is large and lopsided enough for the curvature.
        lopsided = any(layer.alpha is not None for layer in [*hidden, self.last])
        few = len(directions) <= _MOST_FOLLOWED
        self.curved = lopsided and few
        # In two layers the sums are not skewed enough for their mean to feel it.
        self.skewed_sums = (
            len(hidden) >= _LEAST_SKEWED
            and hidden[-1].alpha is not None
            and hidden[-1].norm is None
        )
        self.decides = stack.log_odds and len(directions) > 1
        # Of many classes, two layers are near enough without.
        self.skewed = stack.log_odds and (few or len(hidden) != 2)
        self.first = self.weight.T.contiguous()
        self.pairs, self.own_pairs = _pairs(self.first), _pairs(self.directions)
        if hidden:
            # Slopes of the last hidden layer to derivatives of all directions, in one product.
            self.back, self.back_second = (
                by_columns((self.weight.unsqueeze(2) * weight.T.unsqueeze(1)).flatten(1))
                for weight in (hidden[-1].weight, hidden[-1].second)
            )

    def __call__(self, x: Tensor, chunk: int) -> GaussianOutputs:
        n_weights = sum(weight.numel() for _, weight in self.plain)
        work = min(chunk, len(x)) * n_weights if x.device.type == "cpu" else 0
        return joined(spread(self._finite_outputs, x.split(chunk), work))

    def _finite_outputs(self, x: Tensor) -> GaussianOutputs:
        outputs = self._outputs(x)
        if self.weight.dtype == torch.float32 and not outputs.is_finite():
            # Fourth powers of units beyond 1e9 are beyond float32.
            outputs = self._wide._outputs(x.double()).to(x.dtype)
        return outputs

    @cached_property
    def _wide(self) -> _Member:
        """The same in float64."""
        return self._widened()

    def _outputs(self, x: Tensor) -> GaussianOutputs:
        values, passed = self._forward(x)
        bias, weight = self.plain[-1]
        mean = torch.addmm(bias, values, weight)
        if self.skewed_sums and passed[-2].rest is not None:
            noise = passed[-1].units.noise
            assert noise is not None, "factors are noise"
            layer, before, *_ = passed[-2]
            of_sums = layer.skewness_of_sums(before, noise.inverse_std())
            mean += torch.matmul(of_sums.mul_(noise.twist()), self.weight).mul_(1 / 6)
        covariance, sources = self._covariance(passed)
        covariance = covariance.to(mean)
        decision = closest_decision(mean, covariance) if self.decides else None
        if not self.skewed:
            return GaussianOutputs(mean, covariance, decision=decision)
        if decision is not None:
            sources = [source.along(decision.to(self.weight)) for source in sources]
        third = third_moments(sources[::-1]).to(mean)
        return GaussianOutputs(mean, covariance, skewness(third, covariance, decision), decision)

    def _forward(self, x: Tensor) -> tuple[Tensor, list[Passed]]:
        """Means of what the last map reads, and what the way back needs of all maps."""
        values, units, passed = x, without_noise(x.to(self.weight.dtype)), []
        for layer, (bias, weight) in zip(self.hidden, self.plain, strict=False):
            sums = torch.addmm(bias, values, weight)
            mean = sums.to(self.weight.dtype)
            spread, own = layer.spread(units), layer.own_variance(units)
            variance = own
            if spread is not None:
                variance = torch.matmul(spread, layer.squares)
                if own is not None:
                    variance += own
            norm = None
            if layer.norm is not None:
                norm = Normalized(*layer.norm, mean, variance)
                mean, variance = norm.mean, norm.variance
            rest = None if spread is None else unexplained(spread, units.noise)
            passed.append(Passed(layer, units, rest, own, norm))
            if variance is None:
                units = without_noise(self.function(mean))
            else:
                units = self.activated(mean, variance)
            values = units.mean
            if self.narrow:
                # What noise adds to the mean, and that added to what is there without it.
                values = self.function(sums).add_(values - self.function(mean))
        spread, own = self.last.spread(units), self.last.own_variance(units)
        rest = None if spread is None else unexplained(spread, units.noise)
        passed.append(Passed(self.last, units, rest, own, None))
        return values, passed

    def _covariance(self, passed: list[Passed]) -> tuple[Tensor, list[Source]]:
        """What all sources of noise contribute to it, and these, from the outputs back."""
        last, n_rows = passed[-1], len(passed[0].units.mean)
        total = self.first.new_zeros(n_rows, len(self.pairs.T))
        if last.own is not None:
            total.addmm_(last.own, self.own_pairs)
        if last.rest is not None:
            total.addmm_(last.rest, self.pairs)
        total = total.view(n_rows, *[len(self.directions)] * 2)
        if self._in_blocks(passed):
            self._add_own_in_blocks(passed[-1], passed[-2], total)
            return total, []
        sums, first, second = self.directions.unsqueeze(0), self.first.unsqueeze(0), None
        sources = [Source(last, first, None, sums)]
        for above, below in zip(passed[:0:-1], passed[-2::-1], strict=True):
            if above.units.noise is None:
                break
            sums, first, second = self._back(above, below, first, second)
            layer, units, rest, own, _ = below
            if own is not None:
                add_products(total, (sums * own.unsqueeze(1), sums))
            effect = None
            if rest is not None and units.noise is None:
                effect = layer.add_own(total, units, first, second)
            elif rest is not None:
                layer.add_own_of_random(total, units, rest, first, second)
            sources.append(Source(below, first, effect, sums))
        return total, sources

    def _in_blocks(self, passed: list[Passed]) -> bool:
        """Whether only the covariance is asked for, and only factors on fixed units are left."""
        if passed[-1].units.noise is None or self.curved or self.skewed:
            return False
        below = passed[-2]
        return below.units.noise is None and below.own is None and below.norm is None

    def _add_own_in_blocks(self, above: Passed, below: Passed, total: Tensor) -> None:
        """`MomentMap.add_own` without the curvature, a block of rows at a time."""
        assert above.units.noise is not None, "asked for only where something is random"
        block = len(total)
        if total.device.type == "cpu":
            block = max(_LEAST_ROWS, _BLOCK_BYTES // (self.back.shape[1] * total.element_size()))
        for slope, mean, part in zip(
            above.units.noise.slope.split(block),
            below.units.mean.split(block),
            total.split(block),
            strict=True,
        ):
            first = (slope @ self.back).view(len(slope), len(self.directions), -1)
            below.layer.add_own(part, below.units._replace(mean=mean), first, None)

    def _back(
        self, above: Passed, below: Passed, first: Tensor, second: Tensor | None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Derivatives with respect to what a layer reads, from those to what the next one reads.

        Returns
        -------
        sums, first, second
            First derivatives with respect to the layer's sums (to be used only where its weights
            are random), and both derivatives with respect to its inputs.
        """
        noise = above.units.noise
        assert noise is not None, "asked for only where something is random"
        if above.layer is self.last and below.norm is None and below.own is None:
            # One product for all directions, and nothing that has rows, directions and units.
            shape = len(noise.slope), len(self.directions), -1
            ahead = (noise.slope @ self.back).view(shape)
            if self.curved:
                second = (noise.curvature @ self.back_second).view(shape)
            return first, ahead, second
        sums, second = above.layer.through(noise, first, second, self.curved)
        if below.norm is not None:
            sums, second = below.norm.backward(sums, second)
        return sums, *below.layer.back(sums, second)


def _pairs(first: Tensor) -> Tensor:
    """Products of all pairs of directions: ``(n, units)`` to ``(units, n * n)``."""
    return (first.unsqueeze(0) * first.unsqueeze(1)).flatten(0, 1).T
