"""Numbers as bars: in falling order, or as distributions that should lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowerbound.errors import ConfigurationError
from lowerbound.plots import style
from lowerbound.plots.checks import as_array, finite, same_length
from lowerbound.plots.columns import FEW, ROOM, shares
from lowerbound.plots.curves import logarithmic
from lowerbound.plots.labels import shortened
from lowerbound.plots.style import Array, coordinate, new_figure, one_panel, styled

ACTIVE_KL = 0.01
CRITERION = f"KL > {ACTIVE_KL} nats"
"""Nats per image above which a dimension counts as active, unless the caller knows better."""

NAMED = 40
"""Bars up to which each has its name beneath it."""

BINS = 60


def falling_bars(
    values: Array, order: Array, chosen: int, names: Sequence[str], **labels: str
) -> tuple[Figure, Axes]:
    """Bars in the given order, the ``chosen`` first ones in colour, named where they are few."""
    figure, axes = one_panel(3.6, **labels)
    ranks, named = np.arange(len(values)), len(values) <= NAMED
    width = 0.8 * min(1, len(values) / 8) if named else 1.0
    for group, colour in ((ranks[:chosen], style.BLUE), (ranks[chosen:], style.MUTED)):
        axes.bar(group, values[order[group]], width, color=colour)
    axes.set_xlim(-0.6, len(values) - 0.4)
    axes.grid(axis="y")
    if named:
        axes.set_xticks(ranks, [names[index] for index in order])
        axes.tick_params(axis="x", length=0)
    return figure, axes


@styled
def ranked_bars(
    values: Array, names: Sequence[str], *, ylabel: str, xlabel: str = "", chosen: int = 0
) -> Figure:
    """Named values as bars in falling order, each with its figure.

    Args:
        values: (n,).
        names: one per value.
        ylabel: with its unit.
        xlabel: what the names are of.
        chosen: how many of the largest stand out in colour; 0 for all.
    """
    values = finite(as_array(values, "n", "values"), "values")
    same_length(names, len(values), "names", "one per value")
    order, chosen = np.argsort(-values, kind="stable"), chosen or len(values)
    figure, axes = falling_bars(values, order, chosen, names, xlabel=xlabel, ylabel=ylabel)
    for bars in axes.containers:
        axes.bar_label(bars, fmt=coordinate, padding=2)  # type: ignore[arg-type]
    axes.margins(y=0.1)
    return figure


@styled
def column_bars(
    values: Array, others: Array, names: Sequence[str], *, labels: tuple[str, str], xlabel: str
) -> Figure:
    """Two numbers of each column as bars across: one grey, and the outline of the other over it.

    Args:
        values: (n,), the outlines, in the order from top to bottom.
        others: (n,), the grey bars.
        names: of the n columns.
        labels: what ``values`` and ``others`` are.
        xlabel: with its unit.
    """
    values, others = (
        finite(as_array(each, "n", name), name)
        for each, name in ((values, "values"), (others, "others"))
    )
    same_length(others, len(values), "others", "one per value")
    same_length(names, len(values), "names", "one per value")
    figure, axes = one_panel(1.1 + max(1.2, 0.24 * len(values)), xlabel=xlabel)
    places = np.arange(len(values))
    axes.barh(places, others, 0.75, color=style.SHADE, label=labels[1])
    axes.barh(places, values, 0.75, label=labels[0], **style.OUTLINE)
    axes.set_yticks(places, [shortened(name, ROOM / 3) for name in names])
    axes.set_ylim(len(values) - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    axes.axvline(0, color=style.MUTED, linewidth=0.7)
    axes.grid(axis="x")
    figure.legend(loc="outside upper right", ncols=2)
    return figure


@styled
def kl_per_dimension(
    kl: Array,
    *,
    active: Array | None = None,
    criterion: str = CRITERION,
    unit: str = "nats per image",
) -> Figure:
    """Which latent dimensions carry information: bars in falling order, the inactive hatched.

    Args:
        kl: (K,) mean KL of each dimension.
        active: (K,) booleans; by default those with more than 0.01 nats.
        criterion: what made a dimension active, for the note; by default "KL > 0.01 nats".
        unit: of ``kl``.
    """
    kl = finite(as_array(kl, "K", "kl"), "kl")
    active = kl > ACTIVE_KL if active is None else as_array(active, "K", "active").astype(bool)
    same_length(active, len(kl), "active flags", "one per dimension")
    used, order = int(active.sum()), np.lexsort((-kl, ~active))
    which = "dimension of z, most active first"
    if len(kl) > NAMED:
        which = "dimensions of z, most active first, by rank"
    names = [str(index) for index in range(len(kl))]
    figure, axes = falling_bars(kl, order, used, names, xlabel=which, ylabel=f"KL, {unit}")
    note = f"{used} of {len(kl)} active ({criterion}); {kl.sum():.2f} {unit} in total"
    axes.set_title(note, color=style.MUTED)
    # A collapsed model's tiny bars are to look tiny.
    axes.set_ylim(min(kl.min(), 0), 1.05 * max(kl.max(), 10 * ACTIVE_KL))
    if used < len(kl):  # bars that are too low to see
        hatched = axes.axvspan(used - 0.5, len(kl) - 0.5, hatch="////", linewidth=0, zorder=0)
        hatched.set(facecolor="#f6f6f6", edgecolor=style.FAINT)
        place = ((used + len(kl) - 1) / 2, 0.95, "inactive")
        text = axes.text(*place, transform=axes.get_xaxis_transform(), ha="center", va="top")
        text.set(color=style.MUTED, path_effects=style.HALO)
    return figure


@styled
def score_histograms(
    panels: Mapping[str, Mapping[str, Array]], *, xlabel: str, logx: bool = False
) -> Figure:
    """How scores of several sets of examples are distributed, one panel above the other.

    Heights are shares of a set per bin; the outermost bins hold all that lies beyond.  Where a set
    has fewer than 60 scores, each is a dot, the sets one above the other.

    Args:
        panels: by heading, the scores (n,) of each named set.
        xlabel: the score, with its unit.
        logx: a logarithmic x axis, for positive scores.
    """
    if not panels or not all(panels.values()):
        raise ConfigurationError("expected at least one set of scores per panel, got none")
    figure = new_figure(0.8 + 1.9 * len(panels))
    rows = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axes, (heading, sets) in zip(rows, panels.items(), strict=True):
        scores = [finite(as_array(s, "n", name), f"scores of {name}") for name, s in sets.items()]
        edges = bin_edges(np.concatenate(scores), logx=logx)
        few = min(map(len, scores)) < FEW
        for row, (name, values) in enumerate(zip(sets, scores, strict=True)):
            if few:
                axes.plot(values, np.full(len(values), -row), "o", alpha=0.5, label=name)
                axes.set_ylim(0.7 - len(sets), 0.7)
            else:
                inside, weights = values.clip(edges[0], edges[-1]), shares(values)
                axes.hist(inside, edges.tolist(), weights=weights, alpha=0.45, label=name)
        if logx:
            logarithmic(axes, "x", edges)
        axes.set_title(heading)
        style.without_y(axes)
        axes.legend()
    rows[-1].set_xlabel(xlabel)
    return figure


def bin_edges(scores: Array, *, logx: bool) -> Array:
    """Edges of bins from the lowest to the highest score, less one in a thousand at each end."""
    low, high = np.percentile(scores, [0.1, 99.9])
    if not logx:
        return np.linspace(low, high if high > low else low + 1, BINS + 1)
    if scores.min() <= 0:
        raise ConfigurationError(
            f"expected positive scores for a logarithmic axis, got {scores.min():g}"
        )
    return np.geomspace(low, high if high > low else 2 * low, BINS + 1)
