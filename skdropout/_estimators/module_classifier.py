"""`DropoutModuleClassifier`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import ClassifierTags, Tags

from .._likelihoods.base import Likelihood
from .._modules.drawn import Readout
from .class_labels import ClassLabels
from .classifier import DropoutMLPClassifier
from .module_base import DropoutModule
from .module_parameters import takes_module_parameters
from .trained import hold


@takes_module_parameters
@dataclass(eq=False, repr=False)
class DropoutModuleClassifier(ClassifierMixin, DropoutModule):
    """A torch module with dropout as a classifier that says how sure it is."""

    _: KW_ONLY
    learning_rate_init: float = DropoutMLPClassifier.learning_rate_init
    class_weight: Any = None

    _parameter_constraints: ClassVar[dict] = {
        **DropoutModule._parameter_constraints,
        "class_weight": DropoutMLPClassifier._parameter_constraints["class_weight"],
    }

    def __sklearn_tags__(self) -> Tags:
        tags = self._with_input_tags(super().__sklearn_tags__())
        tags.classifier_tags = ClassifierTags(multi_label=True)
        return tags

    @classmethod
    def from_trained(
        cls,
        module: Any,
        classes: Any,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
        **params: Any,
    ) -> DropoutModuleClassifier:
        """A fitted classifier from a module that was trained elsewhere.

        It predicts and refers at once. The module is copied, and seen first when there are rows.

        Parameters
        ----------
        module : Module
            An instance whose outputs are logits: one for each class, or of two classes the log
            odds of the second alone.
        classes : array-like of shape (n_classes,)
            Labels, in the order of the outputs.
        X_val : array-like of shape (n_val, ...), default=None
            Rows that the module was not trained on, for calibration.
        y_val : array-like of shape (n_val,), default=None
            Their labels.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights.
        **params : dict
            Parameters of the estimator.

        Returns
        -------
        estimator : DropoutModuleClassifier

        Raises
        ------
        ValueError
            If the module is no instance, or has no fixed functions; for classes that are not
            different.
        """
        given = np.asarray(classes)
        known, order = np.unique(given, return_index=True)
        if given.ndim != 1 or len(known) < len(given) or len(known) < 2:
            raise ValueError(
                f"{cls.__name__}.from_trained: classes must be two different labels or more, one "
                f"for each output, got {classes!r:.200}"
            )
        model = cls(module, **params)
        model._order = order.tolist()
        return hold(model, ClassLabels(known, cls.__name__), X_val, y_val, sample_weight_val)

    def _trained_likelihood(self, target: Any) -> Likelihood:
        return target.likelihood(1)

    def _in_order(self, readout: Readout, width: int) -> Readout:
        if width == 1:
            return Readout(sign=-1.0 if self._order[0] else 1.0)
        return Readout(self._order, difference=readout.difference)

    _numeric_target = False
    # The outputs of the classes, of a module that was trained elsewhere.
    _order = list[int]()
    _auto_batch_size = staticmethod(DropoutMLPClassifier._auto_batch_size)
    # What labels are, and what is asked of their probabilities, does not depend on the network.
    partial_fit = DropoutMLPClassifier.partial_fit
    _checked_target = DropoutMLPClassifier._checked_target
    _total_weight = DropoutMLPClassifier._total_weight
    _class_weights = DropoutMLPClassifier._class_weights
    _check_again = DropoutMLPClassifier._check_again
    _read_target = DropoutMLPClassifier._read_target
    _indicators = DropoutMLPClassifier._indicators
    predict = DropoutMLPClassifier.predict
    predict_proba = DropoutMLPClassifier.predict_proba
    predict_log_proba = DropoutMLPClassifier.predict_log_proba
    sample_proba = DropoutMLPClassifier.sample_proba
    score = DropoutMLPClassifier.score
    _measures = DropoutMLPClassifier._measures
    _scored_target = DropoutMLPClassifier._scored_target
    _shaped = DropoutMLPClassifier._shaped
    _column_names = DropoutMLPClassifier._column_names
