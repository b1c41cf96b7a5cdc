"""Pictures and tables about the columns of a table: as they are, rebuilt and generated."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from lowerbound import plots
from lowerbound.data import Dataset
from lowerbound.data.schema import Field, Schema, fields_of
from lowerbound.plots.columns import PANELS
from lowerbound.plots.style import minus, number
from lowerbound.report.outcome import Outcome
from lowerbound.report.rows import Rows, moments

LISTED = 1000
DRAWN = 8 * PANELS
ASSOCIATED, PAIRS = 24, 6
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
    ranked = rows.ranked.tolist()
    kept = ([i for i in ranked if i not in outcome.categories] or ranked)[:PANELS]
    names = [outcome.columns[i] for i in kept]
    pairs, dates = (rows.original[:, kept], rows.rebuilt[:, kept]), _dates(outcome)
    return plots.scatter_reconstruction(*pairs, names, dates=dates)


def _dates(outcome: Outcome) -> list[str]:
    dates: list[str] = told(outcome.columns, outcome.data.schema)["dates"]
    return dates


def marginals(outcome: Outcome) -> list[Figure]:
    """Columns in the data and generated, `PANELS` at a time."""
    return marginals_of(outcome.rows, outcome.columns, outcome.data.schema)


def beside(data: Dataset, drawn: np.ndarray) -> Figure:
    """The columns that differ most between ``data`` and what is ``drawn``, (m, D)."""
    coded = [i for i, field in enumerate(fields_of(data.schema)) if field.categories]
    x = data.x.double().numpy()
    rows = Rows(x, x, drawn.astype(np.float64), None, None, coded)
    columns = data.columns or [f"x[{i}]" for i in range(x.shape[1])]
    return marginals_of(rows, columns, data.schema, most=PANELS)[0]


def told(columns: Sequence[str], schema: Schema) -> dict[str, Any]:
    """Which of the ``columns`` hold categories, and which dates, as pictures take it."""
    named = dict(zip(columns, fields_of(schema), strict=True))
    return {
        "categories": {name: each.categories for name, each in named.items() if each.categories},
        "dates": [name for name, each in named.items() if "%" in each.form],
    }


def marginals_of(
    rows: Rows, columns: Sequence[str], schema: Schema, most: int = DRAWN
) -> list[Figure]:
    """The same of any ``rows``; those first that differ most, and at most so many of them."""
    ranked = rows.ranked[:most].tolist()
    pages = (ranked[start : start + PANELS] for start in range(0, len(ranked), PANELS))
    return [
        plots.marginals(
            rows.original[:, shown],
            rows.generated[:, shown],
            [columns[i] for i in shown],
            **told(columns, schema),
        )
        for shown in pages
    ]


def associations(outcome: Outcome) -> Figure:
    """How columns hang together, of those in the pairs that differ most, in the table's order."""
    rows, kept = outcome.rows, dict[int, None]()
    for pair in rows.pairs(ASSOCIATED**2):
        if len(kept | dict.fromkeys(pair)) <= ASSOCIATED:
            kept |= dict.fromkeys(pair)
    shown = sorted(kept, key=lambda place: rows.ranked[place])
    data, generated = (each[np.ix_(shown, shown)] for each in rows.associations)
    names = [outcome.columns[rows.ranked[place]] for place in shown]
    return plots.associations(data, generated, names)


def pairs(outcome: Outcome) -> Figure:
    """The pairs of columns whose association differs most."""
    rows, names = outcome.rows, [outcome.columns[i] for i in outcome.rows.ranked]
    worst = rows.pairs(PAIRS)
    return plots.column_pairs(
        rows.original[:, rows.ranked],
        rows.generated[:, rows.ranked],
        names,
        worst,
        **told(outcome.columns, outcome.data.schema),
        strengths=[tuple(float(each[pair]) for each in rows.associations) for pair in worst],  # type: ignore[misc]
    )


def costs(outcome: Outcome) -> Figure:
    """The columns that cost most nats, at a row's own code and at those of others."""
    assert outcome.costs is not None
    own, others = outcome.costs
    order = np.argsort(-own, kind="stable")[:PANELS]
    names = [outcome.columns[i] for i in order]
    labels = ("at a row's own code", "at the codes of other rows")
    xlabel = "−log p(xᵢ|z), nats per row"
    return plots.column_bars(own[order], others[order], names, labels=labels, xlabel=xlabel)


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
    coded, dates, fields = outcome.categories, _dates(outcome), fields_of(outcome.data.schema)
    listed = []
    for i in rows.ranked[:LISTED]:
        figures = (means[i], deviations[i], drawn[i], spreads[i])
        four = [rounded(value, deviations[i]) if i not in coded else "" for value in figures]
        if outcome.columns[i] in dates:
            four[::2] = [_cell(value, deviations[i], fields[i]) for value in figures[::2]]
            four[1::2] = [f"{spread} days" for spread in four[1::2]]
        r2 = "" if i in coded or np.isnan(explained[i]) else minus(f"{explained[i]:.2f}")
        apart = (f"{distance:.3f}" for distance in (rows.distance[i], rows.chance[i]))
        cost = "" if outcome.costs is None else number(outcome.costs[0][i])
        listed.append((outcome.columns[i], *four, *apart, r2, cost))
    told = ("distance", "by chance", "R²", "nats")
    header = ("column", "mean", "s.d.", "generated mean", "s.d.", *told)
    return Table(header, listed)


def worst(outcome: Outcome) -> Table:
    """The test rows of the lowest score, and where they differ most from their reconstruction."""
    data, scores, numbers = outcome.worst(WORST)
    original, rebuilt = data.x.double().numpy(), outcome.reconstructed(data).double().numpy()
    _, spread = moments(outcome.data.x.double().numpy())
    with np.errstate(divide="ignore", invalid="ignore"):
        off = np.nan_to_num(np.abs(original - rebuilt) / spread, nan=0.0, posinf=0.0)
    fields, listed = fields_of(outcome.data.schema), []
    for row, (place, score) in enumerate(zip(numbers, scores, strict=True)):
        far = np.argsort(-off[row], kind="stable")[:3]
        changes = []
        for i in far:
            pair = (_cell(each[row, i], spread[i], fields[i]) for each in (original, rebuilt))
            changes.append(f"{outcome.columns[i]} {' → '.join(pair)}")
        listed.append((f"{place:,}", score, ", ".join(changes)))
    return Table(("test row", outcome.score, "furthest from its reconstruction"), listed)


def _cell(value: float, spread: float, field: Field) -> str:
    """A category, a date or a truth value as the table has it; a number `rounded`."""
    if field.form in ("", "whole") and not field.categories:
        return rounded(value, spread)
    return field.texts(torch.tensor([value], dtype=torch.float64))[0]


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
