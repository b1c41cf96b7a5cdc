"""Figures to PNG: the same bytes for the same figure, and never half a file."""

from __future__ import annotations

import io
import os
from pathlib import Path

from matplotlib.figure import Figure

from lowerbound.files import write_atomic
from lowerbound.plots.style import styled


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
    """Write the figure to ``path`` as PNG; whoever reads it finds the old file or the new one."""
    path = Path(path)
    write_atomic(path, png_bytes(figure, dpi))
    return path
