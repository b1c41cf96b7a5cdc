"""`load`: from the name of a data set, or a path, to its training, validation and test parts."""

from __future__ import annotations

import logging
import os
from pathlib import Path

import numpy as np
import torch

from lowerbound.data.arrays import read_npy, read_npz
from lowerbound.data.dataset import Dataset, Splits
from lowerbound.data.idx import is_idx_name, read_idx
from lowerbound.data.images import SUFFIXES, read_images
from lowerbound.data.inference import infer_kind, number_labels, to_tensor
from lowerbound.data.known import DIGITS, FETCHED, MNIST, known, read_digits
from lowerbound.data.parts import Arrays, Part, Parts
from lowerbound.data.sources import read_known
from lowerbound.data.tables import read_csv, read_parquet
from lowerbound.errors import ConfigurationError, DataError, near

log = logging.getLogger("lowerbound")

TEST_FRACTION = 0.1
DIGITS_TEST = 360
FORMATS = (
    "a folder of images, or a file .npy, .npz, .csv, .tsv, .parquet or IDX (.idx, -ubyte, plain "
    "or .gz)"
)


def load(
    source: str | Path,
    *,
    folder: Path | None = None,
    validation: int | float = 0,
    test: int | float | None = None,
    seed: int = 0,
    labels: str | None = None,
) -> Splits:
    """The data set ``source``, divided.

    digits, mnist and fashion-mnist have their own test parts.  digits, which is published as one
    set, is divided here into 1,437 and 360 by one fixed shuffle, whatever ``seed`` is.  Of a file
    or folder, a tenth is held out for testing, unless it has its own test part: an ``.npz`` with
    ``x_train`` and ``x_test``, or a folder with ``train`` and ``test``, or the four files of MNIST.

    Args:
        source: a known name, or the path of a file or folder.
        folder: where the files of a known set may lie.
        validation: how many examples, or which fraction below 1, of the training part to hold out;
            a validation part of the source's own is used instead.
        test: how many or which fraction of a file or folder to hold out for testing.
        seed: of the shuffles that choose what is held out.
        labels: the column (CSV, Parquet; without it, one called label or class), array (``.npz``)
            or file (``.npy``, IDX) of the class labels; sub-folders of images are classes.

    Raises:
        ConfigurationError: an argument that does not fit the data.
        DataError: no such data, or data that cannot be used.
        DataUnavailable: a known set that none of its sources has.
    """
    _check_seed(seed)
    if str(source) in known() and not isinstance(source, Path):
        return _load_known(str(source), folder, validation, test, seed, labels)
    path = _existing(source)
    if folder is not None:
        raise ConfigurationError(
            f"expected folder= only with a known data set ({', '.join(sorted(known()))}), "
            f"got it with {path}; leave it out"
        )
    parts = _parts(path, labels)
    train = parts.get("all") or parts["train"]
    return _divide(train, parts.get("validation"), parts.get("test"), validation, test, seed)


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
    _check_seed(seed)
    return _divide(dataset, None, None, validation, test, seed)


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
        train, testing = _hold_out(whole, "test", DIGITS_TEST, (0, 0))
    else:
        classes = FETCHED[name].classes
        train_x, train_y, test_x, test_y = read_known(name, folder)
        train = _known_part(name, train_x, train_y, classes)
        testing = _known_part(f"{name} test", test_x, test_y, classes)
    return _divide(train, None, testing, validation, None, seed)


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
    if path.is_dir():
        return _read_folder(path, labels)
    if suffix == ".npz":
        return read_npz(path, labels)
    if suffix in (".csv", ".tsv"):
        return {"all": read_csv(path, labels)}
    if suffix == ".parquet":
        return {"all": read_parquet(path, labels)}
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


def _divide(
    train: Dataset,
    validating: Dataset | None,
    testing: Dataset | None,
    validation: int | float,
    test: int | float | None,
    seed: int,
) -> Splits:
    """Hold out of ``train`` what the source has no part of its own for."""
    name = train.name
    if testing is None:
        if len(train) < 2:
            raise DataError(f"{name}: expected at least 2 examples, to train and to test, got 1")
        test = TEST_FRACTION if test is None else test
        train, testing = _hold_out(train, "test", test, (seed, 0))
    elif test is not None:
        raise ConfigurationError(
            f"{name}: expected no test=, since it has its own test part, got {test}; leave it out"
        )
    if testing is None:
        raise ConfigurationError(f"{name}: expected at least one example to test, got test={test}")
    if validating is None:
        train, validating = _hold_out(train, "validation", validation, (seed, 1))
    elif validation:
        log.info(
            "%s: its own validation part of %d is used, not validation=%s",
            name,
            len(validating),
            validation,
        )
    return Splits(train, validating, testing)


def _hold_out(
    dataset: Dataset, part: str, portion: int | float, seeds: tuple[int, int]
) -> tuple[Dataset, Dataset | None]:
    """What is left of a data set, and the ``portion`` of it that is called ``part``."""
    count = _count(dataset, part, portion)
    if count == 0:
        return dataset, None
    # RandomState: its stream is frozen for good, unlike those of torch and of numpy's Generator.
    order = np.random.RandomState(seeds).permutation(len(dataset))
    held, rest = (torch.from_numpy(np.sort(part)) for part in (order[:count], order[count:]))
    return dataset.subset(rest), dataset.subset(held, f"{dataset.name} {part}")


def _count(dataset: Dataset, part: str, portion: int | float) -> int:
    """How many examples ``portion`` stands for."""
    whole = isinstance(portion, int) and not isinstance(portion, bool)
    fraction = isinstance(portion, float) and 0 <= portion < 1
    if not (fraction or (whole and portion >= 0)):
        raise ConfigurationError(
            f"{dataset.name}: expected {part}= a number of examples or a fraction below 1, "
            f"got {portion!r}"
        )
    count = int(portion) if whole or not portion else max(1, round(portion * len(dataset)))
    if count >= len(dataset):
        raise ConfigurationError(
            f"{dataset.name}: expected {part}= fewer than the {len(dataset):,} examples there are "
            f"to hold it out of, got {portion}"
        )
    return count


def _check_seed(seed: int) -> None:
    if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**32:
        raise ConfigurationError(f"expected seed= a whole number from 0 to 2³²−1, got {seed!r}")
