"""What can be counted in a melody, and the direction of the latent space that it grows in.

Source: Roberts et al., A hierarchical latent vector model for learning long-term structure in
music, 2018, arXiv 1803.05428, section 5.4.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from lowerbound.errors import ConfigurationError
from lowerbound.music.score import PER_QUARTER
from lowerbound.music.tokens import FIRST, LOWEST

C_MAJOR = np.isin(np.arange(12), (0, 2, 4, 5, 7, 9, 11))
QUARTILE = 0.25


def density(tokens: np.ndarray) -> np.ndarray:
    """Notes a quarter, of melodies (n, T): (n,)."""
    return _begins(tokens).mean(1) * PER_QUARTER


def interval(tokens: np.ndarray) -> np.ndarray:
    """The mean size of the steps from note to note, in semitones: (n,); 0 for fewer than two."""
    begins = _begins(tokens)
    steps = np.arange(tokens.shape[1])
    last = np.maximum.accumulate(np.where(begins, steps, -1), axis=1)
    before = np.pad(last, ((0, 0), (1, 0)), constant_values=-1)[:, :-1]  # the note before each step
    previous = np.take_along_axis(tokens, np.maximum(before, 0), axis=1).astype(np.int64)
    size = np.abs(tokens.astype(np.int64) - previous)
    return _mean(size, begins & (before >= 0))


def diatonic(tokens: np.ndarray) -> np.ndarray:
    """The share of notes that are white keys: (n,)."""
    begins = _begins(tokens)
    pitch = tokens.astype(np.int64) - FIRST + LOWEST
    return _mean(C_MAJOR[pitch % 12], begins)


def syncopation(tokens: np.ndarray) -> np.ndarray:
    """The share of notes between two eighths with none on the eighth before: (n,)."""
    return _off_beat(tokens, 1)


def eighth_syncopation(tokens: np.ndarray) -> np.ndarray:
    """The share of notes between two quarters, on the eighth, with none on the quarter before."""
    return _off_beat(tokens, 2)


ATTRIBUTES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "density": density,
    "interval": interval,
    "diatonic": diatonic,
    "syncopation": syncopation,
    "eighth-syncopation": eighth_syncopation,
}
"""What measures each attribute, by name: from tokens (n, T) to (n,)."""


def direction(codes: np.ndarray, values: np.ndarray) -> np.ndarray:
    """The mean code of the quarter with the highest values, less that of the lowest quarter.

    Args:
        codes: (n, latent).
        values: (n,) of an attribute.

    Raises:
        ConfigurationError: the two quarters do not differ in the attribute.
    """
    count = max(1, round(QUARTILE * len(values)))
    order = np.argsort(values, kind="stable")
    low, high = order[:count], order[-count:]
    if not values[low].max() < values[high].min():
        raise ConfigurationError(
            "expected melodies of which a quarter has more of the attribute than another, got "
            f"values around {np.median(values):.3g}; choose another attribute"
        )
    return np.asarray(codes[high].mean(0) - codes[low].mean(0))


def _begins(tokens: np.ndarray) -> np.ndarray:
    return np.asarray(tokens >= FIRST)


def _off_beat(tokens: np.ndarray, half: int) -> np.ndarray:
    """The share of notes on odd multiples of ``half`` steps with none that many steps before."""
    begins = _begins(tokens)
    off = np.arange(tokens.shape[1]) % (2 * half) == half
    before = np.pad(begins, ((0, 0), (half, 0)))[:, :-half]
    return _mean(off & ~before, begins)


def _mean(values: np.ndarray, where: np.ndarray) -> np.ndarray:
    """The mean of each row of ``values`` over what is ``where``; 0 where nothing is."""
    return np.asarray((values * where).sum(1) / np.maximum(where.sum(1), 1))
