"""What a module does with rows, found by watching it: where it drops, and what it returns."""

from __future__ import annotations

import copy
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from .interception import FreshNoise, Generators
from .kinds import Call
from .watching import ModuleRefusedError, Watcher

# Inputs with an axis less stand for one row without an axis of rows.
_OF_BATCHES = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm)
_BATCHED = {"dropout1d": 3, "dropout3d": 5}


class Site(NamedTuple):
    """Where a module drops.

    Attributes
    ----------
    name : str
        Of the function that is called.
    where : str
        The module that calls it, for sentences.
    shape : tuple of int
        Of a mask, which all rows share.
    on : bool
        Whether it is on in training.
    rate : float
    """

    name: str
    where: str
    shape: tuple[int, ...]
    on: bool
    rate: float


@dataclass(frozen=True)
class Layout:
    """What a module does with rows.

    Attributes
    ----------
    sites : tuple of Site
        Its dropouts, in the order of the calls.
    width : int
        Outputs of a row.
    late : bool
        Whether what comes before the first dropout can be computed once for several draws.
    integers : bool
        Whether the module takes integers, as embeddings do.
    doubles : bool
        Whether it can compute in float64.
    largest : int
        Elements that one step holds of a row, at most.
    multiply_adds : int
        Of a row.
    probabilities : bool
        Whether what it returns for a row is positive and sums to one.
    of_batches : bool
        Whether it takes statistics of batches in training.
    complaint : str or None
        What a user should hear of it.
    owner : str
        How an error about the module begins.
    """

    sites: tuple[Site, ...]
    width: int
    late: bool
    integers: bool
    doubles: bool
    largest: int
    multiply_adds: int
    probabilities: bool
    of_batches: bool
    complaint: str | None
    owner: str = ""

    @property
    def noisy(self) -> bool:
        """Whether any dropout is on."""
        return any(site.on and site.rate > 0 for site in self.sites)


def layout_of(module: nn.Module, rows: Tensor, owner: str = "") -> Layout:
    """Watch a module, which stays as it is, on a few rows.

    Parameters
    ----------
    module : Module
    rows : Tensor of shape (n_rows, ...)
        On the device of the module; one at least.
    owner : str
        How an error about the module begins, once it predicts.

    Raises
    ------
    ModuleRefusedError
        If it has no dropout, or none that can be the same for all rows.
    """
    _check_parts(module)
    module = copy.deepcopy(module)
    # Two rows at least: batch normalization needs them in training.
    rows = rows[torch.arange(max(3, min(len(rows), 8))) % len(rows)]
    rows, integers = _accepted(module, rows)
    training = Watcher(FreshNoise(Generators(0)))
    _watched(copy.deepcopy(module).train(), rows, training)
    module.eval()
    together, alone = Watcher(), []
    raw = _watched(module, rows, together)
    sites = _sites(training, together, len(rows))
    for number in range(len(rows)):
        one = Watcher()
        alone.append(_alone(module, rows[number : number + 1], one))
        _check_same(sites, one, f"row {number} of the first rows")
    _check_rows(raw, torch.cat(alone))
    return Layout(
        sites,
        raw.shape[1],
        late=False,
        integers=integers,
        doubles=not integers and _takes(copy.deepcopy(module).double(), rows.double()),
        largest=-(-together.largest // len(rows)),
        multiply_adds=together.multiply_adds // len(rows),
        probabilities=bool((raw >= 0).all() and (raw.sum(1) - 1).abs().max() < 1e-4),
        of_batches=any(isinstance(part, _OF_BATCHES) for part in module.modules()),
        complaint=training.complaint,
        owner=owner,
    )


def with_rates(layout: Layout, module: nn.Module, rows: Tensor) -> Layout:
    """A layout with the rates that a trained module has now.

    Parameters
    ----------
    layout : Layout
    module : Module
        In evaluation mode.
    rows : Tensor of shape (n_rows, ...)
        A few.
    """
    watcher = Watcher()
    module = copy.deepcopy(module)
    _watched(module, rows.long() if layout.integers else rows, watcher)
    pairs = zip(layout.sites, watcher.calls, strict=True)
    sites = tuple(site._replace(rate=call.rate) for site, (call, _) in pairs)
    return replace(layout, sites=sites)


def _check_parts(module: nn.Module) -> None:
    """Refuse what has dropouts that cannot be caught, or that drop for each row anew."""
    for name, part in module.named_modules():
        where = f"{name or 'the module'} ({type(part).__name__})"
        if isinstance(part, torch.jit.ScriptModule):
            raise ModuleRefusedError(f"{where} is compiled, so its dropouts cannot be found")
        if isinstance(part, nn.RNNBase) and part.dropout > 0 and part.num_layers > 1:
            raise ModuleRefusedError(
                f"{where} drops between its layers (dropout={part.dropout}), where no mask of ours "
                "can be put; use dropout=0 there, layers of their own and torch.nn.Dropout between "
                "them"
            )
        if isinstance(part, nn.MultiheadAttention) and part.dropout > 0:
            raise ModuleRefusedError(
                f"{where} drops attention weights (dropout={part.dropout}), whose masks depend on "
                "the row; use dropout=0 there and torch.nn.Dropout on what the attention returns"
            )


def _alone(module: nn.Module, row: Tensor, watcher: Watcher) -> Tensor:
    try:
        return _watched(module, row, watcher)
    except ModuleRefusedError as error:
        raise ModuleRefusedError(f"{error} (one row alone, in evaluation mode)") from error


def _takes(module: nn.Module, rows: Tensor) -> bool:
    try:
        _watched(module, rows, Watcher())
    except (ModuleRefusedError, RuntimeError, TypeError, ValueError, IndexError):
        return False
    return True


def _accepted(module: nn.Module, rows: Tensor) -> tuple[Tensor, bool]:
    """Rows of the dtype that a module takes, and whether that is an integer."""
    module = copy.deepcopy(module).eval()
    whole = bool((rows == rows.round()).all())
    if not _takes(module, rows) and whole and _takes(module, rows.long()):
        return rows.long(), True
    return rows, False


def _watched(module: nn.Module, rows: Tensor, watcher: Watcher) -> Tensor:
    """Raw outputs ``(rows, width)`` of a module that is watched."""
    try:
        with watcher.watching(module):
            raw = module(rows)
    except ModuleRefusedError:
        raise
    except Exception as error:
        raise ModuleRefusedError(
            f"it cannot be called with rows of shape {tuple(rows.shape[1:])}, in {watcher.where}: "
            f"{type(error).__name__}: {error}"
        ) from error
    return outputs_of(raw, len(rows))


def outputs_of(raw: Any, n_rows: int) -> Tensor:
    """What a module returned, as ``(rows, width)``.

    Raises
    ------
    ModuleRefusedError
        If it is no such tensor.
    """
    if isinstance(raw, Tensor) and raw.ndim in (1, 2) and len(raw) == n_rows:
        return raw.unsqueeze(1) if raw.ndim == 1 else raw
    got = f"a {type(raw).__name__}"
    if isinstance(raw, Tensor):
        got = f"one of shape {tuple(raw.shape)} for {n_rows} rows"
    raise ModuleRefusedError(
        f"it must return a tensor of shape (n_rows, n_outputs), and returned {got}"
    )


def _sites(training: Watcher, evaluation: Watcher, n_rows: int) -> tuple[Site, ...]:
    """The dropouts of a module, which it must call in evaluation as it does in training."""
    if evaluation.random:
        raise ModuleRefusedError(
            f"it draws random numbers in evaluation mode ({evaluation.random[0]}), so it is no "
            "fixed function; let it do so only while self.training is set, or use dropouts"
        )
    names = [(call.kind.name, where) for call, where in training.calls]
    if missing := [name for name in names if name not in _named(evaluation)]:
        raise ModuleRefusedError(
            f"{missing[0][1]} calls {missing[0][0]} in training only, so dropout would be off at "
            "prediction; call it always, with training=self.training"
        )
    if names != _named(evaluation):
        raise ModuleRefusedError(
            f"it calls other dropouts in evaluation ({_named(evaluation)}) than in training "
            f"({names})"
        )
    if not names:
        own = "".join(f"; it draws random numbers itself ({what})" for what in training.random[:1])
        raise ModuleRefusedError(
            f"no dropout is found in it{own}; put in "
            "torch.nn.Dropout, or another dropout of torch.nn or skdropout.nn, or call "
            "torch.nn.functional.dropout in its forward"
        )
    pairs = zip(training.calls, evaluation.calls, strict=True)
    return tuple(_site(first, then[0], then[1], n_rows) for (first, _), then in pairs)


def _named(watcher: Watcher) -> list[tuple[str, str]]:
    return [(call.kind.name, where) for call, where in watcher.calls]


def _site(trained: Call, call: Call, where: str, n_rows: int) -> Site:
    kind, x = call.kind, call.x
    if x.ndim < 1 or len(x) != n_rows or x.ndim < _BATCHED.get(kind.name, 1):
        raise ModuleRefusedError(
            f"{where} calls {kind.name} on a tensor of shape {tuple(x.shape)} for {n_rows} rows; "
            "its first axis must be that of the rows, which share a mask"
        )
    return Site(kind.name, where, kind.shape(x), trained.training, trained.rate)


def _check_same(sites: tuple[Site, ...], watcher: Watcher, which: str) -> None:
    """Refuse a module that drops otherwise for some row."""
    if len(sites) != len(watcher.calls):
        raise ModuleRefusedError(
            f"it calls {len(watcher.calls)} dropouts for {which} and {len(sites)} for all of them "
            f"(the last one in {watcher.calls[-1][1] if watcher.calls else sites[-1].where}); "
            "a draw is one function, with the same dropouts for every row"
        )
    for site, (call, where) in zip(sites, watcher.calls, strict=True):
        if _site(call, call, where, 1).shape != site.shape:
            raise ModuleRefusedError(
                f"{where} calls {site.name} on units of shape {tuple(call.x.shape[1:])} for "
                f"{which} and of shape {site.shape} for others, so a mask would depend on the row"
            )


def _check_rows(together: Tensor, alone: Tensor) -> None:
    """Refuse a module that mixes rows, or whose outputs are not finite."""
    if not together.isfinite().all():
        raise ModuleRefusedError("its outputs are not finite (NaN or infinite) for the first rows")
    size = together.abs().max().clamp_min(1e-6)
    if not torch.allclose(together, alone, rtol=1e-3, atol=1e-3 * float(size)):
        raise ModuleRefusedError(
            "what it returns for a row depends on the rows beside it, in evaluation mode too "
            "(such as batch normalization with track_running_stats=False)"
        )
