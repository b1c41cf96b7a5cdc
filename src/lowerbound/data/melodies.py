"""Melodies of files and of music21's folk tunes, as windows of tokens, held out tune by tune."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from lowerbound.data.columns import quoted
from lowerbound.data.conversion import Part, Parts, Raw, part_folders
from lowerbound.data.dataset import Dataset
from lowerbound.data.known import cache_folder
from lowerbound.data.reading import Reading
from lowerbound.errors import DataError, StorageError
from lowerbound.extras import needs
from lowerbound.files import read_regular, write_atomic
from lowerbound.logs import log
from lowerbound.music.kinship import families
from lowerbound.music.melody import Melody
from lowerbound.music.reading import Melodies, files_in, read_files
from lowerbound.music.score import Metre
from lowerbound.music.tokens import VOCABULARY, transpose
from lowerbound.music.windows import metres_of, windows

OPTIONS = ("bars", "metre", "track", "transpose")
COLLECTIONS = ("airdsAirs", "essenFolksong", "miscFolk", "oneills1850", "ryansMammoth")
CACHE_FORMAT, MOST_CACHED = 4, 2**28
TEST_FRACTION = 0.1


def read_melodies(source: Path, reading: Reading) -> Parts:
    """The melodies in a file, or in a folder and its folders; what is left out is told.

    Folders called train and test, or validation, are the parts.

    Raises:
        DataError: nothing of it can be used.
    """
    folders: dict[Part, Path] = {"all": source} if source.is_file() else part_folders(source)
    files = {part: files_in(path) for part, path in folders.items()}
    read = {part: read_files(paths, reading.track) for part, paths in files.items()}
    family = families([melody for each in read.values() for melody in each.found])
    parts: Parts = {}
    for part, each in read.items():
        here, family = family[: len(each.found)], family[len(each.found) :]
        parts[part] = _windows(each.found, here, each.left_out, reading, folders[part])
    _tell_of_parts(parts, len(files_in(source)) - sum(map(len, files.values())), source)
    return parts


def _tell_of_parts(parts: Parts, beside: int, source: Path) -> None:
    """Warn of files that lie ``beside`` the parts, and of melodies held out that are trained on."""
    if beside:
        files = "1 file that lies" if beside == 1 else f"{beside:,} files that lie"
        log.warning("%s: left out %s beside its parts", source.name, files)
    for part, raw in parts.items():
        if part in ("all", "train") or raw.groups is None:
            continue
        shared = np.isin(raw.groups, np.asarray(parts["train"].groups))
        if shared.any():
            log.warning(
                "%s: %s of %s windows for %s are of melodies that the training part has too, or "
                "variants of them",
                source.name,
                f"{shared.sum():,}",
                f"{len(shared):,}",
                part,
            )


def read_folk_tunes(reading: Reading) -> Parts:
    """The folk tunes in music21's files, of which one family in ten is the test part.

    They are read once, and kept in the cache.

    Raises:
        MissingExtra: music21 is not installed.
        DataError: it is without its files of music.
    """
    read, family = _folk_tunes()
    shuffled = np.random.RandomState((0, 0)).permutation(family.max() + 1)
    for_test = np.isin(family, shuffled[: round(TEST_FRACTION * len(shuffled))])
    chosen: dict[Part, np.ndarray] = {"train": ~for_test, "test": for_test}
    parts: Parts = {}
    for part, here in chosen.items():
        melodies = [read.found[i] for i in np.flatnonzero(here)]
        left_out = read.left_out if part == "train" else {}
        where = Path(f"folk-tunes {part}")
        parts[part] = _windows(melodies, family[here], left_out, reading, where)
    return parts


def corpus_folder() -> Path:
    """music21's files of music, found without the seconds that importing the package takes."""
    package = importlib.util.find_spec("music21")
    origin = needs("music21", "music").__file__ if package is None else package.origin
    return Path(str(origin)).parent / "corpus"


def transposed(data: Dataset, semitones: int) -> Dataset:
    """Melodies, and the same moved by 1 to ``semitones`` up and down, as far as they fit.

    Data that are no melodies stay as they are.
    """
    if data.schema[0].categories != VOCABULARY or not semitones:
        return data
    shifts = [0, *(sign * by for by in range(1, semitones + 1) for sign in (1, -1))]
    found = [transpose(data.x.numpy(), by) for by in shifts]
    x = torch.from_numpy(np.concatenate([tokens for tokens, _ in found]))
    groups = data.groups
    if groups is not None:
        groups = np.concatenate([groups[stays] for _, stays in found])
    return replace(data, x=x, groups=groups)


def _windows(
    melodies: Sequence[Melody],
    family: np.ndarray,
    unusable: dict[str, list[str]],
    reading: Reading,
    source: Path,
) -> Raw:
    """The windows of melodies; what was left out is told, with what was ``unusable`` before.

    Raises:
        DataError: there are none.
    """
    found = windows(melodies, reading.metre, reading.bars)
    others = Counter(
        metre
        for melody in melodies
        for metre in metres_of(melody)
        if reading.metre not in metres_of(melody)
    )
    told = [f"{len(names):,} {why} ({quoted(names)})" for why, names in unusable.items()]
    if others:
        metres = ", ".join(f"{number:,} in {metre}" for metre, number in others.most_common(5))
        told.append(f"melodies of other metres: {metres}")
    if found.too_short:
        told.append(f"melodies too short for {reading.bars} bars: {found.too_short:,}")
    if found.left_out:
        why = ", ".join(f"{number:,} {reason}" for reason, number in found.left_out.items())
        told.append(f"windows: {why}")
    if others_in := [melody.others for melody in melodies if melody.others]:
        told.append(
            f"notes beside the top line, in chords or other tracks: {sum(others_in):,} in "
            f"{len(others_in):,} {_melodies(len(others_in))}"
        )
    left_out = "; ".join(told)
    what = f"windows of {reading.bars} bars in {reading.metre}"
    if not len(found.tokens):
        raise DataError(
            f"{source}: expected melodies with {what}, in MIDI (.mid), ABC (.abc) or "
            "MusicXML (.musicxml, .mxl), got none "
            f"(left out: {left_out or 'nothing'}); choose other bars= or metre= (--bars, --metre), "
            "or add some"
        )
    tunes = len(np.unique(found.tune))
    of = f"of {tunes:,} {_melodies(tunes)}"
    log.info("%s: %s %s, %s", source.name, f"{len(found.tokens):,}", what, of)
    if told:
        log.info("%s: left out: %s", source.name, left_out)
    return Raw(found.tokens, str(source), vocabulary=VOCABULARY, groups=family[found.tune])


def _melodies(number: int) -> str:
    return "melody" if number == 1 else "melodies"


def _folk_tunes() -> tuple[Melodies, np.ndarray]:
    """The folk tunes and the family of each, from the cache or from music21's files."""
    corpus = corpus_folder()
    versions = [importlib.metadata.version(name) for name in ("music21", "symusic")]
    kept = cache_folder() / "folk-tunes" / f"{'-'.join(versions)}-{CACHE_FORMAT}.npz"
    if kept.is_file():
        try:
            return _unpacked(read_regular(kept, "folk tunes", MOST_CACHED))
        except Exception:  # what unpacks a damaged archive can raise anything
            log.warning("%s: is damaged, and made anew", kept)
    log.info("folk-tunes: are read once from the files of music21, which takes about a minute")
    read = read_files(path for name in COLLECTIONS for path in files_in(corpus / name))
    if not read.found:
        raise DataError(
            f"folk-tunes: expected melodies in {corpus}, got none; install music21 anew"
        )
    family = families(read.found)
    try:
        write_atomic(kept, _packed(read, family))
    except StorageError as error:
        log.warning("%s; they are used from memory this time", error)
    return read, family


def _packed(read: Melodies, family: np.ndarray) -> bytes:
    """As the arrays of an .npz file."""
    metres = [
        (i, metre.start, metre.beats, metre.unit)
        for i, melody in enumerate(read.found)
        for metre in melody.metres
    ]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        tokens=np.concatenate([melody.tokens for melody in read.found]),
        lengths=np.array([len(melody.tokens) for melody in read.found]),
        metres=np.array(metres),
        others=np.array([melody.others for melody in read.found]),
        names=np.array(read.names),
        family=family,
        reasons=np.array([why for why, names in read.left_out.items() for _ in names]),
        left_out=np.array([name for names in read.left_out.values() for name in names]),
    )
    return buffer.getvalue()


def _unpacked(content: bytes) -> tuple[Melodies, np.ndarray]:
    """What `_packed` was given."""
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        ends = np.cumsum(arrays["lengths"])
        tokens = np.split(arrays["tokens"], ends[:-1])
        numbers = arrays["metres"]
        of_each = np.split(numbers, np.searchsorted(numbers[:, 0], np.arange(1, len(ends))))
        melodies = tuple(
            Melody(
                each,
                tuple(Metre(start, int(beats), int(unit)) for _, start, beats, unit in rows),
                int(others),
            )
            for each, rows, others in zip(tokens, of_each, arrays["others"], strict=True)
        )
        left_out: dict[str, list[str]] = {}
        for why, name in zip(arrays["reasons"].tolist(), arrays["left_out"].tolist(), strict=True):
            left_out.setdefault(why, []).append(name)
        return Melodies(melodies, tuple(arrays["names"].tolist()), left_out), arrays["family"]
