"""`DropoutModuleClassifier`."""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any, ClassVar

from sklearn.base import ClassifierMixin
from sklearn.utils import ClassifierTags, Tags

from .classifier import DropoutMLPClassifier
from .module_base import DropoutModule
from .module_parameters import takes_module_parameters


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

    _numeric_target = False
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
