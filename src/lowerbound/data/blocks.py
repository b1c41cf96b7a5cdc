"""Files read a block of consecutive examples at a time, so that they may exceed memory."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lowerbound.data.arrays import read_npy
from lowerbound.data.parts import Arrays
from lowerbound.data.tables import choose, first_line, is_number, not_a_number, table_arrays
from lowerbound.errors import DataError

BLOCK_BYTES = 2**18


class Blocks(Protocol):
    """Examples in blocks.

    Attributes:
        where: the file or folder, for messages.
        rows: how many examples each block has.
        largest: bytes of the largest block, kept in memory as uint8 or float32.
        size: bytes of all values, kept in memory as uint8 or float32.
    """

    where: str
    rows: list[int]
    largest: int
    size: int

    def read(self, block: int) -> Arrays:
        """One block, its values and class labels as they came."""


class NpyBlocks:
    """An ``.npy`` file, and perhaps another with its class labels.

    Raises:
        DataError: a damaged file, or one in Fortran's order, whose examples do not lie together.
    """

    def __init__(self, path: Path, labels: Path | None = None) -> None:
        array: Any = read_npy(path)
        if array.ndim == 0:
            raise DataError(f"{path}: expected examples, got a single number")
        if not array.flags.c_contiguous:
            raise DataError(
                f"{path}: expected examples one after the other, got an array in Fortran's order; "
                "write it again with numpy.save(path, numpy.ascontiguousarray(x))"
            )
        self.path, self.where = path, str(path)
        self.size = array.size * (1 if array.dtype.itemsize == 1 else 4)
        self.offset, self.dtype, self.shape = array.offset, array.dtype, array.shape[1:]
        self.row_bytes = math.prod(self.shape) * self.dtype.itemsize
        step = max(1, BLOCK_BYTES // max(1, self.row_bytes))
        self.starts = range(0, len(array), step)
        self.rows = [min(step, len(array) - start) for start in self.starts]
        self.largest = BLOCK_BYTES
        self.labels = labels
        self.classes = None if labels is None else read_npy(labels)
        if self.classes is not None and self.classes.shape[:1] != (len(array),):
            raise DataError(
                f"{labels}: expected one label for each of {len(array):,} examples of {path}, got "
                f"an array of shape {self.classes.shape}"
            )

    def read(self, block: int) -> Arrays:
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
        return Arrays(flat.reshape(rows, *self.shape), where, labels, f"file {self.labels}")


class ParquetBlocks:
    """The row groups of Parquet files that have the same columns.

    Without ``labels``, a column called label or class is taken for the class labels.

    Raises:
        ConfigurationError: no such column.
        DataError: a damaged file, columns that differ, or a column that holds no numbers.
    """

    def __init__(self, paths: Sequence[Path], labels: str | None = None) -> None:
        self.where = str(paths[0] if len(paths) == 1 else paths[0].parent)
        self.places: list[tuple[Path, int, int]] = []
        self.rows: list[int] = []
        self.largest = 0
        names: tuple[str, ...] = ()
        for path in paths:
            with _parquet(path) as file:
                found = tuple(file.schema_arrow.names)
                if names and found != names:
                    raise DataError(
                        f"{path}: expected the columns of {paths[0].name}, {', '.join(names)}, got "
                        f"{', '.join(found)}; write all files with the same columns"
                    )
                if not names:
                    names = found
                    self.label, self.columns = choose(path, names, labels)
                for name in self.columns:
                    if not is_number(file.schema_arrow.field(name).type):
                        raise not_a_number(path, name, _first(file, name), "row 0")
                groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            self.largest = max(self.largest, 4 * max(groups, default=0) * len(self.columns))
            starts = [0, *itertools.accumulate(groups)]
            for group, rows in enumerate(groups):
                if rows:
                    self.places.append((path, group, starts[group]))
                    self.rows.append(rows)
        if not self.rows:
            raise DataError(f"{self.where}: expected at least one row of numbers, got none")
        self.size = 4 * sum(self.rows) * len(self.columns)

    def read(self, block: int) -> Arrays:
        path, group, start = self.places[block]
        with _parquet(path) as file:
            table = file.read_row_group(group, use_threads=False)
            table.validate(full=True)
        names = self.columns
        return table_arrays(path, table, self.label, names, names, functools.partial(_row, start))


def parquet_size(paths: Sequence[Path]) -> int:
    """Bytes of all columns as float32."""
    total = 0
    for path in paths:
        with _parquet(path) as file:
            total += 4 * file.metadata.num_rows * file.metadata.num_columns
    return total


def read_all(blocks: Blocks) -> Arrays:
    """All blocks together, in memory."""
    parts = [blocks.read(block) for block in range(len(blocks.rows))]
    labels = [part.labels for part in parts if part.labels is not None]
    return Arrays(
        np.concatenate([part.x for part in parts]),
        blocks.where,
        np.concatenate(labels) if labels else None,
        parts[0].labels_from,
        parts[0].columns,
    )


def _row(start: int, row: int) -> str:
    return f"row {start + row} (counted from 0)"


def _first(file: Any, column: str) -> object:
    values = next(file.iter_batches(1, columns=[column]), None)
    return values.column(0)[0].as_py() if values else None


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """The opened file; Arrow's errors become sentences."""
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected a whole Parquet file, got one that is truncated or damaged "
            f"({first_line(error)}); write it again"
        ) from None
