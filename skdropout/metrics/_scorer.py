"""What all scorers of this package share: the way of `sample_weight`."""

from __future__ import annotations

import copy
from typing import Self

from sklearn.utils.metadata_routing import MetadataRequest


class WeightedScorer:
    """A scorer that can be given `sample_weight`."""

    def __init__(self) -> None:
        self._weight_request: bool | str | None = None

    def set_score_request(self, *, sample_weight: bool | str | None) -> Self:
        """Say whether `sample_weight` is wanted, for scikit-learn's metadata routing.

        Parameters
        ----------
        sample_weight : bool, str or None
            As everywhere in scikit-learn.

        Returns
        -------
        WeightedScorer
            A new one, so that the ready scorers stay as they are.
        """
        new = copy.copy(self)
        new._weight_request = sample_weight
        return new

    def get_metadata_routing(self) -> MetadataRequest:
        """What the scorer takes beside X and y, for scikit-learn's metadata routing."""
        request = MetadataRequest(owner=self)
        request.score.add_request(param="sample_weight", alias=self._weight_request)
        return request
