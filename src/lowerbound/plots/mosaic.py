"""The machinery of image grids: one mosaic made with numpy, drawn pixel for pixel."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image

from lowerbound.plots.labels import shortened, text_width, thinned
from lowerbound.plots.style import DPI, LINE, WIDTH, Array, Picture

GAP = 3  # pixels between images
PAD = 9  # pixels between an image and its label, and at the figure's edge
PAGE = round(WIDTH * DPI)  # pixels of the page's width
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


def to_rgb(images: Array, value_range: Range | None) -> Array:
    """(…, C, H, W) values to (…, H, W, 3) bytes; what lies outside the range is clipped.

    The range is 0 to 255 for uint8 and 0 to 1 otherwise, unless given.
    """
    low, high = value_range or ((0, 255) if images.dtype == np.uint8 else (0, 1))
    unit = (images.astype(np.float64) - low) / (high - low)
    levels = np.rint(255 * unit.clip(0, 1)).astype(np.uint8)
    return np.broadcast_to(np.moveaxis(levels, -3, -1), (*levels.shape[:-3], *levels.shape[-2:], 3))


def as_rows(images: Array, columns: int) -> Array:
    """(n, H, W, 3) bytes into (rows, columns, H, W, 3), the last row filled up with white."""
    missing = -len(images) % columns
    filled = np.pad(images, [(0, missing), (0, 0), (0, 0), (0, 0)], constant_values=255)
    return filled.reshape(-1, columns, *images.shape[1:])


def fitted(cells: Array, room: float, gap: int) -> Array:
    """(rows, columns, H, W, 3) bytes enlarged by the largest whole factor that fits the page.

    Where they are too wide even at their own size, they are averaged down to ``room`` pixels.
    """
    rows, columns, height, width, _ = cells.shape
    across = (room - gap * (columns - 1)) / columns
    down = (MAX_HEIGHT - gap * (rows - 1)) / rows
    if width <= across:
        factor = max(1, int(min(across / width, down / height, MAX_CELL / max(height, width))))
        return cells.repeat(factor, axis=2).repeat(factor, axis=3)
    shrink = max(1.0, across) / width
    size = int(width * shrink), max(1, int(height * shrink))
    flat = cells.reshape(-1, *cells.shape[2:])
    small = [Image.fromarray(cell).resize(size, Image.Resampling.BOX) for cell in flat]
    return np.stack([np.asarray(cell) for cell in small]).reshape(rows, columns, *size[::-1], 3)


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


def drawn(
    cells: Array,
    *,
    left: Sequence[str] = (),
    above: Sequence[Sequence[str]] = (),
    below: Sequence[str] = (),
    names: tuple[str, str] = ("", ""),
    gap: int = GAP,
    shorten: bool = False,
) -> Figure:
    """A mosaic of (rows, columns, H, W, 3) bytes, pixel for pixel in the middle of the page.

    ``left`` has a label per row, ``below`` one per column, ``above`` one per column for each band
    of rows, all bands equally high; ``names`` are of the horizontal and the vertical axis.  Labels
    of columns that are too wide are shortened if ``shorten``, else only every so many is written.
    """
    head = LINE if any(above) else 0
    across, up = names
    margin = PAD + sum(PAD + width for width in (LINE * bool(up), widest(left)) if width)
    foot = PAD + (PAD + LINE) * (bool(below) + bool(across))
    band = len(cells) // max(1, len(above))
    picture = mosaic(cells, PAGE - margin - PAD, gap, band, round(2 * PAD + head))
    axes = on_page(picture.pixels, round(margin), round(PAD + head), round(foot))

    height, width, _ = picture.pixels.shape
    room = picture.cell_width + gap
    xs, ys = picture.lefts + picture.cell_width / 2, picture.tops + picture.cell_height / 2
    edges = [*zip(above, picture.tops[::band], repeat(PAD / 3)), (below, height, -PAD)]
    for labels, edge, shift in edges:
        fitting = (
            [shortened(label, picture.cell_width) for label in labels]
            if shorten
            else thinned(labels, room, 1.1 * widest(labels))
        )
        for label, x in zip(fitting, xs, strict=False):
            write(axes, label, (x, edge), (0, shift))
    for label, y in zip(thinned(left, picture.cell_height + gap, LINE), ys, strict=False):
        write(axes, label, (0, y), (-PAD, 0))
    write(axes, across, (width / 2, height), (0, -2 * PAD - LINE))
    write(axes, up, (0, height / 2), (PAD + LINE - margin, 0), rotation=90)
    return axes.get_figure()  # type: ignore[return-value]


def on_page(pixels: Array, left: int, top: int, bottom: int) -> Axes:
    """Axes that show (height, width, 3) bytes one to one, with room around them.

    The axes' data coordinates are the picture's pixels, y downwards.
    """
    height, width, _ = pixels.shape
    full_height = bottom + height + top
    left += max(0, PAGE - left - width - PAD) // 2
    figure = Picture(figsize=(WIDTH, (full_height + HAIR) / DPI))
    axes = figure.add_axes(
        (
            (left + HAIR) / PAGE,
            (bottom + HAIR) / full_height,
            (width - 2 * HAIR) / PAGE,
            (height - 2 * HAIR) / full_height,
        )
    )
    axes.imshow(pixels, extent=(0, width, height, 0), interpolation="nearest", aspect="auto")
    axes.set_axis_off()
    return axes


def write(
    axes: Axes, text: str, at: tuple[float, float], shift: tuple[float, float], rotation: float = 0
) -> None:
    """A label anchored at a pixel of the mosaic and moved away from it by ``shift`` pixels."""
    if text:
        axes.annotate(
            text,
            xy=at,
            xytext=(shift[0] * 72 / DPI, shift[1] * 72 / DPI),
            textcoords="offset points",
            ha={-1: "right", 0: "center", 1: "left"}[int(np.sign(shift[0]))],
            va={-1: "top", 0: "center", 1: "bottom"}[int(np.sign(shift[1]))],
            rotation=rotation,
            annotation_clip=False,
        )


def widest(labels: Sequence[str]) -> float:
    """Pixels of the widest label, 0 if there is none."""
    return max(map(text_width, labels), default=0.0)
