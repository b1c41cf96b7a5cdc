"""Melodies as tokens, one for each sixteenth: hold, note-off, or the begin of one of 88 pitches.

Source: Roberts et al., A hierarchical latent vector model for learning long-term structure in
music, 2018, arXiv 1803.05428, whose order of tokens this is.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

HOLD, OFF, FIRST = 0, 1, 2
LOWEST, HIGHEST = 21, 108
"""The piano's keys, as MIDI numbers."""
LETTERS = ("C", "C♯", "D", "D♯", "E", "F", "F♯", "G", "G♯", "A", "A♯", "B")


def pitch_name(pitch: int) -> str:
    """The name of a MIDI number.

    >>> pitch_name(60), pitch_name(21)
    ('C4', 'A0')
    """
    return f"{LETTERS[pitch % 12]}{pitch // 12 - 1}"


VOCABULARY: tuple[str, ...] = (
    "hold",
    "off",
    *(pitch_name(pitch) for pitch in range(LOWEST, HIGHEST + 1)),
)


@dataclass(frozen=True)
class Notes:
    """Notes of a melody, by start.

    Args:
        start: the step, a sixteenth, at which each begins, (notes,).
        end: the step before which it ends.
        pitch: its MIDI number; 60 is middle C.
    """

    start: np.ndarray
    end: np.ndarray
    pitch: np.ndarray


def notes(tokens: np.ndarray) -> Notes:
    """The notes of one melody; a hold at its start is silent, as is one after a note-off.

    Args:
        tokens: (T,), by the codes of `VOCABULARY`.

    >>> found = notes(np.array([0, 41, 0, 1, 0, 42]))
    >>> found.start.tolist(), found.end.tolist(), found.pitch.tolist()
    ([1, 5], [3, 6], [60, 61])
    """
    changes = np.flatnonzero(tokens != HOLD)
    ends = np.append(changes[1:], len(tokens))
    sounding = tokens[changes] >= FIRST
    pitch = tokens[changes].astype(np.int64) - FIRST + LOWEST
    return Notes(changes[sounding], ends[sounding], pitch[sounding])


def sounding(tokens: np.ndarray) -> np.ndarray:
    """The pitch that sounds at each step, 0 in silence: of tokens (..., T), int64 likewise."""
    steps = np.arange(tokens.shape[-1])
    last = np.maximum.accumulate(np.where(tokens == HOLD, -1, steps), axis=-1)
    token = np.take_along_axis(tokens, np.maximum(last, 0), axis=-1).astype(np.int64)
    return np.where((last >= 0) & (token >= FIRST), token - FIRST + LOWEST, 0)


def transpose(tokens: np.ndarray, semitones: int) -> tuple[np.ndarray, np.ndarray]:
    """Tokens (n, T) up by ``semitones``, and which of them stay in range: only they are given.

    >>> moved, stays = transpose(np.array([[0, 88], [1, 89]]), 1)
    >>> moved.tolist(), stays.tolist()
    ([[0, 89]], [True, False])
    """
    pitched = tokens >= FIRST
    moved = np.where(pitched, tokens.astype(np.int64) + semitones, tokens)
    stays = np.all(~pitched | ((moved >= FIRST) & (moved < len(VOCABULARY))), axis=1)
    return moved[stays].astype(tokens.dtype), stays
