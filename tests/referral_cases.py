"""Data and models that the tests of referral share."""

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdropout
from tests.reference import ONE_NETWORK

CANCER = load_breast_cancer(return_X_y=True)
IRIS = load_iris(return_X_y=True)
DIABETES = load_diabetes(return_X_y=True)


def network(**params):
    params = {"dropout_rate": 0.3, "learning_rate_init": 0.02, "random_state": 0, **params}
    net = skdropout.DropoutMLPClassifier(
        (20,), tol=0.005, n_iter_no_change=3, **params, **ONE_NETWORK
    )
    return make_pipeline(StandardScaler(), net)


def linear():
    return make_pipeline(StandardScaler(), LogisticRegression())


class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose rows are their own class probabilities."""

    def __init__(self, classes=(0, 1)):
        self.classes = classes

    def fit(self, X, y, sample_weight=None):
        self.classes_ = np.array(self.classes)
        self.weight_ = sample_weight
        return self

    def predict_proba(self, X):
        return np.asarray(X)

    def predict(self, X):
        return self.classes_[np.asarray(X).argmax(1)]
