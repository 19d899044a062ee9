"""Breast-cancer diagnosis that hands over the patients it is not sure of.

The data are scikit-learn's bundled measurements of 569 real biopsies (Wolberg, Street and
Mangasarian 1995). Half of the patients train the model and half are held out. The script

1. searches over dropout rates with `GridSearchCV`, scored by log loss;
2. says for each held-out patient how sure the model is, and why not;
3. refers the patients it is least sure of and counts the errors among those it keeps, beside
   referral at random and by the largest probability of the same network without draws;
4. draws both as a figure.

Run it with ``python examples/medical_referral.py``; ``--figure PATH`` says where the figure
goes. It takes less than a minute on two cores.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from sklearn.datasets import load_breast_cancer
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, StratifiedKFold, train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from skdropout import DropoutMLPClassifier, Uncertainty, predict_uncertainty

RATES = [0.1, 0.3, 0.5, 0.7]
SHARES = [0.0, 0.05, 0.1, 0.15, 0.2, 0.3]
REFERRED = 0.1  # the share that the figure shows as referred

# Okabe and Ito's colours, which colour-blind people can tell apart.
BENIGN, MALIGNANT, PLAIN = "#0072B2", "#D55E00", "#009E73"


def load_patients() -> tuple[np.ndarray, np.ndarray]:
    """Measurements of each biopsy and its diagnosis, "benign" or "malignant"."""
    data = load_breast_cancer()
    return data.data, data.target_names[data.target]


def search_rates(X: np.ndarray, y: np.ndarray) -> GridSearchCV:
    """Choose the dropout rate by cross-validated log loss."""
    network = DropoutMLPClassifier(batch_size=64, max_iter=500, tol=1e-3, random_state=0)
    search = GridSearchCV(
        Pipeline([("scale", StandardScaler()), ("network", network)]),
        {"network__dropout_rate": RATES},
        scoring="neg_log_loss",
        cv=StratifiedKFold(5, shuffle=True, random_state=0),
        n_jobs=2,
        verbose=2,
    )
    return search.fit(X, y)


def print_search(search: GridSearchCV) -> None:
    """The log loss of each rate, with its standard error over the folds."""
    print("\ndropout rate   log loss (cross-validated)")
    results = search.cv_results_
    errors = results["std_test_score"] / np.sqrt(search.n_splits_)
    for rate, score, error in zip(RATES, results["mean_test_score"], errors, strict=True):
        chosen = "   chosen" if rate == search.best_params_["network__dropout_rate"] else ""
        print(f"{rate:>12}   {-score:.4f} +- {error:.4f}{chosen}")


def print_patients(uncertainty: Uncertainty, truth: np.ndarray, labels: np.ndarray) -> None:
    """The patients that the model is least sure of."""
    print("\nThe ten held-out patients that the model is least sure of (variances):")
    print("patient  P(malignant)  total   epistemic  aleatoric  model says  diagnosis")
    for patient in np.argsort(-uncertainty.total)[:10]:
        said = labels[uncertainty.mean[patient].argmax()]
        print(
            f"{patient:>7}  {uncertainty.mean[patient, 1]:>12.2f}"
            f"  {uncertainty.total[patient]:.4f}  {uncertainty.epistemic[patient]:>9.4f}"
            f"  {uncertainty.aleatoric[patient]:>9.4f}  {said:<10}  {truth[patient]}"
            f"{'' if said == truth[patient] else '  <- wrong'}"
        )


def errors_kept(doubt: np.ndarray, wrong: np.ndarray) -> np.ndarray:
    """Errors left when the most doubtful patients are referred.

    Parameters
    ----------
    doubt : ndarray of shape (n_patients,)
        The largest are referred first.
    wrong : ndarray of bool of shape (n_patients,)

    Returns
    -------
    ndarray of shape (n_patients + 1,)
        Errors among the kept after 0, 1, 2, ... referrals.
    """
    order = np.argsort(-doubt, kind="stable")
    return wrong.sum() - np.concatenate([[0], np.cumsum(wrong[order])])


def referral_curves(
    uncertainty: Uncertainty, plain: np.ndarray, truth: np.ndarray, labels: np.ndarray
) -> dict[str, np.ndarray]:
    """Errors among the kept after 0, 1, 2, ... referrals, for each way to choose whom to refer.

    Parameters
    ----------
    uncertainty : Uncertainty
    plain : ndarray of shape (n_patients, 2)
        Probabilities of the same network without draws.
    truth : ndarray of shape (n_patients,)
    labels : ndarray of shape (2,)
    """
    wrong = labels[uncertainty.mean.argmax(1)] != truth
    wrong_plain = labels[plain.argmax(1)] != truth
    n_patients = len(truth)
    return {
        "total": errors_kept(uncertainty.total, wrong),
        "epistemic": errors_kept(uncertainty.epistemic, wrong),
        "no draws": errors_kept(-plain.max(1), wrong_plain),
        # Expected count: every patient is equally likely to be referred.
        "random": wrong.sum() * (1 - np.arange(n_patients + 1) / n_patients),
    }


def print_referral(curves: dict[str, np.ndarray]) -> None:
    """The referral table: share referred against errors among those kept."""
    n_patients = len(curves["random"]) - 1
    print("\nErrors among the patients kept, and their rate, by what decides who is referred:")
    print("                      total         epistemic     largest prob.   at random")
    print("referred    kept   uncertainty    uncertainty      no draws      (expected)")
    for share in SHARES:
        referred = round(share * n_patients)
        kept = n_patients - referred
        cells = [
            f"{curves[name][referred]:>5.{1 if name == 'random' else 0}f} "
            f"({curves[name][referred] / kept:5.1%})"
            for name in ("total", "epistemic", "no draws", "random")
        ]
        print(f"{referred:>3} ({share:>3.0%})   {kept:>3}   {'  '.join(cells)}")


def print_verdict(
    uncertainty: Uncertainty, plain: np.ndarray, truth: np.ndarray, labels: np.ndarray
) -> None:
    """Whether the draws helped on these patients, as far as they can tell."""
    column = (truth == labels[1]).astype(int)
    rows = np.arange(len(truth))
    with_draws, without = uncertainty.mean, plain
    gain = np.log(with_draws[rows, column]) - np.log(without[rows, column])
    error = gain.std(ddof=1) / np.sqrt(len(gain))
    print("\nDo the draws help here?")
    print(f"log loss with draws    {log_loss(truth, with_draws, labels=labels):.4f}")
    print(f"log loss without       {log_loss(truth, without, labels=labels):.4f}")
    print(f"gain per patient       {gain.mean():+.4f} +- {error:.4f} (standard error)")
    if abs(gain.mean()) < 2 * error:
        print("Too close to call: the difference is within two standard errors.")
    else:
        print(f"The draws make the probabilities {'better' if gain.mean() > 0 else 'worse'}.")


def print_referral_verdict(curves: dict[str, np.ndarray]) -> None:
    """Whether the draws chose better whom to refer."""
    n_patients = len(curves["random"]) - 1
    print(f"Errors left after referring {REFERRED:.0%}: ", end="")
    referred = round(REFERRED * n_patients)
    left = {name: curve[referred] for name, curve in curves.items()}
    print(
        f"{left['total']} by total, {left['epistemic']} by epistemic uncertainty, "
        f"{left['no draws']} without draws, {left['random']:.1f} expected at random."
    )
    print(
        "With so few errors a difference of one or two patients is chance. With two classes, "
        "total\nuncertainty ranks patients exactly as the largest mean probability does."
    )


def plot_patients(
    ax: Axes, uncertainty: Uncertainty, truth: np.ndarray, labels: np.ndarray
) -> None:
    """Each held-out patient: probability of malignant against total uncertainty."""
    probability, std = uncertainty.mean[:, 1], np.sqrt(uncertainty.epistemic)
    referred = np.argsort(-uncertainty.total)[: round(REFERRED * len(truth))]
    low, high = probability[referred].min(), probability[referred].max()
    ax.axvspan(low, high, color="0.9", zorder=0, label=f"referred: the {REFERRED:.0%} least sure")
    for label, color, marker in ((labels[0], BENIGN, "o"), (labels[1], MALIGNANT, "^")):
        of = truth == label
        ax.scatter(
            probability[of],
            std[of],
            s=30,
            c=color,
            marker=marker,
            alpha=0.75,
            label=f"{label} (diagnosis)",
        )
    wrong = labels[uncertainty.mean.argmax(1)] != truth
    ax.scatter(
        probability[wrong],
        std[wrong],
        s=150,
        facecolors="none",
        edgecolors="black",
        linewidths=1.5,
        label="the model is wrong",
    )
    ax.set_xlabel("probability that the tumour is malignant")
    ax.set_ylabel("disagreement of the draws (standard deviation)")
    ax.set_title("Every held-out patient")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)


def plot_referral(ax: Axes, curves: dict[str, np.ndarray]) -> None:
    """Errors among the kept against the share referred."""
    n_patients = len(curves["random"]) - 1
    share = 100 * np.arange(n_patients + 1) / n_patients
    styles: dict[str, dict[str, Any]] = {
        "random": {"label": "referred at random (expected)", "color": "0.45", "linestyle": ":"},
        "no draws": {
            "label": "by largest probability, no draws",
            "color": PLAIN,
            "linestyle": "--",
        },
        "epistemic": {"label": "by epistemic uncertainty", "color": MALIGNANT, "linestyle": "-."},
        "total": {"label": "by total uncertainty", "color": BENIGN},
    }
    for name, style in styles.items():
        ax.plot(share, curves[name], drawstyle="steps-post", linewidth=2.2, **style)
    ax.set_xlim(0, 40)
    ax.set_ylim(0, None)
    ax.set_xlabel("patients referred to a doctor (%)")
    ax.set_ylabel(f"wrong diagnoses among those kept (of {n_patients} patients)")
    ax.set_title("Errors that referral leaves")
    ax.legend(loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=2, frameon=False)


def save_figure(
    path: Path,
    uncertainty: Uncertainty,
    curves: dict[str, np.ndarray],
    truth: np.ndarray,
    labels: np.ndarray,
) -> None:
    """Patients on the left, what referral does on the right."""
    figure = Figure(figsize=(11, 5.2), layout="constrained")
    left, right = figure.subplots(1, 2)
    plot_patients(left, uncertainty, truth, labels)
    plot_referral(right, curves)
    for ax in (left, right):
        ax.spines[["top", "right"]].set_visible(False)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=100)
    print(f"\nFigure: {path}")


def main() -> None:
    """Search, predict, refer, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--figure", type=Path, default=Path("medical_referral.png"))
    path = parser.parse_args().figure
    start = time.perf_counter()

    X, y = load_patients()
    X_train, X_test, y_train, y_test = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=0
    )
    print(f"{len(y_train)} patients to train on, {len(y_test)} held out")
    search = search_rates(X_train, y_train)
    print_search(search)

    uncertainty = predict_uncertainty(search, X_test)
    print_patients(uncertainty, y_test, search.classes_)
    # n_draws is read at prediction: the same trained network, by the weight-scaling rule.
    plain = search.best_estimator_.set_params(network__n_draws=0).predict_proba(X_test)
    curves = referral_curves(uncertainty, plain, y_test, search.classes_)
    print_referral(curves)
    print_verdict(uncertainty, plain, y_test, search.classes_)
    print_referral_verdict(curves)
    save_figure(path, uncertainty, curves, y_test, search.classes_)
    print(f"Time: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
