"""What a `TransformedTargetRegressor` does to the target, and what can be taken back through it."""

from __future__ import annotations

import numpy as np
from sklearn.compose import TransformedTargetRegressor
from sklearn.utils.validation import check_is_fitted

# Points of each row's distribution at which a transform is looked at.
_N_PROBES = 33


class TargetTransform:
    """The transform of a fitted `TransformedTargetRegressor`, column by column.

    Targets have the shape (n_samples, n_outputs) here, whatever the regressor was fitted to.
    "Inside" are the units in which the regressor inside predicts.

    Parameters
    ----------
    fitted : TransformedTargetRegressor
    caller : str
        Who asks, for error messages.

    Raises
    ------
    sklearn.exceptions.NotFittedError
        If `fitted` is not.
    """

    def __init__(self, fitted: TransformedTargetRegressor, caller: str) -> None:
        check_is_fitted(fitted)
        self.caller, self._transformer = caller, fitted.transformer_

    def back(self, inside: np.ndarray) -> np.ndarray:
        """Values in the units of y.

        Parameters
        ----------
        inside : ndarray of shape (n_samples, n_outputs) or (n_samples, n_outputs, n_values)

        Returns
        -------
        ndarray of the same shape
            float64; NaN or infinite where the inverse is not defined.

        Raises
        ------
        ValueError
            If the transform changes the number of outputs.
        """
        columns = np.moveaxis(np.asarray(inside, dtype=np.float64), 1, -1)
        flat = columns.reshape(-1, columns.shape[-1])
        # Probes may lie where nobody predicts, so what happens there is nothing to warn of.
        with np.errstate(all="ignore"):
            values = np.asarray(self._transformer.inverse_transform(flat), dtype=np.float64)
        if values.size != flat.size:
            raise self._refusal("changes the number of outputs, so they cannot be told apart")
        return np.moveaxis(values.reshape(columns.shape), -1, 1)

    def linear(self, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The transform ``y = inside * scale + shift``.

        Parameters
        ----------
        lower, upper : ndarray of shape (n_outputs,)
            Between which values inside it has to be linear.

        Returns
        -------
        shift, scale : ndarray of shape (n_outputs,)

        Raises
        ------
        ValueError
            If the transform is not linear, or mixes outputs.
        """
        found = self._linear(lower, upper)
        if found is None:
            raise self._refusal(
                "is not linear, so a variance and the CRPS cannot be taken back to the units of y; "
                "intervals and quantiles can if it is monotone. Ask for these, or predict on the "
                "transformed scale"
            )
        return found

    def quantiles(self, inside: np.ndarray, reach: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Quantiles in the units of y, exact for a monotone transform.

        Parameters
        ----------
        inside : ndarray of shape (n_samples, n_outputs, n_values)
            Quantiles inside.
        reach : ndarray of shape (n_samples, n_outputs, 2)
            Between which values inside the transform has to be monotone.

        Returns
        -------
        values : ndarray of shape (n_samples, n_outputs, n_values)
            In the units of y.
        falling : ndarray of bool of shape (n_samples, n_outputs)
            Where the transform falls, so that the quantile of ``p`` is that of ``1 - p`` inside.

        Raises
        ------
        ValueError
            If the transform is not monotone, mixes outputs, or gives no number for a quantile.
        """
        self._check_apart(reach.min((0, 2)), reach.max((0, 2)))
        ends = np.concatenate([reach, inside], axis=-1)
        lower, upper = ends.min(-1, keepdims=True), ends.max(-1, keepdims=True)
        probes = self.back(lower + (upper - lower) * np.linspace(0, 1, _N_PROBES))
        with np.errstate(invalid="ignore"):
            steps = np.diff(probes)
            # Flat parts are allowed; rounding is no change of direction.
            rounding = 1e-12 * (np.abs(probes[..., 1:]) + np.abs(probes[..., :-1]))
            rises, falls = (steps > rounding).any(-1), (steps < -rounding).any(-1)
        if (rises & falls).any():
            raise self._refusal(
                f"is not monotone between {lower.min():.4g} and {upper.max():.4g}, so quantiles "
                "cannot be taken back to the units of y; predict on the transformed scale"
            )
        values = self.back(inside)
        if not np.isfinite(values).all():
            raise self._refusal("has an inverse that gives no number for a quantile that is asked")
        return values, falls

    def linear_forth(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Targets inside, for a transform that is linear between them.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_outputs)

        Returns
        -------
        inside : ndarray of shape (n_samples, n_outputs)
        scale : ndarray of shape (n_outputs,)
            Units of y for one unit inside.

        Raises
        ------
        ValueError
            As `linear`, and if the transform gives no number for a target.
        """
        inside = self._forth(y)
        shift, scale = self.linear(inside.min(0), inside.max(0))
        return (y - shift) / scale, scale

    def smooth_forth(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Targets inside, and the logarithm of how much y stretches there.

        A density of y is the one inside, divided by the stretch.

        Parameters
        ----------
        y : ndarray of shape (n_samples, n_outputs)

        Returns
        -------
        inside : ndarray of shape (n_samples, n_outputs)
        log_stretch : ndarray of shape (n_samples, n_outputs)
            ``log |dy / d inside|``.

        Raises
        ------
        ValueError
            If the transform gives no number for a target, its two functions are not inverse there,
            the inverse is not smooth there, or outputs are mixed.
        """
        inside = self._forth(y)
        found = self._linear(inside.min(0), inside.max(0))
        if found is not None:
            shift, scale = found
            return (y - shift) / scale, np.broadcast_to(np.log(np.abs(scale)), y.shape)
        if not np.allclose(self.back(inside), y, rtol=1e-6, atol=1e-9 * np.ptp(y)):
            raise self._refusal("does not come back to the target, so y has no density")
        return inside, self._log_stretch(inside)

    def _forth(self, y: np.ndarray) -> np.ndarray:
        with np.errstate(all="ignore"):
            inside = np.asarray(self._transformer.transform(y), dtype=np.float64)
        if inside.shape != y.shape or not np.isfinite(inside).all():
            raise self._refusal("gives no number for a target that is scored")
        return inside

    def _log_stretch(self, inside: np.ndarray) -> np.ndarray:
        """By central differences, of two widths that have to agree."""
        widths = np.cbrt(np.finfo(np.float64).eps) * np.maximum(np.abs(inside), 1.0)
        found = []
        for width in (widths, widths / 4):
            difference = self.back(inside + width) - self.back(inside - width)
            with np.errstate(divide="ignore"):
                found.append(np.log(np.abs(difference)) - np.log(2 * width))
        if not np.isfinite(found).all() or np.abs(found[0] - found[1]).max() > 1e-5:
            raise self._refusal("is not smooth where the targets are, so y has no density")
        return found[0]

    def _linear(self, lower: np.ndarray, upper: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        n_outputs = len(lower)
        near_zero = np.linspace(-2.0, 2.0, 9)[:, None] * np.ones(n_outputs)
        probes = np.sort(np.concatenate([near_zero, np.linspace(lower, upper, 9)]), axis=0)
        self._check_apart(probes[0], probes[-1])
        values = self.back(probes)
        if not np.isfinite(values).all():
            return None
        scale = (values[-1] - values[0]) / (probes[-1] - probes[0])
        shift = values[0] - probes[0] * scale
        line = shift + probes * scale
        if not np.allclose(values, line, rtol=1e-6, atol=1e-9 * np.ptp(values)):
            return None
        return shift, scale

    def _check_apart(self, lower: np.ndarray, upper: np.ndarray) -> None:
        """Raise if a change of one output inside changes another one of y."""
        moved = np.where(np.eye(len(lower), dtype=bool), upper, lower)
        values = self.back(np.concatenate([lower[None], moved]))
        others = ~np.eye(len(lower), dtype=bool)
        at_rest = np.broadcast_to(values[0], others.shape)
        if not np.allclose(values[1:][others], at_rest[others], rtol=1e-6, equal_nan=True):
            raise self._refusal("mixes the outputs, so they cannot be taken back one by one")

    def _refusal(self, why: str) -> ValueError:
        name = type(self._transformer).__name__
        return ValueError(f"{self.caller}: the target transform {name} {why}")
