"""Scores: bars in falling order, and distributions that should lie apart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lowerbound.errors import ConfigurationError
from lowerbound.plots.checks import as_array, finite, same_length
from lowerbound.plots.lines import logarithmic
from lowerbound.plots.style import (
    BLUE,
    LINE_COLOURS,
    MUTED,
    SMALL_SIZE,
    Array,
    coordinate,
    new_figure,
    styled,
)

BINS = 60


@styled
def ranked_bars(
    values: Array,
    names: Sequence[str],
    *,
    ylabel: str,
    xlabel: str = "",
    chosen: int = 0,
    title: str,
) -> Figure:
    """Named values as bars in falling order, each with its figure.

    Args:
        values: (n,).
        names: one per value.
        ylabel: with its unit.
        xlabel: what the names are of.
        chosen: how many of the largest stand out in colour; 0 for all.
        title: written above.

    Raises:
        ShapeError: there is not one name per value.
        ConfigurationError: a value is not finite.
    """
    values = finite(as_array(values, "n", "values"), "values")
    same_length(names, len(values), "names", "one per value")
    order = np.argsort(-values, kind="stable")
    ranks = np.arange(len(values))
    colours = [BLUE if rank < (chosen or len(values)) else MUTED for rank in ranks]
    figure = new_figure(float(np.clip(0.62 * len(values) + 1.6, 6, 10)), 3.6, title)
    axes = figure.add_subplot()
    bars = axes.bar(ranks, values[order], 0.8, color=colours)
    axes.bar_label(bars, [coordinate(value) for value in values[order]], fontsize=SMALL_SIZE)
    axes.set_xticks(ranks, [names[index] for index in order])
    axes.tick_params(axis="x", length=0)
    axes.set(xlabel=xlabel, ylabel=ylabel)
    axes.grid(axis="y")
    return figure


@styled
def score_histograms(
    panels: Mapping[str, Mapping[str, Array]], *, xlabel: str, logx: bool = False, title: str
) -> Figure:
    """How scores of several sets of examples are distributed, one panel above the other.

    Heights are shares of a set per bin; the outermost bins hold all that lies beyond.

    Args:
        panels: by heading, the scores (n,) of each named set.
        xlabel: the score, with its unit.
        logx: a logarithmic x axis, for positive scores.
        title: written above.

    Raises:
        ConfigurationError: there are no panels or sets, or a score is not finite, or not positive
            on a logarithmic axis.
    """
    if not panels or not all(panels.values()):
        raise ConfigurationError("expected at least one set of scores per panel, got none")
    figure = new_figure(8.4, 0.8 + 1.9 * len(panels), title)
    rows = np.atleast_1d(figure.subplots(len(panels), 1))
    for axes, (heading, sets) in zip(rows, panels.items(), strict=True):
        scores = {
            name: finite(as_array(values, "n", name), f"scores of {name}")
            for name, values in sets.items()
        }
        edges = bin_edges(np.concatenate(list(scores.values())), logx)
        for (name, values), colour in zip(scores.items(), LINE_COLOURS, strict=False):
            axes.hist(
                np.clip(values, edges[0], edges[-1]),
                list(edges),
                weights=np.full(len(values), 1 / len(values)),
                color=colour,
                alpha=0.45,
                label=name,
            )
        if logx:
            logarithmic(axes, "x", edges)
        axes.set_title(heading)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
        axes.legend(frameon=False, fontsize=SMALL_SIZE)
    rows[-1].set_xlabel(xlabel)
    return figure


def bin_edges(scores: Array, logx: bool) -> Array:
    """Edges of bins from the lowest to the highest score, less one in a thousand at each end."""
    low, high = np.percentile(scores, [0.1, 99.9])
    if not logx:
        return np.linspace(low, high if high > low else low + 1, BINS + 1)
    if scores.min() <= 0:
        raise ConfigurationError(
            f"expected positive scores for a logarithmic axis, got {scores.min():g}"
        )
    return np.geomspace(low, high if high > low else 2 * low, BINS + 1)
