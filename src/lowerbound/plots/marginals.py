"""How each column of a table is distributed, in the data and in what a model generates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, MaxNLocator

from lowerbound.plots import style
from lowerbound.plots.columns import FEW, ROOM, as_tables, column_panels, distribution, shares
from lowerbound.plots.labels import shortened, text_width, thinned, wrapped
from lowerbound.plots.scales import Scale
from lowerbound.plots.style import Array, minus, styled

BARS = 8
"""Categories up to which each has a bar."""

TALL = 4
"""Bars up to which each has room for two lines."""

TICK = 0.15
"""Height of the line of a row, of the panel's."""

LEVELS = 12
"""Different numbers up to which each has a bar."""


@styled
def marginals(
    original: Array,
    generated: Array,
    columns: Sequence[str],
    *,
    categories: Mapping[str, Sequence[str]] = MappingProxyType({}),
    dates: Collection[str] = (),
) -> Figure:
    """How each column of a table is distributed in the data and in what the model generates.

    Lengths are shares of the rows.  Categories, the most frequent first, and up to 12 different
    numbers have a bar each.  Other numbers have bins, the outermost of which hold all that lies
    beyond; fewer than 60 rows of data are a dot each, stacked, and of generated ones a line each.
    Columns that span decades have a logarithmic axis.

    Args:
        original: (n, D) rows of data; NaN is what was not observed.
        generated: (m, D) rows drawn from the model.
        columns: the names of the D columns; the first 24 are drawn.
        categories: the names of the categories of those columns that hold their codes.
        dates: the columns that hold days since 1970.
    """
    original, generated = as_tables(original, generated, columns, "generated")
    missing = np.ma.getmaskarray(original).mean(0)
    notes = ["" if not share else f", {percent(share)} missing" for share in missing]
    figure, panels = column_panels(columns, 2.1, notes)
    for axes, name, held, drawn in zip(panels, columns, original.T, generated.T, strict=False):
        data, rows = held.compressed(), drawn.compressed()
        style.without_y(axes)
        if not len(data) or not len(rows):
            axes.text(0.5, 0.5, "nothing observed", transform=axes.transAxes, ha="center")
            axes.set_xticks([])
        elif name in categories:
            of_categories(axes, data, rows, categories[name])
        elif name not in dates and (values := few(data, rows)) is not None:
            of_levels(axes, data, rows, values)
        else:
            of_numbers(axes, data, rows, dates=name in dates)
    dots: dict[str, Any] = {"color": style.SHADE, "marker": "o" if len(original) < FEW else "s"}
    handles = [
        Line2D([], [], linestyle="", label="data", **dots),
        Line2D([], [], color=style.BLUE, linewidth=1.6, label="generated"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure


def percent(share: float) -> str:
    """A share above 0, so that it does not look like 0.

    >>> percent(0.0004), percent(0.832)
    ('< 1%', '83%')
    """
    return "< 1%" if share < 0.01 else f"{share:.0%}"


def few(data: Array, rows: Array) -> Array | None:
    """The different values of both, if there are no more than `LEVELS`."""
    values = np.unique(np.concatenate((data, rows)))
    return values if len(values) <= LEVELS else None


def of_categories(axes: Axes, data: Array, rows: Array, names: Sequence[str]) -> None:
    """A bar across for each category of data, and over it the outline of its share of rows.

    Of many categories the less frequent are counted together.
    """
    both = np.stack([np.bincount(each.astype(int), minlength=len(names)) for each in (data, rows)])
    both = both / both.sum(1, keepdims=True)
    order = np.lexsort((-both[1], -both[0]))
    own = order if len(order) <= BARS else order[: BARS - 1]
    cut, grid = wrapped if len(own) <= TALL else shortened, axes.get_gridspec()
    labels = [cut(names[i], 1.1 * ROOM / (grid.ncols if grid else 1)) for i in own]
    places = np.arange(len(own))
    axes.barh(places, both[0, own], 0.8, color=style.SHADE)
    axes.barh(places, both[1, own], 0.8, **style.OUTLINE)
    if len(own) < len(order):
        rest = (percent(share) for share in both[:, order[len(own) :]].sum(1))
        labels.append("{} others: {}, generated {}".format(len(order) - len(own), *rest))
    for place, label in enumerate(labels):
        written = axes.text(0.02, place, label, transform=axes.get_yaxis_transform(), va="center")
        written.set_path_effects(style.HALO)
    axes.set(ylim=(max(len(labels), 3) - 0.5, -0.5), xlim=(0, 1.05 * both[:, own].max()))
    axes.xaxis.set_major_locator(MaxNLocator(3))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda share, _: f"{share:.0%}"))


def of_levels(axes: Axes, data: Array, rows: Array, values: Array) -> None:
    """A bar for each of the different ``values`` of data, and the outline of its share of rows."""
    places = np.arange(len(values))
    for sample, drawing in ((data, {"color": style.SHADE}), (rows, style.OUTLINE)):
        heights = (sample == values[:, None]).mean(1)
        axes.bar(places, heights, 0.8, **drawing)
    labels = [minus(f"{value:.6g}") for value in values]
    room = ROOM / 4 / max(len(values), 3)
    axes.set_xticks(places, thinned(labels, room, max(map(text_width, labels)) + 8))
    axes.tick_params(axis="x", length=0)
    axes.set_xlim(-0.6, max(len(values), 3) - 0.4)


def of_numbers(axes: Axes, data: Array, rows: Array, *, dates: bool) -> None:
    """A histogram of data, or a dot for each, and the outline of one of rows, or lines."""
    scale = Scale.of(data, rows)
    edges = scale.edges(max(len(data), FEW))
    scale.apply(axes, "x", dates=dates)
    distribution(axes, data, edges)
    drawn, line = rows.clip(edges[0], edges[-1]), {"linewidth": 1.6, "color": style.BLUE}
    if len(drawn) < FEW:
        axes.vlines(drawn, 0, TICK * axes.get_ylim()[1], **line)
    else:
        axes.hist(drawn, edges.tolist(), weights=shares(drawn), histtype="step", **line)
