"""What answers a prediction beside a fixed number of draws: scikit-learn's checks."""

import itertools

import pytest
from sklearn.utils.estimator_checks import estimator_checks_generator

from tests._estimators.test_estimators import SHORT
from tests.reference import ESTIMATORS

OTHER_ANSWERS = [("n_draws", "auto"), ("inference", "moments")]
CHECKS = {
    "check_methods_subset_invariance",
    "check_methods_sample_order_invariance",
    "check_fit_idempotent",
    "check_dict_unchanged",
    "check_dont_overwrite_attributes",
    "check_estimators_pickle",
    "check_estimators_dtypes",
    "check_fit2d_1sample",
    "check_readonly_memmap_input",
    "check_classifiers_train",
    "check_regressors_train",
    "check_regressors_int",
    "check_n_features_in_after_fitting",
}


def checks():
    """Those that predict; fitting is the same whatever answers."""
    for estimator_class, (key, value) in itertools.product(ESTIMATORS, OTHER_ANSWERS):
        for estimator, check in estimator_checks_generator(
            estimator_class((50, 20), **SHORT[estimator_class] | {key: value, "max_iter": 80})
        ):
            name = getattr(check, "func", check).__name__
            if name in CHECKS:
                yield pytest.param(
                    estimator, check, id=f"{estimator_class.__name__}-{value}-{name}"
                )


@pytest.mark.parametrize(("estimator", "check"), list(checks()))
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_checks(estimator, check):
    check(estimator)
