"""How well melodies are reproduced, and how well the simplest predictions do.

Most steps are holds, which whoever always says "hold" gets right: so what is played is judged too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowerbound.music.tokens import FIRST, HOLD

CONTEXT = 16
MIX = 0x9E3779B97F4A7C15
"""What passages are told apart by: the powers of an odd number, modulo 2⁶⁴."""


@dataclass(frozen=True)
class Accuracy:
    """Of reproductions, or of predictions step by step.

    Attributes:
        steps: the share of steps with the right token.
        steps_error: its standard error, over melodies.
        onsets: F1 of where notes begin: 2 hits/(notes there are + notes given).
        pitches: the share of notes there are that begin where they should, at their pitch.
        melodies: the share of melodies that are right throughout.
    """

    steps: float
    steps_error: float
    onsets: float
    pitches: float
    melodies: float


def accuracy(original: np.ndarray, given: np.ndarray) -> Accuracy:
    """How well ``given`` agrees with the ``original``, both melodies (n, T).

    >>> accuracy(np.array([[41, 0, 43, 0]]), np.array([[41, 0, 44, 0]]))
    Accuracy(steps=0.75, steps_error=nan, onsets=1.0, pitches=0.5, melodies=0.0)
    """
    right = original == given
    begins, given_begins = original >= FIRST, given >= FIRST
    of_each = right.mean(1)
    n = len(original)
    return Accuracy(
        float(of_each.mean()),
        float(of_each.std(ddof=1) / np.sqrt(n)) if n > 1 else float("nan"),
        float(2 * (begins & given_begins).sum() / max(begins.sum() + given_begins.sum(), 1)),
        float(right[begins].mean()) if begins.any() else float("nan"),
        float(right.all(1).mean()),
    )


def copied(tokens: np.ndarray) -> np.ndarray:
    """Each step predicted to be what the step before was, the first a hold: (n, T)."""
    return np.pad(tokens, ((0, 0), (1, 0)), constant_values=HOLD)[:, :-1]


def most_common(tokens: np.ndarray, train: np.ndarray) -> np.ndarray:
    """Each step predicted to be the token most common in ``train``, (m, T)."""
    return np.full_like(tokens, np.bincount(train.ravel()).argmax())


def markov(tokens: np.ndarray, train: np.ndarray, context: int = CONTEXT) -> np.ndarray:
    """Each step predicted by the steps before it, most likely as in ``train``, (m, T).

    By as many of them, up to ``context``, as were followed by anything there.
    """
    predicted = most_common(tokens, train)
    known, asked = (np.zeros(x.shape, np.uint64) for x in (train, tokens))
    for length in range(1, min(context, tokens.shape[1] - 1) + 1):
        weight = np.uint64(MIX) ** np.uint64(length)
        known, asked = (
            h[:, 1:] + weight * (x[:, :-length].astype(np.uint64) + np.uint64(1))
            for h, x in ((known, train), (asked, tokens))
        )
        passages, following = _most_common_after(known.ravel(), train[:, length:].ravel())
        place = np.searchsorted(passages, asked).clip(max=len(passages) - 1)
        met = passages[place] == asked
        predicted[:, length:][met] = following[place[met]]
    return predicted


def _most_common_after(passage: np.ndarray, token: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Each passage once, rising, and the token that follows it most often."""
    order = np.lexsort((token, passage))
    passage, token = passage[order], token[order]
    starts = np.flatnonzero(
        np.append(True, (passage[1:] != passage[:-1]) | (token[1:] != token[:-1]))
    )
    times = np.diff(np.append(starts, len(token)))
    passage, token = passage[starts], token[starts]
    order = np.lexsort((times, passage))
    last = np.append(passage[order][1:] != passage[order][:-1], True)
    return passage[order][last], token[order][last]
