"""Numbers as lines and dots: training histories, figures over a parameter, results compared."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from math import isclose
from typing import Any, TypedDict

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import (
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
    StrMethodFormatter,
)

from lowerbound.errors import ConfigurationError, ShapeError
from lowerbound.plots.checks import as_array, same_length
from lowerbound.plots.style import (
    BLUE,
    FAINT,
    GREEN,
    INK,
    LINE_COLOURS,
    MUTED,
    SMALL_SIZE,
    VERMILION,
    Array,
    LineEnd,
    label_ends,
    new_figure,
    styled,
)

SPLITS = {"train": BLUE, "validation": VERMILION}
TERMS = {
    "elbo": "−ELBO",
    "bound": "−bound on log p(x)",
    "kl": "KL(q(z|x) ‖ p(z))",
    "reconstruction": "Reconstruction, −log p(x|z)",
    "objective": "−objective, which training minimises",
}
MAXIMISED = ("elbo", "bound", "objective")
EQUAL = {"objective", "bound"}  # where nothing weights the bound
INSTEAD = {"bound", "reconstruction"}  # opposite where there is no bound
MARKED = 30  # points up to which each is marked
DASHES = ("-", "--", ":")


def number(value: float, like: float | None = None) -> str:
    """A figure with the digits one compares by, or with those of another.

    >>> [number(value) for value in (0.14773, 103.564, 807700, 0.00012)]
    ['0.1477', '103.56', '807,700', '0.00012']
    >>> number(0.3, like=103.564)
    '0.30'
    """
    size = abs(value if like is None else like)
    if 0 < size < 0.001:
        return f"{value:.2g}"
    return f"{value:,.{0 if size >= 1000 else 2 if size >= 1 else 4}f}"


def line(axes: Axes, x: Array, y: Array, colour: str, dash: str = "-") -> None:
    """One line, its points marked if they are few."""
    axes.plot(x, y, dash, color=colour, marker="o" if len(x) <= MARKED else "", markersize=3.5)


def measured(entry: Mapping[str, Any], split: str) -> Mapping[str, float]:
    """The terms of an epoch on one split; none where it was not measured."""
    return entry.get(split) or {}


def term_series(history: Sequence[Mapping[str, Any]], split: str, term: str) -> tuple[Array, Array]:
    """The epochs at which a term was measured, and its values, negated if to be maximised."""
    points = [
        (entry["epoch"], measured(entry, split)[term])
        for entry in history
        if term in measured(entry, split)
    ]
    epochs, values = np.array(points, float).reshape(-1, 2).T
    return epochs, -values if term in MAXIMISED else values


def terms_of(history: Sequence[Mapping[str, Any]]) -> list[str]:
    """The terms to draw, in the order of TERMS.

    Not the objective where it is the bound itself, nor what stands in a bound's place where there
    is none: log p(x|z), which the reconstruction shows.
    """
    epochs = [measured(entry, split) for entry in history for split in SPLITS]
    known = dict.fromkeys(chain.from_iterable(epochs))
    both = [(terms["objective"], terms["bound"]) for terms in epochs if terms.keys() >= EQUAL]
    if both and all(isclose(objective, bound, rel_tol=1e-5) for objective, bound in both):
        known.pop("objective")
    instead = [t["bound"] == -t["reconstruction"] for t in epochs if t.keys() >= INSTEAD]
    if "kl" not in known and instead and all(instead):
        known.pop("bound")
    return [term for term in TERMS if term in known] + [term for term in known if term not in TERMS]


def term_panel(axes: Axes, history: Sequence[Mapping[str, Any]], term: str, unit: str) -> None:
    """One term over the epochs, for each split that has it."""
    ends = []
    for split, colour in SPLITS.items():
        epochs, values = term_series(history, split, term)
        if len(epochs):
            line(axes, epochs, values, colour)
            ends.append(LineEnd(epochs[-1], values[-1], f"{split}\n{number(values[-1])}", colour))
    axes.set(title=TERMS.get(term, term), ylabel=unit)
    label_ends(axes, ends)


@styled
def learning_curves(
    history: Sequence[Mapping[str, Any]],
    *,
    unit: str = "nats per image",
    title: str = "Learning curves",
) -> Figure:
    """Every term of the objective over the epochs, for training and validation.

    Args:
        history: one mapping per epoch, ``{"epoch": 1, "train": {"bound": …, "kl": …,
            "reconstruction": …}, "validation": {…}, "beta": …}``.  What is maximised ("bound",
            "elbo", "objective") is drawn negated and every other term as it is; validation
            may be None; it, beta and any term may be missing.
        unit: of the terms.
        title: written above.

    Raises:
        ConfigurationError: the history is empty, or has no terms or no epochs.
    """
    terms = terms_of(history)
    if not terms or not all("epoch" in entry for entry in history):
        raise ConfigurationError(
            "expected a history with 'epoch' and 'train' in every entry and at least one term, "
            f"got {len(history)} entries with keys {sorted({key for e in history for key in e})}"
        )
    scheduled = [(entry["epoch"], entry["beta"]) for entry in history if "beta" in entry]
    panels = len(terms) + bool(scheduled)
    columns = 2 if panels == 4 else min(panels, 3)
    rows = -(-panels // columns)
    epochs = sorted(entry["epoch"] for entry in history)
    pad = max(0.5, 0.04 * (epochs[-1] - epochs[0]))
    figure = new_figure(10, 0.5 + 2.9 * rows, title)
    for index in range(panels):
        axes = figure.add_subplot(rows, columns, index + 1)
        axes.grid(axis="y")
        axes.set_xlabel("epoch")
        axes.xaxis.set_major_locator(
            MaxNLocator(6, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
        )
        axes.set_xlim(epochs[0] - pad, epochs[-1] + pad)
        if index < len(terms):
            term_panel(axes, history, terms[index], unit)
        else:
            times, beta = np.array(scheduled, float).T
            line(axes, times, beta, INK)
            axes.set(title="Weight β of the KL", ylabel="β")
    return figure


def as_series(
    x: Array | Mapping[str, Array], series: Mapping[str, Array]
) -> dict[str, tuple[Array, Array]]:
    """x and y of each line, checked."""
    if not series:
        raise ShapeError("expected at least one series, got none")
    pairs = {}
    for name, values in series.items():
        y = as_array(values, "n", name).astype(float)
        across = as_array(x[name] if isinstance(x, Mapping) else x, "n", "x").astype(float)
        same_length(y, len(across), f"values of {name}", "one per x")
        pairs[name] = (across, y)
    return pairs


def logarithmic(axes: Axes, axis: str, values: Array) -> None:
    """Make one axis logarithmic, with plain numbers: at the values where they are few."""
    chosen = axes.xaxis if axis == "x" else axes.yaxis
    axes.set(**{f"{axis}scale": "log"})
    chosen.set_major_formatter(StrMethodFormatter("{x:g}"))
    places = np.unique(values)
    if axis == "x" and len(places) <= 12:
        chosen.set_ticks(places)
        chosen.set_minor_locator(NullLocator())
    elif np.nanmax(values) < 100 * np.nanmin(values):
        chosen.set_major_locator(LogLocator(subs=(1, 2, 5)))
    chosen.set_minor_formatter(NullFormatter())


@styled
def curves(
    x: Array | Mapping[str, Array],
    series: Mapping[str, Array],
    *,
    xlabel: str,
    ylabel: str,
    title: str,
    errors: Mapping[str, Array] | None = None,
    logx: bool = False,
    logy: bool = False,
) -> Figure:
    """Lines named at their ends, such as figures over K or error against time.

    Args:
        x: (n,) for all lines, or by name.
        series: (n,) values by name.
        xlabel: with its unit.
        ylabel: with its unit.
        title: written above.
        errors: (n,) half-widths of a band, such as standard errors, by name of the series.
        logx: a logarithmic x axis.
        logy: a logarithmic y axis.

    Raises:
        ShapeError: a series or its errors do not have one value per x.
    """
    pairs = as_series(x, series)
    figure = new_figure(8.4, 4.4, title)
    axes = figure.add_subplot()
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(axis="y")
    ends = []
    for index, (name, (across, y)) in enumerate(pairs.items()):
        colour = LINE_COLOURS[index % len(LINE_COLOURS)]
        line(axes, across, y, colour, DASHES[index // len(LINE_COLOURS) % len(DASHES)])
        if errors and name in errors:
            error = as_array(errors[name], "n", f"errors of {name}")
            same_length(error, len(y), f"errors of {name}", "one per x")
            axes.fill_between(across, y - error, y + error, color=colour, alpha=0.18, linewidth=0)
        shown = np.flatnonzero(np.isfinite(y))
        if len(shown):
            ends.append(LineEnd(across[shown[-1]], y[shown[-1]], name, colour))
    all_x = np.concatenate([across for across, _ in pairs.values()])
    if logx:
        logarithmic(axes, "x", all_x)
    elif (all_x == all_x.round()).all():
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if logy:
        logarithmic(axes, "y", np.concatenate([y for _, y in pairs.values()]))
    label_ends(axes, ends)
    return figure


class Row(TypedDict, total=False):
    """A result beside the document's: all but ``label`` and ``measured`` may be None or missing."""

    label: str
    measured: float
    document: float | None
    standard_error: float | None
    goal: float | None
    holds: bool | None


VERDICTS = {
    True: (GREEN, "o", GREEN, "goal met"),
    False: (VERMILION, "D", "white", "goal missed"),
    None: (BLUE, "o", BLUE, "measured"),
}


def relative_dots(axes: Axes, height: int, row: Row) -> None:
    """One row's measurement and goal, in per cent of the document's figure."""
    document = row.get("document")
    if not document:
        return
    edge, marker, face, _ = VERDICTS[row.get("holds")]
    offset = 100 * (row["measured"] - document) / abs(document)
    axes.plot([0, offset], [height, height], color=FAINT, linewidth=2.5, zorder=1)
    goal = row.get("goal")
    if goal is not None:
        axes.plot(
            100 * (goal - document) / abs(document),
            height,
            marker="|",
            markersize=13,
            markeredgewidth=1.6,
            color=INK,
        )
    axes.errorbar(
        offset,
        height,
        xerr=100 * (row.get("standard_error") or 0) / abs(document),
        marker=marker,
        markersize=7,
        color=edge,
        markerfacecolor=face,
        elinewidth=1.4,
    )


def row_numbers(row: Row) -> tuple[str, str, str]:
    """A row's document, measured and goal figures as text."""
    document, goal, error = row.get("document"), row.get("goal"), row.get("standard_error")
    spread = "" if error is None else f" ± {number(error, like=row['measured'])}"
    return (
        "–" if document is None else number(document),
        number(row["measured"]) + spread,
        "–" if goal is None else number(goal),
    )


def number_columns(axes: Axes, rows: Sequence[Row]) -> None:
    """The figures of each row as text, under their headings."""
    axes.set_xlim(0, 1)
    axes.axis("off")
    table = [("document", "measured", "goal"), *map(row_numbers, rows)]
    for height, cells in enumerate(table, start=-1):
        for place, cell in zip((0.26, 0.74, 1.0), cells, strict=True):
            axes.text(
                place,
                height,
                cell,
                ha="right",
                va="center_baseline",
                fontsize=SMALL_SIZE,
                color=MUTED if height < 0 else INK,
            )


@styled
def comparison(
    rows: Sequence[Row], *, title: str = "Measured figures beside the documents'"
) -> Figure:
    """Each row's measured figure as a distance from the document's, with the numbers beside it.

    A row's dot is at (measured − document) / document in per cent, with its standard error; a
    tick marks the goal.  A filled green dot meets the goal and a hollow diamond misses it.  A
    row whose document gives no figure has its numbers only.

    Args:
        rows: see :class:`Row`; drawn from the top.
        title: written above.

    Raises:
        ConfigurationError: there are no rows.
    """
    if not rows:
        raise ConfigurationError("expected at least one row to compare, got none")
    figure = new_figure(10, 1.5 + 0.32 * len(rows), title)
    axes, numbers = figure.subplots(1, 2, sharey=True, width_ratios=(2, 1))
    number_columns(numbers, rows)
    for height, row in enumerate(rows):
        relative_dots(axes, height, row)
    axes.axvline(0, color=MUTED, linewidth=0.9, zorder=0)
    axes.set_yticks(range(len(rows)), [row["label"] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -1.4)
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.grid(axis="x")
    axes.set_xlabel("measured − document, % of the document's figure")
    verdicts = {row.get("holds") for row in rows if row.get("document")}
    marks = [
        Line2D([], [], linestyle="", marker=marker, color=edge, markerfacecolor=face, label=label)
        for verdict, (edge, marker, face, label) in VERDICTS.items()
        if verdict in verdicts
    ]
    if any(row.get("goal") is not None and row.get("document") for row in rows):
        marks.append(
            Line2D([], [], linestyle="", marker="|", markersize=11, color=INK, label="goal")
        )
    figure.legend(
        handles=marks,
        loc="outside upper right",
        ncols=4,
        frameon=False,
        fontsize=SMALL_SIZE,
        handletextpad=0.1,
        columnspacing=1.2,
    )
    return figure
