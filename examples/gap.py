"""Where a model says that it does not know: one input with a gap, and two classes in the plane.

The script fits `DropoutMLPRegressor` to a sine of which the middle is missing, as it is and with
`distance_awareness=1`, beside scikit-learn's `GaussianProcessRegressor`, and
`DropoutMLPClassifier` to two moons with ``distance_awareness=3``. It prints how much less sure
each regressor is in the gap and beyond the ends than at the data, and draws

1. the mean, the epistemic band and the total band of each, two standard deviations wide;
2. the probability of one class in the plane, and its epistemic uncertainty.

``python examples/gap.py --figure gap.png`` takes less than a minute on two cores.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from sklearn.datasets import make_moons
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.gaussian_process.kernels import RBF, ConstantKernel, WhiteKernel

from skdropout import DropoutMLPClassifier, DropoutMLPRegressor

GRID = np.linspace(-5, 5, 201)


class Bands(NamedTuple):
    """A mean and two standard deviations at each point of `GRID`, each of shape (201,)."""

    mean: np.ndarray
    epistemic: np.ndarray
    total: np.ndarray


def sine_with_a_gap(n_rows: int) -> tuple[np.ndarray, np.ndarray]:
    """A noisy sine between -3 and -1 and between 1 and 3: inputs (n_rows, 1) and targets."""
    rng = np.random.default_rng(0)
    x = rng.uniform(1, 3, n_rows) * rng.choice([-1, 1], n_rows)
    return x[:, None], np.sin(2 * x) + 0.1 * rng.standard_normal(n_rows)


def bands_of_network(X: np.ndarray, y: np.ndarray, **parameters: Any) -> Bands:
    """Of `DropoutMLPRegressor`."""
    model = DropoutMLPRegressor(random_state=0, **parameters).fit(X, y)
    uncertainty = model.predict_uncertainty(GRID[:, None])
    return Bands(uncertainty.mean, np.sqrt(uncertainty.epistemic), np.sqrt(uncertainty.total))


def bands_of_process(X: np.ndarray, y: np.ndarray) -> Bands:
    """Of scikit-learn's Gaussian process, with a learned length scale and noise."""
    kernel = ConstantKernel() * RBF() + WhiteKernel(0.1)
    model = GaussianProcessRegressor(kernel, normalize_y=True, random_state=0).fit(X, y)
    mean, std = model.predict(GRID[:, None], return_std=True)
    noise = model.kernel_.k2.noise_level * y.var()
    return Bands(mean, np.sqrt(np.maximum(std**2 - noise, 0)), std)


def growth(bands: Bands) -> tuple[float, float]:
    """Epistemic standard deviation in the gap and beyond the ends, through that at the data."""
    away = np.abs(GRID)
    known = bands.epistemic[(away > 1.2) & (away < 2.8)].mean()
    return bands.epistemic[away < 0.2].mean() / known, bands.epistemic[away > 4.5].mean() / known


def plane(n_rows: int, n_points: int) -> tuple[np.ndarray, np.ndarray, np.ndarray, Any]:
    """Two moons, and what a classifier says of the plane around them.

    Returns
    -------
    X, y : ndarray of shape (n_rows, 2) and (n_rows,)
    axis : ndarray of shape (n_points,)
        Both coordinates of the points.
    uncertainty : Uncertainty
        Of all points, the first coordinate running fastest.
    """
    X, y = make_moons(n_rows, noise=0.15, random_state=0)
    axis = np.linspace(-4, 4, n_points)
    points = np.stack([part.ravel() for part in np.meshgrid(axis, axis)], 1)
    model = DropoutMLPClassifier(distance_awareness=3.0, max_iter=1000, random_state=0).fit(X, y)
    return X, y, axis, model.predict_uncertainty(points)


def draw(path: str, X: np.ndarray, y: np.ndarray, bands: dict[str, Bands], moons: Any) -> None:
    """Save the picture."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(bands) + 2, figsize=(17, 3.4), layout="constrained")
    for ax, (name, band) in zip(axes, bands.items(), strict=False):
        for std, alpha in ((band.total, 0.15), (band.epistemic, 0.35)):
            low, high = band.mean - 2 * std, band.mean + 2 * std
            ax.fill_between(GRID, low, high, color="tab:blue", alpha=alpha, linewidth=0)
        ax.plot(GRID, band.mean, color="tab:blue")
        ax.plot(X[:, 0], y, "k.", markersize=2)
        ax.set(title=name, ylim=(-4, 4), xlabel="x")
    points, labels, axis, uncertainty = moons
    shown = {"probability": uncertainty.mean[:, 1], "epistemic": uncertainty.epistemic}
    for ax, (name, values) in zip(axes[len(bands) :], shown.items(), strict=True):
        image = ax.pcolormesh(axis, axis, values.reshape(len(axis), -1), cmap="viridis")
        ax.scatter(*points.T, c=labels, cmap="coolwarm", s=3)
        ax.set(title=f"two classes: {name}")
        figure.colorbar(image, ax=ax)
    figure.savefig(path, dpi=80)
    plt.close(figure)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--figure", help="file of the picture; none by default")
    parser.add_argument("--rows", type=int, default=150, help="training rows of each picture")
    parser.add_argument("--points", type=int, default=81, help="of the plane, along each axis")
    options = parser.parse_args(arguments)
    X, y = sine_with_a_gap(options.rows)
    bands = {
        "DropoutMLPRegressor": bands_of_network(X, y),
        "distance_awareness=1": bands_of_network(X, y, distance_awareness=1.0),
        "GaussianProcessRegressor": bands_of_process(X, y),
    }
    for name, band in bands.items():
        middle, ends = growth(band)
        print(f"{name:<26} middle of the gap {middle:5.1f}, beyond the ends {ends:5.1f}")
    moons = plane(options.rows, options.points)
    if options.figure:
        draw(options.figure, X, y, bands, moons)


if __name__ == "__main__":
    main()
