"""Grids of images, each one mosaic with labels around it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from matplotlib.figure import Figure

from lowerbound.errors import ShapeError
from lowerbound.plots.checks import as_array, as_images, at_least_one, same_length
from lowerbound.plots.mosaic import (
    GAP,
    PAD,
    Margins,
    Range,
    as_rows,
    draw,
    mosaic,
    thinned,
    to_rgb,
    widest,
    write,
)
from lowerbound.plots.style import (
    LABEL_SIZE,
    MUTED,
    SMALL_SIZE,
    Array,
    coordinate,
    line_height,
    shortened,
    styled,
)


@styled
def image_grid(
    images: Array,
    *,
    columns: int = 10,
    row_labels: Sequence[str] | None = None,
    column_labels: Sequence[str] | None = None,
    value_range: Range | None = None,
    title: str = "",
) -> Figure:
    """Images in one tight grid.

    Args:
        images: (n, C, H, W), filling rows of ``columns`` from the top left, or
            (rows, columns, C, H, W).  C = 1 is drawn in grey, C = 3 as RGB.
        columns: images per row, when ``images`` does not say.
        row_labels: written left of the rows.
        column_labels: written above the columns.
        value_range: the values drawn as black and white; 0 to 255 for uint8, else 0 to 1.
        title: written above.

    Raises:
        ShapeError: ``images`` or the number of labels does not fit.
    """
    at_least_one(columns, "columns")
    images = np.asarray(images)
    if images.ndim == 5:
        cells = to_rgb(as_images(images, "rows columns C H W"), value_range)
    else:
        flat = as_images(images, "n C H W")
        cells = as_rows(to_rgb(flat, value_range), min(columns, len(flat)))
    margins = Margins()
    if row_labels is not None:
        same_length(row_labels, cells.shape[0], "row labels", "one per row of images")
        margins = replace(margins, left=2 * PAD + widest(row_labels, LABEL_SIZE))
    if column_labels is not None:
        same_length(column_labels, cells.shape[1], "column labels", "one per column of images")
        margins = replace(margins, top=PAD + line_height(SMALL_SIZE))

    picture = mosaic(cells, margins.room)
    axes = draw(picture, margins, title)
    for label, y in zip(row_labels or (), picture.middles_y, strict=False):
        write(axes, label, (0, y), (-PAD, 0), size=LABEL_SIZE)
    marks = list(zip(column_labels or (), picture.middles_x, strict=False))
    room = picture.cell_width + GAP
    for label, x in marks[thinned(column_labels or (), room, across=True)]:
        write(axes, label, (x, 0), (0, PAD / 2), colour=MUTED)
    return axes.get_figure()  # type: ignore[return-value]


def samples(
    images: Array,
    *,
    columns: int = 10,
    value_range: Range | None = None,
    title: str = "Samples from the prior, decoded",
) -> Figure:
    """Generated images (n, C, H, W) in rows of ``columns``: see :func:`image_grid`."""
    images = as_images(images, "n C H W")
    return image_grid(images, columns=columns, value_range=value_range, title=title)


@styled
def reconstructions(
    rows: Mapping[str, Array],
    *,
    labels: Sequence[str] | None = None,
    columns: int = 10,
    value_range: Range | None = None,
    title: str = "Originals and their reconstructions",
) -> Figure:
    """The same examples in several versions, one above the other.

    Args:
        rows: images (n, C, H, W) by name, first row first, such as ``{"original": x,
            "reconstruction": y}`` or ``{"clean": x, "corrupted": noisy, "restored": y}``.
        labels: written above each example, such as its class.
        columns: most examples beside each other; more are shared out over bands.
        value_range: see :func:`image_grid`.
        title: written above.

    Raises:
        ShapeError: a row's shape is not (n, C, H, W), or differs from the first's.
    """
    if not rows:
        raise ShapeError("expected at least one row of images (n, C, H, W), got none")
    at_least_one(columns, "columns")
    versions = [as_images(row, "n C H W", f"{name} images") for name, row in rows.items()]
    for name, version in zip(rows, versions, strict=True):
        if version.shape != versions[0].shape:
            raise ShapeError(
                f"expected {name} images of shape {versions[0].shape} like the first row, "
                f"got {version.shape}"
            )
    count = len(versions[0])
    if labels is not None:
        same_length(labels, count, "labels", "one per example")

    bands = -(-count // columns)
    columns = -(-count // bands)
    by_band = [as_rows(to_rgb(version, value_range), columns) for version in versions]
    cells = np.stack(by_band, axis=1).reshape(-1, *by_band[0].shape[1:])
    label_height = line_height(SMALL_SIZE) if labels is not None else 0
    margins = Margins(left=2 * PAD + widest(list(rows), LABEL_SIZE), top=PAD + label_height)
    picture = mosaic(cells, margins.room, band=len(rows), band_gap=round(2 * PAD + label_height))
    axes = draw(picture, margins, title)
    for y, name in zip(picture.middles_y, list(rows) * bands, strict=True):
        write(axes, name, (0, y), (-PAD, 0), size=LABEL_SIZE)
    for index, label in enumerate(labels or ()):
        above = (picture.middles_x[index % columns], picture.tops[index // columns * len(rows)])
        short = shortened(label, picture.cell_width, SMALL_SIZE)
        write(axes, short, above, (0, PAD / 3), colour=MUTED)
    return axes.get_figure()  # type: ignore[return-value]


@styled
def manifold(
    images: Array,
    x_values: Array,
    y_values: Array,
    *,
    x_name: str = "z[0]",
    y_name: str = "z[1]",
    value_range: Range | None = None,
    title: str = "Decoded plane of the latent space",
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
        title: written above.

    Raises:
        ShapeError: ``images`` is not such a grid, or has other numbers of rows and columns
            than there are values.
    """
    cells = to_rgb(as_images(images, "rows columns C H W"), value_range)[::-1]
    same_length(as_array(y_values, "rows", "y values"), cells.shape[0], "y values", "one per row")
    same_length(
        as_array(x_values, "columns", "x values"), cells.shape[1], "x values", "one per column"
    )
    x_labels, y_labels = (
        [coordinate(value) for value in values] for values in (x_values, y_values)
    )
    line = line_height(SMALL_SIZE)
    left = 3 * PAD + line + widest(y_labels, SMALL_SIZE)
    margins = Margins(left=left, bottom=3 * PAD + 2 * line)
    picture = mosaic(cells, margins.room, gap=0)
    axes = draw(picture, margins, title)

    height, width, _ = picture.pixels.shape
    marks = list(zip(x_labels, picture.middles_x, strict=True))
    for label, x in marks[thinned(x_labels, picture.cell_width, across=True)]:
        write(axes, label, (x, height), (0, -PAD), colour=MUTED)
    marks = list(zip(y_labels, picture.middles_y[::-1], strict=True))
    for label, y in marks[thinned(y_labels, picture.cell_height, across=False)]:
        write(axes, label, (0, y), (-PAD, 0), colour=MUTED)
    write(axes, x_name, (width / 2, height), (0, -2 * PAD - line), size=LABEL_SIZE)
    write(axes, y_name, (0, height / 2), (PAD + line - left, 0), size=LABEL_SIZE, rotation=90)
    return axes.get_figure()  # type: ignore[return-value]


def traversals(
    images: Array,
    values: Array,
    names: Sequence[str],
    *,
    kl: Array | None = None,
    value_range: Range | None = None,
    title: str = "One latent dimension varied at a time",
) -> Figure:
    """What each dimension of the latent space does to the picture.

    Args:
        images: (dimensions, steps, C, H, W), the most active dimension first.
        values: (steps,) that the dimension takes, written above the columns.
        names: of the dimensions, such as "z[7]".
        kl: (dimensions,) each one's KL in nats per image, written beside its name.
        value_range: see :func:`image_grid`.
        title: written above.

    Raises:
        ShapeError: shapes do not fit each other.
    """
    images = as_images(images, "dimensions steps C H W")
    same_length(names, images.shape[0], "names", "one per dimension")
    same_length(as_array(values, "steps", "values"), images.shape[1], "values", "one per step")
    if kl is not None:
        same_length(as_array(kl, "dimensions", "kl"), images.shape[0], "KLs", "one per dimension")
        names = [f"{name}  {nats:.2f} nats" for name, nats in zip(names, kl, strict=True)]
    return image_grid(
        images,
        row_labels=list(names),
        column_labels=[coordinate(value) for value in values],
        value_range=value_range,
        title=title,
    )


def class_grid(
    images: Array,
    class_names: Sequence[str],
    *,
    value_range: Range | None = None,
    title: str = "Samples of each class",
) -> Figure:
    """Generated images by class (rows) and draw (columns).

    Args:
        images: (classes, draws, C, H, W).
        class_names: one per row.
        value_range: see :func:`image_grid`.
        title: written above.

    Raises:
        ShapeError: ``images`` is not such a grid, or the names are too many or too few.
    """
    images = as_images(images, "classes draws C H W")
    same_length(class_names, images.shape[0], "class names", "one per class")
    return image_grid(images, row_labels=class_names, value_range=value_range, title=title)
