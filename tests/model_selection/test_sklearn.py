"""scikit-learn's checks over the batched searches."""

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.model_selection import BatchedGridSearchCV, BatchedRandomizedSearchCV
from tests._estimators.test_estimators import EXPECTED_FAILURES

RATES = {"dropout_rate": [0.05, 0.1]}
# The checks want fits that are good and, twice with the same data, the same.
QUICK = {"hidden_layer_sizes": (20,), "learning_rate_init": 0.02, "max_iter": 30, "tol": 0.01}
QUICK |= {"batch_size": 16, "n_iter_no_change": 5, "random_state": 0}
# Errors in data are looked for by their message, which "raise" lets through.
OPTIONS = {"cv": 2, "error_score": "raise"}

SEARCHES = [
    BatchedGridSearchCV(DropoutMLPClassifier(**QUICK), RATES, **OPTIONS),
    BatchedRandomizedSearchCV(
        DropoutMLPRegressor(**QUICK),
        RATES,
        n_iter=2,
        random_state=0,
        # In some checks half of the rows, in their order, have one target.
        **OPTIONS | {"cv": KFold(2, shuffle=True, random_state=0)},
    ),
    BatchedGridSearchCV(
        # A pipeline does not say that its last step takes missing values.
        make_pipeline(StandardScaler(), DropoutMLPClassifier(**QUICK, input_encoding=None)),
        {f"dropoutmlpclassifier__{name}": values for name, values in RATES.items()},
        **OPTIONS,
    ),
    BatchedGridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, **OPTIONS),
]


def expected_failures(search):
    if isinstance(search.estimator, LogisticRegression):
        return {}
    one_label = "check_classifiers_one_label_sample_weights"
    return EXPECTED_FAILURES | (
        {one_label: "the folds lack a class whatever the weights, as in scikit-learn's search"}
        if isinstance(search.estimator, DropoutMLPClassifier)
        else {}
    )


@parametrize_with_checks(SEARCHES, expected_failed_checks=expected_failures)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*batch_size=16 is larger:UserWarning")
@pytest.mark.filterwarnings("ignore:invalid value encountered in cast:RuntimeWarning")
def test_scikit_learns_checks(estimator, check):
    check(estimator)
