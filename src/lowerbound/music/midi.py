"""Melodies as a MIDI file."""

from __future__ import annotations

import numpy as np

from lowerbound.extras import needs
from lowerbound.music.score import PER_QUARTER
from lowerbound.music.tokens import notes
from lowerbound.music.windows import MetreName

TICKS = 480 // PER_QUARTER
"""Of a step."""
LOUDNESS = 90


def midi_bytes(tokens: np.ndarray, *, metre: MetreName = "4/4", tempo: float = 120.0) -> bytes:
    """Melodies (n, T), one after the other, as a MIDI file of type 1.

    Args:
        tokens: see `tokens`; notes end where their melody does.
        metre: what the file says of bars.
        tempo: quarters a minute.
    """
    symusic = needs("symusic", "music")
    score = symusic.Score(PER_QUARTER * TICKS)
    score.tempos.append(symusic.Tempo(0, tempo))
    beats, unit = map(int, metre.split("/"))
    score.time_signatures.append(symusic.TimeSignature(0, beats, unit))
    track = symusic.Track("Melody")
    for i, row in enumerate(tokens):
        found, begin = notes(row), i * len(row)
        for start, end, pitch in zip(found.start, found.end, found.pitch, strict=True):
            time, duration = TICKS * int(begin + start), TICKS * int(end - start)
            track.notes.append(symusic.Note(time, duration, int(pitch), LOUDNESS))
    score.tracks.append(track)
    return bytes(score.dumps_midi())
