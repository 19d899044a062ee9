"""scikit-learn's checks over the batched searches."""

import pytest
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.model_selection import BatchedGridSearchCV, BatchedRandomizedSearchCV
from tests.test_estimators import EXPECTED_FAILURES

RATES = {"dropout_rate": [0.05, 0.1]}
# The checks want fits that are good and, twice with the same data, the same.
QUICK = {"hidden_layer_sizes": (20,), "learning_rate_init": 0.02, "max_iter": 30, "tol": 0.01}
QUICK |= {"batch_size": 16, "n_iter_no_change": 5, "random_state": 0}
# Errors in data are looked for by their message, which "raise" lets through.
OPTIONS = {"cv": 2, "error_score": "raise"}

SEARCHES = [
    BatchedGridSearchCV(DropoutMLPClassifier(**QUICK), RATES, **OPTIONS),
    BatchedRandomizedSearchCV(
        DropoutMLPRegressor(**QUICK), RATES, n_iter=2, random_state=0, **OPTIONS
    ),
    BatchedGridSearchCV(
        make_pipeline(StandardScaler(), DropoutMLPClassifier(**QUICK)),
        {f"dropoutmlpclassifier__{name}": values for name, values in RATES.items()},
        **OPTIONS,
    ),
    BatchedGridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, **OPTIONS),
]


def expected_failures(search):
    if isinstance(search.estimator, LogisticRegression):
        return {}
    return EXPECTED_FAILURES


@parametrize_with_checks(SEARCHES, expected_failed_checks=expected_failures)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.filterwarnings("ignore:.*batch_size=16 is larger:UserWarning")
def test_scikit_learns_checks(estimator, check):
    check(estimator)
