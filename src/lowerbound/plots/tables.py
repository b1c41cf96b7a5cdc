"""Rows of a table in place of images: distributions, reconstructions and traversals by column."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from lowerbound.errors import ConfigurationError, ShapeError
from lowerbound.plots.checks import as_array, finite, same_length
from lowerbound.plots.style import (
    BLUE,
    DPI,
    INK,
    LABEL_SIZE,
    MUTED,
    SMALL_SIZE,
    VERMILION,
    Array,
    coordinate,
    line_height,
    new_figure,
    shortened,
    styled,
    text_width,
)

PANELS = 12
"""Columns of a table that are drawn; the title says so when there are more."""


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


def column_panels(columns: Sequence[str], title: str) -> tuple[Figure, list[Axes]]:
    """A panel, titled by its name, for each of the first columns of a table."""
    shown = min(len(columns), PANELS)
    across = shown if shown <= 4 else 3 if shown in (5, 6, 9) else 4
    down = -(-shown // across)
    if len(columns) > shown:
        title = f"{title} (the first {shown} of {len(columns)} columns)"
    width = 2.5 * max(across, 3)
    figure = new_figure(width, 0.6 + 2.1 * down, title)
    panels = [figure.add_subplot(down, across, index + 1) for index in range(shown)]
    for axes, name in zip(panels, columns, strict=False):
        axes.set_title(
            shortened(name, 0.72 * DPI * width / across, SMALL_SIZE), fontsize=SMALL_SIZE
        )
        axes.tick_params(labelsize=SMALL_SIZE - 1)
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.yaxis.set_major_locator(MaxNLocator(4))
    return figure, panels


def key(figure: Figure, names: dict[str, str]) -> None:
    """Names in their colours at the figure's top right."""
    right = figure.bbox.width - 12
    for name, colour in reversed(names.items()):
        figure.text(
            right / figure.bbox.width,
            1 - 12 / figure.bbox.height,
            name,
            color=colour,
            ha="right",
            va="top",
            fontweight="bold",
        )
        right -= 1.15 * text_width(name, LABEL_SIZE) + 24


@styled
def marginals(
    original: Array,
    generated: Array,
    columns: Sequence[str],
    *,
    title: str = "Columns of the table",
) -> Figure:
    """How each column of a table is distributed in the data and in what the model generates.

    Args:
        original: (n, D) rows of data.
        generated: (m, D) rows drawn from the model.
        columns: the names of the D columns; the first 12 are drawn.
        title: written above.

    Raises:
        ShapeError: the tables are not two-dimensional with the same named columns.
        ConfigurationError: a value is not finite.
    """
    original, generated = as_tables(original, generated, columns, "generated")
    figure, panels = column_panels(columns, title)
    for axes, data, drawn in zip(panels, original.T, generated.T, strict=False):
        low, high = np.percentile(np.concatenate([data, drawn]), [0.2, 99.8])
        edges = int(np.clip(len(data) ** 0.5, 10, 40)) + 1
        bins = np.linspace(low, high if high > low else low + 1, edges)
        axes.hist(data, list(bins), density=True, color="#bdbdbd")
        axes.hist(drawn, list(bins), density=True, histtype="step", color=BLUE, linewidth=1.6)
        axes.set_yticks([])
        axes.spines["left"].set_visible(False)
    key(figure, {"data": MUTED, "generated": BLUE})
    return figure


@styled
def scatter_reconstruction(
    original: Array,
    reconstruction: Array,
    columns: Sequence[str],
    *,
    title: str = "Reconstruction against original, column by column",
) -> Figure:
    """Each column's reconstructed values over its true ones, with the share of variance explained.

    Args:
        original: (n, D) rows of data.
        reconstruction: (n, D), row by row.
        columns: the names of the D columns; the first 12 are drawn.
        title: written above.

    Raises:
        ShapeError: the tables do not have the same rows and named columns.
        ConfigurationError: a value is not finite.
    """
    original, reconstruction = as_tables(original, reconstruction, columns, "reconstruction")
    same_length(reconstruction, len(original), "reconstructed rows", "one per original")
    figure, panels = column_panels(columns, title)
    for axes, truth, found in zip(panels, original.T, reconstruction.T, strict=False):
        axes.scatter(
            truth,
            found,
            s=5,
            alpha=float(np.clip(500 / len(truth), 0.08, 0.6)),
            color=BLUE,
            linewidths=0,
            rasterized=True,
        )
        axes.axline((float(truth.mean()),) * 2, slope=1, color=VERMILION, linewidth=1)
        variance = float(truth.var())
        if variance:
            explained = 1 - float(((truth - found) ** 2).mean()) / variance
            axes.text(
                0.04, 0.96, f"R² {explained:.2f}", transform=axes.transAxes, va="top", color=INK
            )
    figure.supxlabel("original", fontsize=LABEL_SIZE)
    figure.supylabel("reconstruction", fontsize=LABEL_SIZE)
    return figure


@styled
def profile_traversals(
    rows: Array,
    values: Array,
    names: Sequence[str],
    columns: Sequence[str],
    scale: Array,
    *,
    title: str = "One latent dimension varied at a time",
) -> Figure:
    """How each latent dimension moves the columns of a decoded table.

    Colour is the change from the middle step, in units of ``scale``.

    Args:
        rows: (dimensions, steps, D) decoded rows, the most active dimension first.
        values: (steps,) that the dimension takes.
        names: of the dimensions.
        columns: the names of the D columns.
        scale: (D,) positive, such as the columns' standard deviations in the data.
        title: written above.

    Raises:
        ShapeError: shapes do not fit each other.
        ConfigurationError: a value is not finite, or a scale not positive.
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
    every = max(1, width // 40)
    panel = 0.7 + max(1.4, line_height(SMALL_SIZE) / DPI * min(width, 40))
    figure = new_figure(10 if across > 2 else 7, 0.5 + panel * down, title)
    panels = np.asarray(figure.subplots(down, across, sharex=True, sharey=True, squeeze=False))
    for axes in panels.flat[dimensions:]:
        axes.set_visible(False)
    for axes in panels.flat[dimensions - across : dimensions]:
        axes.tick_params(labelbottom=True)
    for axes, name, table in zip(panels.flat, names, change, strict=False):
        image = axes.imshow(
            table.T,
            cmap="PuOr_r",
            norm=Normalize(-limit, limit),
            aspect="auto",
            interpolation="nearest",
        )
        axes.set_title(name)
        axes.set_xticks(
            [0, steps // 2, steps - 1], [coordinate(values[i], 1) for i in (0, steps // 2, -1)]
        )
        axes.set_yticks(range(0, width, every), columns[::every])
        axes.tick_params(length=0)
        for spine in axes.spines.values():
            spine.set_visible(False)
    figure.supxlabel("value of the dimension", fontsize=LABEL_SIZE)
    bar = figure.colorbar(image, ax=panels, shrink=0.7, aspect=30)
    bar.set_label("change, standard deviations")
    bar.outline.set_visible(False)
    return figure
