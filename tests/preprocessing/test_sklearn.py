"""`TableEncoder` as scikit-learn's: its checks, names, containers of the output."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from skdropout.preprocessing import TableEncoder


@parametrize_with_checks(
    [
        TableEncoder(encoding, sparse_output=sparse_output)
        for encoding in ("piecewise", "scale", None)
        for sparse_output in (True, False)
    ]
)
def test_scikit_learns_checks(estimator, check):
    check(estimator)
