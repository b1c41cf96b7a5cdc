"""The machinery of image grids: one mosaic made with numpy, drawn pixel for pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from lowerbound.plots.style import (
    DPI,
    INK,
    SMALL_SIZE,
    TITLE_SIZE,
    WIDTH,
    Array,
    line_height,
    text_width,
)

GAP = 3  # pixels between images
PAD = 9  # pixels between an image and its label, and at the figure's edge
MAX_CELL = 128  # pixels of an image's longer side, where enlarging it can be avoided
MAX_HEIGHT = 8 * DPI
HAIR = 1e-3  # pixels by which sizes keep clear of the next whole number, which is rounded to

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
    return np.broadcast_to(np.moveaxis(levels, -3, -1), (*levels.shape[:-3], *levels.shape[-2:], 3))


@dataclass(frozen=True)
class Margins:
    """Pixels around a mosaic."""

    left: float = PAD
    top: float = PAD
    right: float = PAD
    bottom: float = PAD

    @property
    def room(self) -> float:
        """Pixels of the page's width that they leave."""
        return WIDTH * DPI - self.left - self.right


def fitted(cells: Array, room: float, gap: int) -> Array:
    """(rows, columns, H, W, 3) bytes enlarged by the largest whole factor that fits the page.

    Where they are too wide even at their own size, they are reduced to ``room`` pixels.
    """
    rows, columns, height, width, _ = cells.shape
    across = (room - gap * (columns - 1)) / columns
    if width > across:
        shrink = max(1.0, across) / width
        return resized(cells, max(1, int(height * shrink)), int(width * shrink))
    down = (MAX_HEIGHT - gap * (rows - 1)) / rows
    factor = max(1, int(min(across / width, down / height, MAX_CELL / max(height, width))))
    return cells.repeat(factor, axis=2).repeat(factor, axis=3)


def resized(cells: Array, height: int, width: int) -> Array:
    """Each of (rows, columns, H, W, 3) images averaged over areas to the given size."""
    small = [
        np.asarray(Image.fromarray(cell).resize((width, height), Image.Resampling.BOX))
        for cell in cells.reshape(-1, *cells.shape[2:])
    ]
    return np.stack(small).reshape(*cells.shape[:2], height, width, 3)


def mosaic(
    cells: Array, room: float, gap: int = GAP, band: int | None = None, band_gap: int = 0
) -> Mosaic:
    """Lay (rows, columns, H, W, 3) bytes out on white, ``gap`` pixels apart, ``room`` wide at most.

    Every ``band`` rows, ``band_gap`` pixels more are left.
    """
    cells = fitted(cells, room, gap)
    rows, columns, height, width, _ = cells.shape
    lefts = np.arange(columns) * (width + gap)
    tops = np.arange(rows) * (height + gap) + np.arange(rows) // (band or rows) * band_gap
    pixels = np.full((tops[-1] + height, lefts[-1] + width, 3), 255, np.uint8)
    for top, row in zip(tops, cells, strict=True):
        for left, cell in zip(lefts, row, strict=True):
            pixels[top : top + height, left : left + width] = cell
    return Mosaic(pixels, lefts, tops, width, height)


def draw(picture: Mosaic, margins: Margins, title: str) -> Axes:
    """A figure with the mosaic pixel for pixel, and a title.

    The axes' data coordinates are the mosaic's pixels, y downwards.
    """
    height, width, _ = picture.pixels.shape
    title_height = 1.15 * line_height(TITLE_SIZE) if title else 0
    left, bottom = round(margins.left), round(margins.bottom)
    full_width = left + round(max(width + margins.right, text_width(title, TITLE_SIZE) + PAD))
    full_height = bottom + height + round(margins.top + title_height)
    figure = Figure(figsize=((full_width + HAIR) / DPI, (full_height + HAIR) / DPI))
    axes = figure.add_axes(
        (
            (left + HAIR) / full_width,
            (bottom + HAIR) / full_height,
            (width - 2 * HAIR) / full_width,
            (height - 2 * HAIR) / full_height,
        )
    )
    axes.imshow(
        picture.pixels, extent=(0, width, height, 0), interpolation="nearest", aspect="auto"
    )
    axes.set_axis_off()
    if title:
        place = (left / full_width, 1 - PAD / full_height)
        figure.text(*place, title, va="top", fontsize=TITLE_SIZE)
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
