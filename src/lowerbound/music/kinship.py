"""Which melodies are of one tune: variants, repeats in another collection or another key."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from lowerbound.music.melody import Melody
from lowerbound.music.tokens import HIGHEST, notes

SHARED, FEWEST = 16, 4
"""Intervals in a row that two melodies of one tune share, and how many of them must differ."""


def families(melodies: Sequence[Melody]) -> np.ndarray:
    """The number of each melody's family, (melodies,) int64, in order of their first members.

    Two melodies that share `SHARED` intervals in a row, in whatever rhythm, are of one, and so is
    who is related to either.
    """
    passages = [_passages(notes(melody.tokens).pitch) for melody in melodies]
    owner = np.repeat(np.arange(len(melodies)), [len(each) for each in passages])
    passage = np.concatenate([np.empty(0, np.uint64), *passages])
    order = np.argsort(passage, kind="stable")
    owner, passage = owner[order], passage[order]
    shared = passage[1:] == passage[:-1]
    return _components(len(melodies), owner[:-1][shared], owner[1:][shared])


def _passages(pitch: np.ndarray) -> np.ndarray:
    """Each `SHARED` intervals in a row of a melody, as one number; not scales and repetitions."""
    pitch = pitch[pitch <= HIGHEST]  # where a note off the grid stands, none is known
    if len(pitch) <= SHARED:
        return np.empty(0, np.uint64)
    rows = sliding_window_view(np.diff(pitch), SHARED)
    varied = (np.diff(np.sort(rows, axis=1), axis=1) != 0).sum(1) >= FEWEST - 1
    weights = np.uint64(0x9E3779B97F4A7C15) ** np.arange(1, SHARED + 1, dtype=np.uint64)
    return np.unique(rows[varied].astype(np.uint64) @ weights)


def _components(n: int, first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The connected components of a graph of n nodes, numbered by their first."""
    lowest = np.arange(n)
    while True:
        least = np.minimum(lowest[first], lowest[second])
        before = lowest.copy()
        np.minimum.at(lowest, first, least)
        np.minimum.at(lowest, second, least)
        lowest = lowest[lowest]
        if (lowest == before).all():
            return np.unique(lowest, return_inverse=True)[1]
