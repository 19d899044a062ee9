"""`DropoutMLP`: estimators of layers that this package makes."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from sklearn.utils import Tags
from sklearn.utils.metaestimators import available_if
from sklearn.utils.validation import check_is_fitted

from .._networks.sparsity import sparsify
from .._training.jobs import train_net, train_passes
from .._training.net import DropoutNet
from .._training.rows import Rows
from .base import DropoutEstimator
from .described import Described
from .fitting import Fitting, prepare
from .inputs import checked_rows, checked_table
from .parameters import Parameters
from .recipe import check_statistics, make_job
from .report import noise_complaints, sparsity


class DropoutMLP(Parameters, DropoutEstimator):
    """Networks whose layers are made here, as a stack.

    The leaves say what a target is and which predictions there are.
    """

    net_: DropoutNet

    def _prepare(self, described: Described, given: Rows | None, seed: int | None) -> Fitting:
        return prepare(self, described, given, seed=seed)

    def _train_net(self, net: DropoutNet, fitting: Fitting) -> None:
        train_net(net, fitting.job.rows, self.max_iter)

    def _streaming(self, described: Described, again: bool) -> tuple[Described, DropoutNet]:
        rows = described.rows
        if again:
            net = copy.deepcopy(self.net_)
            check_statistics(self, rows, net.module_.architecture.normalization)
        else:
            likelihood = described.target.likelihood(self.n_members)
            sources = described.sources
            net = make_job(self, likelihood, rows, None, self._seed, sources=sources).net()
        # One pass has no second half to learn in what is held constant in the first.
        net.criterion.release()
        return described, net

    def _train_passes(self, net: DropoutNet, rows: Rows, passes: int, share: float) -> None:
        train_passes(net, rows, passes, share)

    def _of_net(self, net: DropoutNet) -> dict[str, Any]:
        return {"n_layers_": len(net.module_.architecture.widths), **sparsity(net.module_)}

    def _noise_complaints(self, net: DropoutNet) -> Iterator[str]:
        return noise_complaints(net.module_)

    def _check_x(self, X: Any) -> Any:
        check_is_fitted(self)
        return checked_rows(self, X)

    def _check_xy(
        self,
        X: Any,
        y: Any,
        reset: bool,
        counts: np.ndarray | None = None,
        streamed: bool = False,
    ) -> tuple[Any, np.ndarray]:
        x, y = checked_table(self, X, y, reset, counts, self._numeric_target, streamed)
        return x, self._checked_target(y, reset)

    def _with_input_tags(self, tags: Tags) -> Tags:
        """Tags that also say which columns of X there may be."""
        tags.input_tags.allow_nan = self.input_encoding is not None
        tags.input_tags.categorical = self.input_encoding is not None
        tags.input_tags.sparse = self.input_encoding in ("auto", None)
        return tags

    # ---- a smaller network ---------------------------------------------------------------

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
        sparse.__dict__.update(sparsity(stack))
        return sparse
