"""Biopsies decided by what errors cost: say benign, say malignant, or ask for a second reading.

The data are scikit-learn's bundled measurements of 569 real biopsies (Wolberg, Street and
Mangasarian 1995). A missed malignant tumour costs fifty times a needless operation, and a second
reading half of one. Half of the patients train the model; for the others the script compares

1. the most probable diagnosis for everybody;
2. the cheapest diagnosis for everybody;
3. the cheapest of both diagnoses and referral, where referral costs the same for all patients;
4. the same with a referral threshold that is tuned on unseen rows.

All costs are in operations per 100 patients. Run it with
``python examples/cost_matrix_referral.py``; it takes less than a minute on two cores.
"""

from __future__ import annotations

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import StandardScaler

from skdropout import DropoutMLPClassifier
from skdropout.decision import TunedReferralClassifierCV

# True class in rows, decision in columns: benign, malignant.
COSTS = np.array([[0.0, 1.0], [50.0, 0.0]])
SECOND_READING = 0.5
NEVER = 1e6  # a referral so dear that nobody is referred


def load_patients() -> tuple[np.ndarray, np.ndarray]:
    """Measurements of each biopsy and its diagnosis, "benign" or "malignant"."""
    data = load_breast_cancer()
    return data.data, data.target_names[data.target]


def make_model() -> Pipeline:
    """A network with dropout on scaled measurements."""
    network = DropoutMLPClassifier(
        dropout_rate=0.3, batch_size=64, max_iter=500, tol=1e-3, random_state=0
    )
    return make_pipeline(StandardScaler(), network)


def careful_models() -> dict[str, TunedReferralClassifierCV]:
    """The ways to decide, not yet fitted."""
    costs = {"cost_matrix": COSTS, "refer_cost": SECOND_READING}
    return {
        "most probable diagnosis": TunedReferralClassifierCV(make_model(), min_coverage=1.0),
        "cheapest diagnosis": TunedReferralClassifierCV(
            make_model(), cost_matrix=COSTS, refer_cost=NEVER
        ),
        "cheapest, or referred": TunedReferralClassifierCV(make_model(), **costs),
        "threshold tuned": TunedReferralClassifierCV(make_model(), uncertainty="total", **costs),
    }


def cost_per_100(said: np.ndarray, truth: np.ndarray) -> float:
    """What the decisions cost once the diagnosis is known.

    Parameters
    ----------
    said : ndarray of str of shape (n_patients,)
        "benign", "malignant" or "refer".
    truth : ndarray of str of shape (n_patients,)

    Returns
    -------
    float
        Operations per 100 patients.
    """
    paid = np.where(
        said == "refer",
        SECOND_READING,
        COSTS[(truth == "malignant").astype(int), (said == "malignant").astype(int)],
    )
    return 100 * float(paid.mean())


def print_way(name: str, said: np.ndarray, truth: np.ndarray) -> None:
    """One line of the comparison."""
    missed = int(((said == "benign") & (truth == "malignant")).sum())
    needless = int(((said == "malignant") & (truth == "benign")).sum())
    referred = int((said == "refer").sum())
    print(f"{name:<24}{cost_per_100(said, truth):>8.1f}{missed:>9}{needless:>11}{referred:>11}")


def main() -> None:
    X, y = load_patients()
    X_train, X_new, y_train, y_new = train_test_split(
        X, y, test_size=0.5, stratify=y, random_state=0
    )
    print(f"{len(y_new)} held-out patients, {(y_new == 'malignant').sum()} of them malignant")
    print(f"\n{'way to decide':<24}{'cost':>8}{'missed':>9}{'needless':>11}{'referred':>11}")
    fitted = {}
    for name, careful in careful_models().items():
        fitted[name] = careful.fit(X_train, y_train)
        print_way(name, careful.predict(X_new), y_new)
    chosen = fitted["cheapest, or referred"]
    reasons, counts = np.unique(chosen.referral_reason(X_new), return_counts=True)
    print("\nWhy patients are referred by expected cost:")
    for reason, count in zip(reasons, counts, strict=True):
        meaning = {"epistemic": "the model lacks data", "aleatoric": "the case is ambiguous"}
        if reason:
            print(f"{count:>4}  {reason}: {meaning[reason]}")
    print(
        f"\nExpected from the training half: {100 * chosen.mean_cost_:.1f} operations per 100 "
        "patients"
    )


if __name__ == "__main__":
    main()
