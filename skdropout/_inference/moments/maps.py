"""One noisy map of one network: moments of its product, and what its noise does to the outputs."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from ..._networks.normalization import EPSILON
from ..._networks.plain import MomentLayer
from .activated import Noise, Units


class MomentMap:
    """What `skdropout.families.LinearMoments` says of a map, for one member, and squares.

    Attributes
    ----------
    bias : Tensor of shape (n_out,)
    weight, onward, squares : Tensor of shape (n_in, n_out)
        The mean weights, by columns for the way forward, and their squares.
    second : Tensor of shape (n_in, n_out)
        Expected squares of the weights and their factors together.
    variance : Tensor of shape (n_in, n_out) or None
        Of the weights.
    gain_variance : Tensor of shape (n_in or 1,) or None
        Of the factors on the inputs. None without them.
    gain_square, gain_std, gain_third, half_skewness : Tensor of shape (n_in or 1,)
        The factors' expected square, standard deviation, third central moment and half skewness.
    slope_bend, square_bend, own_bend, rest_bend : Tensor of shape (n_in or 1,)
        What second derivatives with respect to the units, which hold the factors' expected
        square, count beside first ones and squared.
    """

    def __init__(self, layer: MomentLayer, index: int, dtype: torch.dtype) -> None:
        linear, gain = layer.linear, layer.linear.gain
        self.bias, self.weight = linear.bias[index].to(dtype), linear.weight[index].to(dtype)
        self.onward = by_columns(self.weight)
        self.squares, self.second = self.onward.square(), self.weight.square()
        self.variance: Tensor | None = None
        self.gain_variance: Tensor | None = None
        self.norm: tuple[Tensor, Tensor] | None = None
        if linear.variance is not None:
            self.variance = linear.variance[index].to(dtype)
            self.second = self.second + self.variance
        if gain is not None:
            self._set_factors(gain.variance[index], gain.third[index], gain.fourth[index])
        if layer.norm is not None:
            self.norm = layer.norm.scale[index].to(dtype), layer.norm.shift[index].to(dtype)

    def _set_factors(self, variance: Tensor, third: Tensor, fourth: Tensor) -> None:
        # Of the factors divided by their standard deviation: half of the skewness, and a quarter
        # of the part of the variance of their square that they do not explain themselves. That is
        # nothing if they take two values.
        half_skewness = third / (2 * variance.pow(1.5))
        rest = (fourth / variance.square() - 1) / 4 - half_skewness.square()
        self.two_valued = bool((rest < 1e-6).all())
        rest, square = rest.clamp_min(0), 1 + variance
        dtype = self.weight.dtype
        self.gain_variance, self.gain_square = variance.to(dtype), square.to(dtype)
        self.gain_std, self.gain_third = variance.sqrt().to(dtype), third.to(dtype)
        self.half_skewness = half_skewness.to(dtype)
        self.own_bend = (half_skewness * variance.sqrt() / square).to(dtype)
        self.rest_bend = (variance * rest.sqrt() / square).to(dtype)
        self.slope_bend = (third / (2 * square)).to(dtype)
        self.square_bend = ((half_skewness.square() + rest) * (variance / square).square()).to(
            dtype
        )
        self.second = self.second * self.gain_square.unsqueeze(1)


class Passed:
    """A map and the rows of a chunk that pass it, forward and, by derivatives, back.

    Derivatives of the outputs have shape ``(rows or 1, n_directions, units)``, where 1 says that
    all rows have the same.

    Parameters
    ----------
    layer : MomentMap
    units : Units
        What it reads.

    Attributes
    ----------
    spread : Tensor of shape (rows, n_in) or None
        Variance of the units times their factors, until `rest` is asked for. None where neither is
        random.
    own : Tensor of shape (rows, n_out) or None
        Variance that noise on the weights themselves adds.
    norm : Normalized or None
        Behind it, once `moments_of_sums` was called.
    sums, first : Tensor
        Set on the way back: derivatives with respect to the map's sums (to be used only where its
        weights are random), and to the units times their factors.
    """

    sums: Tensor
    first: Tensor

    def __init__(self, layer: MomentMap, units: Units) -> None:
        self.layer, self.units = layer, units
        self.norm: Normalized | None = None
        gained = units.second
        if layer.gain_variance is not None and (units.noise or layer.variance is not None):
            gained = units.second * layer.gain_square
        self.own = None if layer.variance is None else gained @ layer.variance
        self.spread: Tensor | None = None
        if units.noise is not None:
            self.spread = torch.addcmul(gained, units.mean, units.mean, value=-1)
        elif layer.gain_variance is not None:
            self.spread = units.second * layer.gain_variance

    @cached_property
    def rest(self) -> Tensor:
        """What of the spread no straight line in the sums before explains, in the same memory."""
        assert self.spread is not None, "asked for only where something is random"
        if self.units.noise is None:
            return self.spread
        slope = self.units.noise.slope
        return self.spread.addcmul_(self.units.noise.shared, slope, value=-1).clamp_min_(0)

    def moments_of_sums(self) -> tuple[Tensor, Tensor | None]:
        """Mean and variance ``(rows, n_out)`` of what is activated behind the map."""
        layer = self.layer
        mean, variance = torch.addmm(layer.bias, self.units.mean, layer.onward), self.own
        if self.spread is not None:
            variance = self.spread @ layer.squares
            if self.own is not None:
                variance += self.own
        if layer.norm is None:
            return mean, variance
        self.norm = Normalized(*layer.norm, mean, variance)
        return self.norm.mean, self.norm.variance

    # ---- backward --------------------------------------------------------------------------------

    def back(
        self, noise: Noise, first: Tensor, second: Tensor | None, curved: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Derivatives with respect to what the map reads, from those to what the next one reads.

        First ones are with respect to units times their factors, second ones (None where there are
        none yet; they are overwritten) to the units. `noise` is that of the next map's units,
        `curved` says whether second ones are asked for.
        """
        if second is not None:
            second.mul_(noise.squared_slope.unsqueeze(1))
            second.addcmul_(first, noise.curvature.unsqueeze(1))
        elif curved:
            second = first * noise.curvature.unsqueeze(1)
        first = first * noise.slope.unsqueeze(1)
        if self.norm is not None:
            first, second = self.norm.backward(first, second)
        self.sums, layer = first, self.layer
        self.first = first @ layer.weight.T
        return self.first, None if second is None else second @ layer.second.T

    def add_noise(self, total: Tensor, first: Tensor, second: Tensor | None) -> None:
        """Add to the covariance ``(rows, n, n)`` of the outputs what noise does here.

        Second derivatives are overwritten behind units that are the same in every draw: nobody
        asks for them again.
        """
        if self.own is not None:
            add_products(total, (self.sums * self.own.unsqueeze(1), self.sums))
        if self.units.noise is not None:
            self._add_factors_and_units(total, first, second)
        elif self.layer.gain_variance is not None:
            self._add_factors(total, first, second)

    def _add_factors(self, total: Tensor, first: Tensor, second: Tensor | None) -> None:
        """What factors on units do that are the same in every draw."""
        layer, mean = self.layer, self.units.mean.unsqueeze(1)
        of_factor = mean * layer.gain_std
        if second is None:
            effect = first * of_factor
        else:
            # The curvature that goes along with the noise itself adds to the slope.
            second.mul_(mean)
            effect = torch.addcmul(first, second, layer.own_bend).mul_(of_factor)
        add_products(total, (effect, effect))
        if second is not None and not layer.two_valued:
            bent = second.mul_(mean).mul_(layer.rest_bend)
            add_products(total, (bent, bent))

    def _add_factors_and_units(self, total: Tensor, first: Tensor, second: Tensor | None) -> None:
        """What factors on random units do, and the units' residuals."""
        layer, units = self.layer, self.units
        left = first * self.rest.unsqueeze(1)
        if second is None or layer.gain_variance is None:
            add_products(total, (left, first))
            return
        third = (units.third() * layer.slope_bend).unsqueeze(1)
        right = units.fourth().mul_(layer.square_bend).unsqueeze(1)
        left.addcmul_(second, third)
        right = torch.mul(first, third).addcmul_(second, right)
        add_products(total, (left, first), (right, second))


def add_products(total: Tensor, *pairs: tuple[Tensor, Tensor]) -> None:
    """Add sums over units of products of ``(rows, n, units)`` to a total ``(rows, n, n)``."""
    if total.shape[1] > 1:
        for left, right in pairs:
            total.baddbmm_(left, right.mT)
        return
    (left, right), *others = pairs
    products = left * right
    for left, right in others:
        products.addcmul_(left, right)
    total += products.sum(-1, keepdim=True)


def by_columns(weight: Tensor) -> Tensor:
    """A matrix with each column in one piece of memory: float64 products are up to 18 % faster."""
    return weight.T.contiguous().T


class Normalized:
    """Layer normalization to first order around the mean ``(rows, units)`` of what is normalized.

    Its Jacobian there, centre and size; no variance where nothing is random.
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

    def forward(self, q: Tensor) -> Tensor:
        """Covariances ``(rows, units)`` with the result, from those with what is normalized."""
        along = (q * self.direction).mean(-1, keepdim=True)
        return (q - q.mean(-1, keepdim=True) - self.direction * along) * self.factor

    def backward(self, first: Tensor, second: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Derivatives with respect to what is normalized, from those to the result."""
        factor, direction = self.factor.unsqueeze(1), self.direction.unsqueeze(1)
        first = first * factor
        along = (first * direction).mean(-1, keepdim=True)
        first = first - first.mean(-1, keepdim=True) - direction * along
        return first, None if second is None else second * factor.square()
