"""Melodies: read from MIDI and ABC into tokens of a sixteenth each, and written as MIDI and sound.

>>> from lowerbound.music import VOCABULARY, notes
>>> len(VOCABULARY), VOCABULARY[41]
(90, 'C4')
"""

from lowerbound.music.kinship import families
from lowerbound.music.melody import Melody, extract
from lowerbound.music.reading import Melodies, read_files
from lowerbound.music.score import Metre, Score, Track, Unusable, read_midi
from lowerbound.music.tokens import VOCABULARY, Notes, notes, pitch_name, sounding, transpose
from lowerbound.music.windows import Windows, windows

__all__ = [
    "VOCABULARY",
    "Melodies",
    "Melody",
    "Metre",
    "Notes",
    "Score",
    "Track",
    "Unusable",
    "Windows",
    "extract",
    "families",
    "notes",
    "pitch_name",
    "read_files",
    "read_midi",
    "sounding",
    "transpose",
    "windows",
]
