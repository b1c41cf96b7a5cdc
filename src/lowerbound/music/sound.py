"""Melodies as sound: each note a few decaying partials of its pitch."""

from __future__ import annotations

import io
import wave

import numpy as np

from lowerbound.music.score import PER_QUARTER
from lowerbound.music.tokens import notes

RATE = 22_050
PARTIALS = 8
ATTACK, RELEASE, DECAY = 0.008, 0.06, 1.2
"""Seconds in which a note rises, fades after its end, and loses a factor e on the way."""
PEAK = 10 ** (-3 / 20)
"""−3 dB of full scale."""


def wave_bytes(tokens: np.ndarray, *, tempo: float = 120.0, rate: int = RATE) -> bytes:
    """`sound` as a WAV file of one channel, 16 bits a sample.

    Args:
        tokens: melodies (n, T).
        tempo: quarters a minute.
        rate: samples a second.
    """
    samples = np.rint(sound(tokens, tempo=tempo, rate=rate) * (2**15 - 1)).astype("<i2")
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes(samples.tobytes())
    return buffer.getvalue()


def sound(tokens: np.ndarray, *, tempo: float = 120.0, rate: int = RATE) -> np.ndarray:
    """Melodies (n, T), one after the other, as samples in [−1, 1] whose peak is at −3 dB.

    The k-th partial of a pitch f has k·f and the amplitude k⁻¹·⁵, and decays √k times as fast.

    Args:
        tokens: see `tokens`; notes end where their melody does.
        tempo: quarters a minute.
        rate: samples a second.
    """
    step = rate * 60 / tempo / PER_QUARTER
    samples = np.zeros(int(np.ceil(tokens.size * step + RELEASE * rate)))
    for i, row in enumerate(tokens):
        found = notes(row)
        for start, end, pitch in zip(found.start, found.end, found.pitch, strict=True):
            begin = round((i * len(row) + start) * step)
            played = _note(440 * 2 ** ((pitch - 69) / 12), round((end - start) * step), rate)
            samples[begin : begin + len(played)] += played[: len(samples) - begin]
    return samples * (PEAK / max(np.abs(samples).max(initial=0.0), 1e-9))


def _note(frequency: float, length: int, rate: int) -> np.ndarray:
    """A note held for ``length`` samples, and its release."""
    t = np.arange(length + int(RELEASE * rate)) / rate
    k = np.arange(1, PARTIALS + 1)
    k = k[k * frequency < rate / 2, None]
    partials = k**-1.5 * np.exp(-np.sqrt(k) * t / DECAY) * np.sin(2 * np.pi * k * frequency * t)
    rise, fade = np.clip(t / ATTACK, 0, 1), np.clip((t[-1] - t) / RELEASE, 0, 1)
    envelope = (1 - np.cos(np.pi * rise)) * (1 - np.cos(np.pi * fade)) / 4
    return np.asarray(partials.sum(0) * envelope)
