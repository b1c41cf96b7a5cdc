"""Labels: how much room they take, and where they do not touch."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.textpath import TextPath

from lowerbound.plots.style import DPI, LINE, SIZE, Array

BREAK = re.compile(r"[\s_./-]+(?=.)")
"""Where a name may be broken."""


def text_width(text: str) -> float:
    """Pixels that ``text`` takes, with a little to spare."""
    if not text.strip():
        return 0.0
    return 1.03 * TextPath((0, 0), text, size=SIZE).get_extents().width * DPI / 72


def shortened(text: str, pixels: float) -> str:
    """``text``, or as much of it as fits in ``pixels`` and an ellipsis."""
    if text_width(text) <= pixels:
        return text
    sizes = range(1, len(text))
    fits = bisect_right(sizes, pixels, key=lambda size: text_width(f"{text[:size]}…"))
    return f"{text[:fits]}…"


def wrapped(text: str, pixels: float) -> str:
    """``text``, on two lines where one of ``pixels`` is too short, and the second as `shortened`.

    >>> wrapped("Culmen Length (mm)", 2 * text_width("Culmen")).splitlines()
    ['Culmen', 'Length (mm)']
    """
    ends = [match.end() for match in BREAK.finditer(text)]
    fit = [end for end in ends if text_width(text[:end].rstrip()) <= pixels]
    if text_width(text) <= pixels or not fit:
        return shortened(text, pixels)
    return f"{text[: fit[-1]].rstrip()}\n{shortened(text[fit[-1] :], pixels)}"


def thinned(labels: Sequence[str], room: float, needed: float) -> list[str]:
    """The labels, ``room`` pixels apart, with every so many left out that none touch."""
    every = max(1, int(np.ceil(needed / room)))
    return [label if index % every == 0 else "" for index, label in enumerate(labels)]


def without_overlap(centres: Array, sizes: Array) -> Array:
    """Boxes (n, 2) of the given sizes in pixels, one after the other at the nearest free place.

    A box that finds none within 200 pixels stays at its centre.
    """
    steps = 5.0 * np.arange(-40, 41)
    offsets = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    offsets = offsets[np.argsort(np.hypot(*offsets.T), kind="stable")]
    placed = np.empty((0, 2))
    for index, centre in enumerate(centres):
        places = centre + offsets
        gaps = np.abs(places[:, None] - placed)
        free = ~(gaps < (sizes[index] + sizes[:index]) / 2).all(axis=-1).any(axis=-1)
        placed = np.vstack([placed, places[free.argmax()] if free.any() else centre])
    return placed


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


def label_ends(axes: Axes) -> None:
    """Name lines in the right margin, level with their last points, without overlap."""
    axes.autoscale_view()
    named = []
    for line in axes.lines:
        points = np.asarray(line.get_xydata(), float)
        finite = points[np.isfinite(points).all(axis=1)]
        if len(finite):
            named.append((str(line.get_label()), line.get_color(), finite[-1]))
    if not named:
        return
    to_axes = axes.transData + axes.transAxes.inverted()
    heights = to_axes.transform([end for _, _, end in named])[:, 1]
    lines = max(text.count("\n") + 1 for text, _, _ in named)
    spacing = (lines + 0.2) * LINE / (axes.get_position().height * axes.figure.bbox.height)
    for (text, colour, end), height in zip(named, spread(heights, spacing), strict=True):
        leader = {"arrowstyle": "-", "linewidth": 0.7, "linestyle": (0, (1, 2)), "color": colour}
        axes.annotate(
            text,
            end,
            xytext=(1.04, height),
            textcoords="axes fraction",
            color=colour,
            va="center",
            annotation_clip=False,
            arrowprops={**leader, "shrinkA": 1, "shrinkB": 2, "relpos": (0, 0.5)},
        )
