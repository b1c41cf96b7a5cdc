"""Rolls of melodies, which are heard as well, and what is right of reconstructions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from lowerbound import plots
from lowerbound.music.sound import wave_bytes
from lowerbound.music.windows import BAR
from lowerbound.plots.style import coordinate
from lowerbound.report.outcome import Outcome, some
from lowerbound.report.tables import Table
from lowerbound.reproduction import accuracies
from lowerbound.walks import slerp

STEPS = 256
"""Of a picture, in all versions: 16 bars."""
STATIONS, JUDGED = 8, 1000
RATE = 11_025


@dataclass(frozen=True)
class Heard:
    """Rolls, and the melodies one after the other as a WAV file."""

    figure: Figure
    sound: bytes


def shown(outcome: Outcome, versions: int = 1) -> int:
    """How many melodies a picture has, in so many versions."""
    return int(max(1, STEPS // versions // outcome.data.shape[0]))


def reconstructions(outcome: Outcome) -> Heard:
    """The first test melodies, and each after it rebuilt."""
    data = outcome.data.take(shown(outcome, 2))
    return _heard(outcome, {"original": data.x, "reconstruction": outcome.reconstructed(data)})


def worst(outcome: Outcome) -> Heard:
    """The test melodies of the lowest score, likewise."""
    data, scores, _ = outcome.worst(shown(outcome, 2))
    rows = {"original": data.x, "reconstruction": outcome.reconstructed(data)}
    return _heard(outcome, rows, scores)


def samples(outcome: Outcome) -> Heard:
    """Draws x ~ p(x|z), z ~ p(z)."""
    return _heard(outcome, {"": outcome.sampled(shown(outcome), mean=False)})


@torch.no_grad()
def interpolation(outcome: Outcome) -> Heard:
    """From the first test melody to the second, along the arc between their codes."""
    model, pair = outcome.model, outcome.data.take(2)
    first, last = model.embed(pair)
    path = slerp(first, last, min(STATIONS, max(3, shown(outcome))))
    labels = None if pair.context is None else pair.context[:1].repeat(len(path))
    titles = [coordinate(i / (len(path) - 1)) for i in range(len(path))]
    return _heard(outcome, {"": model.decode(path, labels).cpu()}, titles)


def agreement(outcome: Outcome) -> Table:
    """What is right of test melodies, by who says their tokens."""
    assert outcome.train is not None
    found = accuracies(outcome.model, some(outcome.data, JUDGED), outcome.train, seed=outcome.seed)
    rows = [
        (
            name,
            f"{a.steps:.3f} ± {a.steps_error:.3f}",
            f"{a.onsets:.3f}",
            f"{a.pitches:.3f}",
            f"{a.melodies:.3f}",
        )
        for name, a in found.items()
    ]
    return Table(("", "steps", "onsets, F1", "notes, their pitch too", "whole melodies"), rows)


def _heard(outcome: Outcome, rows: dict[str, Tensor], titles: list[str] | None = None) -> Heard:
    """Rolls of each row; each melody is heard after what stands above it."""
    tokens = {name: np.asarray(row).astype(np.uint8) for name, row in rows.items()}
    in_turn = np.stack(list(tokens.values()), 1).reshape(-1, outcome.data.shape[0])
    figure = plots.piano_rolls(tokens, bar=BAR[outcome.metre], titles=titles or ())
    return Heard(figure, wave_bytes(in_turn, rate=RATE))
