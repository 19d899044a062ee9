"""One noisy map of one network: moments of its product, and what its noise does to the outputs."""

from __future__ import annotations

from functools import cached_property
from typing import NamedTuple

import torch
from torch import Tensor

from ..._networks.normalization import EPSILON
from ..._networks.plain import MomentLayer
from .activated import Noise, Units

# What follows from a skewness is true of small ones; beyond this it would overshoot.
_MOST_SKEWED = 1.5


class MomentMap:
    """What `skdropout.families.LinearMoments` says of a map, for one member, and squares.

    Attributes
    ----------
    weight : Tensor of shape (n_in, n_out)
    onward, squares, cubes : Tensor of shape (n_in, n_out)
        The mean weights and their powers, by columns for the way forward.
    second : Tensor of shape (n_in, n_out)
        Expected squares of the weights and their factors together.
    variance : Tensor of shape (n_in, n_out) or None
        Of the weights.
    alpha : Tensor of shape (n_in or 1,) or None
        Variance of the factors on the inputs. None without them.
    gained, root, third, tilt : Tensor of shape (n_in or 1,)
        Their expected square, standard deviation and third central moment, and half of their
        skewness.
    slope_bend, square_bend, own_bend, rest_bend : Tensor of shape (n_in or 1,)
        What second derivatives with respect to the units, which hold the factors' expected
        square, count beside first ones and squared.
    """

    def __init__(self, layer: MomentLayer, index: int, dtype: torch.dtype) -> None:
        linear, gain = layer.linear, layer.linear.gain
        self.weight = linear.weight[index].to(dtype)
        self.onward = by_columns(self.weight)
        self.squares, self.second = self.onward.square(), self.weight.square()
        self.variance: Tensor | None = None
        self.alpha: Tensor | None = None
        self.norm: tuple[Tensor, Tensor] | None = None
        if linear.variance is not None:
            self.variance = linear.variance[index].to(dtype)
            self.second = self.second + self.variance
        if gain is not None:
            moments = (values[index] for values in (gain.variance, gain.third, gain.fourth))
            self._set_factors(*moments)
        if layer.norm is not None:
            self.norm = layer.norm.scale[index].to(dtype), layer.norm.shift[index].to(dtype)

    def _set_factors(self, alpha: Tensor, third: Tensor, fourth: Tensor) -> None:
        dtype, gained = self.weight.dtype, 1 + alpha
        self.alpha, self.gained, self.root, self.third = (
            values.to(dtype) for values in (alpha, gained, alpha.sqrt(), third)
        )
        self.second = self.second * self.gained.unsqueeze(1)
        # Of the factors divided by their standard deviation: half of the skewness, and a quarter
        # of the part of the variance of their square that they do not explain themselves. That is
        # nothing if they take two values.
        tilt = third / (2 * alpha.pow(1.5))
        rest = (fourth / alpha.square() - 1) / 4 - tilt.square()
        self.two_valued = bool((rest < 1e-6).all())
        rest = rest.clamp_min(0)
        self.tilt, self.own_bend, self.rest_bend, self.slope_bend, self.square_bend = (
            values.to(dtype)
            for values in (
                tilt,
                tilt * alpha.sqrt() / gained,
                alpha * rest.sqrt() / gained,
                third / (2 * gained),
                (tilt.square() + rest) * (alpha / gained).square(),
            )
        )

    @cached_property
    def cubes(self) -> Tensor:
        return self.onward.pow(3)

    # ---- forward ---------------------------------------------------------------------------------

    def spread(self, units: Units) -> Tensor | None:
        """Variance of the units times their factors. None where neither is random."""
        if self.alpha is None:
            return None if units.noise is None else units.variance
        if units.noise is None:
            return units.second * self.alpha
        gained = units.second * self.gained
        return gained.addcmul_(units.mean, units.mean, value=-1)

    def own_variance(self, units: Units) -> Tensor | None:
        """Variance that noise on the weights themselves adds: ``(rows, n_out)``."""
        if self.variance is None:
            return None
        second = units.second if self.alpha is None else units.second * self.gained
        return torch.matmul(second, self.variance)

    def skewness_of_sums(self, units: Units, inverse_std: Tensor) -> Tensor:
        """Skewness of the sums, as if the units were independent: ``(rows, n_out)``.

        The factors make most of it, and these are independent.

        Parameters
        ----------
        units : Units
        inverse_std : Tensor of shape (rows, n_out)
            One over the standard deviation of the sums.
        """
        assert self.alpha is not None, "asked for only where there are factors"
        if units.noise is None:
            central = units.third() * self.third
        else:
            central = torch.mul(units.second, -3 * self.gained)
            central.addcmul_(units.mean, units.mean, value=2).mul_(units.mean)
            central.addcmul_(units.third(), 1 + 3 * self.alpha + self.third)
        skewness = torch.matmul(central, self.cubes)
        # Three products take less time than a power.
        for _ in range(3):
            skewness.mul_(inverse_std)
        return skewness.clamp_(-_MOST_SKEWED, _MOST_SKEWED)

    # ---- backward --------------------------------------------------------------------------------

    def add_own(self, total: Tensor, units: Units, first: Tensor, second: Tensor | None) -> Tensor:
        """Add to the covariance what factors on units do that are the same in every draw.

        Parameters
        ----------
        total : Tensor of shape (rows, n_directions, n_directions)
        units : Units
        first : Tensor of shape (rows, n_directions, n_in)
            Derivatives of the outputs with respect to the units times the factors.
        second : Tensor of shape (rows, n_directions, n_in) or None
            Second ones with respect to the units. None where they are left out. Both are
            overwritten: behind units that are the same in every draw nobody asks for them.

        Returns
        -------
        Tensor of shape (rows, n_directions, n_in)
            What one standard deviation of each factor does to the outputs.
        """
        mean = units.mean.unsqueeze(1)
        if second is not None:
            # The curvature that goes along with the noise itself adds to the slope.
            second.mul_(mean)
            first.addcmul_(second, self.own_bend)
        effect = first.mul_((units.mean * self.root).unsqueeze(1))
        add_products(total, (effect, effect))
        if second is not None and not self.two_valued:
            bent = second.mul_(mean).mul_(self.rest_bend)
            add_products(total, (bent, bent))
        return effect

    def add_own_of_random(
        self, total: Tensor, units: Units, rest: Tensor, first: Tensor, second: Tensor | None
    ) -> None:
        """The same of units that are random: of the factors, and of the units' residuals.

        Parameters
        ----------
        rest : Tensor of shape (rows, n_in)
            The units' spread but for what is explained (`unexplained`).
        """
        left = first * rest.unsqueeze(1)
        if second is None or self.alpha is None:
            add_products(total, (left, first))
            return
        third = units.third()
        fourth = units.fourth(third).mul_(self.square_bend).unsqueeze(1)
        third = (third * self.slope_bend).unsqueeze(1)
        if total.shape[1] == 1:
            # The two mixed terms are the same.
            left.addcmul_(second, third, value=2)
            right = fourth.mul_(second)
        else:
            left.addcmul_(second, third)
            right = torch.mul(first, third).addcmul_(second, fourth)
        add_products(total, (left, first), (right, second))

    def back(self, first: Tensor, second: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Derivatives with respect to what the map reads, from those to its sums.

        The first ones with respect to the units times the factors, the second ones to the units.
        """
        first = torch.matmul(first, self.weight.T)
        return first, None if second is None else torch.matmul(second, self.second.T)

    def through(
        self, noise: Noise, first: Tensor, second: Tensor | None, curved: bool
    ) -> tuple[Tensor, Tensor | None]:
        """Derivatives with respect to what is activated, from those to what this map reads.

        The second ones are overwritten.
        """
        if second is not None:
            second.mul_(noise.squared_slope.unsqueeze(1))
            second.addcmul_(first, noise.curvature.unsqueeze(1))
        elif curved:
            second = first * noise.curvature.unsqueeze(1)
        return first * noise.slope.unsqueeze(1), second


def unexplained(spread: Tensor, noise: Noise | None) -> Tensor:
    """The part of the units' spread that no straight line in the sums before them explains.

    It takes the place of the spread.
    """
    if noise is None:
        return spread
    return spread.addcmul_(noise.shared, noise.slope, value=-1).clamp_min_(0)


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
    """The same with each column in one piece of memory: float64 products are up to 18 % faster."""
    return weight.T.contiguous().T


class Normalized:
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

    def forward(self, q: Tensor) -> Tensor:
        """Covariances with the result ``(rows, n_directions, units)``, from those before it."""
        direction = self.direction.unsqueeze(1)
        along = (q * direction).mean(-1, keepdim=True)
        return (q - q.mean(-1, keepdim=True) - direction * along) * self.factor.unsqueeze(1)

    def backward(self, first: Tensor, second: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Derivatives with respect to what is normalized, from those to the result.

        Both of shape ``(rows, n_directions, units)``.
        """
        factor, direction = self.factor.unsqueeze(1), self.direction.unsqueeze(1)
        first = first * factor
        along = (first * direction).mean(-1, keepdim=True)
        first = first - first.mean(-1, keepdim=True) - direction * along
        return first, None if second is None else second * factor.square()


class Passed(NamedTuple):
    """What the way back needs of a layer that the way forward has passed.

    Attributes
    ----------
    layer : MomentMap
    units : Units
        What it read.
    rest : Tensor or None
        The part of its units' spread (`MomentMap.spread`) that nothing before explains.
    own : Tensor or None
        By `MomentMap.own_variance`.
    norm : Normalized or None
        Behind it.
    """

    layer: MomentMap
    units: Units
    rest: Tensor | None
    own: Tensor | None
    norm: Normalized | None
