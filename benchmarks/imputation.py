"""Missing cells of real tables, filled in: `VAEImputer` beside scikit-learn's imputers."""

from __future__ import annotations

import argparse
import math
import statistics
import warnings
from collections.abc import Callable
from typing import Any

import harness
import numpy as np
from real_tables import REAL
from sklearn.exceptions import ConvergenceWarning
from sklearn.experimental import enable_iterative_imputer  # noqa: F401
from sklearn.impute import IterativeImputer, KNNImputer, SimpleImputer
from sklearn.preprocessing import StandardScaler

from lowerbound.sklearn import VAEImputer

RATE = 0.2
IMPUTERS: dict[str, Callable[[int, int], Any]] = {
    "column mean": lambda seed, steps: SimpleImputer(),
    "nearest neighbours": lambda seed, steps: KNNImputer(),
    "iterative": lambda seed, steps: IterativeImputer(random_state=seed),
    "lowerbound": lambda seed, steps: VAEImputer(steps=steps, random_state=seed),
}
"""By a seed, and a number of steps where they are taken; all else is as it comes."""


def error(x: np.ndarray, imputer: Any, seed: int) -> float:
    """The root mean square of the errors, in deviations of the columns.

    Cells are missing at random.  All imputers are given columns standardised by what is observed.
    """
    gone = np.random.default_rng(seed).random(x.shape) < RATE
    holed = np.where(gone, np.nan, x)
    scaler = StandardScaler().fit(holed)
    filled = scaler.inverse_transform(imputer.fit_transform(scaler.transform(holed)))
    return float(np.sqrt(np.square((filled - x) / x.std(0))[gone].mean()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    tables = [name for name in REAL if name != "8×8 patches"]
    parser.add_argument("--tables", nargs="+", choices=REAL, default=tables)
    parser.add_argument(
        "--quick", action="store_true", help="check that it runs: few rows, few steps"
    )
    told = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    if told.quick:
        told.seeds, told.tables = 1, ["wine"]
    found: dict[str, dict[str, list[float]]] = {}
    for table in told.tables:
        x = REAL[table]()[: 60 if told.quick else None]
        found[table] = {}
        for name, imputer in IMPUTERS.items():
            errors = [
                error(x, imputer(seed, 2 if told.quick else 3000), seed)
                for seed in range(told.seeds)
            ]
            found[table][name] = errors
            spread = statistics.stdev(errors) if len(errors) > 1 else math.nan
            print(
                f"{table:14}{len(x):6,} × {x.shape[1]:<3}{name:20}"
                f"{statistics.median(errors):6.3f} ± {spread:.3f} deviations",
                flush=True,
            )
    if not told.quick:
        result = {"command": harness.command(), "missing": RATE, "errors": found}
        print(harness.write("imputation", result | harness.machine()))


if __name__ == "__main__":
    main()
