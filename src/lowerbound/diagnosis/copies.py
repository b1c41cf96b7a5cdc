"""What is there twice: a column, the labels as a column, and rows in training and held-out data."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.schema import LEAST_TIMES, levels_of
from lowerbound.diagnosis.association import correlations, ranks
from lowerbound.diagnosis.codes import difference
from lowerbound.diagnosis.columns import coded, expect_table, known, name_of, several
from lowerbound.diagnosis.finding import Measured, NotChecked
from lowerbound.diagnosis.held_out import COMPARED
from lowerbound.diagnosis.thresholds import NEARLY, REPEATED, surely_above
from lowerbound.diagnosis.trained import TrainedModel, subset
from lowerbound.evaluation import estimate

MANY, QUARTER = 100, 4
"""Numbers that a column must have, and that share of the rows, for rows to be no two alike."""


def duplicate_columns(trained: TrainedModel) -> Measured:
    """Pairs of columns of which one follows from the other.

    Numbers by a straight line, of their values and of their ranks; categories, and a few numbers,
    one by one.
    """
    expect_table(trained)
    data = subset(known(trained), trained.seed)
    chosen = torch.randperm(data.shape[0])[:COMPARED].sort().values
    x = data.x[:, chosen].double()
    named, levels = set(coded(data)), levels_of(x)
    few = [j for j, i in enumerate(chosen.tolist()) if i in named or j in levels]
    many = [j for j in range(len(chosen)) if j not in few]
    table = x.numpy()
    pairs = _alike(table, few)
    if many:
        ranked = np.stack([ranks(table[:, j]) for j in many], 1)
        both = np.minimum(*(correlations(each) ** 2 for each in (table[:, many], ranked)))
        rows, others = np.nonzero(np.triu(both > 1 - NEARLY, 1))
        pairs += [(many[i], many[j]) for i, j in zip(rows, others, strict=True)]
    found = [tuple(name_of(data, int(chosen[j])) for j in pair) for pair in pairs]
    shown = pairs[0] if pairs else (0, 0)
    return Measured(
        "" if pairs else None,
        pairs=len(pairs),
        columns=len(chosen),
        named=several([f"{a} and {b}" for a, b in found]),
        shown=found[0] if found else (),
        values=tuple(_standardised(table[:, j]) for j in shown),
    )


def _alike(table: np.ndarray, few: list[int]) -> list[tuple[int, int]]:
    """Pairs of these columns whose values go one with the other, however they are called."""
    groups: dict[bytes, list[int]] = {}
    for j in few:
        seen = ~np.isnan(table[:, j])
        if (numbers := _renumbered(table[seen, j])) is not None:
            whole = np.full(len(table), -1)
            whole[seen] = numbers
            groups.setdefault(whole.tobytes(), []).append(j)
    return [(group[0], j) for group in groups.values() for j in group[1:]]


def _renumbered(values: np.ndarray) -> np.ndarray | None:
    """Values as numbers in the order in which they first occur; None unless two are met often."""
    _, first, place, times = np.unique(
        values, return_index=True, return_inverse=True, return_counts=True
    )
    if len(times) < 2 or np.sort(times)[-2] < LEAST_TIMES:
        return None
    return first.argsort().argsort()[place]


def _standardised(values: np.ndarray) -> np.ndarray:
    values = values - np.nanmean(values)
    return values / (np.nanstd(values) or 1.0)


def label_columns(trained: TrainedModel) -> Measured:
    """Columns that are the labels: each value goes with one class, and each class with one."""
    expect_table(trained)
    data = known(trained)
    if data.labels is None:
        raise NotChecked("no-labels")
    x, labels = data.x.double().numpy(), data.labels.numpy()
    few, found = {*coded(data), *levels_of(data.x.double())}, []
    for i in sorted(few):
        seen = ~np.isnan(x[:, i])
        both = (_renumbered(x[seen, i]), _renumbered(labels[seen]))
        if both[0] is not None and both[1] is not None and (both[0] == both[1]).all():
            found.append(i)
    i = found[0] if found else 0
    return Measured(
        "" if found else None,
        copies=len(found),
        columns=data.shape[0],
        named=several([name_of(data, i) for i in found]),
        values=tuple(_standardised(each) for each in (x[:, i], labels.astype(float))),
    )


def repeated_rows(trained: TrainedModel) -> Measured:
    """Held-out examples that are training examples too, value by value.

    Where an example may well be met twice, as no column has many values, those are taken off of
    which training data have a second one.
    """
    if trained.training is None:
        raise NotChecked("no-training-data")
    both = (trained.training.x, trained.held_out.x)
    wider = torch.promote_types(*(x.dtype for x in both))
    train, test = (_bytes(x.to(wider)) for x in both)
    again = torch.from_numpy(np.isin(test, train)).double()
    values, n = trained.training.x.flatten(1), len(train)
    different = (values.sort(0).values.diff(dim=0) > 0).sum(0).max().item() + 1
    chance = torch.zeros(n, dtype=torch.float64)
    if different < max(MANY, n / QUARTER):
        _, place, times = np.unique(train, return_inverse=True, return_counts=True)
        chance = torch.from_numpy(times[place.flatten()] > 1).double()
    return Measured(
        "" if surely_above(difference(again, chance), REPEATED) else None,
        share=estimate(again),
        chance=chance.mean().item(),
        repeated=int(again.sum()),
        total=len(test),
    )


def _bytes(x: Tensor) -> np.ndarray:
    """Each example as one value that is equal where the examples are, (n,)."""
    rows = x.flatten(1)
    if rows.is_floating_point():
        rows = rows.nan_to_num(nan=torch.inf) + 0.0  # no −0
    whole = np.ascontiguousarray(rows.numpy())
    return whole.view(np.dtype((np.void, whole.dtype.itemsize * whole.shape[1]))).ravel()
