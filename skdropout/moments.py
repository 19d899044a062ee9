"""Mean and covariance of a noisy network's outputs in closed form, without draws.

The derivation, what is exact and what is not, is in docs/moments.md. In short: one pass forward
carries the mean and variance of every unit; one pass backward, for each output, carries what
each source of noise contributes to the output's variance, first derivative and curvature.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from .activated import ACTIVATED, Noise, Units, without_noise
from .gaussian_outputs import GaussianOutputs
from .network import ACTIVATIONS, MomentLayer, MomentStack
from .normalization import EPSILON

# Bytes of one intermediate result: a dozen of them are alive at once and should stay in the cache.
_CHUNK_BYTES = 2**18


def propagate(stack: MomentStack, x: Tensor) -> Iterator[tuple[slice, list[GaussianOutputs]]]:
    """Moments of the raw outputs, a chunk of rows at a time.

    Parameters
    ----------
    stack : MomentStack
    x : Tensor of shape (rows, n_features)
        Its dtype and device are those of the computation.

    Yields
    ------
    rows : slice
        The rows of the chunk.
    outputs : list of GaussianOutputs, one per member
        What a row gets does not depend on the rows beside it.
    """
    members = [_Member(stack, index, x.dtype) for index in range(stack.n_members)]
    widest = max(layer.linear.weight.shape[1] for layer in stack.layers)
    n_raw = stack.layers[-1].linear.weight.shape[2]
    budget = _CHUNK_BYTES if x.device.type == "cpu" else 2**8 * _CHUNK_BYTES
    step = max(64, budget // (widest * n_raw * x.element_size()))
    for start in range(0, x.shape[0], step):
        rows = slice(start, min(start + step, x.shape[0]))
        inputs = x[rows]
        if stack.inputs is not None:
            inputs = inputs.index_select(1, stack.inputs)
        yield rows, [member(inputs) for member in members]


class _Member:
    """The noisy maps of one member of a stack, ready for evaluation."""

    def __init__(self, stack: MomentStack, index: int, dtype: torch.dtype) -> None:
        self.layers = [_MemberLayer(layer, index, dtype) for layer in stack.layers]
        self.function = ACTIVATIONS[stack.activation].function
        self.activated = ACTIVATED[stack.activation]
        # Only noise that multiplies units is large and lopsided enough for the curvature.
        self.curved = any(layer.alpha is not None for layer in self.layers)

    def __call__(self, x: Tensor) -> GaussianOutputs:
        read, made = [without_noise(x)], []
        for layer in self.layers[:-1]:
            mean, variance, own = layer.product(read[-1])
            norm = None
            if layer.norm is not None:
                norm = _Normalized(*layer.norm, mean, variance)
                mean, variance = norm.mean, norm.variance
            made.append((own, norm))
            if variance is None:
                read.append(without_noise(self.function(mean)))
            else:
                read.append(self.activated(mean, variance))
        last = self.layers[-1]
        made.append((last.own_variance(read[-1]), None))
        mean = torch.addmm(last.bias, read[-1].mean, last.weight)
        return GaussianOutputs(mean, self._covariance(mean, read, made))

    def _covariance(
        self, mean: Tensor, read: list[Units], made: list[tuple[Tensor | None, _Normalized | None]]
    ) -> Tensor:
        """What all sources of noise contribute, from the outputs back: ``(rows, n_raw, n_raw)``.

        The derivatives of the outputs have shape ``(n_raw, rows or 1, units)``.
        """
        n_rows, n_raw = mean.shape
        total = mean.new_zeros(n_rows, n_raw, n_raw)
        first = torch.eye(n_raw, dtype=mean.dtype, device=mean.device).unsqueeze(1)
        second: Tensor | None = None
        for depth in range(len(read) - 1, -1, -1):
            layer, units, (own, norm) = self.layers[depth], read[depth], made[depth]
            if norm is not None:
                first, second = norm.backward(first, second)
            if own is not None:
                total += _summed(first * own, first)
            if units.noise is None and layer.alpha is None:
                break
            first = torch.matmul(first, layer.weight.T)
            if second is not None:
                second = torch.matmul(second, layer.second.T)
            total += layer.contribution(units, first, second)
            if units.noise is None:
                break
            first, second = self._through(units.noise, layer, first, second)
        return total

    def _through(
        self, noise: Noise, layer: _MemberLayer, first: Tensor, second: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Derivatives with respect to what is activated, from those to what `layer` reads."""
        curvature = None
        if self.curved:
            curvature = first * noise.curvature
            if second is not None:
                factor = noise.squared_slope
                if layer.alpha is not None:
                    factor = factor * (1 + layer.alpha)
                curvature.addcmul_(second, factor)
        return first * noise.slope, curvature


class _MemberLayer:
    """One noisy map of one member: what `skdropout.families.LinearMoments` says, and squares.

    Attributes
    ----------
    alpha, third, fourth : Tensor of shape (n_in or 1,)
        Of the factors on the inputs: the variance, None without them; half of the third central
        moment; a quarter of what the fourth is above the squared variance. The halves are those
        of second derivatives in a Taylor series.
    squares, second : Tensor of shape (n_in, n_out)
        Of the mean weights, and expected squares of the weights.
    """

    def __init__(self, layer: MomentLayer, index: int, dtype: torch.dtype) -> None:
        linear, gain = layer.linear, layer.linear.gain
        self.weight = linear.weight[index].to(dtype)
        self.bias = linear.bias[index].to(dtype)
        self.squares = self.second = self.weight.square()
        self.variance = self.alpha = self.norm = None
        if linear.variance is not None:
            self.variance = linear.variance[index].to(dtype)
            self.second = self.squares + self.variance
        if gain is not None:
            self.alpha = gain.variance[index].to(dtype)
            self.third = gain.third[index].to(dtype) / 2
            self.fourth = (gain.fourth[index].to(dtype) - self.alpha.square()) / 4
        if layer.norm is not None:
            self.norm = layer.norm.scale[index].to(dtype), layer.norm.shift[index].to(dtype)

    def product(self, units: Units) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Mean and variance of the noisy product, and the weights' own part of the variance."""
        mean = torch.addmm(self.bias, units.mean, self.weight)
        own = self.own_variance(units)
        spread = None if units.noise is None else units.noise.variance
        if self.alpha is not None:
            gained = self.alpha * units.second
            spread = gained if spread is None else gained.add_(spread)
        if spread is None:
            return mean, own, own
        variance = torch.matmul(spread, self.squares)
        return mean, variance if own is None else variance.add_(own), own

    def own_variance(self, units: Units) -> Tensor | None:
        """Variance that noise on the weights themselves adds: ``(rows, n_out)``."""
        if self.variance is None:
            return None
        second = units.second if self.alpha is None else units.second * (1 + self.alpha)
        return torch.matmul(second, self.variance)

    def contribution(self, units: Units, first: Tensor, second: Tensor | None) -> Tensor:
        """What the factors on the units, and the units' residuals, contribute to the covariance."""
        if self.alpha is None:
            assert units.noise is not None, "asked for only where something is random"
            return _summed(first * units.noise.residual, first)
        weight = self.alpha * units.second
        if units.noise is not None:
            weight.add_(units.noise.residual)
        if second is None:
            return _summed(first * weight, first)
        mixed = self.third * units.third
        left = (first * weight).addcmul_(second, mixed)
        right = mixed.mul(first).addcmul_(second, self.fourth * units.fourth)
        if len(first) == 1:
            return left.mul_(first).addcmul_(right, second).sum(-1).view(-1, 1, 1)
        return _summed(left, first).add_(_summed(right, second))


def _summed(left: Tensor, right: Tensor) -> Tensor:
    """Sums over units of products of ``(n_raw, rows, units)``: ``(rows, n_raw, n_raw)``."""
    if len(left) == 1:
        return (left * right).sum(-1).view(-1, 1, 1)
    return torch.matmul(left.transpose(0, 1), right.permute(1, 2, 0))


class _Normalized:
    """Layer normalization to first order around the mean: its Jacobian there, centre and size.

    Parameters
    ----------
    scale, shift : Tensor of shape (units,)
    mean, variance : Tensor of shape (rows, units)
        Of what is normalized; no variance where it is no random number.
    """

    def __init__(self, scale: Tensor, shift: Tensor, mean: Tensor, variance: Tensor | None) -> None:
        n_units = mean.shape[1]
        size, centre = torch.var_mean(mean, dim=1, correction=0, keepdim=True)
        if variance is not None:
            size = size + variance.mean(1, keepdim=True) * (1 - 1 / n_units)
        factor = torch.rsqrt(size + EPSILON)
        self.direction = z = (mean - centre) * factor
        self.factor = factor * scale
        self.mean = torch.addcmul(shift, z, scale)
        self.variance = None
        if variance is not None:
            averages = [(z**power * variance).mean(1, keepdim=True) for power in range(3)]
            shared = averages[0] + z * (2 * averages[1]) + z.square() * averages[2]
            own = variance * (n_units - 2 - 2 * z.square())
            self.variance = (self.factor.square() * (own + shared) / n_units).clamp_min_(0)

    def backward(self, first: Tensor, second: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Derivatives with respect to what is normalized, from those to the result."""
        first = first * self.factor
        along = (first * self.direction).mean(-1, keepdim=True)
        first = first - first.mean(-1, keepdim=True) - self.direction * along
        return first, None if second is None else second * self.factor.square()
