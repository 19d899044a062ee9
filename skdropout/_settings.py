"""What the parameters say, as the objects that the lower floors take."""

from __future__ import annotations

import copy

import numpy as np
from sklearn.base import clone
from skorch.callbacks import Callback

from ._parameters import Parameters
from .caller_warnings import warn
from .families import FAMILIES, Family, Noiseless
from .stopping import EpochLine, InverseScaling, Stopping, StopWhenConverged


class Settings(Parameters):
    """Parameters that stand for something else than their value, checked and translated."""

    def _hidden_widths(self) -> tuple[int, ...]:
        widths = np.atleast_1d(np.asarray(self.hidden_layer_sizes))
        if widths.size and (
            widths.ndim != 1 or widths.dtype.kind not in "iu" or (widths < 1).any()
        ):
            raise ValueError(
                f"{type(self).__name__}: hidden_layer_sizes must be a positive int or a sequence "
                f"of positive ints, got {self.hidden_layer_sizes!r}"
            )
        return tuple(int(width) for width in widths)

    def _family(self) -> Family:
        if self.dropout is None:
            return Noiseless()
        # A copy: what was fitted does not change with the object that the caller holds.
        family = FAMILIES[self.dropout]() if isinstance(self.dropout, str) else clone(self.dropout)
        family.validate()
        return family

    def _rates(self, n_hidden: int) -> tuple[float, ...]:
        """Probability of dropping an input of each linear map."""
        rates = self.dropout_rate
        values = np.asarray([rates] * n_hidden if np.ndim(rates) == 0 else rates)
        if values.shape != (n_hidden,) or (
            n_hidden and (values.dtype.kind not in "fiu" or not self._in_range(values))
        ):
            raise ValueError(
                f"{type(self).__name__}: dropout_rate must be a float in [0, 1) or one such for "
                f"each of the {n_hidden} hidden layers, got {rates!r}"
            )
        return (float(self.input_dropout_rate), *(float(rate) for rate in values))

    @staticmethod
    def _in_range(rates: np.ndarray) -> bool:
        return bool(((rates >= 0) & (rates < 1)).all())

    def _batch_size(self, n_rows: int, quiet: bool = False) -> int:
        if isinstance(self.batch_size, str):
            return self._auto_batch_size(n_rows)
        if self.batch_size > n_rows and not quiet:
            warn(
                f"{type(self).__name__}: batch_size={self.batch_size} is larger than the "
                f"{n_rows} training rows and is clipped to them"
            )
        return min(self.batch_size, n_rows)

    @staticmethod
    def _auto_batch_size(n_rows: int) -> int:
        return min(200, n_rows)

    def _all_callbacks(self, quiet: bool = False) -> list:
        """Our callbacks and the user's, stopping last so that all see the last epoch.

        Parameters
        ----------
        quiet : bool
            Without the user's, and nothing printed.
        """
        return [
            *self._own_callbacks(quiet),
            *([] if quiet else self._users_callbacks()),
            ("stop", StopWhenConverged()),
        ]

    def _users_callbacks(self) -> list:
        for entry in self.callbacks or ():
            callback = entry[1] if isinstance(entry, tuple) and len(entry) == 2 else entry
            kind = callback if isinstance(callback, type) else type(callback)
            if not issubclass(kind, Callback):
                raise ValueError(
                    f"{type(self).__name__}: callbacks must be a list of skorch callbacks or of "
                    f"pairs (name, callback), got {self.callbacks!r}"
                )
        # Copies: callbacks keep state, and fit does not change its parameters.
        return copy.deepcopy(list(self.callbacks or ()))

    def _own_callbacks(self, quiet: bool) -> list:
        adaptive = self.solver == "sgd" and self.learning_rate == "adaptive"
        cooldown = self.max_iter if self.learning_rate == "cooldown" else None
        stopping = Stopping(
            self.early_stopping, self.tol, self.n_iter_no_change, adaptive, cooldown
        )
        callbacks: list = [("stopping", stopping)]
        if self.solver == "sgd" and self.learning_rate == "invscaling":
            callbacks.append(("inverse_scaling", InverseScaling(self.power_t)))
        if self.verbose and not quiet:
            callbacks.append(("epoch_line", EpochLine()))
        return callbacks
