"""Labels with one more for "refer"."""

from __future__ import annotations

from typing import Any

import numpy as np


def with_refer_label(owner: str, classes: np.ndarray, refer_label: Any) -> np.ndarray:
    """The classes, and the label of referred rows after them.

    Parameters
    ----------
    owner : str
        Who asks, for the error.
    classes : ndarray of shape (n_classes,)
    refer_label : "auto" or scalar
        "auto" is "refer" among strings. Among numbers it is -1, or one less than the smallest
        class where that is negative.

    Returns
    -------
    ndarray of shape (n_classes + 1,)
        Of a dtype that holds all of them: object for a mixture of strings and numbers.

    Raises
    ------
    ValueError
        If the label is one of the classes, or no scalar.
    """
    numeric = classes.dtype.kind in "iufb"
    if classes.dtype.kind == "b":
        classes = classes.astype(int)
    if isinstance(refer_label, str) and refer_label == "auto":
        refer_label = min(-1, classes.min() - 1) if numeric else "refer"
    if np.ndim(refer_label) != 0:
        raise ValueError(f"{owner}: refer_label must be a single label, got {refer_label!r}")
    if any(refer_label == label for label in classes.tolist()):
        raise ValueError(
            f"{owner}: refer_label={refer_label!r} is one of the classes {classes.tolist()}; "
            "choose a label that no row has"
        )
    if numeric == isinstance(refer_label, str) or classes.dtype.kind == "O":
        labels = np.empty(len(classes) + 1, dtype=object)
        labels[:-1], labels[-1] = classes, refer_label
        return labels
    return np.append(classes, refer_label)
