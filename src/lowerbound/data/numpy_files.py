"""NumPy's own files, ``.npy`` and ``.npz``; no pickled objects.

The arrays of an ``.npz`` are found by their names, in upper or lower case:

=================================  ==========================================================
``x``, ``data``, ``images``        the values, to be divided here; or the only array there is
``y``, ``labels``, ``class``, …    their class labels, unless ``labels=`` names another array
``x_train``, ``train_images``, …   the training part; ``test`` and ``validation`` likewise
``y_train``, ``train_labels``, …   the labels of each part
``vocabulary``                     makes the values sequences of tokens: their number, or names
``data``, ``shape``, ``format``    with others, a sparse matrix of SciPy's, which becomes an array
=================================  ==========================================================
"""

from __future__ import annotations

import math
import operator
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Literal, NamedTuple

import numpy as np

from lowerbound.data.conversion import PART_NAMES, Part, Parts, Raw, check_array, dtype_name
from lowerbound.data.idx import read_into
from lowerbound.data.reading import Reading, Stamp
from lowerbound.data.schema import Schema
from lowerbound.data.sparse import MEMBERS, dense
from lowerbound.data.tokens import names_of
from lowerbound.errors import ConfigurationError, DataError, brief, near
from lowerbound.logs import log

BLOCK_BYTES = 2**18
MOST_NAMES = 2**24  # bytes of a vocabulary
VALUES = ("x", "data", "images")
LABELS = ("y", "label", "labels", "class", "classes", "target", "targets")


class Header(NamedTuple):
    """What the beginning of a file in NumPy's format says of its array, and where that begins."""

    shape: tuple[int, ...]
    dtype: np.dtype
    fortran: bool
    offset: int

    @property
    def elements(self) -> int:
        """How many there are."""
        return math.prod(self.shape)


def read_header(file: IO[bytes], size: int, where: str) -> Header:
    """The header at the beginning of ``file``, of ``size`` bytes.

    Raises:
        DataError: it is damaged, is of Python objects, or asks for more than the file holds.
    """
    try:
        version = np.lib.format.read_magic(file)
        read = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, fortran, dtype = read[version[0]](file)
        shape = tuple(map(operator.index, shape))
        header = Header(shape, dtype, bool(fortran), file.tell())
    # It is parsed as Python: a damaged one can raise anything, also for want of a deeper stack.
    except (Exception, MemoryError):
        raise DataError(
            f"{where}: expected a whole array, got one whose header is truncated or damaged; write "
            "it again with numpy.save"
        ) from None
    if dtype.hasobject:
        raise DataError(
            f"{where}: expected numbers, got pickled Python objects, which are not read; save it "
            "as an array of uint8 or float32"
        )
    if min(shape, default=0) < 0 or header.elements * dtype.itemsize > size - header.offset:
        raise DataError(
            f"{where}: expected a whole array, got {size:,} bytes, fewer than its header tells of; "
            "write it again with numpy.save"
        )
    if header.elements == 0 and len(shape) > 1:  # of which there may be more rows than bytes
        raise DataError(f"{where}: expected an array with elements, got shape {shape}")
    return header


def read_npy(path: Path) -> np.ndarray:
    """The array in an ``.npy`` file, mapped into memory rather than read.

    Raises:
        DataError: a damaged file, or one of Python objects.
    """
    with path.open("rb") as file:
        header = read_header(file, path.stat().st_size, str(path))
    if header.elements == 0:
        return np.empty(header.shape, header.dtype)  # as nothing cannot be mapped
    order: Literal["F", "C"] = "F" if header.fortran else "C"
    return np.memmap(path, header.dtype, "r", header.offset, header.shape, order)


class NpyBlocks:
    """An ``.npy`` file, and perhaps the class labels of another, in blocks of examples.

    Its values tell its schema once they are read, and none is missing.

    Raises:
        DataError: a damaged file, or one in Fortran's order, whose examples do not lie together.
    """

    def __init__(
        self, path: Path, classes: np.ndarray | None = None, labels_from: str | None = None
    ) -> None:
        self.stamp = Stamp.of(path)
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
        self.labels, self.labels_from = classes, labels_from
        self.schema: Schema | None = None
        self.missing, self.used = False, dict[int, np.ndarray]()
        if classes is not None and classes.shape[:1] != (len(array),):
            raise DataError(
                f"{path}: expected one label for each of {len(array):,} examples from "
                f"{labels_from}, got an array of shape {classes.shape}"
            )

    def classes(self, labels: np.ndarray) -> np.ndarray:
        """Class labels as they are."""
        return labels

    def read(self, block: int) -> Raw:
        """One block as it came."""
        start, rows = self.starts[block], self.rows[block]
        self.stamp.check()
        # Read, not mapped: mapped pages would count as this process's memory.
        flat = np.fromfile(
            self.path,
            self.dtype,
            rows * math.prod(self.shape),
            offset=self.offset + start * self.row_bytes,
        )
        self.stamp.check()
        labels = None if self.labels is None else np.array(self.labels[start : start + rows])
        where = f"{self.path}, examples from {start}"
        return Raw(flat.reshape(rows, *self.shape), where, labels, self.labels_from)


def read_npz(path: Path, reading: Reading) -> Parts:
    """The arrays in an ``.npz`` file, by part.

    Raises:
        ConfigurationError: ``labels`` names no array of the file.
        DataError: a damaged file, or one whose arrays cannot be told apart.
    """
    labels = reading.labels
    try:
        with zipfile.ZipFile(path) as archive:
            headers = _headers(path, archive)
            if headers.keys() >= MEMBERS:
                return {"all": _read_sparse(path, archive, headers, labels)}
            vocabulary = _vocabulary(path, archive, headers)
            parts: Parts = {}
            for part, (x, y) in _chosen(path, headers, labels).items():
                values = _member(path, archive, x, headers[x])
                classes = None if y is None else _member(path, archive, y, headers[y])
                labels_from = None if y is None else f"array {y!r}"
                where = f"{path}, array {x!r}"
                if vocabulary is not None and values.shape[1:] == (len(vocabulary),):
                    log.warning(
                        "%s: is read as sequences of %d tokens; if these are counts, one of each "
                        "token, leave the array vocabulary out",
                        where,
                        len(vocabulary),
                    )
                parts[part] = Raw(values, where, classes, labels_from, vocabulary=vocabulary)
            return parts
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{path}: expected a whole .npz file, got one that is truncated or damaged "
            f"({brief(error)}); write it again with numpy.savez"
        ) from None


def _read_sparse(
    path: Path, archive: zipfile.ZipFile, headers: dict[str, Header], labels: str | None
) -> Raw:
    """A sparse matrix, and the class labels that an array beside it may hold."""

    def member(name: str) -> np.ndarray:
        return _member(path, archive, name, headers[name])

    y = _find(headers, LABELS if labels is None else (labels,), ("",))
    if labels is not None and y is None:
        raise _no_labels(path, headers, labels, "the sparse matrix")
    x = dense(headers, member, str(path))
    if y is None:
        return Raw(x, str(path))
    return Raw(x, str(path), member(y), f"array {y!r}")


def _headers(path: Path, archive: zipfile.ZipFile) -> dict[str, Header]:
    """The arrays of an archive, by name; other members are not read."""
    members = {
        info.filename.removesuffix(".npy"): info
        for info in archive.infolist()
        if info.filename.endswith(".npy")
    }
    found = {}
    for name, info in members.items():
        with archive.open(info) as file:
            found[name] = read_header(file, info.file_size, f"{path}, array {name!r}")
    return found


def _vocabulary(
    path: Path, archive: zipfile.ZipFile, headers: dict[str, Header]
) -> tuple[str, ...] | None:
    """The names of tokens, where there is an array of them beside that of the values.

    Raises:
        DataError: it is neither their number nor names.
    """
    name = _find(headers, ("vocabulary",), ("",))
    if name is None or len(headers) == 1:
        return None
    header, where = headers.pop(name), f"{path}, array {name!r}"
    kinds = "iuU" if header.shape else "iu"
    if (
        header.dtype.kind not in kinds
        or len(header.shape) > 1
        or header.elements * header.dtype.itemsize > MOST_NAMES
    ):
        raise DataError(
            f"{where}: expected how many tokens there are, or their names as text, got "
            f"{header.elements:,} values of {dtype_name(header.dtype)}"
        )
    given = _member(path, archive, name, header)
    return names_of(int(given[()]) if given.ndim == 0 else given.tolist(), where)


def _member(path: Path, archive: zipfile.ZipFile, name: str, header: Header) -> np.ndarray:
    """An array, unpacked piece by piece into the memory that it takes."""
    where = f"{path}, array {name!r}"
    check_array(header.elements, header.dtype, where)
    flat = np.empty(header.elements, header.dtype)
    with archive.open(f"{name}.npy") as file:
        file.read(header.offset)
        if read_into(flat, file.read) < flat.nbytes:
            raise DataError(f"{where}: expected a whole array, got one that is truncated")
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


def _chosen(
    path: Path, arrays: Mapping[str, Header], labels: str | None
) -> dict[Part, tuple[str, str | None]]:
    """The names of the values and the labels of each part."""
    layout: Mapping[Part, tuple[str, ...]] = PART_NAMES
    if _find(arrays, VALUES, PART_NAMES["train"]) is None:
        layout = {"all": ("",)}
    chosen: dict[Part, tuple[str, str | None]] = {}
    for part, words in layout.items():
        y = _find(arrays, LABELS if labels is None else (labels,), words)
        x = _find(arrays, VALUES, words) or (_only(path, arrays, y) if part == "all" else None)
        if x is None:
            continue
        if labels is not None and y is None:
            raise _no_labels(path, arrays, labels, repr(x))
        chosen[part] = x, y
    return chosen


def _no_labels(
    path: Path, arrays: Mapping[str, Header], labels: str, of: str
) -> ConfigurationError:
    return ConfigurationError(
        f"{path}: expected labels= to name an array for the labels of {of}, got {labels!r}; "
        f"{near(labels, arrays)}"
    )


def _find(arrays: Mapping[str, Header], bases: Sequence[str], words: Sequence[str]) -> str | None:
    """The first array called ``base_word`` or ``word_base``; or ``base``, for the word ""."""
    by_lower = {name.lower(): name for name in arrays}
    for word in words:
        for base in (base.lower() for base in bases):
            for name in (f"{base}_{word}", f"{word}_{base}") if word else (base,):
                if name in by_lower:
                    return by_lower[name]
    return None


def _only(path: Path, arrays: Mapping[str, Header], labels: str | None) -> str:
    others = [name for name in arrays if name != labels]
    if len(others) != 1:
        shapes = ", ".join(f"{name} {arrays[name].shape}" for name in arrays) or "no array"
        raise DataError(
            f"{path}: expected one array of values, or one called x, got {shapes}; call it x, or "
            "x_train and x_test"
        )
    return others[0]
