"""Tables such as `diagnose` warns of."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from judged import Judged, Source, clusters, factors, rng

from lowerbound.data import Dataset, from_arrays


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
