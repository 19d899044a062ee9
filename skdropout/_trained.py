"""What a trained net leaves in its estimator: attributes, warnings, and a sparse copy."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils.metaestimators import available_if

from ._prediction import Prediction
from .caller_warnings import warn
from .network import Stack
from .rows import Rows
from .sparsity import sparsify
from .training import DropoutNet, NonFiniteLossError


class Trained(Prediction):
    """An estimator that takes trained nets, and says what happened in training."""

    calibration_: dict[str, Any] | None

    def _accept(self, net: DropoutNet, n_rows: int, n_before: int = 0) -> None:
        """Take a trained net, and set the attributes that follow from it."""
        seen: int = getattr(self, "t_", 0) if n_before else 0
        if not n_before:
            self.calibration_ = None
        self.net_ = net
        self._set_training_attributes(net)
        self.t_ = seen + (self.n_iter_ - n_before) * n_rows
        for depth, linear in enumerate(net.module_.linears):
            if complaint := linear.complaint():
                place = f"the inputs of layer {depth + 1}" if depth else "the inputs"
                warn(f"{type(self).__name__}: {place}: {complaint}")

    def _divergence(self, error: NonFiniteLossError, rows: Rows) -> str:
        largest = rows.x.abs().max().item()
        if largest > 1e3:
            cause = f"X reaches {largest:.3g} in absolute value; scale it (StandardScaler)"
        else:
            cause = (
                f"learning_rate_init={self.learning_rate_init} is too large for "
                f"solver={self.solver!r}; make it smaller"
            )
        return f"{type(self).__name__}: training diverged, {error}. The likely cause: {cause}"

    def _warn_if_unfinished(self, net: DropoutNet) -> None:
        if net.interrupted:
            warn(
                f"{type(self).__name__}: training interrupted by the user in epoch "
                f"{len(net.history)}; the best weights so far are kept"
            )
        elif len(net.history) == self.max_iter and not net.converged_.all():
            warn(
                f"{type(self).__name__}: maximum iterations max_iter={self.max_iter} reached and "
                "the optimization has not converged yet",
                ConvergenceWarning,
            )

    def _set_training_attributes(self, net: DropoutNet) -> None:
        # An epoch that was interrupted has no record of its own.
        history = [epoch for epoch in net.history if "interrupted" not in epoch]
        self.n_iter_ = len(history)
        self.n_layers_ = len(net.module_.architecture.widths)
        self.loss_curve_ = [epoch["train_loss"] for epoch in history]
        self.loss_ = self.loss_curve_[-1] if history else None
        self.best_loss_ = self.validation_scores_ = self.best_validation_score_ = None
        if self.early_stopping:
            self.validation_scores_ = [-epoch["valid_loss"] for epoch in history]
            self.best_validation_score_ = max(self.validation_scores_, default=None)
        else:
            self.best_loss_ = min(self.loss_curve_, default=None)
        names = ("likelihood", "kl", "penalty")
        self.loss_terms_ = {name: [epoch[f"train_{name}"] for epoch in history] for name in names}
        self.dropout_rates_ = net.module_.rates().mean(0)
        self.dropout_rates_curve_ = np.array([epoch["dropout_rates"] for epoch in history])
        self._set_sparsity(net.module_)

    def _set_sparsity(self, stack: Stack) -> None:
        sizes = np.array([linear.weight.numel() for linear in stack.linears])
        living = [linear.alive() for linear in stack.linears]
        off = np.array([0 if alive is None else int((~alive).sum()) for alive in living])
        self.sparsity_per_layer_ = off / sizes
        self.sparsity_ = float(off.sum() / sizes.sum())

    def _can_sparsify(self) -> bool:
        name = f"{type(self).__name__}.sparsify"
        if not hasattr(self, "net_"):
            raise AttributeError(f"{name}: the model is not fitted yet")
        if all(linear.alive() is None for linear in self.net_.module_.linears):
            raise AttributeError(
                f"{name}: dropout={self.dropout!r} is a noise family that switches no weights off"
            )
        return True

    @available_if(_can_sparsify)
    def sparsify(self) -> Any:
        """The fitted model without the units and inputs that its noise family switched off.

        There is this method only once the model is fitted, and only with a family that switches
        weights off. An input goes if no weight leaves it, a hidden unit if no weight leaves it
        or if its output is always zero; with several members, if that is so in all of them.

        Returns
        -------
        estimator : object
            Of the same class and parameters, with the same functions: its predictions differ
            from this model's by rounding only. It takes rows with all `n_features_in_` columns.

        Raises
        ------
        AttributeError
            If there is nothing that could be switched off.
        """
        with torch.inference_mode(False), torch.enable_grad():
            stack = sparsify(self.net_.module_)
            sparse = copy.copy(self)
            sparse.net_ = self.net_.replaced(stack)
        sparse._set_sparsity(stack)
        return sparse
