"""Scores in MusicXML, by way of music21.

Source: W3C Music Notation Community Group, MusicXML 4.0, 2021; Cuthbert & Ariza, music21, 2010.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Iterator
from typing import Any

import numpy as np

from lowerbound.errors import brief
from lowerbound.extras import needs
from lowerbound.music.score import PER_QUARTER, Metre, Score, Track, Unusable, check_number, made_of

MOST_BYTES = 4 * 2**20
"""Of text; a bar of one part has about a thousand."""
MOST_REPEATS = 8
LOUDNESS = 90
ENCODING = re.compile(rb"<\?xml[^>]{0,80}encoding=[\"']([\w.-]{1,20})[\"']")


def read_musicxml(content: bytes) -> Score:
    """The score in a MusicXML file, compressed (.mxl) or not: each part a track, repeats played.

    Notes are those that sound, grace notes and chords by name left out; metres begin where bars do.

    Raises:
        Unusable: it is none, damaged, too large or without notes.
    """
    text = _text(_unpacked(content) if content[:2] == b"PK" else content)
    music21 = needs("music21", "music")
    try:
        score = music21.converter.parseData(text, format="musicxml").toSoundingPitch()
        parts = [_played(music21, part) for part in score.parts]
        tracks = [_track(part) for part in parts]
        check_number(sum(len(track.start) for track in tracks))
        return made_of(tracks, _metres(parts[0]) if parts else ())
    except Unusable:
        raise
    except Exception as error:  # a decoder that meets damage can raise anything
        raise Unusable(f"damaged ({brief(error)})") from None


def _unpacked(content: bytes) -> bytes:
    """The score in a compressed file, which its META-INF/container.xml names first."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            container = archive.open("META-INF/container.xml").read(2**16)
            found = re.search(rb"full-path=[\"']([^\"']{1,1000})[\"']", container)
            if found is None:
                raise Unusable("whose container names no score")
            return archive.open(found[1].decode()).read(MOST_BYTES + 1)
    except Unusable:
        raise
    except Exception as error:  # what unpacks a damaged archive can raise anything
        raise Unusable(f"damaged ({brief(error)})") from None


def _text(content: bytes) -> str:
    """The XML, in which nothing is declared that could grow."""
    if len(content) > MOST_BYTES:
        raise Unusable(f"of more than {MOST_BYTES // 2**20} MiB of text")
    told = ENCODING.match(content)
    is_wide = content[:2] in (b"\xff\xfe", b"\xfe\xff")
    try:
        text = content.decode("utf-16" if is_wide else told[1].decode() if told else "utf-8-sig")
    except (UnicodeError, LookupError):
        raise Unusable("in no encoding that is known") from None
    if "<score-partwise" not in text and "<score-timewise" not in text:
        raise Unusable("no MusicXML, whose first element is score-partwise")
    if "<!ENTITY" in text:
        raise Unusable("with entities of its own")
    return text


def _played(music21: Any, part: Any) -> Any:
    """The part with its repeats, and tied notes as one."""
    marks = part[music21.bar.Repeat]
    if any((mark.times or 2) > MOST_REPEATS for mark in marks):
        raise Unusable(f"repeated more than {MOST_REPEATS} times")
    if music21.repeat.Expander(part).isExpandable():
        part = part.expandRepeats()
    return part.stripTies()


def _track(part: Any) -> Track:
    found = sorted(
        (float(note.offset), float(note.offset + note.quarterLength), pitch.midi)
        for note in part.flatten().notes
        if note.quarterLength > 0 and "ChordSymbol" not in note.classes
        for pitch in getattr(note, "pitches", ())
    )
    start, end, pitch = np.array(found).reshape(-1, 3).T
    return Track(
        str(part.partName or ""),
        start * PER_QUARTER,
        end * PER_QUARTER,
        pitch.astype(np.int64),
        np.full(len(found), LOUDNESS),
    )


def _metres(part: Any) -> Iterator[Metre]:
    """The metres, each begun anew where a bar begins off its grid: after upbeats and short bars."""
    current = Metre(0.0, 4, 4)
    for i, bar in enumerate(part.getElementsByClass("Measure")):
        start, signature = float(bar.offset) * PER_QUARTER, bar.timeSignature
        beats, unit = current.beats, current.unit
        if signature is not None:
            beats, unit = signature.numerator, signature.denominator
        following = Metre(start, beats, unit)
        if i == 0 or not current.continues(following):
            yield following
            current = following
