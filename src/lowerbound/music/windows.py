"""From melodies to windows of some bars, by tune, and what is left out of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lowerbound.music.melody import OFF_GRID, OUT_OF_RANGE, Melody
from lowerbound.music.tokens import FIRST, HOLD, OFF, sounding

MetreName = Literal["4/4", "3/4", "6/8"]
BAR: dict[MetreName, int] = {"4/4": 16, "3/4": 12, "6/8": 12}
"""Sixteenths in a bar."""
SAME = {"2/2": "4/4", "2/4": "4/4"}
"""Metres that are taken for another; two bars of 2/4 are one."""
FEWEST_NOTES = 2


@dataclass(frozen=True)
class Windows:
    """Windows of one metre.

    Attributes:
        tokens: (n, T) uint8, each different from the others.
        tune: the number of the melody that each is from, rising, (n,) int64.
        left_out: how many more there were, by reason.
        too_short: how many melodies of the metre have no such window.
    """

    tokens: np.ndarray
    tune: np.ndarray
    left_out: Counter[str]
    too_short: int


def windows(melodies: Sequence[Melody], metre: MetreName = "4/4", bars: int = 2) -> Windows:
    """All windows of so many ``bars`` in the ``metre``, at every bar.

    A note that is held into a window begins there, and silence at its begin is a note-off.  Left
    out are those with notes off the grid or out of range, those with a silent bar, with fewer notes
    than `FEWEST_NOTES` a bar, and what was there before.
    """
    length, left_out = bars * BAR[metre], Counter[str]()
    of_each = [
        np.concatenate([np.empty((0, length), np.uint8), *_stretches(melody, metre, length)])
        for melody in melodies
    ]
    tokens = np.concatenate([np.empty((0, length), np.uint8), *of_each])
    tune = np.repeat(np.arange(len(melodies)), [len(each) for each in of_each])
    reasons = {
        "with notes off the grid of sixteenths, such as triplets": (tokens == OFF_GRID).any(1),
        "with notes out of the piano's range": (tokens == OUT_OF_RANGE).any(1),
        "with a silent bar": _is_silent(tokens, BAR[metre]),
        f"of fewer than {FEWEST_NOTES} notes a bar": (tokens >= FIRST).sum(1) < FEWEST_NOTES * bars,
    }
    kept = np.ones(len(tokens), bool)
    for reason, applies in reasons.items():
        left_out[reason] = int((kept & applies).sum())
        kept &= ~applies
    tokens, tune = tokens[kept], tune[kept]
    first = np.sort(np.unique(tokens, axis=0, return_index=True)[1])
    left_out["met before"] = len(tokens) - len(first)
    too_short = sum(
        metre in metres_of(melody) and not len(each)
        for melody, each in zip(melodies, of_each, strict=True)
    )
    return Windows(tokens[first], tune[first], +left_out, too_short)


def metres_of(melody: Melody) -> set[str]:
    """The metres that a melody has stretches in, by what they are taken for."""
    return {SAME.get(metre.name, metre.name) for metre in melody.metres}


def _stretches(melody: Melody, metre: MetreName, length: int) -> Iterator[np.ndarray]:
    """The windows (n, length) of each stretch of the metre; the last one ends in a whole bar."""
    if metre not in metres_of(melody):
        return
    bar = BAR[metre]
    tokens = np.append(melody.tokens, [OFF, *[HOLD] * (bar - 1)]).astype(np.uint8)
    steps = np.arange(len(tokens))
    last = np.maximum.accumulate(np.where(tokens == HOLD, -1, steps))
    begun = np.where(last < 0, OFF, tokens[last])  # what each step is in, said at that step
    starts = [round(each.start) for each in melody.metres]
    for each, start, end in zip(melody.metres, starts, [*starts[1:], None], strict=True):
        if SAME.get(each.name, each.name) != metre:
            continue
        if end is None:
            whole = round(each.bar)
            end = start + -(-(len(melody.tokens) - start) // whole) * whole
        if end - start >= length:
            cut = sliding_window_view(tokens[start:end], length)[::bar].copy()
            cut[:, 0] = begun[start:end][: end - start - length + 1 : bar]
            yield cut


def _is_silent(tokens: np.ndarray, bar: int) -> np.ndarray:
    """Whether nothing sounds in a whole bar of these windows (n, T)."""
    heard = (sounding(tokens) > 0).reshape(len(tokens), tokens.shape[1] // bar, bar)
    return ~np.all(np.any(heard, axis=2), axis=1)
