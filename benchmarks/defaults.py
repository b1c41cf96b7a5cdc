"""Default likelihoods and trainings on simulated rows, whose true log-density is known."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import harness
import numpy as np
import torch
from scipy import special, stats

import lowerbound as lb

TEST, SAMPLES = 2000, 100
Truth = Callable[[np.ndarray], np.ndarray]
"""log p(x) of each row, in nats."""
Simulation = Callable[[np.random.Generator, int], tuple[np.ndarray, Truth]]


def poisson(rng: np.random.Generator, n: int) -> tuple[np.ndarray, Truth]:
    rates = np.array([100, 200, 400, 200, 2, 1, 4, 0.5])
    return rng.poisson(rates, (n, 8)), lambda x: stats.poisson(rates).logpmf(x).sum(1)


def negative_binomial(rng: np.random.Generator, n: int) -> tuple[np.ndarray, Truth]:
    dispersion, mean = np.array([2, 2, 0.5, 10, 2]), np.array([5, 50, 5, 5, 500])
    counts = stats.nbinom(dispersion, dispersion / (dispersion + mean))
    return counts.rvs((n, 5), random_state=rng), lambda x: counts.logpmf(x).sum(1)


def poisson_factor(rng: np.random.Generator, n: int) -> tuple[np.ndarray, Truth]:
    intercept, loading = np.log([200, 20, 5, 1000, 50]), np.array([1, 0.5, -1, 0.7, 0.3])

    def truth(x: np.ndarray) -> np.ndarray:
        grid = np.linspace(-6, 6, 801)
        weights = stats.norm.logpdf(grid) + np.log(grid[1] - grid[0])
        rates = (np.exp(intercept + loading * z) for z in grid)
        given = np.stack([stats.poisson(rate).logpmf(x).sum(1) for rate in rates])
        return special.logsumexp(weights[:, None] + given, 0)

    return rng.poisson(np.exp(intercept + loading * rng.standard_normal((n, 1)))), truth


def gaussian_factors(rng: np.random.Generator, n: int) -> tuple[np.ndarray, Truth]:
    loadings, sigma = np.array([[1, 0.5, 0, 2, 0.3], [0.2, -1, 0.8, 0, 0.3]]), 0.16
    x = rng.standard_normal((n, 2)) @ loadings + sigma * rng.standard_normal((n, 5))
    covariance = loadings.T @ loadings + sigma**2 * np.eye(5)
    return x, stats.multivariate_normal(np.zeros(5), covariance).logpdf


def gaussian(rng: np.random.Generator, n: int) -> tuple[np.ndarray, Truth]:
    columns = stats.norm([0, 5, 3, 1000, 2], [1, 2, 0.1, 100, 5])
    return columns.rvs((n, 5), random_state=rng), lambda x: columns.logpdf(x).sum(1)


def student_t(rng: np.random.Generator, n: int) -> tuple[np.ndarray, Truth]:
    columns = stats.t(3, scale=[0.1, 1, 10, 1, 1])
    return columns.rvs((n, 5), random_state=rng), lambda x: columns.logpdf(x).sum(1)


def rare_bits(rng: np.random.Generator, n: int) -> tuple[np.ndarray, Truth]:
    classes = np.repeat([[0.01, 0.3, 0.002], [0.05, 0.02, 0.3]], [10, 5, 5], axis=1)

    def truth(x: np.ndarray) -> np.ndarray:
        given = [stats.bernoulli(p).logpmf(x).sum(1) for p in classes]
        return special.logsumexp(given, 0) - np.log(len(classes))

    return (rng.random((n, 20)) < classes[rng.integers(0, 2, n)]).astype(int), truth


SIMULATIONS: dict[str, tuple[Simulation, dict[str, Any]]] = {
    "counts, Poisson of means .5 to 400": (poisson, {}),
    "counts, negative binomial": (negative_binomial, {}),
    "counts, Poisson with one factor": (poisson_factor, {}),
    "reals, independent": (gaussian, {}),
    "reals, two factors, σ = .16": (gaussian_factors, {}),
    "reals, Student's t of 3 degrees": (student_t, {"likelihood": "StudentT"}),
    "bits, rare ones in two classes": (rare_bits, {}),
}
"""By name: the rows, and settings other than the defaults."""


def gap(
    simulation: Simulation, settings: dict[str, Any], rows: int, test: int = TEST
) -> dict[str, float]:
    """Bits per dimension of test rows: ours after training on so many rows, and the truth."""
    x, truth = simulation(np.random.default_rng(0), rows + test)
    splits = lb.data.split(lb.data.from_arrays(x), validation=rows // 10, test=test)
    torch.manual_seed(0)
    made = lb.recipes.prepare("mlp", splits.train, settings)
    lb.fit(made.model, splits.train, splits.validation, made.objective, made.training, callbacks=[])
    ours = lb.evaluate(made.model, splits.test, samples=SAMPLES).bits_per_dimension.value
    held_out = splits.test.x.numpy().astype(float)
    true = float(-truth(held_out).mean()) / x.shape[1] / np.log(2)
    return {"rows": rows, "ours": ours, "truth": true, "gap": ours - true}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[300, 2000, 20000])
    parser.add_argument(
        "--quick", action="store_true", help="check that it runs: 100 rows, 5 epochs"
    )
    told = parser.parse_args()
    found, test, more = {}, TEST, {}
    if told.quick:
        told.rows, test, more = [100], 100, {"epochs": 5}
    for name, (simulation, settings) in SIMULATIONS.items():
        found[name] = []
        for rows in told.rows:
            row = gap(simulation, settings | more, rows, test)
            found[name].append(row)
            print(
                f"{name:36}{rows:7,} rows: {row['ours']:7.3f} bits per dimension, truth "
                f"{row['truth']:7.3f}, gap {row['gap']:+.3f}",
                flush=True,
            )
    if not told.quick:
        values = {"command": harness.command(), "samples": SAMPLES, "test": TEST, "rows": found}
        print(harness.write("defaults", values | harness.machine()))


if __name__ == "__main__":
    main()
