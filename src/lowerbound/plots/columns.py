"""Rows of a table in place of images: reconstructions and traversals by column."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lowerbound.errors import ConfigurationError, ShapeError
from lowerbound.plots import style
from lowerbound.plots.checks import as_array, finite, same_length
from lowerbound.plots.labels import shortened, text_width, wrapped
from lowerbound.plots.scales import Scale
from lowerbound.plots.style import Array, coordinate, new_figure, styled

PANELS = 24
"""Columns of a table that are drawn; a note says so when there are more."""

FEW = 60
"""Rows of data below which each is a dot: bins would show their edges, not the data."""

ROOM = 0.72 * style.DPI * style.WIDTH
"""Pixels that the titles of panels beside each other have together."""


def as_tables(
    first: Array, second: Array, columns: Sequence[str], second_name: str
) -> tuple[Array, Array]:
    """Two tables (n, D) and (m, D) with the same D named columns; NaN is what was not observed."""
    first, second = (
        np.ma.masked_invalid(as_array(table, "n D", name).astype(np.float64))
        for table, name in ((first, "original"), (second, second_name))
    )
    for table, name in ((first, "original"), (second, second_name)):
        finite(np.where(np.isnan(table.data), 0.0, table.data), name)
    if first.shape[1] != second.shape[1]:
        raise ShapeError(
            f"expected {second_name} with {first.shape[1]} columns like the original, "
            f"got {second.shape}"
        )
    same_length(columns, first.shape[1], "column names", "one per column")
    return first, second


def column_panels(
    columns: Sequence[str], height: float, notes: Sequence[str] = ()
) -> tuple[Figure, list[Axes]]:
    """A panel, titled by its name and a note, for each of the first columns of a table."""
    shown = min(len(columns), PANELS)
    across = shown if shown <= 4 else 3 if shown in (5, 6, 9) else 4
    down = -(-shown // across)
    figure = new_figure(0.6 + height * down)
    if len(columns) > shown:
        figure.suptitle(f"the first {shown} of {len(columns)} columns", x=0.01, ha="left")
    panels = [figure.add_subplot(down, across, index + 1) for index in range(shown)]
    for axes, name, note in zip(panels, columns, notes or [""] * len(columns), strict=False):
        axes.set_title(wrapped(name, ROOM / across - text_width(note)) + note)
    return figure, panels


def shares(values: Array) -> Array:
    """Each value's share of all of them, as a histogram's weights."""
    return np.full(len(values), 1 / len(values))


def distribution(axes: Axes, values: Array, edges: Array) -> None:
    """Values as a grey histogram of shares; few of them as stacked dots, one each."""
    inside = values.clip(edges[0], edges[-1])
    if len(values) >= FEW:
        axes.hist(inside, edges.tolist(), weights=shares(values), color=style.SHADE)
        return
    inside = np.sort(inside)
    bins = np.searchsorted(edges, inside, "right").clip(1, len(edges) - 1)
    rank = np.arange(len(bins)) - np.searchsorted(bins, bins)
    axes.plot(inside, (rank + 0.5) / len(bins), "o", color=style.SHADE, markersize=4)


@styled
def scatter_reconstruction(
    original: Array,
    reconstruction: Array,
    columns: Sequence[str],
    *,
    dates: Collection[str] = (),
) -> Figure:
    """Each column's reconstructed values over its true ones, with the share of variance explained.

    Both axes of a panel are the same, and logarithmic where the column spans decades.

    Args:
        original: (n, D) rows of data; NaN is what was not observed, and left out.
        reconstruction: (n, D), row by row.
        columns: the names of the D columns; the first 48 are drawn.
        dates: the columns that hold days since 1970.
    """
    original, reconstruction = as_tables(original, reconstruction, columns, "reconstruction")
    same_length(reconstruction, len(original), "reconstructed rows", "one per original")
    figure, panels = column_panels(columns, 2.5)
    drawn = zip(panels, columns, original.T, reconstruction.T, strict=False)
    for axes, name, held, rebuilt in drawn:
        seen = ~(np.ma.getmaskarray(held) | np.ma.getmaskarray(rebuilt))
        truth, found = held.data[seen], rebuilt.data[seen]
        if not len(truth):
            axes.text(0.5, 0.5, "nothing observed", transform=axes.transAxes, ha="center")
            axes.set(xticks=[], yticks=[], box_aspect=1)
            continue
        scale = Scale.of(truth)
        for axis in ("x", "y"):
            scale.apply(axes, axis, dates=name in dates)
        axes.scatter(
            truth,
            found,
            s=float(np.clip(2000 / len(truth), 5, 20)),
            alpha=float(np.clip(500 / len(truth), 0.15, 0.8)),
            linewidths=0,
            rasterized=True,
        )
        limits = [axes.get_xlim(), axes.get_ylim()]
        ends = min(low for low, _ in limits), max(high for _, high in limits)
        axes.plot(ends, ends, color=style.VERMILION, linewidth=1, zorder=0)
        axes.set(xlim=ends, ylim=ends, box_aspect=1)
        variance = float(truth.var())
        if variance:
            explained = 1 - float(((truth - found) ** 2).mean()) / variance
            share = f"R² {coordinate(explained)}"
            text = axes.text(0.04, 0.96, share, transform=axes.transAxes, va="top")
            text.set_path_effects(style.HALO)
    figure.supxlabel("original")
    figure.supylabel("reconstruction")
    return figure


@styled
def profile_traversals(
    rows: Array, steps: Sequence[str], names: Sequence[str], columns: Sequence[str], scale: Array
) -> Figure:
    """How walks through the latent space move the columns of a decoded table.

    Colour is the change from the middle step, in units of ``scale``.

    Args:
        rows: (walks, steps, D) decoded rows.
        steps: the names of the steps, of which the first, middle and last are written.
        names: of the walks, such as the dimension that each follows.
        columns: the names of the D columns.
        scale: (D,) positive, such as the columns' standard deviations in the data.
    """
    rows = finite(as_array(rows, "walks steps D", "rows"), "rows")
    walks, length, width = rows.shape
    same_length(steps, length, "steps' names", "one per step")
    same_length(names, walks, "names", "one per walk")
    same_length(columns, width, "column names", "one per column")
    scale = as_array(scale, "D", "scale")
    same_length(scale, width, "scales", "one per column")
    if not (scale > 0).all():
        raise ConfigurationError(f"expected positive scales, got {scale.min()}")

    change = (rows - rows[:, length // 2 : length // 2 + 1]) / scale
    limit = max(float(np.abs(change).max()), 1e-6)
    down = -(-walks // 5)
    across = -(-walks // down)
    every = -(-width // 40)
    marked = [0, length // 2, length - 1]
    panel = 0.7 + max(1.4, style.LINE / style.DPI * min(width, 40))
    figure = new_figure(0.5 + panel * down)
    panels = np.asarray(figure.subplots(down, across, sharex=True, sharey=True, squeeze=False))
    for axes in panels.flat[walks:]:
        axes.set_visible(False)
    for axes in panels.flat[walks - across : walks]:
        axes.tick_params(labelbottom=True)
    for axes, name, table in zip(panels.flat, names, change, strict=False):
        image = axes.imshow(table.T, "PuOr_r", Normalize(-limit, limit), aspect="auto")
        image.set_interpolation("nearest")
        axes.set_title(shortened(name, ROOM / across))
        axes.set_xticks(marked, [steps[step] for step in marked])
        axes.set_yticks(range(0, width, every), [shortened(c, ROOM / 3) for c in columns[::every]])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    bar = figure.colorbar(
        image, ax=panels, shrink=0.7, aspect=30, label="change, standard deviations"
    )
    bar.outline.set_visible(False)
    return figure


@styled
def agreement(panels: Mapping[str, tuple[Array, Array]], *, xlabel: str, ylabel: str) -> Figure:
    """Pairs of numbers that should be equal, over each other: a panel for each set of them.

    Args:
        panels: x (n,) and y (n,) by heading; pairs that are not finite are left out.
        xlabel: of all the panels.
        ylabel: likewise.
    """
    figure, axes_of = column_panels(list(panels), 2.5)
    points = np.concatenate([np.stack(pair) for pair in panels.values()], axis=1)
    reach = np.abs(points[np.isfinite(points)])
    limit = 1.08 * max(float(reach.max()) if len(reach) else 1.0, 1e-6)
    for axes, (x, y) in zip(axes_of, panels.values(), strict=False):
        axes.plot([-limit, limit], [-limit, limit], color=style.VERMILION, linewidth=1)
        axes.plot(x, y, "o", color=style.BLUE, markersize=4, alpha=0.6)
        axes.set(xlim=(-limit, limit), ylim=(-limit, limit), box_aspect=1)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
    figure.supxlabel(xlabel)
    figure.supylabel(ylabel)
    return figure
