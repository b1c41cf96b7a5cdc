"""`load`: from the name of a data set, or a path, to its training, validation and test parts."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Literal, overload

import numpy as np
import torch

from lowerbound.data.arrays import read_npy, read_npz
from lowerbound.data.blocks import Blocks, NpyBlocks, ParquetBlocks, parquet_size, read_all
from lowerbound.data.dataset import Dataset, Splits
from lowerbound.data.division import TEST_FRACTION, check_seed, divide, divide_on_disk, hold_out
from lowerbound.data.idx import is_idx_name, read_idx
from lowerbound.data.images import SUFFIXES, read_images
from lowerbound.data.inference import (
    check_memory,
    infer_kind,
    memory,
    number_labels,
    to_tensor,
)
from lowerbound.data.known import DIGITS, FETCHED, MNIST, known, read_digits
from lowerbound.data.parts import Arrays, Part, Parts
from lowerbound.data.sources import read_known
from lowerbound.data.stored import Progress, Stored
from lowerbound.data.tables import read_csv
from lowerbound.errors import ConfigurationError, DataError, near

log = logging.getLogger("lowerbound")

DIGITS_TEST = 360
SHARE_OF_MEMORY = 0.25
FORMATS = (
    "a folder of images or of .parquet files, or a file .npy, .npz, .csv, .tsv, .parquet or IDX "
    "(.idx, -ubyte, plain or .gz)"
)


@overload
def load(
    source: str | Path,
    *,
    folder: Path | None = None,
    validation: int | float = 0,
    test: int | float | None = None,
    seed: int = 0,
    labels: str | None = None,
    on_disk: Literal[False] = False,
) -> Splits: ...


@overload
def load(
    source: str | Path,
    *,
    folder: Path | None = None,
    validation: int | float = 0,
    test: int | float | None = None,
    seed: int = 0,
    labels: str | None = None,
    on_disk: Literal[True],
    progress: Progress | None = None,
) -> Splits[Stored]: ...


def load(
    source: str | Path,
    *,
    folder: Path | None = None,
    validation: int | float = 0,
    test: int | float | None = None,
    seed: int = 0,
    labels: str | None = None,
    on_disk: bool = False,
    progress: Progress | None = None,
) -> Splits | Splits[Stored]:
    """The data set ``source``, divided.

    digits, mnist and fashion-mnist have their own test parts.  digits, which is published as one
    set, is divided here into 1,437 and 360 by one fixed shuffle, whatever ``seed`` is.  Of a file
    or folder, a tenth is held out for testing, unless it has its own test part: an ``.npz`` with
    ``x_train`` and ``x_test``, or a folder with ``train`` and ``test``, or the four files of MNIST.

    With ``on_disk``, an ``.npy`` file or Parquet files may be larger than memory: the training part
    is a `Stored`, read in blocks, and what is held out is kept in memory, where a fraction stands
    for at most 10,000 examples.

    Args:
        source: a known name, or the path of a file or folder.
        folder: where the files of a known set may lie.
        validation: how many examples, or which fraction below 1, of the training part to hold out;
            a validation part of the source's own is used instead.
        test: how many or which fraction of a file or folder to hold out for testing.
        seed: of the shuffles that choose what is held out.
        labels: the column (CSV, Parquet; without it, one called label or class), array (``.npz``)
            or file (``.npy``, IDX) of the class labels; sub-folders of images are classes.
        on_disk: leave the training part on disk.
        progress: called with the examples read and their number, where data on disk are checked.

    Raises:
        ConfigurationError: an argument that does not fit the data.
        DataError: no such data, or data that cannot be used.
        DataUnavailable: a known set that none of its sources has.
    """
    check_seed(seed)
    if str(source) in known() and not isinstance(source, Path):
        return _load_known(str(source), folder, validation, test, seed, labels)
    path = _existing(source)
    if folder is not None:
        raise ConfigurationError(
            f"expected folder= only with a known data set ({', '.join(sorted(known()))}), "
            f"got it with {path}; leave it out"
        )
    if on_disk:
        return divide_on_disk(path, _blocks(path, labels), validation, test, seed, progress)
    parts = _parts(path, labels)
    train = parts.get("all") or parts["train"]
    return divide(train, parts.get("validation"), parts.get("test"), validation, test, seed)


def read(source: str | Path, *, labels: str | None = None) -> Dataset:
    """All the examples of a file or folder, undivided; its test part where it comes divided.

    Of digits, mnist and fashion-mnist, the test part.  Arguments and errors are those of `load`.
    """
    if str(source) in known() and not isinstance(source, Path):
        return load(source, labels=labels).test
    parts = _parts(_existing(source), labels)
    return parts.get("all") or parts.get("test") or parts["train"]


def read_array(source: str | Path) -> np.ndarray:
    """The values of ``source`` as they are kept: an .npy or IDX file's own array, of its own dtype.

    Of all other sources, the x that `read` returns.

    >>> read_array("digits").shape
    (360, 1, 8, 8)
    """
    path = Path(source).expanduser()
    if path.is_file() and (is_idx_name(path.name) or path.suffix.lower() == ".npy"):
        return np.asarray(_read_array(path))
    return read(source).x.numpy()


def split(
    dataset: Dataset,
    *,
    validation: int | float = 0,
    test: int | float = TEST_FRACTION,
    seed: int = 0,
) -> Splits:
    """``dataset`` divided: ``test`` is held out of it, then ``validation`` of what is left.

    Both are numbers of examples, or fractions below 1.  Each part keeps the order of the whole.

    Raises:
        ConfigurationError: parts that leave nothing for training, or a part of nothing for testing.

    >>> whole = Dataset(torch.arange(20.0).view(10, 2))
    >>> print(split(whole, validation=2, test=0.3, seed=1).summary())
    data: 5 rows of 2 numbers, counts, 0–13; 2 for validation; 3 for test
    """
    check_seed(seed)
    return divide(dataset, None, None, validation, test, seed)


def is_large(source: str | Path) -> bool:
    """Whether ``source`` is an ``.npy`` file or Parquet too large to be kept in memory with ease.

    That is above a quarter of the machine's memory, in which splits and batches must fit as well.
    """
    path = Path(source).expanduser()
    if shards := _shards(path):
        size = parquet_size(shards)
    else:
        size = path.stat().st_size if path.suffix.lower() == ".npy" and path.is_file() else 0
    return size > SHARE_OF_MEMORY * memory()


def _shards(path: Path) -> list[Path]:
    """The Parquet files that ``path`` names."""
    shards = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return [shard for shard in shards if shard.suffix.lower() == ".parquet" and shard.is_file()]


def _blocks(path: Path, labels: str | None) -> Blocks:
    if shards := _shards(path):
        return ParquetBlocks(shards, labels)
    if path.suffix.lower() == ".npy":
        return NpyBlocks(path, None if labels is None else _existing(Path(labels)))
    raise ConfigurationError(
        f"{path}: expected an .npy file, or Parquet, for data that stay on disk; write them so, or "
        "leave on_disk (--on-disk) out"
    )


def _parts(path: Path, labels: str | None) -> dict[Part, Dataset]:
    """The parts of a file or folder, as data sets."""
    try:
        return _assemble(path, _read(path, labels))
    except MemoryError:
        raise DataError(f"{path}: expected data that fit in memory, got more; use less") from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _load_known(
    name: str,
    folder: Path | None,
    validation: int | float,
    test: int | float | None,
    seed: int,
    labels: str | None,
) -> Splits:
    for argument, value in (("test", test), ("labels", labels)):
        if value is not None:
            raise ConfigurationError(
                f"{name}: expected no {argument}=, since it has its own, got {value!r}; "
                "leave it out"
            )
    if name == "digits":
        x, y = read_digits()
        whole = _known_part(name, x, y, DIGITS)
        train, testing = hold_out(whole, "test", DIGITS_TEST, (0, 0))
    else:
        classes = FETCHED[name].classes
        train_x, train_y, test_x, test_y = read_known(name, folder)
        train = _known_part(name, train_x, train_y, classes)
        testing = _known_part(f"{name} test", test_x, test_y, classes)
    return divide(train, None, testing, validation, None, seed)


def _known_part(name: str, x: np.ndarray, y: np.ndarray, classes: tuple[str, ...]) -> Dataset:
    labels = torch.from_numpy(y.astype(np.int64))
    return Dataset(to_tensor(x, name), labels, name, classes, declared_kind="grey")


def _existing(source: str | Path) -> Path:
    path = Path(source).expanduser()
    if str(source) and os.path.exists(path):
        return path
    if isinstance(source, str) and not path.suffix and os.sep not in source:
        raise DataError(
            f"expected a known data set, or the path of a file or folder, got {source!r}; "
            f"{near(source.lower(), known())}"
        )
    raise DataError(f"{path}: expected a file or folder, got a path with nothing there; check it")


def _read(path: Path, labels: str | None) -> Parts:
    suffix = path.suffix.lower()
    if shards := _shards(path):
        blocks = ParquetBlocks(shards, labels)
        check_memory(7 * blocks.size, str(path))  # float64 on the way
        return {"all": read_all(blocks)}
    if path.is_dir():
        return _read_folder(path, labels)
    if suffix == ".npz":
        return read_npz(path, labels)
    if suffix in (".csv", ".tsv"):
        return {"all": read_csv(path, labels)}
    x = _read_array(path)
    if labels is None:
        return {"all": Arrays(x, str(path))}
    return {"all": Arrays(x, str(path), _read_array(_existing(Path(labels))), f"file {labels}")}


def _read_array(path: Path) -> np.ndarray:
    if is_idx_name(path.name):
        return read_idx(path)
    if path.suffix.lower() == ".npy":
        return read_npy(path)
    hint = "; put the images into a folder and name that" if path.suffix in SUFFIXES else ""
    raise DataError(
        f"{path}: expected {FORMATS}, got a file {path.suffix or 'without suffix'}{hint}"
    )


def _read_folder(folder: Path, labels: str | None) -> Parts:
    if labels is not None:
        raise ConfigurationError(
            f"{folder}: expected no labels= with a folder, whose sub-folders are the classes, "
            f"got {labels!r}; leave it out"
        )
    names = [file.name for file in MNIST.files]
    paths = [path for name in names for path in _plain_or_packed(folder / name)[:1]]
    if not paths:
        return read_images(folder)
    if len(paths) < len(names):
        raise DataError(
            f"{folder}: expected the four files {', '.join(names)} (plain or .gz), got only "
            f"{', '.join(path.name for path in paths)}; add the others, or name one file"
        )
    train_x, train_y, test_x, test_y = (read_idx(path) for path in paths)
    return {
        "train": Arrays(train_x, str(paths[0]), train_y, f"file {paths[1].name}"),
        "test": Arrays(test_x, str(paths[2]), test_y, f"file {paths[3].name}"),
    }


def _plain_or_packed(path: Path) -> list[Path]:
    return [p for p in (path, path.with_name(f"{path.name}.gz")) if p.is_file()]


def _assemble(path: Path, parts: Parts) -> dict[Part, Dataset]:
    """The parts as data sets of one dtype, one kind and one numbering of classes."""
    name = path.resolve().name
    tensors = {part: to_tensor(a.x, a.where, a.columns) for part, a in parts.items()}
    if any(tensor.dtype != torch.uint8 for tensor in tensors.values()):
        tensors = {part: tensor.float() for part, tensor in tensors.items()}
    numbers, classes = _number(path, parts)
    kind = infer_kind(*tensors.values())
    return {
        part: Dataset(
            tensors[part],
            numbers.get(part),
            name if part in ("all", "train") else f"{name} {part}",
            classes,
            arrays.columns,
            arrays.labels_from,
            kind,
        )
        for part, arrays in parts.items()
    }


def _number(path: Path, parts: Parts) -> tuple[dict[Part, torch.Tensor], tuple[str, ...] | None]:
    labelled = {part: a.labels for part, a in parts.items() if a.labels is not None}
    if not labelled:
        return {}, None
    bare = [part for part in parts if part not in labelled]
    if bare:
        raise DataError(
            f"{path}: expected class labels for all parts or for none, got some for "
            f"{' and '.join(labelled)}, none for {' and '.join(bare)}"
        )
    numbers, classes = number_labels(list(labelled.values()), f"{path} labels")
    return dict(zip(labelled, numbers, strict=True)), classes
