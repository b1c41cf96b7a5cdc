"""Melodies as piano rolls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from lowerbound.errors import ShapeError
from lowerbound.music.tokens import Notes, notes, pitch_name
from lowerbound.plots.checks import as_array, at_least_one, one_shape, same_length
from lowerbound.plots.style import BLUE, FAINT, SHADE, VERMILION, Array, new_figure, styled

BLACK_KEYS = (1, 3, 6, 8, 10)
ACROSS = 128
"""Steps of the melodies beside each other; more melodies are shared out over bands."""
MARGIN, LEAST_SPAN = 2, 14
"""Semitones around the notes, and from the lowest to the highest that is drawn."""


@styled
def piano_rolls(rows: Mapping[str, Array], *, bar: int = 16, titles: Sequence[str] = ()) -> Figure:
    """The same melodies in several versions, one above the other; time goes right, pitch up.

    Args:
        rows: tokens (n, T) by name, first row first, such as ``{"original": x,
            "reconstruction": y}``; see `music.tokens`.
        bar: steps of a bar.
        titles: written above each melody.
    """
    if not rows:
        raise ShapeError("expected at least one row of melodies (n, T), got none")
    at_least_one(bar, "steps of a bar")
    versions = {name: as_array(row, "n T", f"{name} melodies") for name, row in rows.items()}
    shape = one_shape(versions, "melodies")
    columns = max(1, ACROSS // shape[1])
    if len(titles):
        same_length(titles, shape[0], "titles", "one per melody")
    found = {name: [notes(melody) for melody in version] for name, version in versions.items()}
    low, high = _span([each for melodies in found.values() for each in melodies])
    bands = -(-shape[0] // columns)
    columns = -(-shape[0] // bands)
    figure = new_figure(0.25 + (0.3 * bool(len(titles)) + 1.15 * len(rows)) * bands)
    grid = figure.subplots(
        bands * len(rows), columns, sharex=True, sharey=True, squeeze=False
    ).reshape(bands, len(rows), columns)
    for i in range(bands * columns):
        for j, (name, melodies) in enumerate(found.items()):
            axes = grid[i // columns, j, i % columns]
            if i >= shape[0]:
                axes.set_axis_off()
                continue
            _draw(axes, melodies[i], shape[1], bar, (low, high), VERMILION if j else BLUE)
            if not i % columns:
                axes.set_ylabel(name)
            if len(titles) and not j:
                axes.set_title(titles[i])
    return figure


def _span(melodies: Sequence[Notes]) -> tuple[int, int]:
    """The lowest and the highest pitch to draw."""
    pitches = np.concatenate([np.empty(0, np.int64), *(each.pitch for each in melodies)])
    if not len(pitches):
        return 60, 60 + LEAST_SPAN
    low, high = int(pitches.min()) - MARGIN, int(pitches.max()) + MARGIN
    more = max(0, LEAST_SPAN - (high - low))
    return low - more // 2, high + (more + 1) // 2


def _draw(
    axes: Axes, melody: Notes, length: int, bar: int, span: tuple[int, int], colour: str
) -> None:
    """One roll: the black keys shaded, a line at each bar, a box for each note."""
    low, high = span
    for pitch in range(low, high + 1):
        if pitch % 12 in BLACK_KEYS:
            axes.axhspan(pitch - 0.5, pitch + 0.5, color=FAINT, alpha=0.35, linewidth=0)
    for step in range(bar, length, bar):
        axes.axvline(step, color=SHADE, linewidth=0.8)
    for start, end, pitch in zip(melody.start, melody.end, melody.pitch, strict=True):
        axes.add_patch(
            Rectangle((start + 0.1, pitch - 0.5), end - start - 0.2, 1, color=colour, linewidth=0)
        )
    octaves = [pitch for pitch in range(low, high + 1) if pitch % 12 == 0]
    axes.set(xlim=(0, length), ylim=(low - 0.5, high + 0.5), xticks=[])
    axes.set_yticks(octaves, [pitch_name(pitch) for pitch in octaves])
    axes.spines[["top", "right"]].set_visible(True)
    axes.tick_params(length=0)
