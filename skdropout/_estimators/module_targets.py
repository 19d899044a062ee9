"""What of a module's outputs a target takes."""

from __future__ import annotations

import copy

from .._modules.drawn import Readout
from .._modules.layout import Layout
from .._modules.watching import ModuleRefusedError
from .label_targets import LabelTarget
from .numbers import NumericTarget, RealNumbers
from .targets import Target


def n_expected(target: Target) -> int:
    """Outputs that a module has, unless it says otherwise."""
    if isinstance(target, NumericTarget):
        return len(target.columns.constant)
    return target.likelihood(1).n_raw


def of_module(target: Target, layout: Layout) -> tuple[Target, Readout]:
    """The target as a module takes it, and what of its outputs that is.

    Parameters
    ----------
    target : Target
    layout : Layout
        Of the module.

    Raises
    ------
    ModuleRefusedError
        If it has too few or too many outputs.
    """
    if isinstance(target, LabelTarget):
        return target, _of_labels(target, layout)
    assert isinstance(target, NumericTarget), "there is no third kind"
    return _of_numbers(target, layout)


def _of_labels(target: LabelTarget, layout: Layout) -> Readout:
    n_labels, wanted, several = len(target.classes), n_expected(target), bool(target.shape)
    if layout.width == n_labels > 1 and layout.probabilities and not several:
        raise ModuleRefusedError(
            "what it returns for a row sums to one, as probabilities do; return logits, without a "
            "softmax"
        )
    if layout.width == wanted:
        return Readout()
    if layout.width == n_labels == 2 and not several:
        return Readout(difference=True)
    also = " (or 2, a logit for each)" if wanted == 1 and not several else ""
    raise ModuleRefusedError(
        f"it has {layout.width} outputs, and {n_labels} "
        f"{'labels per row' if several else 'classes'} need {wanted}{also}"
    )


def _of_numbers(target: NumericTarget, layout: Layout) -> tuple[NumericTarget, Readout]:
    learned, n_columns = target.columns.learned.tolist(), n_expected(target)
    if layout.width == n_columns:
        return target, Readout(learned)
    if layout.width == 2 * n_columns and isinstance(target, RealNumbers):
        varying = copy.copy(target)
        varying.heteroscedastic = True
        return varying, Readout([*learned, *(n_columns + column for column in learned)])
    both = f", or {2 * n_columns} with a variance for each"
    raise ModuleRefusedError(
        f"it has {layout.width} outputs, and y with {n_columns} columns needs {n_columns}"
        + both * isinstance(target, RealNumbers)
    )
