"""The one look of every figure, as lowerbound.mplstyle has it, and numbers as text."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

from matplotlib import rc_params_from_file, style
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patheffects import AbstractPathEffect, withStroke
from numpy.typing import NDArray

from lowerbound.files import write_atomic

Array = NDArray[Any]

FILE = Path(__file__).with_name("lowerbound.mplstyle")
SHEET: dict[str, Any] = {**rc_params_from_file(FILE, use_default_template=False)}  # type: ignore[dict-item]
DPI = int(SHEET["figure.dpi"])
"""Pixels per inch of every figure."""

WIDTH = float(SHEET["figure.figsize"][0])
"""Inches of every figure."""

SIZE = float(SHEET["font.size"])
"""Points of every letter."""

LINE = 1.3 * SIZE * DPI / 72
"""Pixels from one line of text to the next."""

INK, MUTED, FAINT = (SHEET[key] for key in ("text.color", "axes.edgecolor", "grid.color"))
SHADE = "#a6adb4"
"""Of what is measured, behind lines."""

BLUE, VERMILION = SHEET["axes.prop_cycle"].by_key()["color"][:2]
OUTLINE: dict[str, Any] = {"fill": False, "edgecolor": BLUE, "linewidth": 1.6}
"""Of a bar that stands over a grey one."""

CLASS_COLOURS = (
    *("#0f6cda", "#e3cd07", "#740048", "#60e5ff", "#939afe"),
    *("#ac871b", "#312799", "#c14080", "#fa8a97", "#516404"),
)
"""Ten colours found by search to be furthest apart (in OKLab) for normal sight and under simulated
protanopia, deuteranopia and tritanopia at once; in an order that keeps the first few distinct."""

styled = style.context(["default", SHEET])
"""Decorator: run a function under this look, whatever the caller's own settings are."""

HALO: list[AbstractPathEffect] = [withStroke(linewidth=3, foreground="white")]


@styled
def png_bytes(figure: Figure, dpi: float | None = None) -> bytes:
    """The figure as a PNG, without date or software version: equal figures give equal bytes.

    ``dpi`` is in pixels per inch; by default the figure's own, at which images are drawn
    pixel by pixel.
    """
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=dpi or figure.dpi, metadata={"Software": None})
    return buffer.getvalue()


def save(figure: Figure, path: str | os.PathLike[str], dpi: float | None = None) -> Path:
    """Write the figure to ``path`` as PNG; whoever reads it finds the old file or the new one.

    ``dpi`` is in pixels per inch; by default the figure's own.
    """
    path = Path(path)
    write_atomic(path, png_bytes(figure, dpi))
    return path


class Picture(Figure):
    """A figure that shows as a picture in notebooks, whatever pyplot's backend is."""

    def _repr_png_(self) -> bytes:
        return png_bytes(self)


def new_figure(height: float) -> Figure:
    """An empty figure of the page's width and this many inches high."""
    return Picture(figsize=(WIDTH, height), layout="constrained")


def one_panel(height: float, **labels: str) -> tuple[Figure, Axes]:
    """A figure with a single panel, its axes labelled."""
    figure = new_figure(height)
    return figure, figure.add_subplot(**labels)


def without_y(axes: Axes) -> None:
    """Hide the y axis of heights that are compared by eye."""
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)


def class_colours(labels: Array) -> list[str]:
    """The colour of each class; past ten they repeat, and only the names tell classes apart."""
    return [CLASS_COLOURS[label % len(CLASS_COLOURS)] for label in labels]


def minus(text: str) -> str:
    """A number with a true minus sign."""
    return text.replace("-", "−")


def coordinate(value: float) -> str:
    """A latent value as a label, with a true minus sign and no negative zero.

    >>> coordinate(-1.645), coordinate(-0.0001)
    ('−1.65', '0.00')
    """
    return minus(f"{round(value, 2) + 0.0:.2f}")


def number(value: float) -> str:
    """A figure with the digits one compares by.

    >>> [number(value) for value in (0.14773, -103.564, 807700, 0.00012)]
    ['0.1477', '−103.56', '807,700', '0.00012']
    """
    size = abs(value)
    if 0 < size < 0.001:
        return minus(f"{value:.2g}")
    return minus(f"{value:,.{0 if size >= 1000 else 2 if size >= 1 else 4}f}")
