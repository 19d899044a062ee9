"""Modules that somebody has trained elsewhere, as fitted estimators hold them."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import nn

from .._modules.drawn import ModuleMember, with_prefix
from .._modules.layout import layout_of
from .._support.device import resolve_device
from .._support.random import new_seed
from .._support.sklearn import validate_parameters
from .._training.module_net import ModuleNet
from .._training.module_nets import ModuleNets
from .._training.plan import Plan
from .._training.rows import Rows
from .calibration import calibrated
from .described import Described, Held, checked_weight, to_rows
from .fitting import Fitting
from .module_fitting import ModuleJob, said_of_module
from .module_targets import of_module
from .splits import Given
from .targets import Target

if TYPE_CHECKING:
    from .module_base import DropoutModule


def trained_module(estimator: DropoutModule) -> nn.Module:
    """A copy of the module that an estimator was given, in evaluation mode.

    Raises
    ------
    ValueError
        If it is no instance.
    """
    if not isinstance(estimator.module, nn.Module):
        raise ValueError(
            f"{said_of_module(estimator)}: from_trained takes a module that is trained, an "
            f"instance of torch.nn.Module, got {estimator.module!r:.100}"
        )
    validate_parameters(estimator)
    return copy.deepcopy(estimator.module).eval()


def hold(estimator: Any, target: Target, X: Any, y: Any, weight: Any) -> Any:
    """Let an estimator have what was trained, and calibrate it on rows, if there are any.

    Parameters
    ----------
    estimator : DropoutModule
        Not yet fitted.
    target : Target
    X, y, weight
        Rows that the module was not trained on, or None.

    Returns
    -------
    estimator : DropoutModule
    """
    name = type(estimator).__name__
    state: dict[str, Any] = {"_target": target, "_encoder": None, "calibration_": None}
    state |= {"_trained": trained_module(estimator), "n_folds_": 0}
    estimator._seed = new_seed(estimator.random_state)
    estimator.__dict__.update(state | target.attributes())
    if X is None and y is None:
        return estimator
    if X is None or y is None:
        missing, there = ("X_val", "y_val") if X is None else ("y_val", "X_val")
        raise ValueError(f"{name}.from_trained: {there} was given, but {missing} was not")
    weight = checked_weight(weight, X)
    x, y = estimator._check_xy(X, y, reset=True)
    estimator._settle(x)
    net, target = estimator.net_, estimator._target
    rows = to_rows(x, target.encode(y), weight, name)
    estimator._learn_noise(rows)
    given = Given(y, None, np.arange(len(y)))
    described = Described({"_encoder": None}, target, rows, 1.0, given)
    job = ModuleJob(estimator, tuple(net.module_.members), net.criterion_, rows, (rows,), (None,))
    held = (Held(range(1), rows, None),)
    fitting = Fitting(described, job, held, len(rows), estimator._seed)
    estimator.calibration_ = calibrated(estimator, fitting, net)
    return estimator


def settled(estimator: DropoutModule, x: np.ndarray) -> tuple[Target, ModuleNets]:
    """The target and the net of a trained module, once there are rows to watch it on.

    Parameters
    ----------
    estimator : DropoutModule
    x : ndarray of shape (rows, ...)
    """
    rows = torch.from_numpy(x[:8].astype(np.float32))
    module, seed = estimator._trained, estimator._seed
    layout = layout_of(module.cpu(), rows, said_of_module(estimator))
    target, readout = of_module(estimator._target, layout)
    readout = estimator._in_order(readout, layout.width)
    member = with_prefix(ModuleMember(seed, module, layout, readout), rows)
    options = {option: getattr(estimator, option) for option in Plan.__dataclass_fields__}
    options["batch_size"] = 200 if isinstance(estimator.batch_size, str) else estimator.batch_size
    adds = layout.multiply_adds * options["batch_size"]
    net = ModuleNet(
        module,
        estimator._trained_likelihood(target),
        seed=seed,
        layout=member.layout,
        readout=readout,
        plan=Plan(**options),
        max_epochs=estimator.max_iter,
        device=str(resolve_device(estimator.device, adds, type(estimator).__name__)),
        verbose=0,
    )
    with torch.inference_mode(False), torch.enable_grad():
        net.initialize()
    return target, ModuleNets([net])


def learn_noise(net: ModuleNets, rows: Rows, n_draws: int) -> None:
    """Set what has a closed form given the network from rows that it was not trained on."""
    likelihood = net.nets[0].criterion_
    drawn = net.module_.draw(n_draws) if n_draws and net.module_.noisy else net.module_.plain()
    x: Any = rows.x
    with torch.no_grad():
        for part, (raw,) in drawn.evaluate(x):
            n_functions = len(raw)
            y = rows.y[part].to(raw.device)
            y = y.expand(n_functions, *y.shape).flatten(0, 1)
            weight = None
            if rows.weight is not None:
                weight = rows.weight[part].to(raw.device).repeat(n_functions).unsqueeze(0)
            likelihood.gaps = rows.has_gaps
            likelihood.observe(raw.flatten(0, 1).unsqueeze(0), y.unsqueeze(0), weight)
        likelihood.epoch_end()
    net.update()
