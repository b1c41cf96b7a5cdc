"""From a score to its melody: one line of tokens, on a grid of sixteenths."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowerbound.music.score import Metre, Score, Track, Unusable
from lowerbound.music.tokens import FIRST, HIGHEST, HOLD, LOWEST, OFF

TOLERANCE = 0.25
"""How far from the grid a note may begin, in sixteenths; triplets are a third off."""
FINE = 12
"""Parts of a sixteenth, in which it is told which notes sound together."""
OFF_GRID, OUT_OF_RANGE = 255, 254


@dataclass(frozen=True)
class Melody:
    """A line of notes, in stretches of one metre each.

    Attributes:
        tokens: (steps,) uint8; `OFF_GRID` and `OUT_OF_RANGE` where a note begins that none is for.
        metres: by start, which are whole steps.
        others: how many notes there are beside the line: in its chords and in other tracks.
    """

    tokens: np.ndarray
    metres: tuple[Metre, ...]
    others: int = 0


def extract(score: Score, track: str | None = None) -> Melody:
    """The top line of the track so named, or of the highest one that has much to play.

    That is the highest on average of those with half as many notes as the fullest.

    Raises:
        Unusable: no track is so called.
    """
    tracks = [t for t in score.tracks if track is None or _plain(t.name) == _plain(track)]
    if not tracks:
        raise Unusable(f"without notes in a track called {track!r}")
    fullest = max(len(each.start) for each in tracks)
    full = [each for each in tracks if 2 * len(each.start) >= fullest]
    tokens = _on_grid(max(full, key=lambda each: each.pitch.mean()))
    metres = tuple(metre for metre in score.metres if metre.start < len(tokens))
    notes = sum(len(each.start) for each in score.tracks)
    return Melody(tokens, metres, notes - int((tokens >= FIRST).sum()))


def _plain(name: str) -> str:
    return name.casefold().strip()


def _on_grid(track: Track) -> np.ndarray:
    """The skyline: the notes above which none sounds as they begin, each until the next."""
    top = _is_top(track)
    start, end, pitch = track.start[top], track.end[top], track.pitch[top]
    step = np.rint(start).astype(np.int64)
    order = np.lexsort((pitch, step))
    order = order[np.append(np.diff(step[order]) > 0, True)]  # the highest of each step
    begins, pitch = step[order], pitch[order]
    over = np.maximum(np.rint(end[order]).astype(np.int64), begins + 1)
    tokens = np.full(over.max(), HOLD, np.uint8)
    tokens[over[over < np.append(begins[1:], len(tokens))]] = OFF
    fits = (pitch >= LOWEST) & (pitch <= HIGHEST)
    tokens[begins] = np.where(fits, pitch - LOWEST + FIRST, OUT_OF_RANGE)
    tokens[step[np.abs(start - step) > TOLERANCE]] = OFF_GRID
    return tokens


def _is_top(track: Track) -> np.ndarray:
    """Which notes begin with none above them; one that ends just after does not count."""
    begin = np.rint(FINE * track.start).astype(np.int64)
    end = np.rint(FINE * (track.end - TOLERANCE)).astype(np.int64)
    top = np.full(begin.max() + 1, -1)
    for i in np.lexsort((begin, track.pitch)):
        top[begin[i] : max(end[i], begin[i] + 1)] = i
    return top[begin] == np.arange(len(begin))
