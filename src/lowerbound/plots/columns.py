"""Rows of a table in place of images: distributions, reconstructions and traversals by column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lowerbound.errors import ConfigurationError, ShapeError
from lowerbound.plots import style
from lowerbound.plots.checks import as_array, finite, same_length
from lowerbound.plots.labels import shortened
from lowerbound.plots.style import Array, coordinate, new_figure, styled

PANELS = 12
"""Columns of a table that are drawn; a note says so when there are more."""


def as_tables(
    first: Array, second: Array, columns: Sequence[str], second_name: str
) -> tuple[Array, Array]:
    """Two finite tables (n, D) and (m, D) with the same D named columns."""
    first = finite(as_array(first, "n D", "original"), "original")
    second = finite(as_array(second, "n D", second_name), second_name)
    if first.shape[1] != second.shape[1]:
        raise ShapeError(
            f"expected {second_name} with {first.shape[1]} columns like the original, "
            f"got {second.shape}"
        )
    same_length(columns, first.shape[1], "column names", "one per column")
    return first.astype(np.float64), second.astype(np.float64)


def column_panels(columns: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """A panel, titled by its name, for each of the first columns of a table."""
    shown = min(len(columns), PANELS)
    across = shown if shown <= 4 else 3 if shown in (5, 6, 9) else 4
    down = -(-shown // across)
    figure = new_figure(0.6 + 2.1 * down)
    if len(columns) > shown:
        figure.suptitle(f"the first {shown} of {len(columns)} columns", x=0.01, ha="left")
    panels = [figure.add_subplot(down, across, index + 1) for index in range(shown)]
    for axes, name in zip(panels, columns, strict=False):
        axes.set_title(shortened(name, 0.72 * style.DPI * style.WIDTH / across))
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
    return figure, panels


@styled
def marginals(original: Array, generated: Array, columns: Sequence[str]) -> Figure:
    """How each column of a table is distributed in the data and in what the model generates.

    Args:
        original: (n, D) rows of data.
        generated: (m, D) rows drawn from the model.
        columns: the names of the D columns; the first 12 are drawn.
    """
    original, generated = as_tables(original, generated, columns, "generated")
    figure, panels = column_panels(columns)
    for axes, data, drawn in zip(panels, original.T, generated.T, strict=False):
        low, high = np.percentile(np.concatenate([data, drawn]), [0.2, 99.8])
        edges = int(np.clip(len(data) ** 0.5, 10, 40)) + 1
        bins = np.linspace(low, high if high > low else low + 1, edges).tolist()
        axes.hist(data, bins, density=True, color="#bdbdbd", label="data")
        outline = {"histtype": "step", "linewidth": 1.6, "color": style.BLUE}
        axes.hist(drawn, bins, density=True, label="generated", **outline)
        style.without_y(axes)
    figure.legend(*panels[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    return figure


@styled
def scatter_reconstruction(
    original: Array, reconstruction: Array, columns: Sequence[str]
) -> Figure:
    """Each column's reconstructed values over its true ones, with the share of variance explained.

    Args:
        original: (n, D) rows of data.
        reconstruction: (n, D), row by row.
        columns: the names of the D columns; the first 12 are drawn.
    """
    original, reconstruction = as_tables(original, reconstruction, columns, "reconstruction")
    same_length(reconstruction, len(original), "reconstructed rows", "one per original")
    figure, panels = column_panels(columns)
    for axes, truth, found in zip(panels, original.T, reconstruction.T, strict=False):
        alpha = float(np.clip(500 / len(truth), 0.08, 0.6))
        axes.scatter(truth, found, s=5, alpha=alpha, linewidths=0, rasterized=True)
        axes.axline((float(truth.mean()),) * 2, slope=1, color=style.VERMILION, linewidth=1)
        variance = float(truth.var())
        if variance:
            explained = 1 - float(((truth - found) ** 2).mean()) / variance
            share = f"R² {round(explained, 2) + 0.0:.2f}"
            text = axes.text(0.04, 0.96, share, transform=axes.transAxes, va="top")
            text.set_path_effects(style.HALO)
    figure.supxlabel("original")
    figure.supylabel("reconstruction")
    return figure


@styled
def profile_traversals(
    rows: Array, values: Array, names: Sequence[str], columns: Sequence[str], scale: Array
) -> Figure:
    """How each latent dimension moves the columns of a decoded table.

    Colour is the change from the middle step, in units of ``scale``.

    Args:
        rows: (dimensions, steps, D) decoded rows, the most active dimension first.
        values: (steps,) that the dimension takes.
        names: of the dimensions.
        columns: the names of the D columns.
        scale: (D,) positive, such as the columns' standard deviations in the data.
    """
    rows = finite(as_array(rows, "dimensions steps D", "rows"), "rows")
    dimensions, steps, width = rows.shape
    same_length(as_array(values, "steps", "values"), steps, "values", "one per step")
    same_length(names, dimensions, "names", "one per dimension")
    same_length(columns, width, "column names", "one per column")
    scale = as_array(scale, "D", "scale")
    same_length(scale, width, "scales", "one per column")
    if not (scale > 0).all():
        raise ConfigurationError(f"expected positive scales, got {scale.min()}")

    change = (rows - rows[:, steps // 2 : steps // 2 + 1]) / scale
    limit = max(float(np.abs(change).max()), 1e-6)
    down = -(-dimensions // 5)
    across = -(-dimensions // down)
    every = -(-width // 40)
    marked = [0, steps // 2, steps - 1]
    panel = 0.7 + max(1.4, style.LINE / style.DPI * min(width, 40))
    figure = new_figure(0.5 + panel * down)
    panels = np.asarray(figure.subplots(down, across, sharex=True, sharey=True, squeeze=False))
    for axes in panels.flat[dimensions:]:
        axes.set_visible(False)
    for axes in panels.flat[dimensions - across : dimensions]:
        axes.tick_params(labelbottom=True)
    for axes, name, table in zip(panels.flat, names, change, strict=False):
        image = axes.imshow(table.T, "PuOr_r", Normalize(-limit, limit), aspect="auto")
        image.set_interpolation("nearest")
        axes.set_title(name)
        axes.set_xticks(marked, [coordinate(values[step], 1) for step in marked])
        axes.set_yticks(range(0, width, every), columns[::every])
        axes.tick_params(length=0)
        axes.spines[:].set_visible(False)
    figure.supxlabel("value of the dimension")
    bar = figure.colorbar(
        image, ax=panels, shrink=0.7, aspect=30, label="change, standard deviations"
    )
    bar.outline.set_visible(False)
    return figure
