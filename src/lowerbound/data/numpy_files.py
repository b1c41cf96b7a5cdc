"""NumPy's own files, ``.npy`` and ``.npz``; no pickled objects.

The arrays of an ``.npz`` are found by their names, in upper or lower case:

=================================  ==========================================================
``x``, ``data``, ``images``        the values, to be divided here; or the only array there is
``y``, ``labels``, ``class``, …    their class labels, unless ``labels=`` names another array
``x_train``, ``train_images``, …   the training part; ``test`` and ``validation`` likewise
``y_train``, ``train_labels``, …   the labels of each part
=================================  ==========================================================
"""

from __future__ import annotations

import math
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from lowerbound.data.conversion import PART_NAMES, Part, Parts, Raw, check_memory
from lowerbound.data.reading import Reading
from lowerbound.errors import ConfigurationError, DataError, near

T = TypeVar("T")
BLOCK_BYTES = 2**18
VALUES = ("x", "data", "images")
LABELS = ("y", "label", "labels", "class", "classes", "target", "targets")


def read_npy(path: Path) -> np.ndarray:
    """The array in an ``.npy`` file, mapped into memory rather than read.

    Raises:
        DataError: a damaged file, or one of Python objects.
    """
    return _guarded(path, lambda: np.lib.format.open_memmap(path, mode="r"))


class NpyBlocks:
    """An ``.npy`` file, and perhaps the class labels of another, in blocks of examples.

    Raises:
        DataError: a damaged file, or one in Fortran's order, whose examples do not lie together.
    """

    def __init__(
        self, path: Path, classes: np.ndarray | None = None, labels_from: str | None = None
    ) -> None:
        array: Any = read_npy(path)
        if array.ndim == 0:
            raise DataError(f"{path}: expected examples, got a single number")
        if not array.flags.c_contiguous:
            raise DataError(
                f"{path}: expected examples one after the other, got an array in Fortran's order; "
                "write it again with numpy.save(path, numpy.ascontiguousarray(x))"
            )
        self.path, self.where = path, str(path)
        self.offset, self.dtype, self.shape = array.offset, array.dtype, array.shape[1:]
        self.row_bytes = math.prod(self.shape) * self.dtype.itemsize
        step = max(1, BLOCK_BYTES // max(1, self.row_bytes))
        self.starts = range(0, len(array), step)
        self.rows = [min(step, len(array) - start) for start in self.starts]
        self.largest = BLOCK_BYTES
        self.classes, self.labels_from = classes, labels_from
        if classes is not None and classes.shape[:1] != (len(array),):
            raise DataError(
                f"{path}: expected one label for each of {len(array):,} examples from "
                f"{labels_from}, got an array of shape {classes.shape}"
            )

    def read(self, block: int) -> Raw:
        """One block as it came."""
        start, rows = self.starts[block], self.rows[block]
        # Read, not mapped: mapped pages would count as this process's memory.
        flat = np.fromfile(
            self.path,
            self.dtype,
            rows * math.prod(self.shape),
            offset=self.offset + start * self.row_bytes,
        )
        if flat.size < rows * math.prod(self.shape):
            raise DataError(f"{self.path}: expected a whole file, got one that became shorter")
        labels = None if self.classes is None else np.array(self.classes[start : start + rows])
        where = f"{self.path}, examples from {start}"
        return Raw(flat.reshape(rows, *self.shape), where, labels, self.labels_from)


def read_npz(path: Path, reading: Reading) -> Parts:
    """The arrays in an ``.npz`` file, by part.

    Raises:
        ConfigurationError: ``labels`` names no array of the file.
        DataError: a damaged file, or one whose arrays cannot be told apart.
    """
    labels = reading.labels
    arrays = _guarded(path, lambda: _members(path))
    layout: Mapping[Part, tuple[str, ...]] = PART_NAMES
    if _find(arrays, VALUES, PART_NAMES["train"]) is None:
        layout = {"all": ("",)}
    parts: Parts = {}
    for part, words in layout.items():
        y = _find(arrays, LABELS if labels is None else (labels,), words)
        x = _find(arrays, VALUES, words) or (_only(path, arrays, y) if part == "all" else None)
        if x is None:
            continue
        if labels is not None and y is None:
            raise ConfigurationError(
                f"{path}: expected labels= to name an array for the labels of {x!r}, "
                f"got {labels!r}; {near(labels, arrays)}"
            )
        parts[part] = Raw(
            arrays[x],
            f"{path}, array {x!r}",
            arrays[y] if y else None,
            f"array {y!r}" if y else None,
        )
    return parts


def _members(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        check_memory(sum(member.file_size for member in archive.infolist()), str(path))
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _find(
    arrays: Mapping[str, np.ndarray], bases: Sequence[str], words: Sequence[str]
) -> str | None:
    """The first array called ``base_word`` or ``word_base``; or ``base``, for the word ""."""
    by_lower = {name.lower(): name for name in arrays}
    for word in words:
        for base in (base.lower() for base in bases):
            for name in (f"{base}_{word}", f"{word}_{base}") if word else (base,):
                if name in by_lower:
                    return by_lower[name]
    return None


def _only(path: Path, arrays: Mapping[str, np.ndarray], labels: str | None) -> str:
    others = [name for name in arrays if name != labels]
    if len(others) != 1:
        shapes = ", ".join(f"{name} {arrays[name].shape}" for name in arrays) or "no array"
        raise DataError(
            f"{path}: expected one array of values, or one called x, got {shapes}; call it x, or "
            "x_train and x_test"
        )
    return others[0]


def _guarded(path: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except (DataError, MemoryError, PermissionError):
        raise
    except Exception as error:  # numpy parses headers as Python: a damaged one can raise anything
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise DataError(
                f"{path}: expected numbers, got pickled Python objects, which are not read; "
                "save it as an array of uint8 or float32"
            ) from None
        raise DataError(
            f"{path}: expected a whole {path.suffix} file, got one that is truncated or damaged "
            f"({str(error) or type(error).__name__}); write it again with "
            f"numpy.save{'z' if path.suffix == '.npz' else ''}"
        ) from None
