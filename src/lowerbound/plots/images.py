"""Grids of images, each one mosaic with labels around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.figure import Figure

from lowerbound.errors import ShapeError
from lowerbound.plots.checks import as_array, as_images, at_least_one, one_shape, same_length
from lowerbound.plots.mosaic import Range, as_rows, drawn, to_rgb
from lowerbound.plots.style import Array, coordinate, styled


@styled
def image_grid(
    images: Array,
    *,
    columns: int = 10,
    row_labels: Sequence[str] = (),
    column_labels: Sequence[str] = (),
    value_range: Range | None = None,
) -> Figure:
    """Images in one tight grid.

    Args:
        images: (n, C, H, W), filling rows of ``columns`` from the top left, or
            (rows, columns, C, H, W).  C = 1 is drawn in grey, C = 3 as RGB.
        columns: images per row, when ``images`` does not say.
        row_labels: written left of the rows.
        column_labels: written above the columns.
        value_range: the values drawn as black and white; 0 to 255 for uint8, else 0 to 1.
    """
    at_least_one(columns, "columns")
    images = np.asarray(images)
    if images.ndim == 5:
        cells = to_rgb(as_images(images, "rows columns C H W"), value_range)
    else:
        flat = as_images(images, "n C H W")
        cells = as_rows(to_rgb(flat, value_range), min(columns, len(flat)))
    if len(row_labels):
        same_length(row_labels, cells.shape[0], "row labels", "one per row of images")
    if len(column_labels):
        same_length(column_labels, cells.shape[1], "column labels", "one per column of images")
    return drawn(cells, left=row_labels, above=[column_labels])


@styled
def reconstructions(
    rows: Mapping[str, Array],
    *,
    labels: Sequence[str] | None = None,
    columns: int = 10,
    value_range: Range | None = None,
) -> Figure:
    """The same examples in several versions, one above the other.

    Args:
        rows: images (n, C, H, W) by name, first row first, such as ``{"original": x,
            "reconstruction": y}`` or ``{"clean": x, "corrupted": noisy, "restored": y}``.
        labels: written above each example, such as its class.
        columns: most examples beside each other; more are shared out over bands.
        value_range: see :func:`image_grid`.
    """
    if not rows:
        raise ShapeError("expected at least one row of images (n, C, H, W), got none")
    at_least_one(columns, "columns")
    versions = {name: as_images(row, "n C H W", f"{name} images") for name, row in rows.items()}
    shape = one_shape(versions, "images")
    if labels is not None:
        same_length(labels, shape[0], "labels", "one per example")
    bands = -(-shape[0] // columns)
    columns = -(-shape[0] // bands)
    by_band = [as_rows(to_rgb(version, value_range), columns) for version in versions.values()]
    return drawn(
        np.stack(by_band, axis=1).reshape(-1, *by_band[0].shape[1:]),
        left=list(rows) * bands,
        above=[(labels or ())[columns * band :][:columns] for band in range(bands)],
        shorten=True,
    )


@styled
def manifold(
    images: Array,
    x_values: Array,
    y_values: Array,
    *,
    x_name: str = "z[0]",
    y_name: str = "z[1]",
    value_range: Range | None = None,
) -> Figure:
    """A plane of the latent space, decoded on a grid into one picture.

    Args:
        images: (rows, columns, C, H, W); ``images[i, j]`` is decoded at x = ``x_values[j]``,
            y = ``y_values[i]``.  As in a scatter plot, y rises upwards: row 0 is at the bottom.
        x_values: (columns,) coordinates, such as the prior's quantiles.
        y_values: (rows,) coordinates.
        x_name: the horizontal axis.
        y_name: the vertical axis.
        value_range: see :func:`image_grid`.
    """
    images = as_images(images, "rows columns C H W")
    rows, columns = images.shape[:2]
    same_length(as_array(y_values, "rows", "y values"), rows, "y values", "one per row")
    same_length(as_array(x_values, "columns", "x values"), columns, "x values", "one per column")
    return drawn(
        to_rgb(images, value_range)[::-1],
        left=[coordinate(value) for value in y_values][::-1],
        below=[coordinate(value) for value in x_values],
        names=(x_name, y_name),
        gap=0,
    )
