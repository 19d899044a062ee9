"""Published figures that `uci.py` measures against."""

from __future__ import annotations

from pathlib import Path

import numpy as np

# Published means over the 20 splits: RMSE and log density. Gal and Ghahramani (2016), tables 1
# and 2; Mukhoti, Stenetorp and Gal (2018); Bui et al. (2016).
PUBLISHED = {
    "MC dropout, 400 epochs": {
        "rmse": (2.97, 5.23, 1.66, 0.62, 1.11),
        "ll": (-2.46, -3.04, -1.99, -0.93, -1.55),
    },
    "MC dropout, two layers": {
        "rmse": (2.80, 4.50, 0.47, 0.60, 0.66),
        "ll": (-2.34, -2.82, -1.48, -0.90, -1.37),
    },
    "MC dropout, searched": {
        "rmse": (2.904, 4.826, 0.539, 0.622, 0.666),
        "ll": (-2.402, -2.937, -1.212, -0.928, -1.250),
    },
    "Hamiltonian Monte Carlo": {
        "rmse": (2.76, 4.12, 0.48, 0.63, 0.56),
        "ll": (-2.27, -2.72, -0.93, -0.91, -1.62),
    },
}
STRONG, TWO_LAYERS = "MC dropout, searched", "MC dropout, two layers"
HMC = "Hamiltonian Monte Carlo"


def strong_reference(folder: Path, table: str) -> dict[str, np.ndarray]:
    """Figures of each split that the data files carry."""
    with np.load(folder / f"{table}.npz", allow_pickle=False) as file:
        return {"rmse": file["ref_mcdropout_rmse"], "ll": file["ref_mcdropout_ll"]}
