"""Melodies from files: what can be used, and what is left out, by reason."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from lowerbound.errors import StorageError
from lowerbound.files import read_regular
from lowerbound.music import abc
from lowerbound.music.melody import Melody, extract
from lowerbound.music.musicxml import read_musicxml
from lowerbound.music.score import MOST_BYTES, Unusable, read_midi

READERS = {
    ".mid": read_midi,
    ".midi": read_midi,
    ".musicxml": read_musicxml,
    ".mxl": read_musicxml,
}
"""Of the files of one melody; a book in ABC has many."""
SUFFIXES = (*READERS, ".abc")
MOST_BOOK_BYTES = 64 * 2**20


@dataclass(frozen=True)
class Melodies:
    """What was read.

    Attributes:
        found: the melodies.
        names: of the file that each is from, with its number in a book.
        left_out: the names of what could not be used, by reason.
    """

    found: tuple[Melody, ...]
    names: tuple[str, ...]
    left_out: dict[str, list[str]]


def files_in(folder: Path, suffixes: tuple[str, ...] = SUFFIXES) -> list[Path]:
    """The files of melodies in a folder and in the folders in it, by name; or a file itself."""
    if folder.is_file():
        return [folder]
    return sorted(
        Path(above, name)
        for above, _, names in os.walk(folder)
        for name in names
        if name.lower().endswith(suffixes) and not name.startswith(".")
    )


def read_files(paths: Iterable[Path], track: str | None = None) -> Melodies:
    """The melodies in files: of MIDI and MusicXML one each, of a book in ABC all.

    ``track`` is the name of the track to take; see `melody.extract`.
    """
    sources = [source for path in paths for source in _sources(path)]
    scores = abc.read_tunes([source for _, source in sources if isinstance(source, str)])
    found, names, left_out = [], [], defaultdict[str, list[str]](list)
    for name, source in sources:
        score = next(scores) if isinstance(source, str) else source
        try:
            if isinstance(score, Path):
                score = READERS[score.suffix.lower()](_content(score, MOST_BYTES))
            if isinstance(score, Unusable):
                raise score
            found.append(extract(score, track))
            names.append(name)
        except Unusable as error:
            left_out[str(error)].append(name)
    return Melodies(tuple(found), tuple(names), dict(left_out))


def _sources(path: Path) -> Iterator[tuple[str, Path | str | Unusable]]:
    """What there is to read in a file, with its name: all of it, or each tune of a book."""
    if path.suffix.lower() in READERS:
        yield path.name, path
        return
    try:
        tunes = list(abc.tunes(_content(path, MOST_BOOK_BYTES).decode("utf-8-sig", "replace")))
    except Unusable as error:
        yield path.name, error
        return
    if not tunes:
        yield path.name, Unusable("without a tune, which begins with X:")
    for number, tune in enumerate(tunes, 1):
        yield path.name if len(tunes) == 1 else f"{path.name} {number}", tune


def _content(path: Path, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise Unusable(f"of more than {most // 2**20} MiB")
        return read_regular(path, "a melody", most)
    except (OSError, StorageError):
        raise Unusable("that cannot be read") from None
