"""Notes and metres, as files have them.

What is read comes from anywhere: headers are checked first, sizes are limited, and what cannot be
used is one `Unusable`, whose reason is counted by who reads many files.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from operator import itemgetter

import numpy as np

from lowerbound.errors import brief
from lowerbound.extras import needs

MOST_BYTES = 8 * 2**20
MOST_NOTES = 200_000
MOST_STEPS = 2**16
PER_QUARTER = 4


class Unusable(Exception):
    """Why a file or a tune cannot be read, in a few words that follow a count of them."""


@dataclass(frozen=True)
class Track:
    """The notes of one instrument, by start.

    Attributes:
        name: as the file has it.
        start, end: of each note, in sixteenths from the beginning, (notes,) float64.
        pitch: MIDI numbers, 60 is middle C, (notes,) int64.
        velocity: 1 to 127, (notes,) int64.
    """

    name: str
    start: np.ndarray
    end: np.ndarray
    pitch: np.ndarray
    velocity: np.ndarray


@dataclass(frozen=True)
class Metre:
    """A time signature, such as 6/8, and where it begins, in sixteenths."""

    start: float
    beats: int
    unit: int

    def __post_init__(self) -> None:
        if not 1 <= self.beats <= 64 or self.unit not in (1, 2, 4, 8, 16, 32):
            raise Unusable(f"damaged (a metre that cannot be, {self.name})")

    @property
    def name(self) -> str:
        """Such as "6/8"."""
        return f"{self.beats}/{self.unit}"

    @property
    def bar(self) -> float:
        """A bar's length, in sixteenths."""
        return self.beats * 4 * PER_QUARTER / self.unit

    def continues(self, later: Metre) -> bool:
        """Whether a ``later`` one is the same, said again where a bar begins."""
        return later.name == self.name and not (later.start - self.start) % self.bar


@dataclass(frozen=True)
class Score:
    """What a file says of pitches and times.

    Attributes:
        tracks: those of pitched instruments that have notes.
        metres: by start, the first at 0 unless the music begins with an upbeat.
    """

    tracks: tuple[Track, ...]
    metres: tuple[Metre, ...]


def read_midi(content: bytes) -> Score:
    """The score in the bytes of a standard MIDI file of type 0 or 1; 4/4 where it does not say.

    Raises:
        Unusable: it is none, damaged, too large, without notes or of another type.

    Source: MIDI Manufacturers Association, Standard MIDI Files 1.0, 1996.
    """
    _check_header(content)
    symusic = needs("symusic", "music")
    try:
        file = symusic.Score.from_midi(content)
        steps = file.tpq / PER_QUARTER
        check_number(file.note_num())
        tracks = [_track(track, steps) for track in file.tracks if not track.is_drum]
        signatures = [(s.time / steps, s.numerator, s.denominator) for s in file.time_signatures]
    except Unusable:
        raise
    except Exception as error:  # a decoder that meets damage can raise anything
        raise Unusable(f"damaged ({brief(error)})") from None
    return made_of(tracks, _metres(signatures))


def check_number(notes: int) -> None:
    """Raises Unusable: so many notes are too many."""
    if notes > MOST_NOTES:
        raise Unusable(f"of more than {MOST_NOTES:,} notes")


def made_of(tracks: Iterable[Track], metres: Iterable[Metre]) -> Score:
    """The score of those ``tracks`` that have notes.

    Raises:
        Unusable: there are none, or times that cannot be.
    """
    tracks = tuple(track for track in tracks if len(track.start))
    if not tracks:
        raise Unusable("without notes, but perhaps percussion")
    if max(track.end.max() for track in tracks) > MOST_STEPS:
        raise Unusable(f"longer than {MOST_STEPS:,} sixteenths")
    if min(track.start.min() for track in tracks) < 0:
        raise Unusable("damaged (times before the beginning)")
    return Score(tracks, tuple(metres))


def _metres(signatures: list[tuple[float, int, int]]) -> Iterator[Metre]:
    """Metres by start, from 4/4 on; of those at one time the last.

    One said again where a bar begins is the same one.
    """
    current = Metre(0.0, 4, 4)
    by_start = sorted(signatures, key=itemgetter(0))
    latest = {signature[0]: Metre(*signature) for signature in by_start}
    for following in latest.values():
        if following.start > current.start:
            if current.continues(following):
                continue
            yield current
        current = following
    yield current


def _check_header(content: bytes) -> None:
    """Raises Unusable: these are no bytes of a MIDI file of type 0 or 1 whose times are beats."""
    if len(content) > MOST_BYTES:
        raise Unusable(f"of more than {MOST_BYTES // 2**20} MiB")
    if not content:
        raise Unusable("empty")
    if content[:4] != b"MThd" or len(content) < 14:
        raise Unusable("no MIDI, whose first letters are MThd")
    _, kind, _, division = struct.unpack(">IHHH", content[4:14])
    if kind not in (0, 1):
        raise Unusable(f"of type {kind}, not 0 or 1")
    if not 0 < division < 2**15:
        raise Unusable("timed in seconds, not in beats")


def _track(track: object, steps: float) -> Track:
    notes = track.notes.numpy()  # type: ignore[attr-defined]
    start = notes["time"].astype(np.int64)
    order = np.argsort(start, kind="stable")
    end = start + notes["duration"].astype(np.int64)
    return Track(
        track.name,  # type: ignore[attr-defined]
        start[order] / steps,
        end[order] / steps,
        notes["pitch"][order].astype(np.int64),
        notes["velocity"][order].astype(np.int64),
    )
