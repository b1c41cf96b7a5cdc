"""The one look of every figure: sizes, colours, type, and where labels go."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from matplotlib.textpath import TextPath
from numpy.typing import NDArray

Array = NDArray[Any]

DPI = 144
"""Pixels per inch of every figure: a page shows them at 96/144 = 2/3 of their pixels."""

WIDTH = 10.0
"""Inches of a figure that fills the page."""

INK, MUTED, FAINT = "#222222", "#666666", "#dcdcdc"

BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
)
LINE_COLOURS = (BLUE, VERMILION, GREEN, PURPLE, ORANGE, SKY, INK)
"""Okabe and Ito's colours in the order lines use them, less the yellow that white swallows."""

CLASS_COLOURS = (
    "#0f6cda",
    "#e3cd07",
    "#740048",
    "#60e5ff",
    "#939afe",
    "#ac871b",
    "#312799",
    "#c14080",
    "#fa8a97",
    "#516404",
)
"""Ten colours found by search to be furthest apart (in OKLab) for normal sight and under simulated
protanopia, deuteranopia and tritanopia at once; in an order that keeps the first few distinct."""

TITLE_SIZE, LABEL_SIZE, SMALL_SIZE = 11.5, 10.0, 9.0

STYLE: dict[str, Any] = {
    "figure.dpi": DPI,
    "savefig.dpi": "figure",
    "figure.constrained_layout.w_pad": 0.08,
    "figure.constrained_layout.h_pad": 0.08,
    "font.family": "DejaVu Sans",
    "font.size": LABEL_SIZE,
    "text.color": INK,
    "text.parse_math": False,
    "axes.titlesize": LABEL_SIZE,
    "axes.titlelocation": "left",
    "axes.titlepad": 7.0,
    "axes.labelsize": LABEL_SIZE,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "axes.linewidth": 0.7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.formatter.useoffset": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.labelsize": SMALL_SIZE,
    "ytick.labelsize": SMALL_SIZE,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "xtick.minor.width": 0.5,
    "ytick.minor.width": 0.5,
    "lines.linewidth": 1.8,
    "hatch.linewidth": 0.6,
}

styled = style.context(["default", STYLE])
"""Decorator: run a function under this look, whatever the caller's own settings are."""

HALO = [withStroke(linewidth=3, foreground="white")]


def new_figure(width: float, height: float, title: str) -> Figure:
    """An empty figure of the given inches, its title at the top left."""
    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title, x=0.01, ha="left", fontsize=TITLE_SIZE)
    return figure


def class_colours(classes: int) -> list[str]:
    """One colour per class; past ten they repeat, and only the names tell classes apart."""
    return [CLASS_COLOURS[index % len(CLASS_COLOURS)] for index in range(classes)]


def text_width(text: str, size: float) -> float:
    """Pixels that ``text`` takes at ``size`` points, with a little to spare."""
    if not text.strip():
        return 0.0
    return 1.03 * TextPath((0, 0), text, size=size).get_extents().width * DPI / 72


def shortened(text: str, pixels: float, size: float) -> str:
    """``text``, or as much of it as fits in ``pixels`` and an ellipsis."""
    kept = text
    while kept and text_width(kept if kept == text else f"{kept}…", size) > pixels:
        kept = kept[:-1]
    return kept if kept == text else f"{kept}…"


def coordinate(value: float, decimals: int = 2) -> str:
    """A latent value as a label, with a true minus sign and no negative zero.

    >>> coordinate(-1.645), coordinate(-0.0001)
    ('−1.65', '0.00')
    """
    return f"{round(value, decimals) + 0.0:.{decimals}f}".replace("-", "−")


def line_height(size: float) -> float:
    """Pixels from one line of text to the next at ``size`` points."""
    return 1.3 * size * DPI / 72


def spread(centres: Array, spacing: float) -> Array:
    """The positions nearest to ``centres`` (least squares) that are ``spacing`` apart.

    >>> spread(np.array([0.0, 0.0, 5.0]), spacing=1.0)
    array([-0.5,  0.5,  5. ])
    """
    order = np.argsort(centres, kind="stable")
    steps = spacing * np.arange(len(centres))
    blocks: list[tuple[float, int]] = []  # isotonic regression of centre − step, by pooling
    for target in centres[order] - steps:
        blocks.append((float(target), 1))
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            (low, n), (high, m) = blocks[-2:]
            blocks[-2:] = [((low * n + high * m) / (n + m), n + m)]
    placed = np.empty(len(centres))
    placed[order] = np.repeat([level for level, _ in blocks], [n for _, n in blocks]) + steps
    return placed


class LineEnd(NamedTuple):
    """The last point of a line and what to write beside it."""

    x: float
    y: float
    text: str
    colour: str


def label_ends(axes: Axes, ends: Sequence[LineEnd]) -> None:
    """Name lines in the right margin, level with their last points, without overlap."""
    if not ends:
        return
    axes.autoscale_view()
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = to_axes.transform([(end.x, end.y) for end in ends])[:, 1]
    tallest = max(end.text.count("\n") + 1 for end in ends)
    pixels = axes.get_position().height * axes.figure.bbox.height
    for end, height in zip(
        ends, spread(heights, (tallest + 0.2) * line_height(SMALL_SIZE) / pixels), strict=True
    ):
        axes.annotate(
            end.text,
            xy=(end.x, end.y),
            xytext=(1.03, height),
            textcoords="axes fraction",
            color=end.colour,
            fontsize=SMALL_SIZE,
            va="center",
            annotation_clip=False,
            arrowprops={
                "arrowstyle": "-",
                "color": end.colour,
                "linewidth": 0.7,
                "linestyle": (0, (1, 2)),
                "shrinkA": 1,
                "shrinkB": 2,
                "relpos": (0, 0.5),
            },
        )
