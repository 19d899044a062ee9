"""`search_space`: distributions for a search, around what an estimator is set to."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import loguniform
from sklearn.base import clone
from sklearn.pipeline import Pipeline

from .._estimators.mlp import DropoutMLP
from .._estimators.recipe import family, hidden_widths
from ..families import Posterior
from ._candidates import network_of

# A network with most of its units dropped learns little, whatever else it is set to.
_HIGHEST_RATE = 0.7
# Factors on the KL: 1 is Bayes' rule, smaller ones are narrower posteriors.
_KL_WEIGHTS = (0.03, 0.1, 0.3, 1.0)


def search_space(estimator: Any) -> dict[str, Any]:
    """What is worth searching for an estimator, for `BatchedRandomizedSearchCV`.

    Around what the estimator is set to: step size, penalty and dropout rate; widths and depth, of
    which there are few, as each is a stack of its own; for a family that learns its noise the
    weight of the KL; for a regressor of real numbers whether the noise depends on the row.

    Parameters
    ----------
    estimator : estimator
        `DropoutMLPClassifier`, `DropoutMLPRegressor`, or a `Pipeline` that ends in one of them.

    Returns
    -------
    dict
        Lists and frozen distributions of SciPy for each parameter, named as in the estimator's
        `get_params`. Entries can be changed, removed and added.

    Raises
    ------
    TypeError
        If the estimator is neither a network of this package nor a pipeline that ends in one.
    ValueError
        If its `hidden_layer_sizes` or `dropout` are out of range.

    See Also
    --------
    BatchedRandomizedSearchCV : Trains candidates and folds as stacks.

    Examples
    --------
    >>> from skdropout import DropoutMLPClassifier
    >>> from skdropout.model_selection import search_space
    >>> space = search_space(DropoutMLPClassifier(hidden_layer_sizes=(50,)))
    >>> sorted(space)
    ['alpha', 'dropout_rate', 'hidden_layer_sizes', 'learning_rate_init']
    >>> space["hidden_layer_sizes"]
    [(50,), (100,), (50, 50)]
    """
    network = network_of(estimator)
    if network is None:
        raise TypeError(
            "search_space: estimator must be a DropoutMLPClassifier, a DropoutMLPRegressor or a "
            f"Pipeline that ends in one, got {estimator!r}"
        )
    prefix = f"{estimator.steps[-1][0]}__" if isinstance(estimator, Pipeline) else ""
    space = {**_training(network), **_shapes(network), **_noise(network)}
    return {prefix + name: values for name, values in space.items()}


def _training(network: DropoutMLP) -> dict[str, Any]:
    step, alpha = network.learning_rate_init, network.alpha
    space = {"learning_rate_init": loguniform(step / 3, step * 3)}
    # Whoever has switched the penalty off has another prior, or wants none.
    return {**space, "alpha": loguniform(alpha / 100, alpha * 100)} if alpha else space


def _shapes(network: DropoutMLP) -> dict[str, Any]:
    """The network's own widths, twice as many units, and one layer more."""
    widths = hidden_widths(network)
    if not widths:
        return {}
    wider = tuple(2 * width for width in widths)
    return {"hidden_layer_sizes": [widths, wider, (*widths, widths[-1])]}


def _noise(network: DropoutMLP) -> dict[str, Any]:
    """What is uncertain: of the functions, and of the observations around them."""
    kind = family(network)
    space: dict[str, Any] = {}
    if kind.uses_rate and hidden_widths(network):
        # One rate for all layers, as their number is searched too.
        given = np.mean(network.dropout_rate) or np.mean(type(network)().dropout_rate)
        space["dropout_rate"] = loguniform(given / 10, min(3 * given, _HIGHEST_RATE))
    if isinstance(kind, Posterior):
        weights = [factor * kind.kl_weight for factor in _KL_WEIGHTS]
        space["dropout"] = [clone(kind).set_params(kl_weight=weight) for weight in weights]
    if getattr(network, "loss", None) == "squared_error":
        space["noise"] = ["homoscedastic", "heteroscedastic"]
    return space
