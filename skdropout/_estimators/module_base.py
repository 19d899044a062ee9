"""What the estimators of modules are."""

from __future__ import annotations

import copy
import itertools
from abc import abstractmethod
from collections.abc import Iterator
from typing import Any

import numpy as np
from sklearn.utils import Tags
from sklearn.utils.validation import check_is_fitted
from torch import nn

from .._likelihoods.base import Likelihood
from .._modules.drawn import Readout
from .._support.caller_warnings import warn
from .._training.module_nets import ModuleNets
from .._training.rows import Rows
from .base import DropoutEstimator
from .described import Described
from .fitting import Fitting
from .module_fitting import ModuleJob, named, prepare_modules, untrained
from .module_inputs import checked_arrays, checked_arrays_and_target
from .module_parameters import ModuleParameters
from .trained import settled


class DropoutModule(ModuleParameters, DropoutEstimator):
    """Modules of torch that are trained here and drawn from.

    The leaves say what a target is and which predictions there are.
    """

    net_: ModuleNets
    input_shape_: tuple[int, ...]
    _trained: nn.Module

    # ---- training ------------------------------------------------------------------------

    def _prepare(self, described: Described, given: Rows | None, seed: int | None) -> Fitting:
        self._check_inference()
        return prepare_modules(self, described, given, seed)

    def _train_net(self, net: ModuleNets, fitting: Fitting) -> None:
        with named(self):
            net.train(fitting.job.parts, self.max_iter)

    def _streaming(self, described: Described, again: bool) -> tuple[Described, ModuleNets]:
        self._check_inference()
        if again:
            return described, copy.deepcopy(self.net_)
        described, members = untrained(self, described, self._seed, self.n_members)
        likelihood, rows = described.target.likelihood(1), described.rows
        nobody = (None,) * len(members)
        job = ModuleJob(self, members, likelihood, rows, (rows,) * len(members), nobody)
        net = job.net()
        for one in net.nets:
            # One pass has no second half to learn in what is held constant in the first.
            one.criterion.release()
        return described, net

    def _train_passes(self, net: ModuleNets, rows: Rows, passes: int, share: float) -> None:
        for part in (*itertools.repeat(1.0, passes), share):
            if part:
                with named(self):
                    net.train([rows] * len(net.nets), 1, part)
            if net.interrupted or net.failures_:
                return

    def _of_net(self, net: ModuleNets) -> dict[str, Any]:
        return {}

    def _noise_complaints(self, net: ModuleNets) -> Iterator[str]:
        return net.module_.complaints()

    def _check_noise(self, method: str) -> None:
        if not self.net_.module_.noisy:
            raise ValueError(
                f"{type(self).__name__}.{method}: this model has no noise (every rate of its "
                "module is zero) and one member, so it cannot say how sure it is; fit a module "
                "with a positive rate, or with n_members > 1"
            )

    def _check_inference(self) -> None:
        if self.inference == "moments":
            raise ValueError(
                f"{type(self).__name__}: inference='moments' needs layers whose moments have a "
                "formula, which a module of one's own has not; allowed is inference='draws'"
            )

    # ---- modules that are trained ---------------------------------------------------------

    @abstractmethod
    def _trained_likelihood(self, target: Any) -> Likelihood:
        """Of one module that was trained elsewhere."""

    @abstractmethod
    def _in_order(self, readout: Readout, width: int) -> Readout:
        """A readout of so many outputs in the order of the target."""

    def _settle(self, x: np.ndarray) -> None:
        """Watch a module that was trained elsewhere on the first rows that there are."""
        if hasattr(self, "net_"):
            return
        with named(self):
            self._target, net = settled(self, x)
        self.dropout_rates_ = net.module_.rates().mean(0)
        for sentence in self._noise_complaints(net):
            warn(f"{type(self).__name__}: {sentence}")
        self.net_ = net

    def _learn_noise(self, rows: Rows) -> None:
        """Set what has a closed form given the network, from rows that are new to it."""
        return

    # ---- rows ----------------------------------------------------------------------------

    def _check_x(self, X: Any) -> np.ndarray:
        check_is_fitted(self)
        self._check_inference()
        x = checked_arrays(self, X, reset=not hasattr(self, "input_shape_"))
        self._settle(x)
        return x

    def _check_xy(
        self,
        X: Any,
        y: Any,
        reset: bool,
        counts: np.ndarray | None = None,
        streamed: bool = False,
    ) -> tuple[np.ndarray, np.ndarray]:
        if reset:
            # Nothing encodes what a module takes.
            self._encoder = None
        x, y = checked_arrays_and_target(self, X, y, reset, self._numeric_target)
        return x, self._checked_target(y, reset)

    def _with_input_tags(self, tags: Tags) -> Tags:
        """Tags that also say which rows there may be."""
        tags.input_tags.three_d_array = True
        return tags
