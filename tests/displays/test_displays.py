"""Displays, drawn without a screen: the artists show the numbers."""

import subprocess
import sys

import matplotlib as mpl
import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.linear_model import BayesianRidge, LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

import skdropout
from skdropout import metrics
from skdropout.displays import (
    DropoutRateDisplay,
    IntervalCoverageDisplay,
    RiskCoverageDisplay,
    UncertaintyDisplay,
)
from tests.reference import ONE_NETWORK, quick
from tests.referral_cases import CANCER, linear, network

mpl.use("Agg")

DIABETES = load_diabetes(return_X_y=True)


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


@pytest.fixture(scope="module")
def classifier():
    return network().fit(*CANCER)


@pytest.fixture(scope="module")
def regressor():
    net = skdropout.DropoutMLPRegressor(
        (20,),
        learning_rate_init=0.02,
        tol=0.01,
        n_iter_no_change=3,
        random_state=0,
        **ONE_NETWORK,
    )
    return make_pipeline(StandardScaler(), net).fit(*DIABETES)


def styles(displays):
    return {(display.line_.get_color(), display.line_.get_linestyle()) for display in displays}


def rendered(display):
    """Draw everything once; an artist that cannot be drawn raises here."""
    display.figure_.canvas.draw()
    return display


def test_matplotlib_is_imported_only_when_something_is_drawn():
    code = (
        "import sys, skdropout.displays as d; assert 'matplotlib' not in sys.modules\n"
        "d.RiskCoverageDisplay(coverage=[1.0], risk=[0.5])\n"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_without_matplotlib_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    with pytest.raises(ImportError, match="pip install matplotlib"):
        RiskCoverageDisplay.from_predictions([0], [0], [1.0])


# ---- risk and coverage -----------------------------------------------------------------------


def test_risk_coverage_is_the_metrics_curve(classifier):
    X, y = CANCER
    display = rendered(RiskCoverageDisplay.from_estimator(classifier, X, y, plot_oracle=True))
    doubt = skdropout.predict_uncertainty(classifier, X).total
    curve = metrics.risk_coverage_curve(y, classifier.predict(X), doubt)
    np.testing.assert_allclose(display.line_.get_xydata(), np.c_[curve.coverage, curve.risk])
    aurc = metrics.aurc_score(y, classifier.predict(X), doubt)
    assert display.line_.get_label() == f"DropoutMLPClassifier (AURC {aurc:.3g})"
    oracle = display.oracle_line_.get_ydata()
    assert np.trapezoid(oracle, display.oracle_line_.get_xdata()) < aurc
    assert oracle[-1] == pytest.approx(curve.risk[-1])


def test_several_curves_share_axes_and_differ_without_colour(classifier):
    X, y = CANCER
    first = RiskCoverageDisplay.from_estimator(classifier, X, y, name="net")
    second = RiskCoverageDisplay.from_estimator(
        classifier, X, y, name="epistemic", uncertainty="epistemic", ax=first.ax_
    )
    third = RiskCoverageDisplay.from_estimator(linear().fit(X, y), X, y, ax=first.ax_)
    assert first.ax_ is second.ax_ is third.ax_
    assert len({dash for _, dash in styles([first, second, third])}) == 3
    assert len({colour for colour, _ in styles([first, second, third])}) == 3
    highest = max(display.risk.max() for display in (first, second, third))
    assert first.ax_.get_ylim()[0] == 0
    assert first.ax_.get_ylim()[1] > highest
    texts = [text.get_text() for text in rendered(third).ax_.get_legend().get_texts()]
    assert [text.split(" (")[0] for text in texts] == ["net", "epistemic", "LogisticRegression"]


def test_risk_coverage_of_a_regressor_is_in_the_units_of_y(regressor):
    X, y = DIABETES
    display = rendered(RiskCoverageDisplay.from_estimator(regressor, X, y, color="k", lw=3))
    assert display.risk[-1] == pytest.approx(np.abs(y - regressor.predict(X)).mean())
    assert (display.line_.get_color(), display.line_.get_linewidth()) == ("k", 3)


def test_weights_of_zero_leave_rows_out():
    case = ([0, 0, 1, 1], [0, 1, 1, 0], [0.1, 0.3, 0.2, 0.4])
    weighted = RiskCoverageDisplay.from_predictions(
        *case, sample_weight=[1, 0, 1, 1], plot_oracle=True
    )
    left = RiskCoverageDisplay.from_predictions(
        [0, 1, 1], [0, 1, 0], [0.1, 0.2, 0.4], plot_oracle=True
    )
    np.testing.assert_allclose(weighted.risk, left.risk)
    np.testing.assert_allclose(weighted.oracle, left.oracle)


# ---- uncertainty -----------------------------------------------------------------------------


@pytest.mark.parametrize("measure", ["variance", "entropy"])
def test_uncertainty_marks_the_errors(classifier, measure):
    X, y = CANCER
    display = rendered(
        UncertaintyDisplay.from_estimator(classifier, X, y, measure=measure, threshold=0.1)
    )
    parts = skdropout.predict_uncertainty(classifier, X, measure=measure)
    wrong = classifier.predict(X) != y
    assert 0 < wrong.sum() < 50
    for artist, rows in ((display.wrong_, wrong), (display.right_, ~wrong)):
        np.testing.assert_allclose(
            artist.get_xydata(), np.c_[parts.aleatoric, parts.epistemic][rows]
        )
    assert display.wrong_.get_marker() != display.right_.get_marker()
    assert display.threshold_line_.get_xydata().sum(1).tolist() == [0.1, 0.1]
    assert ("nats" in display.ax_.get_xlabel()) == (measure == "entropy")


def test_uncertainty_of_a_regressor_and_without_labels(regressor, classifier):
    X, y = DIABETES
    display = rendered(UncertaintyDisplay.from_estimator(regressor, X, y))
    mean, std = regressor.predict(X, return_std=True)
    assert len(display.wrong_.get_xdata()) == (np.abs(y - mean) > 2 * std).sum()
    bare = rendered(UncertaintyDisplay.from_estimator(classifier, CANCER[0]))
    assert bare.wrong_ is None
    assert len(bare.right_.get_xdata()) == len(CANCER[0])


# ---- intervals -------------------------------------------------------------------------------


def test_interval_coverage_by_hand():
    y, reach = np.array([0.0, 1.0, 2.0, 3.0]), np.array([0.5, 1.0, 2.5])
    display = rendered(
        IntervalCoverageDisplay.from_predictions(
            y, np.tile(-reach, (4, 1)), np.tile(reach, (4, 1)), levels=[0.2, 0.5, 0.9]
        )
    )
    np.testing.assert_allclose(display.line_.get_xydata(), [[0.2, 0.25], [0.5, 0.5], [0.9, 0.75]])


def test_interval_coverage_of_intervals_and_of_normal_distributions(regressor):
    X, y = DIABETES
    display = IntervalCoverageDisplay.from_estimator(regressor, X, y, levels=[0.5, 0.9])
    intervals = regressor[-1].predict_interval(regressor[:-1].transform(X), [0.5, 0.9])
    inside = (intervals[:, 0] <= y[:, None]) & (y[:, None] <= intervals[:, 1])
    np.testing.assert_allclose(display.observed, inside.mean(0))
    ridge = BayesianRidge().fit(X, y)
    second = rendered(
        IntervalCoverageDisplay.from_estimator(ridge, X, y, levels=[0.6827], ax=display.ax_)
    )
    mean, std = ridge.predict(X, return_std=True)
    assert second.observed.item() == pytest.approx((np.abs(y - mean) < std).mean(), abs=1 / 442)
    assert display.diagonal_ is not None
    assert second.diagonal_ is None
    assert len(styles([display, second])) == 2


# ---- dropout rates ---------------------------------------------------------------------------


def test_dropout_rates_of_a_search():
    X, y = CANCER
    pipe = network()
    name = "dropoutmlpclassifier__dropout_rate"
    grid = {name: [0.4, 0.1], "dropoutmlpclassifier__alpha": [1e-4, 1.0]}
    search = GridSearchCV(pipe, grid, cv=2, scoring="neg_log_loss").fit(X, y)
    display = rendered(DropoutRateDisplay.from_estimator(search, name="net"))
    results = search.cv_results_
    means = [
        results["mean_test_score"][results[f"param_{name}"] == rate].max() for rate in (0.1, 0.4)
    ]
    np.testing.assert_allclose(display.line_.get_xydata(), np.c_[[0.1, 0.4], means])
    np.testing.assert_allclose(
        display.best_.get_xydata(), [[search.best_params_[name], search.best_score_]]
    )
    assert display.ax_.get_ylabel() == "neg_log_loss"
    again = DropoutRateDisplay.from_estimator(search, param=name, ax=display.ax_)
    assert len(styles([display, again])) == 2


def test_error_bars_are_standard_errors():
    display = rendered(DropoutRateDisplay.from_predictions([0.5, 0.1], [[1, 3], [5, 5]]))
    bars = [segment[:, 1].tolist() for segment in display.error_bars_.get_segments()]
    assert bars == [[5, 5], [1, 3]]


# ---- bad input -------------------------------------------------------------------------------


def search_over(**grid):
    model = skdropout.DropoutMLPClassifier(
        (5,), tol=1.0, n_iter_no_change=1, random_state=0, **ONE_NETWORK
    )
    return GridSearchCV(model, grid, cv=2).fit(*CANCER)


@pytest.mark.parametrize(
    ("draw", "match"),
    [
        (lambda: RiskCoverageDisplay.from_predictions([0, 1], [0, 1], [0.5]), "inconsistent"),
        (lambda: UncertaintyDisplay.from_predictions([1.0], [1.0], [1]), "must hold booleans"),
        (
            lambda: IntervalCoverageDisplay.from_predictions([1.0], [0.0], [2.0], levels=[0.5]),
            "one row for each of the 1 targets",
        ),
        (
            lambda: IntervalCoverageDisplay.from_predictions([1], [[0]], [[2]], levels=[1.0]),
            r"levels must be in \(0, 1\)",
        ),
        (lambda: DropoutRateDisplay.from_predictions([0.1], [0.5]), "one row for each rate"),
        (lambda: DropoutRateDisplay.from_estimator(search_over(alpha=[0.1])), "say by param"),
        (
            lambda: DropoutRateDisplay.from_estimator(search_over(dropout_rate=[(0.1,), 0.2])),
            "a rate for each layer",
        ),
    ],
)
def test_bad_input_gets_a_sentence(draw, match):
    with pytest.raises(ValueError, match=match):
        draw()


def test_an_estimator_without_parts_cannot_show_them():
    with pytest.raises(TypeError, match="LogisticRegression"):
        UncertaintyDisplay.from_estimator(LogisticRegression(max_iter=5000).fit(*CANCER), *CANCER)


def test_several_labels_have_no_one_uncertainty_to_draw(two_classes):
    X, y = two_classes
    model = quick(skdropout.DropoutMLPClassifier).fit(X, np.column_stack([y, 1 - y]))
    with pytest.raises(ValueError, match=r"one uncertainty per row, and DropoutMLP\w+ has 2"):
        UncertaintyDisplay.from_estimator(model, X)
