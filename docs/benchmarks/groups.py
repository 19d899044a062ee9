"""Several rows of one patient: intervals and promises for new patients, with and without groups."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from _common import EARLIER_RUNS, Page, make_parser, markdown_table, threads
from _results import Lines
from scipy.stats import beta

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor
from skdropout.decision import TunedReferralClassifierCV

N_PATIENTS, N_ROWS = 40, 25
# Whose share of errors stands for that of the population.
N_TEST_PATIENTS = 400
# Columns that are the same in all rows of a patient: enough to know a patient by.
N_OWN = 10
MAX_RISK = 0.15
LOGISTIC_STD = np.pi / np.sqrt(3)
NETWORK: dict[str, Any] = {
    "hidden_layer_sizes": (32,),
    "batch_size": 100,
    "learning_rate_init": 0.01,
}
WITH, WITHOUT = "with `groups`", "without"

INTRO = """Simulated: {patients} patients with {rows} rows each. {own} columns are the same in all
rows of a patient, as age and blood group are, and say nothing; three differ from row to row, and
two of them matter: `sin(2 a) + b`. The patient's own effect is normal with the standard deviation
of the noise. It is the same in all of the patient's rows and cannot be known of a new patient.

Both estimators at their defaults but for a small network that is trained for a short time:
`{network}`, and `max_iter=100` for the regressor. Each repetition draws new patients. Small
networks learn little by heart: larger ones that are trained longer miss more without groups."""

INTERVALS = """The regressor, noise of standard deviation 1. *new patients*: share of the targets
of {patients} new patients that a 90 % interval holds; mean over {repeats} repetitions, its
standard error, and the 5th and the 95th percentile. *new rows of the same patients*: the same for
{rows} more rows of each patient that it was trained on. *RMSE* is for new patients; the noise and
the effect alone make 1.41."""

PROMISES = """The classifier, with logistic noise and an effect of the same standard deviation.
`TunedReferralClassifierCV(max_risk={risk}, confidence_level=0.95)` around it; the risk is the
share of errors among kept rows of {test} new patients. *broken*: repetitions in which it is above
{risk}, with the 95 % interval of Clopper and Pearson. *nothing kept*: repetitions in which every
row of the training table is referred; a promise about nothing is not broken. *errors among kept*:
mean of the repetitions that keep some.

Rows come patient by patient, and `cv=5` does not shuffle them: without groups its folds happen to
hold nearly whole patients. The networks inside, whose folds are shuffled, still stop and are
calibrated on patients that they know, so that few rows can be kept."""


class Patients(NamedTuple):
    """Rows of patients: inputs, what the inputs say of the target, the effect, and who it is."""

    X: np.ndarray
    signal: np.ndarray
    effect: np.ndarray
    who: np.ndarray

    def more_rows(self, rng: np.random.Generator) -> Patients:
        """As many further rows of the same patients."""
        new = draw_patients(rng, len(self.X) // N_ROWS)
        X = np.hstack([self.X[:, :N_OWN], new.X[:, N_OWN:]])
        return Patients(X, new.signal, self.effect, self.who)

    def numbers(self, rng: np.random.Generator) -> np.ndarray:
        return self.signal + self.effect + rng.standard_normal(len(self.X))

    def classes(self, rng: np.random.Generator) -> np.ndarray:
        noise = LOGISTIC_STD * self.effect + rng.logistic(size=len(self.X))
        return (3 * self.signal + noise > 0).astype(int)


def draw_patients(rng: np.random.Generator, n_patients: int) -> Patients:
    who = np.repeat(np.arange(n_patients), N_ROWS)
    own = rng.standard_normal((n_patients, N_OWN))[who]
    visit = rng.standard_normal((len(who), 3))
    signal = np.sin(2 * visit[:, 0]) + visit[:, 1]
    return Patients(np.hstack([own, visit]), signal, rng.standard_normal(n_patients)[who], who)


def group_parameter(how: str, patients: Patients) -> dict[str, np.ndarray]:
    return {"groups": patients.who} if how == WITH else {}


def held(model: DropoutMLPRegressor, X: np.ndarray, y: np.ndarray) -> float:
    lower, upper = model.predict_interval(X, 0.9).T
    return float(np.mean((y >= lower) & (y <= upper)))


def interval_repetition(how: str, seed: int) -> dict[str, float]:
    """Intervals of one regressor, for new patients and for those that it knows."""
    rng = np.random.default_rng(seed)
    seen, new = draw_patients(rng, N_PATIENTS), draw_patients(rng, N_PATIENTS)
    y, y_new, again = seen.numbers(rng), new.numbers(rng), seen.more_rows(rng)
    model = DropoutMLPRegressor(**NETWORK, max_iter=100, random_state=seed)
    model.fit(seen.X, y, **group_parameter(how, seen))
    return {
        "new": held(model, new.X, y_new),
        "same": held(model, again.X, again.numbers(rng)),
        "rmse": float(np.sqrt(np.mean((model.predict(new.X) - y_new) ** 2))),
    }


def promise_repetition(cv: str | int, how: str, seed: int) -> dict[str, float]:
    """Risk and coverage among new patients of one classifier that refers."""
    rng = np.random.default_rng(seed)
    seen, new = draw_patients(rng, N_PATIENTS), draw_patients(rng, N_TEST_PATIENTS)
    y, y_new = seen.classes(rng), new.classes(rng)
    network = DropoutMLPClassifier(**NETWORK, store_oof=cv == "oof", random_state=seed)
    careful = TunedReferralClassifierCV(network, max_risk=MAX_RISK, cv=cv)
    careful.fit(seen.X, y, **group_parameter(how, seen))
    said = careful.predict(new.X)
    kept = said != -1
    return {
        "kept": float(kept.mean()),
        "risk": float(np.mean(said[kept] != y_new[kept])) if kept.any() else 0.0,
        "none": careful.selective_coverage_ == 0,
    }


def repetition(task: str, *key: Any) -> dict[str, float]:
    """One fit; the first word says which."""
    with warnings.catch_warnings(), threads(1):
        # That training is short, or that nothing reaches the risk, is meant and counted.
        warnings.simplefilter("ignore")
        return interval_repetition(*key) if task == "intervals" else promise_repetition(*key)


# ---- the page ------------------------------------------------------------------------------


def interval_line(how: str, found: list[dict[str, float]]) -> list[str]:
    new, same, rmse = (np.array([r[name] for r in found]) for name in ("new", "same", "rmse"))
    low, high = np.quantile(new, [0.05, 0.95])
    return [
        how,
        f"{new.mean():.3f} ± {new.std(ddof=1) / np.sqrt(len(new)):.3f}",
        f"{low:.2f} to {high:.2f}",
        f"{same.mean():.3f}",
        f"{rmse.mean():.2f}",
    ]


def promise_line(cv: str | int, how: str, found: list[dict[str, float]]) -> list[str]:
    broken = sum(r["risk"] > MAX_RISK for r in found)
    n = len(found)
    low = beta.ppf(0.025, broken, n - broken + 1) if broken else 0.0
    high = beta.ppf(0.975, broken + 1, n - broken) if broken < n else 1.0
    risks = [r["risk"] for r in found if r["kept"]]
    return [
        f"`cv={cv!r}`",
        how,
        f"{np.mean([r['kept'] for r in found]):.1%}",
        f"{np.mean(risks):.1%}" if risks else "",
        f"{sum(r['none'] for r in found)}",
        f"{broken} of {n}: {broken / n:.1%} ({low:.1%} to {high:.1%})",
    ]


def main() -> None:
    parser = make_parser(__file__, __doc__)
    parser.add_argument("--results", type=Path, help="JSON lines that a stopped run goes on from")
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--refits", type=int, default=60, help="repetitions with cv=5")
    parser.add_argument("--jobs", type=int, default=1, help="processes")
    options = parser.parse_args()
    if options.quick:
        options.repeats, options.refits = 3, 1
    page = Page(__file__, "Several rows of one patient", options)
    lines = Lines(options.results)
    if lines.found:
        page.add(EARLIER_RUNS)
    repeats, refits = range(options.repeats), range(options.refits)
    intervals = {how: [("intervals", how, seed) for seed in repeats] for how in (WITH, WITHOUT)}
    promises = {
        (cv, how): [("promises", cv, how, seed) for seed in seeds]
        for cv, seeds in (("oof", repeats), (5, refits))
        for how in (WITH, WITHOUT)
    }
    keys = [key for keys in (intervals | promises).values() for key in keys]
    lines.complete(keys, repetition, options.jobs)
    network = ", ".join(f"{name}={value}" for name, value in NETWORK.items())
    page.add(INTRO.format(patients=N_PATIENTS, rows=N_ROWS, own=N_OWN, network=network))
    table = [
        interval_line(how, [lines.found[key] for key in keys]) for how, keys in intervals.items()
    ]
    header = ["fit", "new patients", "5 % to 95 %", "new rows of the same patients", "RMSE"]
    text = INTERVALS.format(patients=N_PATIENTS, rows=N_ROWS, repeats=options.repeats)
    page.add("## 90 % intervals", text, markdown_table(header, table))
    table = [
        promise_line(*how, [lines.found[key] for key in keys]) for how, keys in promises.items()
    ]
    header = ["threshold from", "fit", "kept", "errors among kept", "nothing kept", "broken"]
    text = PROMISES.format(risk=MAX_RISK, test=N_TEST_PATIENTS)
    page.add("## Promises", text, markdown_table(header, table))
    page.write()


if __name__ == "__main__":
    main()
