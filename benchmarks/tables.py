"""Held-out density of real tables: the ``table`` recipe beside mixtures, factors and a flow."""

from __future__ import annotations

import argparse
import itertools
import math
import statistics
import warnings
from collections.abc import Callable
from pathlib import Path

import harness
import numpy as np
import pandas as pd
import torch
import zuko
from sklearn import datasets
from sklearn.decomposition import FactorAnalysis
from sklearn.exceptions import ConvergenceWarning
from sklearn.mixture import GaussianMixture

import lowerbound as lb

PACKAGES = Path(__file__).parent / "environments" / ".tables"
COMPONENTS, COVARIANCES, RIDGES = (
    (1, 2, 3, 4, 6, 8, 12),
    ("full", "tied", "diag"),
    (1e-6, 1e-3, 0.01),
)
PATCHES, SIDE, SAMPLES, BATCH, PATIENCE = 5000, 8, 1000, 128, 300
Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Standardised rows to train on, to stop or choose by, and to test on."""
Density = Callable[[Parts, int, int], float]
"""Mean log-density of test rows, nats, after training with a seed.

What is trained in steps is given up after so many, the last argument, without a better validation.
"""


def patches() -> np.ndarray:
    """Grey patches at random places of the two photographs, with noise over the levels' steps."""
    rng = np.random.default_rng(0)
    photographs = [image.mean(2) for image in datasets.load_sample_images().images]
    found = []
    for _ in range(PATCHES):
        photograph = photographs[rng.integers(2)]
        top, left = (rng.integers(side - SIDE) for side in photograph.shape)
        found.append(photograph[top : top + SIDE, left : left + SIDE].ravel())
    return np.array(found) + rng.uniform(-1 / 6, 1 / 6, (PATCHES, SIDE**2))


def penguins() -> np.ndarray:
    table = pd.read_csv(PACKAGES / "palmerpenguins/data/penguins.csv").dropna()
    return table[[name for name in table if name.endswith(("_mm", "_g"))]].to_numpy(float)


def star98() -> np.ndarray:
    """What school districts are like, but for products of columns and mostly empty ones."""
    table = pd.read_csv(PACKAGES / "statsmodels/datasets/star98/star98.csv")
    return table.iloc[:, 2:12].to_numpy(float)


TABLES: dict[str, Callable[[], np.ndarray]] = {
    "breast cancer": lambda: datasets.load_breast_cancer().data,
    "wine": lambda: datasets.load_wine().data,
    "diabetes": lambda: np.delete(datasets.load_diabetes().data, 1, axis=1),  # but the sex
    "penguins": penguins,
    "star98": star98,
    "8×8 patches": patches,
}
"""Columns of real numbers of many values each."""


def divided(x: np.ndarray, seed: int) -> tuple[Parts, float]:
    """Rows at random, a fifth to test on and a fifth to stop by; and log |∂standardised/∂x|."""
    order = np.random.default_rng(seed).permutation(len(x))
    fifth = len(x) // 5
    test, validation, train = x[order[:fifth]], x[order[fifth : 2 * fifth]], x[order[2 * fifth :]]
    mean, deviation = train.mean(0), train.std(0)
    parts = ((part - mean) / deviation for part in (train, validation, test))
    return tuple(parts), -float(np.log(deviation).sum())


def vae(parts: Parts, seed: int, patience: int) -> float:
    train, validation, test = map(lb.data.from_arrays, parts)
    torch.manual_seed(seed)
    epochs = -(-patience // -(-len(train) // BATCH))
    made = lb.recipes.table(train, seed=seed, batch_size=BATCH, patience=epochs)
    lb.fit(made.model, train, validation, made.objective, made.training, callbacks=[])
    bound = lb.evaluate(made.model, test, samples=SAMPLES).in_data_units
    assert bound is not None
    return bound.value


def mixture(parts: Parts, seed: int, _: int) -> float:
    """The number of components, their covariances and the ridge are the best of validation."""
    train, validation, test = parts
    tried = [
        GaussianMixture(k, covariance_type=kind, reg_covar=ridge, random_state=seed).fit(train)
        for k, kind, ridge in itertools.product(COMPONENTS, COVARIANCES, RIDGES)
        if 10 * k < len(train)
    ]
    return float(max(tried, key=lambda each: each.score(validation)).score(test))


def factors(parts: Parts, seed: int, _: int) -> float:
    train, validation, test = parts
    most = min(train.shape[1] - 1, 20)
    tried = [FactorAnalysis(k, random_state=seed).fit(train) for k in range(1, most + 1)]
    return float(max(tried, key=lambda each: each.score(validation)).score(test))


def flow(parts: Parts, seed: int, patience: int) -> float:
    """A neural spline flow, stopped by validation as the recipe is."""
    train, validation, test = (torch.from_numpy(part).float() for part in parts)
    torch.manual_seed(seed)
    model = zuko.flows.NSF(train.shape[1], transforms=3, hidden_features=(64, 64))
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    best, found, at, step = -math.inf, 0.0, 0, 0
    while step < at + patience:
        for batch in train[torch.randperm(len(train))].split(BATCH):
            optimiser.zero_grad()
            (-model().log_prob(batch).mean()).backward()
            optimiser.step()
            step += 1
        with torch.no_grad():
            score = model().log_prob(validation).mean().item()
            if score > best:
                best, found, at = score, model().log_prob(test).mean().item(), step
    return found


DENSITIES: dict[str, Density] = {
    "lowerbound, table": vae,
    "mixture of Gaussians": mixture,
    "factor analysis": factors,
    "spline flow": flow,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--tables", nargs="+", choices=TABLES, default=list(TABLES))
    parser.add_argument("--quick", action="store_true", help="check that it runs: few rows")
    told = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if told.quick:
        told.seeds, told.tables = 1, ["wine"]
    patience = 1 if told.quick else PATIENCE
    found: dict[str, dict[str, list[float]]] = {}
    for table in told.tables:
        x = TABLES[table]()[: 60 if told.quick else None]
        found[table] = {name: [] for name in DENSITIES}
        for seed in range(told.seeds):
            parts, log_volume = divided(x, seed)
            for name, density in DENSITIES.items():
                found[table][name].append(density(parts, seed, patience) + log_volume)
        for name, values in found[table].items():
            spread = statistics.stdev(values) if len(values) > 1 else math.nan
            print(
                f"{table:14}{len(x):6,} × {x.shape[1]:<3}{name:22}"
                f"{statistics.mean(values):9.2f} ± {spread:.2f} nats a row",
                flush=True,
            )
    if not told.quick:
        result = {"command": harness.command(), "samples": SAMPLES, "nats a row": found}
        print(harness.write("tables", result | harness.machine()))


if __name__ == "__main__":
    main()
