"""Sparse matrices, as SciPy keeps them, as arrays."""

from __future__ import annotations

from collections.abc import Callable, Collection

import numpy as np

from lowerbound.data.conversion import check_array
from lowerbound.errors import DataError

MEMBERS = {"data", "shape", "format"}
"""Arrays that the file of every sparse matrix has."""


def dense(
    names: Collection[str],
    member: Callable[[str], np.ndarray],
    where: str,
    writer: str = "scipy.sparse.save_npz",
) -> np.ndarray:
    """The matrix whose arrays, called ``names``, ``member`` reads: of the format csr, csc or coo.

    ``writer`` is what to write it again with.

    Raises:
        DataError: another format; arrays that do not fit each other; more than fits in memory.
    """
    written = member("format")
    if written.dtype.kind == "S":
        written = np.char.decode(written, "ascii", "replace")
    layout = str(written)
    coordinates = {
        "coo": ("row", "col"),
        "csr": ("indptr", "indices"),
        "csc": ("indptr", "indices"),
    }
    wanted = coordinates.get(layout, ())
    if not wanted or not set(wanted) <= set(names):
        raise DataError(
            f"{where}: expected a sparse matrix of the format csr, csc or coo, got "
            f"{layout[:40]!r}; write matrix.tocsr() with scipy.sparse.save_npz"
        )
    shape, data, (first, second) = member("shape"), member("data"), map(member, wanted)
    whole = all(array.dtype.kind in "iu" and array.ndim == 1 for array in (shape, first, second))
    if not whole or shape.shape != (2,) or shape.min() < 0:
        raise _damaged(where, writer)
    rows, columns = (int(size) for size in shape)
    check_array(rows * columns, data.dtype, where)
    if layout != "coo":
        first = first.astype(np.int64)
        major = columns if layout == "csc" else rows
        whole = len(first) == major + 1 and first[0] == 0 and first[-1] == len(second)
        if not whole or ((steps := np.diff(first)) < 0).any():
            raise _damaged(where, writer)
        first = np.repeat(np.arange(major), steps)
    row, column = (second, first) if layout == "csc" else (first, second)
    if not (data.shape == row.shape == column.shape):
        raise _damaged(where, writer)
    for place, size in ((row, rows), (column, columns)):
        if len(place) and (place.min() < 0 or place.max() >= size):
            raise _damaged(where, writer)
    met = np.zeros((rows, columns), bool)
    met[row, column] = True
    if met.sum() != len(data):
        raise DataError(
            f"{where}: expected each element of a sparse matrix once, got some several times; "
            "write it again after matrix.sum_duplicates()"
        )
    x = np.zeros((rows, columns), data.dtype)
    x[row, column] = data
    return x


def _damaged(where: str, writer: str) -> DataError:
    return DataError(
        f"{where}: expected a whole sparse matrix, got arrays that do not fit each other; write it "
        f"again with {writer}"
    )
