"""Melodies: tokens of a sixteenth each, as notes, as MIDI and as sound.

>>> from lowerbound.music import VOCABULARY
>>> len(VOCABULARY), VOCABULARY[41]
(90, 'C4')
"""

from lowerbound.music.midi import midi_bytes
from lowerbound.music.sound import sound, wave_bytes
from lowerbound.music.tokens import VOCABULARY, Notes, notes

__all__ = ["VOCABULARY", "Notes", "midi_bytes", "notes", "sound", "wave_bytes"]
