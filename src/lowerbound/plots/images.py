"""Grids of images.  Every grid is one mosaic made with numpy, drawn pixel for pixel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from lowerbound.errors import ShapeError
from lowerbound.plots.checks import as_array, as_images, same_length
from lowerbound.plots.style import (
    DPI,
    INK,
    LABEL_SIZE,
    MUTED,
    SMALL_SIZE,
    TITLE_SIZE,
    WIDTH,
    Array,
    line_height,
    styled,
    text_width,
)

GAP = 3  # pixels between images
PAD = 9  # pixels between an image and its label, and at the figure's edge
MAX_CELL = 128  # pixels of an image's longer side, where enlarging it can be avoided
MAX_HEIGHT = 8 * DPI

Range = tuple[float, float]


@dataclass(frozen=True)
class Mosaic:
    """A picture made of equal cells: ``pixels`` (height, width, 3) and where each cell begins."""

    pixels: Array
    lefts: Array
    tops: Array
    cell_width: int
    cell_height: int

    @property
    def middles_x(self) -> Array:
        return self.lefts + self.cell_width / 2

    @property
    def middles_y(self) -> Array:
        return self.tops + self.cell_height / 2


def to_rgb(images: Array, value_range: Range | None) -> Array:
    """(…, C, H, W) values to (…, H, W, 3) bytes; what lies outside the range is clipped.

    The range is 0 to 255 for uint8 and 0 to 1 otherwise, unless given.
    """
    low, high = value_range or ((0, 255) if images.dtype == np.uint8 else (0, 1))
    unit = (images.astype(np.float64) - low) / (high - low)
    levels = np.rint(255 * unit.clip(0, 1)).astype(np.uint8)
    return np.broadcast_to(
        np.moveaxis(levels, -3, -1), (*levels.shape[:-3], *levels.shape[-2:], 3)
    )


def magnification(rows: int, columns: int, height: int, width: int) -> int:
    """The whole factor at which a grid of images fits the page, at least 1."""
    fits = (
        (0.92 * WIDTH * DPI - GAP * (columns - 1)) // (columns * width),
        (MAX_HEIGHT - GAP * (rows - 1)) // (rows * height),
        MAX_CELL // max(height, width),
    )
    return max(1, int(min(fits)))


def mosaic(cells: Array, gap: int = GAP, band: int | None = None, band_gap: int = 0) -> Mosaic:
    """Lay (rows, columns, H, W, 3) bytes out on white, ``gap`` pixels apart.

    Every ``band`` rows, ``band_gap`` pixels more are left.
    """
    rows, columns, height, width, _ = cells.shape
    factor = magnification(rows, columns, height, width)
    height, width = factor * height, factor * width
    lefts = np.arange(columns) * (width + gap)
    tops = np.arange(rows) * (height + gap) + np.arange(rows) // (band or rows) * band_gap
    pixels = np.full((tops[-1] + height, lefts[-1] + width, 3), 255, np.uint8)
    for top, row in zip(tops, cells, strict=True):
        for left, cell in zip(lefts, row, strict=True):
            enlarged = cell.repeat(factor, axis=0).repeat(factor, axis=1)
            pixels[top : top + height, left : left + width] = enlarged
    return Mosaic(pixels, lefts, tops, width, height)


@dataclass(frozen=True)
class Margins:
    """Pixels around a mosaic."""

    left: float = PAD
    top: float = PAD
    right: float = PAD
    bottom: float = PAD


def draw(picture: Mosaic, margins: Margins, title: str) -> Axes:
    """A figure with the mosaic at its own pixels (reduced if wider than the page), and a title.

    The axes' data coordinates are the mosaic's pixels, y downwards.
    """
    height, width, _ = picture.pixels.shape
    top = margins.top + (1.15 * line_height(TITLE_SIZE) if title else 0)
    shrink = min(1.0, (WIDTH * DPI - margins.left - margins.right) / width)
    shown_width, shown_height = round(width * shrink), round(height * shrink)
    left, bottom = round(margins.left), round(margins.bottom)
    full_width = left + max(
        round(shown_width + margins.right), round(text_width(title, TITLE_SIZE) + PAD)
    )
    full_height = bottom + shown_height + round(top)
    figure = Figure(figsize=((full_width + 1e-3) / DPI, (full_height + 1e-3) / DPI))
    axes = figure.add_axes(
        (
            left / full_width,
            bottom / full_height,
            shown_width / full_width,
            shown_height / full_height,
        )
    )
    axes.imshow(
        picture.pixels,
        extent=(0, width, height, 0),
        interpolation="nearest" if shrink == 1 else "antialiased",
        aspect="auto",
    )
    axes.set_axis_off()
    if title:
        figure.text(
            left / full_width,
            1 - PAD / full_height,
            title,
            va="top",
            fontsize=TITLE_SIZE,
        )
    return axes


def write(
    axes: Axes,
    text: str,
    at: tuple[float, float],
    shift: tuple[float, float],
    size: float = SMALL_SIZE,
    colour: str = INK,
    rotation: float = 0,
) -> None:
    """A label anchored at a pixel of the mosaic and moved away from it by ``shift`` pixels."""
    across, up = np.sign(shift)
    axes.annotate(
        text,
        xy=at,
        xytext=(shift[0] * 72 / DPI, shift[1] * 72 / DPI),
        textcoords="offset points",
        ha={-1: "right", 0: "center", 1: "left"}[int(across)],
        va={-1: "top", 0: "center", 1: "bottom"}[int(up)],
        fontsize=size,
        color=colour,
        rotation=rotation,
        annotation_clip=False,
    )


def widest(labels: Sequence[str], size: float) -> float:
    """Pixels of the widest label, 0 if there is none."""
    return max((text_width(label, size) for label in labels), default=0.0)


def thinned(labels: Sequence[str], room: float, across: bool) -> slice:
    """Every how many labels to write so that those ``room`` pixels apart do not touch."""
    needed = 1.25 * (widest(labels, SMALL_SIZE) if across else line_height(SMALL_SIZE))
    return slice(None, None, max(1, int(np.ceil(needed / room))))


def as_rows(images: Array, columns: int) -> Array:
    """(n, H, W, 3) bytes into (rows, columns, H, W, 3), the last row filled up with white."""
    missing = -len(images) % columns
    filled = np.pad(images, [(0, missing), (0, 0), (0, 0), (0, 0)], constant_values=255)
    return filled.reshape(-1, columns, *images.shape[1:])


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
    images = np.asarray(images)
    if images.ndim == 5:
        cells = to_rgb(as_images(images, "rows columns C H W"), value_range)
    else:
        flat = as_images(images, "n C H W")
        cells = as_rows(to_rgb(flat, value_range), min(columns, len(flat)))
    row_labels, column_labels = row_labels or (), column_labels or ()
    if row_labels:
        same_length(row_labels, cells.shape[0], "row labels", "one per row of images")
    if column_labels:
        same_length(column_labels, cells.shape[1], "column labels", "one per column of images")

    picture = mosaic(cells)
    left = 2 * PAD + widest(row_labels, LABEL_SIZE) if row_labels else PAD
    top = PAD + line_height(SMALL_SIZE) if column_labels else PAD
    axes = draw(picture, Margins(left=left, top=top), title)
    for label, y in zip(row_labels, picture.middles_y, strict=False):
        write(axes, label, (0, y), (-PAD, 0), size=LABEL_SIZE)
    chosen = thinned(column_labels, picture.cell_width + GAP, across=True)
    for label, x in list(zip(column_labels, picture.middles_x, strict=False))[chosen]:
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
        columns: examples beside each other; further ones follow in a new band below.
        value_range: see :func:`image_grid`.
        title: written above.

    Raises:
        ShapeError: a row's shape is not (n, C, H, W), or differs from the first's.
    """
    if not rows:
        raise ShapeError("expected at least one row of images (n, C, H, W), got none")
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

    columns = min(columns, count)
    by_band = [as_rows(to_rgb(version, value_range), columns) for version in versions]
    cells = np.stack(by_band, axis=1).reshape(-1, *by_band[0].shape[1:])
    label_height = line_height(SMALL_SIZE) if labels is not None else 0
    picture = mosaic(cells, band=len(rows), band_gap=round(2 * PAD + label_height))

    margins = Margins(left=2 * PAD + widest(list(rows), LABEL_SIZE), top=PAD + label_height)
    axes = draw(picture, margins, title)
    for y, name in zip(picture.middles_y, list(rows) * (len(cells) // len(rows)), strict=True):
        write(axes, name, (0, y), (-PAD, 0), size=LABEL_SIZE)
    for index, label in enumerate(labels or ()):
        top = picture.tops[index // columns * len(rows)]
        write(axes, label, (picture.middles_x[index % columns], top), (0, PAD / 3), colour=MUTED)
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
    picture = mosaic(cells, gap=0)
    x_labels, y_labels = ([f"{v:.2f}" for v in values] for values in (x_values, y_values))
    line = line_height(SMALL_SIZE)
    left = 3 * PAD + line + widest(y_labels, SMALL_SIZE)
    axes = draw(picture, Margins(left=left, bottom=3 * PAD + 2 * line), title)

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
        column_labels=[f"{value:.2f}" for value in values],
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
