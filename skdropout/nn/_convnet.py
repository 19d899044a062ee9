"""A small convolutional network."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral
from typing import Any

import torch
from torch import Tensor, nn


class ConvNet(nn.Module):
    """A small convolutional network with dropout where the literature advises it.

    Each block is a 3 x 3 convolution, a rectifier, pooling by two and dropout; then come fully
    connected layers with dropout, and the outputs, which are never dropped. The estimators fill in
    `input_shape` and `n_outputs`.

    Parameters
    ----------
    n_channels : sequence of int, default=(32, 64)
        Of each convolution.
    hidden_layer_sizes : sequence of int, default=(128,)
        Units of each fully connected hidden layer.
    convolution_rate : float, default=0.25
        Probability of dropping behind a convolution. Neighbouring pixels are alike, so less is
        dropped than of hidden units.
    dropout_rate : float, default=0.5
        Probability of dropping a hidden unit.
    spatial : bool, default=False
        Drop channels as a whole (Tompson et al. 2015). Otherwise single pixels.
    input_shape : tuple of int
        Of one row: (channels, height, width), or (height, width) for one channel.
    n_outputs : int
        Raw outputs: logits, means, or means and logarithms of variances.

    References
    ----------
    Srivastava, Hinton, Krizhevsky, Sutskever and Salakhutdinov (2014). Dropout: a simple way to
    prevent neural networks from overfitting. Journal of Machine Learning Research 15.

    Tompson, Goroshin, Jain, LeCun and Bregler (2015). Efficient object localization using
    convolutional networks. CVPR.

    Gal and Ghahramani (2016). Bayesian convolutional neural networks with Bernoulli approximate
    variational inference. ICLR workshop.

    Examples
    --------
    >>> import torch
    >>> from skdropout.nn import ConvNet
    >>> ConvNet((8, 16), (32,), input_shape=(8, 8), n_outputs=10)(torch.zeros(2, 8, 8)).shape
    torch.Size([2, 10])
    """

    def __init__(
        self,
        n_channels: Sequence[int] = (32, 64),
        hidden_layer_sizes: Sequence[int] = (128,),
        convolution_rate: float = 0.25,
        dropout_rate: float = 0.5,
        spatial: bool = False,
        *,
        input_shape: Sequence[int],
        n_outputs: int,
    ) -> None:
        super().__init__()
        channels, hidden = (
            _sizes("n_channels", n_channels),
            _sizes("hidden_layer_sizes", hidden_layer_sizes),
        )
        shape = tuple(input_shape)
        if len(shape) not in (2, 3):
            raise ValueError(
                "ConvNet: rows must be images of shape (height, width) or (channels, height, "
                f"width), got input_shape={shape}"
            )
        self.input_shape = (1, *shape) if len(shape) == 2 else shape
        drop = nn.Dropout2d if spatial else nn.Dropout
        n_in, side = self.input_shape[0], min(self.input_shape[1:])
        blocks: list[nn.Module] = []
        for n_out in channels:
            blocks += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.ReLU()]
            if side >= 2:
                blocks.append(nn.MaxPool2d(2))
            blocks.append(drop(convolution_rate))
            n_in, side = n_out, side // 2
        self.convolutions = nn.Sequential(*blocks)
        with torch.no_grad():
            n_in = self.convolutions.eval()(torch.zeros(1, *self.input_shape)).numel()
        layers: list[nn.Module] = []
        for n_out in hidden:
            layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(dropout_rate)]
            n_in = n_out
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(n_in, n_outputs))
        self.train()

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(self.convolutions(x.reshape(-1, *self.input_shape)))


def _sizes(name: str, values: Any) -> tuple[int, ...]:
    """One or several positive ints."""
    sizes = (values,) if isinstance(values, Integral) else tuple(values)
    if not all(isinstance(size, Integral) and int(size) > 0 for size in sizes):
        raise ValueError(f"ConvNet: {name} must be positive ints, got {values!r}")
    return tuple(int(size) for size in sizes)
