"""Real tables that come with packages: of real numbers, with known outliers, and with classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn import datasets

PACKAGES = Path(__file__).parent / "environments" / ".tables"
PATCHES, SIDE, CONTAMINATED = 5000, 8, 0.1


def statsmodels(name: str) -> pd.DataFrame:
    return pd.read_csv(PACKAGES / f"statsmodels/datasets/{name}/{name}.csv")


def penguins() -> pd.DataFrame:
    """The four measures, and the species."""
    table = pd.read_csv(PACKAGES / "palmerpenguins/data/penguins.csv").dropna()
    return table[[name for name in table if name.endswith(("_mm", "_g"))] + ["species"]]


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


REAL: dict[str, Callable[[], np.ndarray]] = {
    "breast cancer": lambda: datasets.load_breast_cancer().data,
    "wine": lambda: datasets.load_wine().data,
    "diabetes": lambda: np.delete(datasets.load_diabetes().data, 1, axis=1),  # but the sex
    "penguins": lambda: penguins().iloc[:, :-1].to_numpy(float),
    "star98": lambda: statsmodels("star98").iloc[:, 2:12].to_numpy(float),  # no products of columns
    "iris": lambda: datasets.load_iris().data,
    "macrodata": lambda: statsmodels("macrodata").iloc[:, 2:].to_numpy(float),  # but the quarter
    "engel": lambda: statsmodels("engel").to_numpy(float),
    "8×8 patches": patches,
}
"""Columns of real numbers of many values each."""

Outliers = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Rows to train on, rows to score, and which of these are outliers."""


Labelled = Callable[[], tuple[np.ndarray, np.ndarray]]
"""Gives the rows, and the number of each one's class."""


def of_class(load: Labelled, outlier: int) -> Callable[[int], Outliers]:
    """Trained on three fifths of the other classes' rows, scored on the rest and this class."""

    def divided(seed: int) -> Outliers:
        x, y = load()
        inliers = np.random.default_rng(seed).permutation(np.flatnonzero(y != outlier))
        train, rest = np.split(inliers, [3 * len(inliers) // 5])
        scored = np.concatenate([rest, np.flatnonzero(y == outlier)])
        return x[train], x[scored], y[scored] == outlier

    return divided


def contaminated(load: Labelled, outlier: int) -> Callable[[int], Outliers]:
    """Trained and scored on the same rows, a tenth of them of this class."""

    def mixed(seed: int) -> Outliers:
        x, y = load()
        inliers = np.flatnonzero(y != outlier)
        wanted = round(len(inliers) * CONTAMINATED / (1 - CONTAMINATED))
        others = np.random.default_rng(seed).permutation(np.flatnonzero(y == outlier))[:wanted]
        rows = np.concatenate([inliers, others])
        return x[rows], x[rows], y[rows] == outlier

    return mixed


def species() -> tuple[np.ndarray, np.ndarray]:
    table = penguins()
    return table.iloc[:, :-1].to_numpy(float), (table["species"] == "Chinstrap").to_numpy(int)


def breast() -> tuple[np.ndarray, np.ndarray]:
    return datasets.load_breast_cancer(return_X_y=True)


OUTLIERS: dict[str, Callable[[int], Outliers]] = {
    "breast cancer, malignant": of_class(breast, 0),
    "breast cancer, contaminated": contaminated(breast, 0),
    "wine, first class": of_class(lambda: datasets.load_wine(return_X_y=True), 0),
    "digits, nines": of_class(lambda: datasets.load_digits(return_X_y=True), 9),
    "penguins, Chinstrap": of_class(species, 1),
}


def _classified(loader: Callable[..., object]) -> Callable[[], pd.DataFrame]:
    """Its table, with the names of the classes in the last column."""

    def table() -> pd.DataFrame:
        found = loader(as_frame=True)
        names = np.array(found.target_names)[found.target.to_numpy()]  # type: ignore[attr-defined]
        return found.data.assign(label=names)  # type: ignore[attr-defined]

    return table


CLASSIFIED: dict[str, Callable[[], pd.DataFrame]] = {
    "breast cancer": _classified(datasets.load_breast_cancer),
    "wine": _classified(datasets.load_wine),
    "penguins": penguins,
}
"""Measures, and in the last column a class by its name."""


def mixed(rows: int) -> pd.DataFrame:
    """Twenty columns of five kinds, which follow from three hidden numbers."""
    rng = np.random.default_rng(0)
    hidden = rng.normal(size=(rows, 3))
    seen = hidden @ rng.normal(size=(3, 20)) + rng.normal(size=(rows, 20))
    names = np.array(["north", "east", "south", "west"])
    columns = {f"real {i}": seen[:, i] for i in range(8)}
    columns |= {f"count {i}": rng.poisson(np.exp(seen[:, 8 + i] / 2)) for i in range(4)}
    columns |= {f"grade {i}": np.clip(np.rint(3 + seen[:, 12 + i]), 1, 5) for i in range(3)}
    columns |= {f"place {i}": names[seen[:, 15 + i].astype(int) % 4] for i in range(3)}
    columns |= {f"spent {i}": np.exp(seen[:, 18 + i]) * (hidden[:, i] > 0) for i in range(2)}
    return pd.DataFrame(columns)
