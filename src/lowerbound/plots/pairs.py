"""How columns of a table hang together, in the data and in what a model generates."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from lowerbound.errors import ShapeError
from lowerbound.plots import style
from lowerbound.plots.checks import as_array, same_length
from lowerbound.plots.columns import ROOM, as_tables
from lowerbound.plots.labels import shortened, thinned, wrapped
from lowerbound.plots.scales import Scale
from lowerbound.plots.style import Array, coordinate, new_figure, styled

POINTS = 600
"""Rows of data, and of what is generated, that a pair shows at most."""

SPREAD = 20
"""Different numbers up to which points are spread, so that they do not hide each other."""

COLOURS = {"data": style.MUTED, "generated": style.BLUE}

NAMED = 12
"""Categories whose names stand on an axis."""


@styled
def associations(data: Array, generated: Array, columns: Sequence[str]) -> Figure:
    """The association of each pair of columns, −1 to 1, in the data and in generated rows.

    Args:
        data: (D, D), NaN, which is left white, where there is none.
        generated: likewise.
        columns: the names of the D columns.
    """
    matrices = {"data": as_array(data, "D D", "data")}
    matrices["generated"] = as_array(generated, "D D", "generated")
    size = len(matrices["data"])
    for name, matrix in matrices.items():
        if matrix.shape != (size, size):
            raise ShapeError(f"expected {name} of shape {(size, size)}, got {matrix.shape}")
    same_length(columns, size, "column names", "one per column")
    figure = new_figure(1.0 + max(2.4, 0.19 * size))
    panels = figure.subplots(1, 2, sharey=True)
    for axes, (name, matrix) in zip(panels, matrices.items(), strict=True):
        image = axes.imshow(matrix, "PuOr_r", Normalize(-1, 1), aspect="auto")
        image.set_interpolation("nearest")
        axes.set_title(name)
        axes.set_xticks([])
        axes.set_yticks(range(size), [shortened(column, ROOM / 2.5) for column in columns])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    bar = figure.colorbar(image, ax=panels, shrink=0.8, aspect=25, label="association")
    bar.outline.set_visible(False)
    return figure


@styled
def column_pairs(
    original: Array,
    generated: Array,
    columns: Sequence[str],
    pairs: Sequence[tuple[int, int]],
    *,
    categories: Mapping[str, Sequence[str]] = MappingProxyType({}),
    dates: Collection[str] = (),
    strengths: Sequence[tuple[float, float]] = (),
) -> Figure:
    """Some pairs of columns, each in the data and beside it, on the same axes, in generated rows.

    Points of categories, and of a few different numbers, are spread a little.

    Args:
        original: (n, D) rows of data; NaN is what was not observed.
        generated: (m, D) rows drawn from the model.
        columns: the names of the D columns.
        pairs: the numbers of two columns each.
        categories: the names of the categories of those columns that hold their codes.
        dates: the columns that hold days since 1970.
        strengths: of each pair, its association in the data and in generated rows.
    """
    original, generated = as_tables(original, generated, columns, "generated")
    if strengths:
        same_length(strengths, len(pairs), "strengths", "one of each pair")
    down = -(-len(pairs) // 2)
    figure = new_figure(0.5 + 2.5 * down)
    for number, pair in enumerate(pairs):
        # Names are read on the y axis, so that is where most categories go.
        x, y = sorted(pair, key=lambda i: len(categories.get(columns[i], ())))
        told = strengths[number] if strengths else ()
        first = figure.add_subplot(down, 4, 2 * number + 1)
        second = figure.add_subplot(down, 4, 2 * number + 2, sharex=first, sharey=first)
        both = [_both(table, x, y) for table in (original, generated)]
        few = []
        sides: tuple[tuple[Literal["x", "y"], int], ...] = (("x", x), ("y", y))
        for k, (axis, i) in enumerate(sides):
            name, values = columns[i], [points[:, k] for points in both]
            _scale(first, axis, values, categories.get(name), dates=name in dates)
            few.append(name in categories or len(np.unique(values[0])) <= SPREAD)
        for axes, points, colour in zip((first, second), both, COLOURS.values(), strict=True):
            size = float(np.clip(60 / max(len(points), 1) ** 0.5, 2.5, 5))
            shown = _spread(points, few)
            axes.plot(*shown.T, "o", color=colour, markersize=size, alpha=0.6, markeredgewidth=0)
        for axes, strength in zip((first, second), told, strict=False):
            axes.text(0.97, 1.02, coordinate(strength), transform=axes.transAxes, ha="right")
        first.set_ylabel(wrapped(columns[y], 0.22 * ROOM))
        first.set_xlabel(wrapped(columns[x], 0.22 * ROOM))
        second.set_xlabel(wrapped(columns[x], 0.22 * ROOM))
        second.tick_params(labelleft=False)
    handles = [
        Line2D([], [], linestyle="", marker="o", color=colour, label=name)
        for name, colour in COLOURS.items()
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure


def _both(table: Array, x: int, y: int) -> Array:
    """The rows in which both columns are observed, (n, 2); so many of them at random."""
    pair = np.ma.filled(table[:, [x, y]], np.nan)
    seen = pair[~np.isnan(pair).any(1)]
    return np.random.default_rng(0).permutation(seen)[:POINTS]


def _spread(points: Array, few: Sequence[bool]) -> Array:
    """Points, those of few values moved at random by up to a third of the least gap."""
    shown, rng = points.astype(float), np.random.default_rng(0)
    for k in (k for k in (0, 1) if few[k]):
        gaps = np.diff(np.unique(points[:, k]))
        reach = float(gaps.min()) / 3 if len(gaps) else 0.3
        shown[:, k] += rng.uniform(-reach, reach, len(points))
    return shown


def _scale(
    axes: Axes,
    axis: Literal["x", "y"],
    sides: Sequence[Array],
    names: Sequence[str] | None,
    *,
    dates: bool,
) -> None:
    """Give an axis the categories' names, or the scale of its numbers in the data."""
    if names is None:
        if len(sides[0]):
            Scale.of(sides[0], sides[1]).apply(axes, axis, dates=dates)
        return
    chosen = axes.xaxis if axis == "x" else axes.yaxis
    room = 0.2 * ROOM / len(names) if axis == "x" else 0.14 * ROOM
    labels = [shortened(name, room) for name in names]
    if len(names) > NAMED:
        labels = thinned(labels, NAMED, len(names))
    chosen.set_ticks(range(len(names)), labels)
    chosen.set_tick_params(length=0)
    getattr(axes, f"set_{axis}lim")(-0.6, len(names) - 0.4)
