"""Breast-cancer diagnosis that hands over the patients it is not sure of.

The data are scikit-learn's bundled measurements of 569 real biopsies (Wolberg, Street and
Mangasarian 1995). A third of the patients train the model, a third find out when it should
refer, and a third are held out. The script

1. searches over dropout rates with `BatchedGridSearchCV`, scored by log loss;
2. says for each held-out patient how sure the model is, and why not;
3. counts the errors among the patients kept as more are referred, beside referral at random and
   by the largest probability of the same network without draws;
4. finds the threshold that promises at most 5 % errors among the patients it keeps, and compares
   the promise with the held-out patients;
5. draws both as a figure.

Run it with ``python examples/medical_referral.py``; ``--figure PATH`` says where the figure
goes. It takes less than a minute on two cores.
"""

from __future__ import annotations

import argparse
import copy
import time
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdropout import DropoutMLPClassifier, Uncertainty, predict_uncertainty
from skdropout.decision import TunedReferralClassifierCV
from skdropout.displays import RiskCoverageDisplay, UncertaintyDisplay
from skdropout.metrics import risk_at_coverage
from skdropout.model_selection import BatchedGridSearchCV

RATES = [0.1, 0.3, 0.5, 0.7]
SHARES = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3]
MAX_RISK = 0.05
REASONS = {"epistemic": "the model lacks data", "aleatoric": "the case is ambiguous"}

# What decides who is referred: the diagnoses of all patients, and how doubtful each is.
Orders = dict[str, tuple[np.ndarray, np.ndarray]]


def load_patients() -> tuple[np.ndarray, np.ndarray]:
    """Measurements of each biopsy and its diagnosis, "benign" or "malignant"."""
    data = load_breast_cancer()
    return data.data, data.target_names[data.target]


def search_rates(X: np.ndarray, y: np.ndarray) -> BatchedGridSearchCV:
    """Choose the dropout rate by cross-validated log loss."""
    network = DropoutMLPClassifier(batch_size=64, max_iter=500, tol=1e-3, random_state=0)
    search = BatchedGridSearchCV(
        Pipeline([("scale", StandardScaler()), ("network", network)]),
        {"network__dropout_rate": RATES},
        scoring="neg_log_loss",
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
        verbose=1,
    )
    return search.fit(X, y)


def print_search(search: BatchedGridSearchCV) -> None:
    """The log loss of each rate, with its standard error over the folds."""
    print("\ndropout rate   log loss (cross-validated)")
    results = search.cv_results_
    errors = results["std_test_score"] / np.sqrt(search.n_splits_)
    for rate, score, error in zip(RATES, results["mean_test_score"], errors, strict=True):
        chosen = "   chosen" if rate == search.best_params_["network__dropout_rate"] else ""
        print(f"{rate:>12}   {-score:.4f} +- {error:.4f}{chosen}")


def print_patients(
    uncertainty: Uncertainty, said: np.ndarray, reason: np.ndarray, truth: np.ndarray
) -> None:
    """The patients that the model is least sure of: all that are referred, and a few more."""
    print("\nThe held-out patients that the model is least sure of (variances):")
    print("patient  P(malignant)  total   epistemic  aleatoric  model says  diagnosis  referred")
    for patient in np.argsort(-uncertainty.total)[: (reason != "").sum() + 3]:
        why = REASONS[reason[patient]] if reason[patient] else "no"
        print(
            f"{patient:>7}  {uncertainty.mean[patient, 1]:>12.2f}"
            f"  {uncertainty.total[patient]:.4f}  {uncertainty.epistemic[patient]:>9.4f}"
            f"  {uncertainty.aleatoric[patient]:>9.4f}  {said[patient]:<10}  {truth[patient]:<9}"
            f"  {why}{'' if said[patient] == truth[patient] else '  <- wrong'}"
        )


def referral_orders(search: BatchedGridSearchCV, X: np.ndarray, uncertainty: Uncertainty) -> Orders:
    """Three ways to choose whom to refer."""
    # n_draws is read at prediction: the same trained network, by the weight-scaling rule.
    scaled = copy.deepcopy(search.best_estimator_).set_params(network__n_draws=0)
    with_draws, without = search.predict(X), scaled.predict(X)
    return {
        "total uncertainty": (with_draws, uncertainty.total),
        "epistemic uncertainty": (with_draws, uncertainty.epistemic),
        "largest probability, no draws": (without, -scaled.predict_proba(X).max(1)),
    }


def print_referral(orders: Orders, truth: np.ndarray) -> None:
    """The referral table: share referred against errors among those kept."""
    print("\nErrors among the patients kept, and their rate, by what decides who is referred:")
    print("                      total         epistemic     largest prob.   at random")
    print("referred    kept   uncertainty    uncertainty      no draws      (expected)")
    at_random = (orders["total uncertainty"][0] != truth).mean()
    for share in SHARES:
        kept = len(truth) - round(share * len(truth))
        risks = [
            risk_at_coverage(truth, said, doubt, coverage=kept / len(truth))
            for said, doubt in orders.values()
        ]
        cells = [f"{kept * risk:>5.0f} ({risk:5.1%})" for risk in risks]
        cells.append(f"{kept * at_random:>5.1f} ({at_random:5.1%})")
        print(f"{len(truth) - kept:>3} ({share:>3.0%})   {kept:>3}   {'  '.join(cells)}")
    print(
        "With so few errors a difference of one or two patients is chance. With two classes, "
        "total\nuncertainty ranks patients exactly as the largest mean probability does."
    )


def kept_and_wrong(decision: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Selective coverage and selective risk of decisions, "refer" among them."""
    kept = decision != "refer"
    return float(kept.mean()), float((decision != truth)[kept].mean())


def print_promise(
    careful: TunedReferralClassifierCV, decision: np.ndarray, reason: np.ndarray, truth: np.ndarray
) -> None:
    """What was promised, and what the held-out patients show."""
    coverage, risk = kept_and_wrong(decision, truth)
    print(f"\nReferral above a total uncertainty of {careful.threshold_:.4f}:")
    print("                       patients kept   errors among them")
    print(
        f"calibration            {careful.selective_coverage_:>13.1%}"
        f"   {careful.selective_risk_:.1%}; with 95 % confidence at most "
        f"{careful.risk_bound_:.1%} of patients to come (asked: {MAX_RISK:.0%})"
    )
    print(f"held-out patients      {coverage:>13.1%}   {risk:.1%}")
    for name, meaning in REASONS.items():
        print(f"referred as {meaning}: {(reason == name).sum()}")


def plot_curves(ax: Axes, orders: Orders, decision: np.ndarray, truth: np.ndarray) -> None:
    """Errors among the kept against the share kept, and where the threshold puts us."""
    for name, (said, doubt) in orders.items():
        RiskCoverageDisplay.from_predictions(truth, said, doubt, ax=ax, label=f"by {name}", lw=2)
    at_random = (orders["total uncertainty"][0] != truth).mean()
    ax.axhline(at_random, color="0.45", ls=":", lw=2, label="at random (expected)")
    ax.axhline(MAX_RISK, color="black", lw=1, label=f"limit asked for: {MAX_RISK:.0%}")
    held_out = kept_and_wrong(decision, truth)
    ax.plot(*held_out, "k*", ms=14, label="at the chosen threshold")
    ax.set(
        title="Errors that referral leaves",
        xlabel="patients kept, the others are referred",
        ylabel="wrong diagnoses among the patients kept",
        xlim=(0.6, 1),
        ylim=(0, 1.2 * max(MAX_RISK, at_random)),
    )
    ax.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    ax.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def plot_patients(ax: Axes, uncertainty: Uncertainty, wrong: np.ndarray, threshold: float) -> None:
    """Each held-out patient: how sure the model is, and why not."""
    display = UncertaintyDisplay.from_predictions(
        uncertainty.epistemic, uncertainty.aleatoric, wrong, threshold=threshold, ax=ax
    )
    display.right_.set_label("the model is right")
    display.wrong_.set_label("the model is wrong")
    display.threshold_line_.set_label("referred: above this line")
    ax.set(
        title="Every held-out patient",
        xlabel="the case is ambiguous (aleatoric variance)",
        ylabel="the model lacks data (epistemic variance)",
        ylim=(-0.003, 1.3 * uncertainty.epistemic.max()),
    )


def save_figure(figure: Figure, path: Path) -> None:
    """Legends below the panels, where they hide no patient."""
    for ax in figure.axes:
        ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    print(f"\nFigure: {path}")


def main() -> None:
    """Search, calibrate, predict, refer, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--figure", type=Path, default=Path("medical_referral.png"))
    path = parser.parse_args().figure
    start = time.perf_counter()

    X, y = load_patients()
    X_seen, X_test, y_seen, y_test = train_test_split(
        X, y, test_size=1 / 3, stratify=y, random_state=0
    )
    X_train, X_calibrate, y_train, y_calibrate = train_test_split(
        X_seen, y_seen, test_size=0.5, stratify=y_seen, random_state=0
    )
    print(f"{len(y_train)} patients train, {len(y_calibrate)} calibrate, {len(y_test)} held out")
    search = search_rates(X_train, y_train)
    print_search(search)
    careful = TunedReferralClassifierCV(search, max_risk=MAX_RISK, cv="prefit")
    careful.fit(X_calibrate, y_calibrate)

    uncertainty = predict_uncertainty(search, X_test)
    said, decision = search.predict(X_test), careful.predict(X_test)
    reason = careful.referral_reason(X_test)
    print_patients(uncertainty, said, reason, y_test)
    orders = referral_orders(search, X_test, uncertainty)
    print_referral(orders, y_test)
    print_promise(careful, decision, reason, y_test)

    figure = Figure(figsize=(11, 5.6), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_patients(left, uncertainty, said != y_test, careful.threshold_)
    plot_curves(right, orders, decision, y_test)
    save_figure(figure, path)
    print(f"Time: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
