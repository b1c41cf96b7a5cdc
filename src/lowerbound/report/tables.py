"""Pictures and tables about the columns of a table: as they are, rebuilt and generated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure

from lowerbound import plots
from lowerbound.plots.columns import PANELS
from lowerbound.plots.style import minus, number
from lowerbound.report.outcome import Outcome
from lowerbound.report.rows import moments

LISTED = 1000
WORST = 10
CLASSES = 20


@dataclass(frozen=True)
class Table:
    """A table of text, the first cell of each row naming it."""

    header: tuple[str, ...]
    rows: Sequence[tuple[str, ...]]


def reconstructions(outcome: Outcome) -> Figure:
    """Columns rebuilt, over what they are; categories are in the other pictures."""
    rows = outcome.rows
    kept = [i for i in rows.furthest(PANELS) if i not in outcome.categories] or rows.furthest(
        PANELS
    )
    names = [outcome.columns[i] for i in kept]
    return plots.scatter_reconstruction(rows.original[:, kept], rows.rebuilt[:, kept], names)


def marginals(outcome: Outcome) -> Figure:
    """Columns in the data and generated."""
    rows = outcome.rows
    shown, names = rows.furthest(PANELS), [outcome.columns[i] for i in rows.furthest(PANELS)]
    categories = {outcome.columns[i]: labels for i, labels in outcome.categories.items()}
    original, generated = rows.original[:, shown], rows.generated[:, shown]
    return plots.marginals(original, generated, names, categories=categories)


def class_means(outcome: Outcome) -> Figure:
    """The mean of each column in each class, in the data and generated, in standard deviations."""
    rows = outcome.rows
    assert rows.labels is not None
    assert rows.generated_labels is not None
    kept = [i for i in range(rows.original.shape[1]) if i not in outcome.categories]
    centre, spread = moments(rows.original[:, kept])
    spread = np.where(spread > 0, spread, 1.0)
    panels = {}
    for label in np.unique(rows.labels)[:CLASSES]:
        both = (rows.original[rows.labels == label], rows.generated[rows.generated_labels == label])
        x, y = ((moments(part[:, kept])[0] - centre) / spread for part in both)
        panels[f"{outcome.class_names[label]}, {len(both[0]):,} rows"] = (x, y)
    return plots.agreement(panels, xlabel="mean of test rows", ylabel="mean of generated rows")


def column_table(outcome: Outcome) -> Table:
    """Each column in the data, rebuilt and generated: those that differ most first."""
    rows = outcome.rows
    (means, deviations), (drawn, spreads) = moments(rows.original), moments(rows.generated)
    error, _ = moments((rows.original - rows.rebuilt) ** 2)
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = np.where(deviations > 0, 1 - error / deviations**2, np.nan)
    coded = outcome.categories
    listed = []
    for i in rows.ranked[:LISTED]:
        figures = (means[i], deviations[i], drawn[i], spreads[i])
        four = [rounded(value, deviations[i]) if i not in coded else "" for value in figures]
        r2 = "" if i in coded or np.isnan(explained[i]) else minus(f"{explained[i]:.2f}")
        apart = (f"{distance:.3f}" for distance in (rows.distance[i], rows.chance[i]))
        listed.append((outcome.columns[i], *four, *apart, r2))
    header = ("column", "mean", "s.d.", "generated mean", "s.d.", "distance", "by chance", "R²")
    return Table(header, listed)


def worst(outcome: Outcome) -> Table:
    """The test rows of the lowest score, and where they differ most from their reconstruction."""
    order = np.argsort(outcome.scores, kind="stable")[:WORST]
    data = outcome.scored.subset(torch.from_numpy(order.copy()))
    original, rebuilt = data.x.double().numpy(), outcome.reconstructed(data).double().numpy()
    _, spread = moments(outcome.data.x.double().numpy())
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.nan_to_num(np.abs(original - rebuilt) / spread, nan=0.0, posinf=0.0)
    listed = []
    for row, score in enumerate(outcome.scores[order]):
        far = np.argsort(-off[row], kind="stable")[:3]
        changes = ", ".join(
            f"{outcome.columns[i]} {rounded(original[row, i], spread[i])} → "
            f"{rounded(rebuilt[row, i], spread[i])}"
            for i in far
        )
        listed.append((str(row + 1), number(score), changes))
    return Table(("", outcome.score, "furthest from its reconstruction"), listed)


def rounded(value: float, spread: float) -> str:
    """A number to about a hundredth of its column's standard deviation; nothing for NaN.

    >>> rounded(1_700_512_345.6, 1e4), rounded(-0.123456, 0.5), rounded(math.nan, 1.0)
    ('1,700,512,346', '−0.123', '')
    """
    if math.isnan(value):
        return ""
    decimals = 2 - math.floor(math.log10(spread)) if spread > 0 else 7
    if decimals > 6 or abs(value) > 1e15:
        return minus(f"{value:.6g}")
    return minus(f"{value:,.{max(decimals, 0)}f}")
