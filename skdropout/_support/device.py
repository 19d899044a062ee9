"""Which device a model lives on."""

from __future__ import annotations

import torch

# Multiply-adds of one training step from which a GPU's throughput outweighs its launch cost:
# measured to be a few millions against 16 cores (docs/benchmarks/gpu.md), and left some room.
_WORTH_A_GPU = 2 * 10**7


def resolve_device(device: str, multiply_adds: int, caller: str) -> torch.device:
    """The device for a stack.

    Parameters
    ----------
    device : str
        A torch device, or "auto": a CUDA GPU where there is one and one training step is large
        enough to gain from it, otherwise the CPU.
    multiply_adds : int
        Of the forward pass of one batch through the whole stack.
    caller : str
        Who asks, for the error.

    Raises
    ------
    ValueError
        If the device does not exist here.
    """
    if device == "auto":
        large = multiply_adds >= _WORTH_A_GPU
        return torch.device("cuda" if large and torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
        if chosen.type == "meta":
            raise RuntimeError("a meta device holds no numbers")
        torch.empty(0, device=chosen)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise ValueError(
            f"{caller}: device={device!r} is not available here; allowed are 'auto', 'cpu' and the "
            f"accelerators that this build of torch finds ({error})"
        ) from error
    return chosen
