"""Axes, and lines that can be told apart without colour."""

from __future__ import annotations

from typing import Any

from sklearn.pipeline import Pipeline

# Okabe and Ito's colours, which colour-blind readers can tell apart, dark enough for print. The
# dashes say the same again for printers without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#000000", "#56B4E9", "#E69F00")
DASHES: tuple[Any, ...] = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (8, 2)), (0, (2, 1)))
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
REFERENCE = "#666666"


def axes_or_new(ax: Any) -> Any:
    """The given axes, or those of a new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    try:
        import matplotlib.pyplot as plt
    except ImportError as error:
        raise ImportError(
            "skdropout.displays draws with matplotlib: pip install matplotlib"
        ) from error
    return plt.subplots()[1] if ax is None else ax


def next_style(ax: Any, kind: str) -> dict[str, Any]:
    """Colour, dash and marker of the next curve on some axes.

    Parameters
    ----------
    ax : matplotlib Axes
    kind : str
        Curves of one kind are counted together.

    Returns
    -------
    dict
        Arguments of ``Axes.plot``; `gid` marks the curve as one of its kind.
    """
    drawn = sum(line.get_gid() == kind for line in ax.lines)
    return {
        "color": COLOURS[drawn % len(COLOURS)],
        "linestyle": DASHES[drawn % len(DASHES)],
        "marker": MARKERS[drawn % len(MARKERS)],
        "gid": kind,
    }


def legend_if_labelled(ax: Any) -> None:
    """A legend, if anything on the axes has a label."""
    if ax.get_legend_handles_labels()[1]:
        ax.legend()


def name_of(estimator: Any, name: str | None) -> str:
    """What a curve is called: as given, or the class of the last step of a pipeline."""
    if name is not None:
        return name
    while isinstance(estimator, Pipeline):
        estimator = estimator.steps[-1][1]
    return type(estimator).__name__
