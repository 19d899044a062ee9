"""A small convolutional network that is less and less sure of a digit that is turned.

The script

1. fits a `ConvNet` with dropout to scikit-learn's handwritten digits, 8 x 8 pixels;
2. refers the digits that it is not sure of, so that few of the others are wrong;
3. turns digits step by step, which training never showed, and says how total and epistemic
   uncertainty grow, until a digit looks like another one to the network;
4. draws one of them, and both uncertainties, as a figure.

Run it with ``python examples/rotated_digits.py``; ``--figure PATH`` says where the figure goes. It
takes less than a minute on two cores.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.ndimage import rotate
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from skdropout import DropoutModuleClassifier, Uncertainty
from skdropout.decision import TunedReferralClassifierCV
from skdropout.nn import ConvNet

ANGLES = np.arange(0, 61, 10)
COVERAGE = 0.9


def load_images() -> tuple[np.ndarray, np.ndarray]:
    """Images ``(n, 8, 8)`` from 0 to 1, and which digits they are."""
    X, y = load_digits(return_X_y=True)
    return (X.reshape(-1, 8, 8) / 16).astype(np.float32), y


def fit_network(X: np.ndarray, y: np.ndarray, n_epochs: int) -> DropoutModuleClassifier:
    """One network: a tenth of the rows says when to stop and how sure to be."""
    model = DropoutModuleClassifier(
        ConvNet,
        module__n_channels=(16, 32),
        module__hidden_layer_sizes=(64,),
        cv=None,
        batch_size=64,
        learning_rate="cooldown",
        max_iter=n_epochs,
        random_state=0,
    )
    return model.fit(X, y)


def turned(images: np.ndarray, angle: float) -> np.ndarray:
    """Images, turned by so many degrees."""
    around = rotate(images, angle, axes=(2, 1), reshape=False, order=1)
    return around.astype(np.float32)


def uncertainties(
    model: DropoutModuleClassifier, images: np.ndarray, angles: Sequence[float]
) -> list[Uncertainty]:
    """Entropies of images at each angle, in nats."""
    return [model.predict_uncertainty(turned(images, angle), measure="entropy") for angle in angles]


def kept_and_wrong(decision: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """The share that is not referred, and the share of it that is wrong."""
    kept = decision != "refer"
    return float(kept.mean()), float((decision[kept] != truth[kept].astype(str)).mean())


def print_referral(model: DropoutModuleClassifier, X: np.ndarray, y: np.ndarray) -> None:
    """What referral leaves, of rows that neither network nor threshold has seen."""
    half = len(X) // 2
    careful = TunedReferralClassifierCV(model, min_coverage=COVERAGE, cv="prefit", refer_label=-1)
    decision = careful.fit(X[:half], y[:half]).predict(X[half:])
    share, wrong = kept_and_wrong(np.where(decision == -1, "refer", decision), y[half:])
    everybody = (model.predict(X[half:]) != y[half:]).mean()
    print(f"\nWrong of all digits: {everybody:.1%}")
    print(f"Wrong of the {share:.0%} that are kept: {wrong:.1%}")


def print_turns(model: DropoutModuleClassifier, X: np.ndarray, y: np.ndarray) -> list[Uncertainty]:
    """How sure the network is of all test digits when they are turned."""
    print("\nturned by   right   total   epistemic (entropies in nats, means)")
    answers = uncertainties(model, X, ANGLES)
    for angle, answer in zip(ANGLES, answers, strict=True):
        right = (model.classes_[answer.mean.argmax(1)] == y).mean()
        total, epistemic = answer.total.mean(), answer.epistemic.mean()
        print(f"{angle:>7} deg   {right:>5.1%}   {total:.3f}   {epistemic:.3f}")
    return answers


def clearest_rise(answers: list[Uncertainty], right: np.ndarray) -> int:
    """The digit, right as it stands, of which both uncertainties grow most evenly."""
    parts = [[getattr(answer, part) for answer in answers] for part in ("total", "epistemic")]
    rise = np.diff(np.array(parts), axis=1).min((0, 1))
    return int(np.where(right, rise, -np.inf).argmax())


def plot_digit(axes: Sequence[Axes], image: np.ndarray, said: np.ndarray) -> None:
    """One digit at each angle, and what the network takes it for."""
    for ax, angle, digit in zip(axes, ANGLES, said, strict=True):
        ax.imshow(turned(image[None], angle)[0], cmap="gray_r", vmin=0, vmax=1)
        ax.set_title(f"{angle}°: {digit}", fontsize=9)
        ax.set_axis_off()


def plot_uncertainty(ax: Axes, answers: list[Uncertainty], chosen: int) -> None:
    """Both uncertainties of the chosen digit, and the means over all digits."""
    for part, color in (("total", "C0"), ("epistemic", "C1")):
        values = np.stack([getattr(answer, part) for answer in answers])
        ax.plot(ANGLES, values[:, chosen], "o-", color=color, label=f"{part}, this digit")
        ax.plot(ANGLES, values.mean(1), ":", color=color, label=f"{part}, all test digits")
    ax.set(xlabel="turned by (degrees)", ylabel="entropy (nats)")
    ax.legend(frameon=False)
    ax.spines[["top", "right"]].set_visible(False)


def main(arguments: Sequence[str] | None = None) -> None:
    """Fit, refer, turn, draw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--figure", type=Path, default=Path("rotated_digits.png"))
    parser.add_argument("--epochs", type=int, default=60)
    options = parser.parse_args(arguments)
    start = time.perf_counter()

    X_train, X_test, y_train, y_test = train_test_split(
        *load_images(), test_size=600, random_state=0
    )
    model = fit_network(X_train, y_train, options.epochs)
    print(f"{len(X_train)} digits train, {len(X_test)} are held out")
    print(f"Accuracy {model.score(X_test, y_test):.1%}, {model.n_iter_} epochs")
    print_referral(model, X_test, y_test)
    answers = print_turns(model, X_test, y_test)

    chosen = clearest_rise(answers, model.predict(X_test) == y_test)
    figure = Figure(figsize=(8, 5), layout="constrained")
    parts = figure.subfigures(2, 1, height_ratios=[1, 2.5])
    said = [model.classes_[answer.mean[chosen].argmax()] for answer in answers]
    plot_digit(parts[0].subplots(1, len(ANGLES)), X_test[chosen], said)
    plot_uncertainty(parts[1].subplots(), answers, chosen)
    options.figure.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.figure, dpi=100)
    print(f"\nFigure: {options.figure}")
    print(f"Time: {time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
