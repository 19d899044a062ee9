"""scikit-learn's checks over the batched searches."""

import pytest
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.model_selection import BatchedGridSearchCV, BatchedRandomizedSearchCV
from tests.test_estimators import EXPECTED_FAILURES

RATES = {"dropout_rate": [0.1, 0.2]}
SEARCHES = [
    BatchedGridSearchCV(DropoutMLPClassifier(), RATES, cv=2),
    BatchedGridSearchCV(DropoutMLPRegressor(), RATES, cv=2),
    BatchedRandomizedSearchCV(DropoutMLPClassifier(), RATES, n_iter=2, cv=2, random_state=0),
    BatchedRandomizedSearchCV(DropoutMLPRegressor(), RATES, n_iter=2, cv=2, random_state=0),
    BatchedGridSearchCV(
        make_pipeline(StandardScaler(), DropoutMLPClassifier()),
        {"dropoutmlpclassifier__dropout_rate": [0.1, 0.2]},
        cv=2,
    ),
    BatchedGridSearchCV(LogisticRegression(), {"C": [0.1, 1.0]}, cv=2),
    BatchedGridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2),
]


def expected_failures(search):
    if isinstance(search.estimator, LogisticRegression | Ridge):
        return {}
    return EXPECTED_FAILURES


@parametrize_with_checks(SEARCHES, expected_failed_checks=expected_failures)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_scikit_learns_checks(estimator, check):
    check(estimator)
