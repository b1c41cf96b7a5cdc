"""From the name of a data set, or a path, to its training, validation and test parts.

What reads a file or folder is a row of `FORMATS`.
"""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, NoReturn, Unpack, overload

import numpy as np

from lowerbound.data.assembly import assemble
from lowerbound.data.conversion import Part, Parts, Raw, check_array, memory
from lowerbound.data.dataset import Dataset
from lowerbound.data.delimited import read_csv
from lowerbound.data.division import check_seed, divide, divide_on_disk
from lowerbound.data.h5ad import read_h5ad
from lowerbound.data.idx import is_idx_name, read_idx
from lowerbound.data.images import SUFFIXES, read_images
from lowerbound.data.kinds import informative
from lowerbound.data.known import MNIST, known, read_digits
from lowerbound.data.melodies import OPTIONS, read_folk_tunes, read_melodies, transposed
from lowerbound.data.numpy_files import NpyBlocks, read_npy, read_npz
from lowerbound.data.parquet import parquet_size, read_parquet, shards
from lowerbound.data.paths import existing
from lowerbound.data.reading import Options, Reading
from lowerbound.data.sources import read_fetched
from lowerbound.data.splits import Splits
from lowerbound.data.stored import Blocks, Progress, Stored, survey
from lowerbound.data.table_blocks import TableBlocks
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.music.reading import files_in

IMAGE_OPTIONS = ("crop", "resize", "skip_broken")
SHARE_OF_MEMORY = 0.25


@overload
def load(
    source: str | Path,
    *,
    folder: Path | None = None,
    validation: int | float = 0,
    test: int | float | None = None,
    seed: int = 0,
    on_disk: Literal[False] = False,
    **how: Unpack[Options],
) -> Splits: ...


@overload
def load(
    source: str | Path,
    *,
    folder: Path | None = None,
    validation: int | float = 0,
    test: int | float | None = None,
    seed: int = 0,
    on_disk: Literal[True],
    progress: Progress | None = None,
    **how: Unpack[Options],
) -> Splits[Stored]: ...


def load(
    source: str | Path,
    *,
    folder: Path | None = None,
    validation: int | float = 0,
    test: int | float | None = None,
    seed: int = 0,
    on_disk: bool = False,
    progress: Progress | None = None,
    **how: Unpack[Options],
) -> Splits | Splits[Stored]:
    """The data set ``source``, divided.

    digits, mnist and fashion-mnist have their own test parts.  digits, which is published as one
    set, is divided here into 1,437 and 360 by one fixed shuffle, whatever ``seed`` is.  Of a file
    or folder, a tenth is held out for testing, unless it has its own test part: an ``.npz`` with
    ``x_train`` and ``x_test``, or a folder with ``train`` and ``test``, or the four files of MNIST.

    Of a table, columns that are the same throughout, or are text that names the rows or is free,
    are left out with a word.

    With ``on_disk``, an ``.npy`` file or a table (CSV, Parquet) may be larger than memory: the
    training part is a `Stored`, read in blocks, and what is held out is kept in memory, where a
    fraction stands for at most 10,000 examples.  A CSV file, and Parquet in large row groups, is
    copied to the folder of temporary files.

    Args:
        source: a known name, or the path of a file or folder.
        folder: where the files of a known set may lie.
        validation: how many examples, or which fraction below 1, of the training part to hold out;
            a validation part of the source's own is used instead.
        test: how many or which fraction of a file or folder to hold out for testing.
        seed: of the shuffles that choose what is held out.
        on_disk: leave the training part on disk.
        progress: called with the examples read and their number, where data on disk are checked.
        labels: the column (CSV, Parquet; without it, one called label or class), array (``.npz``)
            or file (``.npy``, IDX) of the class labels; sub-folders of images are classes.
        header: whether the first line of a CSV file names its columns; without it, that is judged
            by the rows, and told.
        crop: the middle of each image in a folder that is kept: the pixels of a square's side, or
            (width, height).
        resize: what each image, after that, is brought to, its longer side cut where the shapes
            differ.
        skip_broken: leave out images that cannot be decoded, and say how many.
        bars: how long windows of melodies are.
        metre: the metre, 4/4, 3/4 or 6/8, of which melodies are read; 2/4 and 2/2 are taken as 4/4.
        track: the name of the track of MIDI files whose top line is the melody; without it, the
            highest of those with much to play.
        transpose: the training part also has its melodies moved by up to so many semitones, up
            and down.
        kinds: what columns of a table hold, where their values do not tell: by name, real,
            positive, unit, counts, binary, ordinal, categories, dates (or with their format, as in
            dates:%d/%m/%y), or ignore, which leaves one out.
        given: the names of a table's columns that are no part of x, but covariates on which a model
            of x is conditional; they are in memory alone.

    Raises:
        ConfigurationError: an argument that does not fit the data.
        DataError: no such data, or data that cannot be used.
        DataUnavailable: a known set that none of its sources has.
    """
    check_seed(seed)
    reading = Reading(**how)
    if isinstance(source, str) and source in known():
        reading.check(options_of(source), str(source), "a known data set, which has its own")
        if on_disk:
            raise ConfigurationError(
                f"{source}: expected the path of a file for data that stay on disk, got a known "
                "data set, which is read into memory; leave on_disk (--on-disk) out"
            )
        if test is not None:
            raise ConfigurationError(
                f"{source}: expected no test=, since it has its own, got {test!r}; leave it out"
            )
    elif folder is not None:
        raise ConfigurationError(
            f"expected folder= only with a known data set ({', '.join(sorted(known()))}), "
            f"got it with {existing(source)}; leave it out"
        )
    elif on_disk:
        path = existing(source)
        blocks = _blocks(path, reading, training=True)
        return divide_on_disk(path.resolve().name, blocks, validation, test, seed, progress)
    splits = divide(_parts(source, folder, reading, training=True), validation, test, seed)
    if "transpose" in options_of(source):
        splits = replace(splits, train=transposed(splits.train, reading.transpose))
    return splits


@overload
def read(
    source: str | Path,
    *,
    columns: Sequence[str] | None = None,
    on_disk: Literal[False] = False,
    **how: Unpack[Options],
) -> Dataset: ...


@overload
def read(
    source: str | Path,
    *,
    columns: Sequence[str] | None = None,
    on_disk: Literal[True],
    progress: Progress | None = None,
    **how: Unpack[Options],
) -> Stored: ...


def read(
    source: str | Path,
    *,
    columns: Sequence[str] | None = None,
    on_disk: bool = False,
    progress: Progress | None = None,
    **how: Unpack[Options],
) -> Dataset | Stored:
    """All the examples of a file or folder, undivided; its test part where it comes divided.

    Of digits, mnist and fashion-mnist, the test part.

    Args:
        source: a known name, or the path of a file or folder.
        columns: of a table whose columns have names, those to take, in this order.
        on_disk: leave the examples on disk, as `load` does.
        progress: called with the examples read and their number, where data on disk are checked.
        how: options of `load`; those of other formats are refused.

    Raises:
        DataError: see `load`, and a table without one of the ``columns``.
    """
    wanted = None if columns is None else tuple(columns)
    reading = Reading(**how, columns=wanted)
    if on_disk:
        path = existing(source)
        return survey(_blocks(path, reading, training=False), path.resolve().name, {}, progress)[0]
    parts = _parts(source, None, reading)
    return parts.get("all") or parts.get("test") or parts["train"]


def options_of(source: str | Path) -> tuple[str, ...]:
    """The options of `load` and `read` that choose how to read, those that ``source`` has."""
    if isinstance(source, str) and source in known():
        return tuple(set(OPTIONS) - {"track"}) if source == "folk-tunes" else ()
    path = existing(source)
    return (FORMATS.get(_format(path)) or _refuse(path)).options


def read_array(source: str | Path) -> np.ndarray:
    """The values of ``source`` as they are kept: an .npy or IDX file's own array, of its own dtype.

    Of all other sources, the x that `read` returns.

    >>> read_array("digits").shape
    (360, 1, 8, 8)
    """
    if keeps_labels_apart(source):
        return np.asarray(_array_of(Path(os.path.expanduser(source))))
    return read(source).x.numpy()


def is_large(source: str | Path, most: float = math.inf) -> bool:
    """Whether ``source`` may stay on disk, and is too large to be kept in memory with ease.

    That is above a quarter of the machine's memory, in which splits and batches must fit as well,
    or above ``most`` bytes.
    """
    path = Path(os.path.expanduser(source))
    size = parquet_size(path)
    if path.suffix.lower() in (".npy", ".csv", ".tsv") and path.is_file():
        size = path.stat().st_size
    return size > min(most, SHARE_OF_MEMORY * memory())


def keeps_labels_apart(source: str | Path) -> bool:
    """Whether the class labels of ``source`` are in a file of their own: of .npy and IDX."""
    path = Path(os.path.expanduser(source))
    return path.is_file() and _format(path) in (".npy", ".idx")


def _parts(
    source: str | Path, folder: Path | None, reading: Reading, *, training: bool = False
) -> dict[Part, Dataset]:
    """The parts of a known set, a file or a folder, as data sets; see `informative`."""
    if isinstance(source, str) and source in known():
        return assemble(_read_known(source, folder, reading), source, source)
    path = existing(source)
    format_ = FORMATS.get(_format(path)) or _refuse(path)
    reading.check(format_.options, path, format_.what)
    try:
        parts = format_.read(path, reading)
        if training:
            parts = {part: informative(raw, reading.given) for part, raw in parts.items()}
        named = reading.columns is not None
        name = path.resolve().name
        return assemble(parts, str(path), name, named=named, given=reading.given)
    except MemoryError:
        raise DataError(f"{path}: expected data that fit in memory, got more; use less") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


# What reads files and folders.


def _format(path: Path) -> str:
    """The row of `FORMATS` for a path."""
    if shards(path):
        return ".parquet"
    if path.is_dir():
        return "folder"
    return ".idx" if is_idx_name(path.name) else path.suffix.lower()


def _refuse(path: Path) -> NoReturn:
    hint = "; put the images into a folder and name that" if path.suffix in SUFFIXES else ""
    raise DataError(
        f"{path}: expected a folder of images, of melodies or of .parquet files, or a file .npy, "
        ".npz, .csv, .tsv, .parquet, .h5ad, .mid, .abc, .musicxml, .mxl or IDX (.idx, -ubyte, "
        f"plain or .gz), got a file {path.suffix or 'without suffix'}{hint}"
    )


def _blocks(path: Path, reading: Reading, *, training: bool) -> Blocks:
    """The examples of a file, or of Parquet files, as they stay on disk."""
    format_ = _format(path)
    if format_ not in ON_DISK:
        raise ConfigurationError(
            f"{path}: expected an .npy file, or a table (.csv, .tsv, Parquet), for data that stay "
            "on disk; write them so, or leave on_disk (--on-disk) out"
        )
    options = set(FORMATS[format_].options) - {"given"}
    reading.check(options, path, "data that stay on disk")
    if format_ == ".npy":
        return NpyBlocks(path, *_labels_in(reading.labels))
    return TableBlocks(path, reading, training=training)


def _array_of(path: Path) -> np.ndarray:
    readers = {".npy": read_npy, ".idx": read_idx}
    return readers.get(_format(path), _refuse)(path)


def _read_array(path: Path, reading: Reading) -> Parts:
    array = _array_of(path)
    check_array(array.size, array.dtype, str(path))
    return {"all": Raw(array, str(path), *_labels_in(reading.labels))}


def _labels_in(labels: str | None) -> tuple[np.ndarray | None, str | None]:
    """The class labels in an array file, and where they are from."""
    if labels is None:
        return None, None
    return _array_of(existing(Path(labels))), f"file {Path(labels).name}"


def _read_known(name: str, folder: Path | None, reading: Reading) -> Parts:
    if name == "folk-tunes":
        return read_folk_tunes(reading)
    return read_digits() if name == "digits" else read_fetched(name, folder)


def _read_folder(folder: Path, reading: Reading) -> Parts:
    """The four files of MNIST, or melodies, or images."""
    if tunes := files_in(folder):
        if images := files_in(folder, tuple(SUFFIXES)):
            raise DataError(
                f"{folder}: expected images or melodies, got {len(images):,} images "
                f"({images[0].name}, …) and {len(tunes):,} files of melodies ({tunes[0].name}, …); "
                "move them apart"
            )
        reading.check(OPTIONS, folder, "a folder of melodies")
        return read_melodies(folder, reading)
    found = [path for file in MNIST.files if (path := file.within(folder))]
    if not found:
        reading.check(IMAGE_OPTIONS, folder, "a folder of images, whose sub-folders are classes")
        return read_images(folder, reading)
    reading.check((), folder, "the files of MNIST")
    if len(found) < len(MNIST.files):
        names = ", ".join(file.name for file in MNIST.files)
        raise DataError(
            f"{folder}: expected the four files {names} (plain or .gz), got only "
            f"{', '.join(path.name for path in found)}; add the others, or name one file"
        )
    train_x, train_y, test_x, test_y = (read_idx(path) for path in found)
    return {
        "train": Raw(train_x, str(found[0]), train_y, f"file {found[1].name}"),
        "test": Raw(test_x, str(found[2]), test_y, f"file {found[3].name}"),
    }


@dataclass(frozen=True)
class Format:
    """What reads a format, what messages call it, and the options that it has."""

    read: Callable[[Path, Reading], Parts]
    what: str
    options: tuple[str, ...] = ("labels",)


FORMATS: dict[str, Format] = {
    ".npy": Format(_read_array, "an .npy file"),
    ".idx": Format(_read_array, "an IDX file"),
    ".npz": Format(read_npz, "an .npz file"),
    ".csv": Format(read_csv, "a CSV file", ("labels", "header", "kinds", "given")),
    ".tsv": Format(read_csv, "a TSV file", ("labels", "header", "kinds", "given")),
    ".parquet": Format(read_parquet, "Parquet", ("labels", "kinds", "given")),
    ".h5ad": Format(read_h5ad, "an .h5ad file", ("labels", "kinds", "given")),
    ".mid": Format(read_melodies, "a MIDI file", OPTIONS),
    ".midi": Format(read_melodies, "a MIDI file", OPTIONS),
    ".abc": Format(read_melodies, "an ABC file", OPTIONS),
    ".musicxml": Format(read_melodies, "a MusicXML file", OPTIONS),
    ".mxl": Format(read_melodies, "a MusicXML file", OPTIONS),
    "folder": Format(
        _read_folder, "a folder, whose sub-folders are the classes", IMAGE_OPTIONS + OPTIONS
    ),
}
"""What reads each format."""

ON_DISK = (".npy", ".csv", ".tsv", ".parquet")
"""The formats that may stay on disk."""
