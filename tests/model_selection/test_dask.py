"""A batched search spreads its stacks over the workers of a Dask cluster."""

import joblib
import numpy as np
import pytest
from distributed import Client, LocalCluster
from sklearn.model_selection import GridSearchCV

from skdropout import DropoutMLPClassifier
from skdropout._training.net import DropoutNet
from skdropout.model_selection import BatchedGridSearchCV
from tests.reference import quick

GRID = {"dropout_rate": [0.1, 0.3, 0.5], "alpha": [0.01, 1.0]}


@pytest.fixture
def cluster(tmp_path):
    with (
        LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,
            local_directory=str(tmp_path),
        ) as cluster,
        Client(cluster) as client,
    ):
        yield client


# The cluster's own clean-up of sockets and processes is no business of ours.
@pytest.mark.filterwarnings("default::ResourceWarning")
@pytest.mark.filterwarnings("default::pytest.PytestUnraisableExceptionWarning")
def test_a_cluster_with_two_workers_gets_the_same_result(two_classes, cluster, monkeypatch):
    # A few steps of gradient descent, which do not make the rounding of a stack grow.
    model = quick(DropoutMLPClassifier, solver="sgd")
    here, train = [], DropoutNet.partial_fit
    monkeypatch.setattr(
        DropoutNet,
        "partial_fit",
        lambda net, *args, **kw: here.append(1) or train(net, *args, **kw),
    )
    with joblib.parallel_config("dask"):
        ours = BatchedGridSearchCV(model, GRID, cv=3, scoring=_worker_loss, refit=False)
        ours.fit(*two_classes)
    assert not here, "the stacks are trained by the workers"
    theirs = GridSearchCV(model, GRID, cv=3, scoring="neg_log_loss").fit(*two_classes)
    np.testing.assert_allclose(
        ours.cv_results_["mean_test_loss"],
        theirs.cv_results_["mean_test_score"],
        rtol=1e-5,
    )
    # It was the workers that scored, too.
    processes = {ours.cv_results_[f"split{k}_test_process"][c] for k in range(3) for c in range(6)}
    assert processes <= set(cluster.run(_pid).values())


def _pid():
    import os

    return float(os.getpid())


def _worker_loss(estimator, X, y):
    from sklearn.metrics import log_loss

    return {"loss": -log_loss(y, estimator.predict_proba(X)), "process": _pid()}
