"""Real tables: density, outliers, synthetic rows and speed of the ``table`` recipe, beside others.

Each figure is written as soon as it is found, and not found again: what was stopped goes on.
"""

from __future__ import annotations

import argparse
import functools
import importlib
import itertools
import math
import resource
import sys
import time
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import harness
import numpy as np
import pandas as pd
import torch
import zuko
from real_tables import CLASSIFIED, OUTLIERS, PACKAGES, REAL, mixed
from sklearn.covariance import EllipticEnvelope
from sklearn.decomposition import FactorAnalysis
from sklearn.ensemble import IsolationForest, RandomForestClassifier
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import roc_auc_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import LocalOutlierFactor
from sklearn.preprocessing import StandardScaler

import lowerbound as lb

sys.path.append(str(PACKAGES))

BATCH, TEN_DRAWS = 128, lb.IWAE(10)
FAMILIES: dict[str, dict[str, Any]] = {
    "Gaussian, σ": {"part": "Gaussian", "sigma": "elementwise"},
    "Gaussian, σ(z)": {"part": "Gaussian", "sigma": "decoded"},
    "StudentT, σ(z)": {"part": "StudentT", "sigma": "decoded"},
    "NormalMixture": {"part": "NormalMixture"},
}
"""What the recipe may take for real columns."""


@dataclass(frozen=True)
class Effort:
    """How much is tried, by us and by others."""

    samples: int = 1000
    patience: int = 300
    steps: int = 3000
    components: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12)
    covariances: tuple[str, ...] = ("full", "tied", "diag")
    ridges: tuple[float, ...] = (1e-6, 1e-3, 0.01)
    flows: tuple[tuple[int, int], ...] = ((1, 32), (1, 64), (3, 32), (3, 64))
    most_factors: int = 20
    rows: int = 10_000
    scored: int = 200_000


QUICK = Effort(5, 1, 2, (1,), ("diag",), (1e-3,), (), 1, 60, 60)
LEFT_OUT = ("spline flow", "ctgan's TVAE", "pyod's ECOD", "pyod's VAE")
"""Of the quick form: what takes seconds to come in, or packages of its own."""

Figures = dict[str, float]
"""By job."""

Parts = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Standardised rows to train on, to stop or choose by, and to test on."""


def divided(x: np.ndarray, seed: int) -> tuple[Parts, float]:
    """Rows at random, a fifth to test on and a fifth to stop by; and log |∂standardised/∂x|."""
    order = np.random.default_rng(seed).permutation(len(x))
    fifth = len(x) // 5
    test, validation, train = x[order[:fifth]], x[order[fifth : 2 * fifth]], x[order[2 * fifth :]]
    mean, deviation = train.mean(0), train.std(0)
    parts = ((part - mean) / deviation for part in (train, validation, test))
    return tuple(parts), -float(np.log(deviation).sum())


def vae(
    parts: Parts,
    seed: int,
    effort: Effort,
    real: dict[str, Any],
    objective: lb.objectives.Objective = TEN_DRAWS,
) -> tuple[float, float]:
    """By the recipe, with `VAEDensity`'s objective; the bound on validation rows is the second."""
    train, validation, test = map(lb.data.from_arrays, parts)
    assert train.kind == "real"
    torch.manual_seed(seed)
    in_pass = -(-len(train) // BATCH)
    lengths = {"patience": -(-effort.patience // in_pass), "epochs": -(-effort.steps // in_pass)}
    settings = {"objective": objective, "real": real, **lengths}
    made = lb.recipes.table(train, seed=seed, batch_size=BATCH, **settings)
    lb.fit(made.model, train, validation, made.objective, made.training, callbacks=[])
    bounds = [
        lb.evaluate(made.model, rows, samples=effort.samples).in_data_units
        for rows in (test, validation)
    ]
    assert bounds[0]
    assert bounds[1]
    return bounds[0].value, bounds[1].value


def mixture(parts: Parts, seed: int, effort: Effort) -> tuple[float, float]:
    """The number of components, their covariances and the ridge are the best of validation."""
    train, validation, test = parts
    tried = [
        GaussianMixture(k, covariance_type=kind, reg_covar=ridge, random_state=seed).fit(train)
        for k, kind, ridge in itertools.product(
            effort.components, effort.covariances, effort.ridges
        )
        if 10 * k < len(train)
    ]
    return best_of(tried, validation, test)


def best_of(tried: list[Any], validation: np.ndarray, test: np.ndarray) -> tuple[float, float]:
    """Of the model that tells validation rows best, the scores of test rows and of these."""
    best = max(tried, key=lambda each: each.score(validation))
    return float(best.score(test)), float(best.score(validation))


def factors(parts: Parts, seed: int, effort: Effort) -> tuple[float, float]:
    train, validation, test = parts
    most = min(train.shape[1] - 1, effort.most_factors)
    tried = [FactorAnalysis(k, random_state=seed).fit(train) for k in range(1, most + 1)]
    return best_of(tried, validation, test)


def flow(parts: Parts, seed: int, effort: Effort) -> tuple[float, float]:
    """A neural spline flow, stopped by validation as the recipe is; its sizes the best of it."""
    tried = [_flow(parts, seed, effort.patience, *sizes) for sizes in effort.flows]
    return max(tried)[::-1]


def _flow(
    parts: Parts, seed: int, patience: int, transforms: int, width: int
) -> tuple[float, float]:
    """Mean log-density of validation and test rows, where that of validation is highest."""
    train, validation, test = (torch.from_numpy(part).float() for part in parts)
    torch.manual_seed(seed)
    sizes = {"transforms": transforms, "hidden_features": (width, width)}
    model = zuko.flows.NSF(train.shape[1], **sizes)
    optimiser = torch.optim.Adam(model.parameters(), 1e-3)
    best, at, step = (-math.inf, 0.0), 0, 0
    while step < at + patience:
        for batch in train[torch.randperm(len(train))].split(BATCH):
            optimiser.zero_grad()
            (-model().log_prob(batch).mean()).backward()
            optimiser.step()
            step += 1
        with torch.no_grad():
            score = model().log_prob(validation).mean().item()
            if score > best[0]:
                best, at = (score, model().log_prob(test).mean().item()), step
    return best


DENSITIES: dict[str, Callable[[Parts, int, Effort], tuple[float, float]]] = {
    **{f"lowerbound, {name}": functools.partial(vae, real=real) for name, real in FAMILIES.items()},
    "lowerbound, by the ELBO": functools.partial(
        vae, real=FAMILIES["StudentT, σ(z)"], objective=lb.ELBO()
    ),
    "mixture of Gaussians": mixture,
    "factor analysis": factors,
    "spline flow": flow,
}


def density(table: str, method: str, seed: int, effort: Effort) -> Figures:
    """Mean log-density of test rows, and of those chosen by, nats in the units of the table."""
    parts, log_volume = divided(REAL[table](), seed)
    test, validation = DENSITIES[method](parts, seed, effort)
    return {"density": test + log_volume, "validation": validation + log_volume}


def detector(real: dict[str, Any]) -> Callable[[int, Effort], Any]:
    """Ours, of a family for all columns."""
    return lambda seed, effort: lb.sklearn.VAEOutlierDetector(
        likelihood=real, steps=effort.steps, samples=min(effort.samples, 100), random_state=seed
    )


DETECTORS: dict[str, Callable[[int, Effort], Any]] = {
    **{f"lowerbound, {name}": detector(real) for name, real in FAMILIES.items()},
    "isolation forest": lambda seed, _: IsolationForest(random_state=seed),
    "local outlier factor": lambda *_: LocalOutlierFactor(novelty=True),
    "robust covariance": lambda seed, _: EllipticEnvelope(random_state=seed),
    "pyod's ECOD": lambda *_: pyod("ecod").ECOD(),
    "pyod's VAE": lambda seed, _: pyod("vae").VAE(random_state=seed, verbose=0),
}


def pyod(module: str) -> Any:
    """One of its modules of models."""
    return importlib.import_module(f"pyod.models.{module}")


def outliers(table: str, method: str, seed: int, effort: Effort) -> Figures:
    """AUROC: the probability that an outlier's score is above an inlier's."""
    train, scored, strange = OUTLIERS[table](seed)
    scaler = StandardScaler().fit(train)
    detector = DETECTORS[method](seed, effort).fit(scaler.transform(train))
    same, is_pyod = len(train) == len(scored), type(detector).__module__.startswith("pyod.")
    if isinstance(detector, LocalOutlierFactor) and same:
        score = -detector.negative_outlier_factor_  # of the rows it was fitted to
    elif is_pyod and same:
        score = detector.decision_scores_
    elif is_pyod:  # one by one, as ECOD also ranks a row among those beside it
        rows = np.split(scaler.transform(scored), len(scored))
        score = np.concatenate([*map(detector.decision_function, rows)])
    else:
        score = -detector.score_samples(scaler.transform(scored))
    return {"outliers": float(roc_auc_score(strange, score))}


def drawn_by_vae(train: pd.DataFrame, seed: int, effort: Effort) -> pd.DataFrame:
    density = lb.sklearn.VAEDensity(steps=effort.steps, random_state=seed).fit(train)
    return density.sample(len(train), random_state=seed)


def drawn_by_tvae(train: pd.DataFrame, seed: int, _: Effort) -> pd.DataFrame:
    """ctgan's, with its defaults, which is told the column of words."""
    np.random.seed(seed)  # what it draws from
    torch.manual_seed(seed)
    tvae = importlib.import_module("ctgan").TVAE()
    tvae.fit(train, [train.columns[-1]])
    return tvae.sample(len(train))


def drawn_by_mixtures(train: pd.DataFrame, seed: int, effort: Effort) -> pd.DataFrame:
    """A Gaussian for each class, of the ridge that a fifth of its rows choose."""
    found = []
    for _, rows in train.groupby(train.columns[-1]):
        x, n = rows.iloc[:, :-1].to_numpy(), max(1, len(rows) // 5)
        scaler = StandardScaler().fit(x)
        kept = scaler.transform(x)
        tried = [GaussianMixture(1, reg_covar=ridge).fit(kept[n:]) for ridge in effort.ridges]
        best = max(tried, key=lambda each: each.score(kept[:n]))
        made = GaussianMixture(1, reg_covar=best.reg_covar, random_state=seed).fit(kept)
        new = pd.DataFrame(
            scaler.inverse_transform(made.sample(len(rows))[0]), columns=train.columns[:-1]
        )
        found.append(new.assign(**{train.columns[-1]: rows.iloc[0, -1]}))
    return pd.concat(found)


SYNTHETIC: dict[str, Callable[[pd.DataFrame, int, Effort], pd.DataFrame]] = {
    "the rows themselves": lambda train, *_: train,
    "lowerbound, VAEDensity": drawn_by_vae,
    "ctgan's TVAE": drawn_by_tvae,
    "a Gaussian for each class": drawn_by_mixtures,
}


def synthetic(table: str, method: str, seed: int, effort: Effort) -> Figures:
    """Accuracy on real rows of a forest that was trained on as many synthetic ones."""
    rows = CLASSIFIED[table]().sample(frac=1, random_state=seed)
    test, train = rows[: len(rows) // 5], rows[len(rows) // 5 :]
    drawn = SYNTHETIC[method](train, seed, effort)
    forest = RandomForestClassifier(random_state=seed)
    forest.fit(drawn.iloc[:, :-1].to_numpy(), drawn.iloc[:, -1].astype(str))
    right = forest.score(test.iloc[:, :-1].to_numpy(), test.iloc[:, -1].astype(str))
    return {"synthetic": float(right)}


@functools.cache
def fitted(seed: int, effort: Effort) -> tuple[lb.VAE, lb.data.Dataset, float]:
    """A model of mixed rows, these, and the seconds that it took."""
    rows, start = lb.data.from_arrays(mixed(effort.rows)), time.perf_counter()
    validation, train = map(rows.subset, torch.arange(len(rows)).split(9 * len(rows) // 10)[::-1])
    settings = {} if effort.steps == Effort.steps else {"epochs": 1}
    made = lb.recipes.table(train, seed=seed, **settings)
    lb.fit(made.model, train, validation, made.objective, made.training, callbacks=[])
    return made.model, rows, time.perf_counter() - start


def speed(_: str, what: str, seed: int, effort: Effort) -> Figures:
    """One of `SPEEDS`."""
    model, rows, seconds = fitted(seed, effort)
    if what == SPEEDS[0]:
        return {"speed": seconds}
    many = rows.subset(torch.arange(effort.scored) % len(rows))
    before, start = _peak_mb(), time.perf_counter()
    lb.evaluation.example_scores(model, many, samples=1)
    seconds = time.perf_counter() - start
    rate = 60 * effort.scored / seconds
    return {"speed": rate if what == SPEEDS[1] else _peak_mb() - before}


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


SPEEDS = ("seconds of a fit", "rows scored a minute", "MB more while scoring")
Job = Callable[[str, str, int, Effort], Figures]
JOBS: dict[str, tuple[Job, Iterable[str], Iterable[str]]] = {
    "density": (density, REAL, DENSITIES),
    "outliers": (outliers, OUTLIERS, DETECTORS),
    "synthetic": (synthetic, CLASSIFIED, SYNTHETIC),
    "speed": (speed, ("10,000 × 20, mixed",), SPEEDS),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--jobs", nargs="+", choices=JOBS, default=list(JOBS))
    parser.add_argument("--tables", nargs="+", help="only these")
    parser.add_argument("--methods", nargs="+", help="only these")
    parser.add_argument("--quick", action="store_true", help="check that it runs: little of each")
    told = parser.parse_args()
    warnings.simplefilter("ignore", ConvergenceWarning)
    effort = QUICK if told.quick else Effort()
    kept = harness.HERE / "results" / "tables.json"
    found: dict[str, Any] = harness.read("tables")["found"] if kept.exists() else {}
    found = {} if told.quick else found
    for job in told.jobs:
        measure, every, methods = JOBS[job]
        tables = [name for name in every if name in (told.tables or every)]
        methods = [name for name in methods if name in (told.methods or methods)]
        seeds = told.seeds if job != "speed" else 1
        if told.quick:
            methods = [name for name in methods if name not in LEFT_OUT]
            seeds, tables = 1, [name for name in every if "wine" in name] or tables
        for seed, table, method in itertools.product(range(seeds), tables, methods):
            known = found.get(job, {}).get(table, {}).get(method, {})
            if str(seed) in known:
                continue
            for what, value in measure(table, method, seed, effort).items():
                by_table = found.setdefault(what, {}).setdefault(table, {})
                by_table.setdefault(method, {})[str(seed)] = value
                print(f"{what}: {table}, {method}, seed {seed}: {value:.3f}", flush=True)
            if not told.quick:
                command = f"benchmarks/run tables --seeds {told.seeds}"
                values = {"command": command, "found": found}
                harness.write("tables", values | harness.machine())


if __name__ == "__main__":
    main()
