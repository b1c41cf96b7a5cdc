"""Tables such as `diagnose` warns of, and one of several kinds that is sound."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import torch
from judged import Judged, Source, clusters, factors, rng

from lowerbound.data import Dataset, from_arrays


def described(n: int, seed: int) -> Dataset:
    """Numbers, words and grades that hang together, some of them missing."""
    r = rng(seed)
    z, e = r.standard_normal((n, 2)), r.standard_normal((n, 4))
    columns = {
        "size": np.where(r.random(n) < 0.1, np.nan, z[:, 0] + 0.3 * e[:, 0]),
        "weight": z.sum(1) + 0.3 * e[:, 1],
        "place": np.where(z[:, 1] + 0.5 * e[:, 2] > 0, "north", "south"),
        "grade": np.clip(np.rint(3 + z[:, 0] + 0.5 * e[:, 3]), 1, 5),
    }
    return from_arrays(pd.DataFrame(columns))


def with_column(column: Callable[[np.random.Generator, np.ndarray], np.ndarray]) -> Source:
    """Six columns of two factors, and one more that is made of them."""

    def draw(n: int, seed: int) -> Dataset:
        x = factors(6, 2)(n, seed).x.double().numpy()
        return from_arrays(np.c_[x, column(rng(seed + 1), x)])

    return draw


copied = with_column(lambda r, x: np.round(2.54 * x[:, 0] + 10, 2))
few = with_column(lambda r, x: r.choice([0.0, 1.0, 2.0, 3.0, 5.5], len(x)))
zeros = with_column(lambda r, x: np.where(r.random(len(x)) < 0.5, 0.0, r.lognormal(size=len(x))))


def with_classes(n: int, seed: int) -> Dataset:
    """The labels are among the columns."""
    data = clusters(n, seed)
    assert data.labels is not None
    return from_arrays(np.c_[data.x.double(), 1.5 * data.labels], data.labels)


def tested_on_known(judged: Judged) -> None:
    """A tenth as many training rows join the held-out ones."""
    known = judged.train.x[: len(judged.test) // 10]
    judged.test = Dataset(torch.cat((judged.test.x, known)), schema=judged.test.schema)
