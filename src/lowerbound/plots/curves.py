"""Numbers as lines: training histories, figures over a parameter, distortion against rate."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain
from math import isclose
from typing import Any

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
from lowerbound.plots import style
from lowerbound.plots.checks import as_array, finite, same_length
from lowerbound.plots.labels import label_ends
from lowerbound.plots.style import Array, new_figure, number, one_panel, styled

SPLITS = {"train": style.BLUE, "validation": style.VERMILION}
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

History = Sequence[Mapping[str, Any]]


def line(axes: Axes, x: Array, y: Array, label: str, colour: str | None = None) -> Line2D:
    """One line, its points marked if they are few."""
    (drawn,) = axes.plot(x, y, label=label, color=colour, markersize=3.5)
    drawn.set_marker("o" if len(x) <= MARKED else "")
    return drawn


def measured(entry: Mapping[str, Any], split: str) -> Mapping[str, float]:
    """The terms of an epoch on one split; none where it was not measured."""
    return entry.get(split) or {}


def terms_of(history: History) -> list[str]:
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


def term_panel(axes: Axes, history: History, term: str, unit: str) -> None:
    """One term over the epochs, for each split that has it, negated if it is maximised."""
    sign = -1 if term in MAXIMISED else 1
    for split, colour in SPLITS.items():
        values = {e["epoch"]: measured(e, split).get(term) for e in history}
        epochs = [epoch for epoch, value in values.items() if value is not None]
        if epochs:
            y = sign * np.array([values[epoch] for epoch in epochs], float)
            line(axes, np.array(epochs, float), y, f"{split}\n{number(y[-1])}", colour)
    axes.set(title=TERMS.get(term, term), ylabel=unit)
    label_ends(axes)


@styled
def learning_curves(history: History, *, unit: str = "nats per image") -> Figure:
    """Every term of the objective over the epochs, for training and validation.

    Args:
        history: one mapping per epoch, ``{"epoch": 1, "train": {"bound": …, "kl": …,
            "reconstruction": …}, "validation": {…}, "beta": …}``.  What is maximised ("bound",
            "elbo", "objective") is drawn negated and every other term as it is; validation
            may be None; it, beta and any term may be missing.
        unit: of the terms.
    """
    terms = terms_of(history)
    if not terms or not all("epoch" in entry for entry in history):
        raise ConfigurationError(
            "expected a history with 'epoch' and 'train' in every entry and at least one term, "
            f"got {len(history)} entries with keys {sorted({key for e in history for key in e})}"
        )
    scheduled = [entry for entry in history if "beta" in entry]
    panels = len(terms) + bool(scheduled)
    columns = 2 if panels == 4 else min(panels, 3)
    rows = -(-panels // columns)
    epochs = sorted(entry["epoch"] for entry in history)
    pad = max(0.5, 0.07 * (epochs[-1] - epochs[0]))
    figure = new_figure(0.5 + 2.9 * rows)
    grid = [figure.add_subplot(rows, columns, index + 1, xlabel="epoch") for index in range(panels)]
    for axes in grid:
        axes.grid(axis="y")
        axes.set_xlim(epochs[0] - pad, epochs[-1] + pad)
        whole = MaxNLocator(6, integer=True, steps=[1, 2, 5, 10], min_n_ticks=1)
        axes.xaxis.set_major_locator(whole)
    for axes, term in zip(grid, terms, strict=False):
        term_panel(axes, history, term, unit)
    if scheduled:
        times, beta = (np.array([entry[key] for entry in scheduled]) for key in ("epoch", "beta"))
        line(grid[-1], times, beta, "β", style.INK)
        grid[-1].set(title="Weight β of the KL", ylabel="β")
    return figure


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
        errors: (n,) half-widths of a band, such as standard errors, by name of the series.
        logx: a logarithmic x axis.
        logy: a logarithmic y axis.
    """
    if not series:
        raise ShapeError("expected at least one series, got none")
    figure, axes = one_panel(4.4, xlabel=xlabel, ylabel=ylabel)
    axes.grid(axis="y")
    for name, values in series.items():
        y = as_array(values, "n", name).astype(float)
        across = as_array(x[name] if isinstance(x, Mapping) else x, "n", "x").astype(float)
        same_length(y, len(across), f"values of {name}", "one per x")
        colour = line(axes, across, y, name).get_color()
        if errors and name in errors:
            error = as_array(errors[name], "n", f"errors of {name}")
            same_length(error, len(y), f"errors of {name}", "one per x")
            axes.fill_between(across, y - error, y + error, color=colour, alpha=0.18, linewidth=0)
    all_x, all_y = np.concatenate([drawn.get_xydata() for drawn in axes.lines]).T
    if logx:
        logarithmic(axes, "x", all_x)
    elif (all_x == all_x.round()).all():
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if logy:
        logarithmic(axes, "y", all_y)
    label_ends(axes)
    return figure


@styled
def rate_distortion(
    rate: Array | Sequence[float], distortion: Array | Sequence[float], names: Sequence[str]
) -> Figure:
    """Models in the plane of rate and distortion, joined by rising rate.

    The dashed line is where R + D, the negative ELBO, is as low as the best model's.

    Args:
        rate: (n,) R = E KL(q(z|x) ‖ p(z)), nats per example.
        distortion: (n,) D = −E log p(x|z), likewise.
        names: one per model.
    """
    rates = finite(as_array(rate, "n", "rates"), "rates")
    distortions = finite(as_array(distortion, "n", "distortions"), "distortions")
    same_length(distortions, len(rates), "distortions", "one per rate")
    same_length(names, len(rates), "names", "one per rate")
    order = np.argsort(rates)
    unit = "nats per example"
    figure, axes = one_panel(4.8, xlabel=f"rate R, {unit}", ylabel=f"distortion D, {unit}")
    axes.plot(rates[order], distortions[order], "-o", markersize=4)
    best = (rates + distortions).min()
    ends = np.array([rates.min(), rates.max()])
    axes.plot(ends, best - ends, "--", color=style.MUTED, linewidth=1)
    for name, x, y in zip(names, rates, distortions, strict=True):
        axes.annotate(name, (x, y), (5, 4), textcoords="offset points")
    note = axes.annotate(f"R + D = {best:.2f}", (ends[1], best - ends[1]), (-20, -4))
    note.set(anncoords="offset points", ha="right", color=style.MUTED)
    axes.grid()
    return figure
