"""Tables as they come, as numbers for a network or a linear model."""

from ._encoder import TableEncoder

__all__ = ["TableEncoder"]
