"""Parquet files, read by pyarrow a row group, or fewer rows, at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.arrow import FIRST_ROWS, first_numbers, is_number, row_name, table_raw
from lowerbound.data.columns import quoted
from lowerbound.data.conversion import Parts, Raw, check_memory
from lowerbound.data.delimited import CsvFile
from lowerbound.data.reading import Reading, Stamp
from lowerbound.data.tables import BYTES, choose, gather, told
from lowerbound.errors import DataError, brief
from lowerbound.extras import pa, parquet

BATCH_VALUES, FEWEST_ROWS = 2**18, 1024
BUFFER = 2**16


def read_parquet(path: Path, reading: Reading) -> Parts:
    """All rows of a Parquet file, or of those in a folder."""
    found = ParquetFiles(path, reading)
    check_memory(BYTES * sum(found.rows) * len(found.columns) + found.packed, str(path))
    raw = gather(found.where, found.pieces(), sum(found.rows), found.columns)
    return {"all": told(raw, reading.kinds)}


@dataclass(frozen=True)
class Shard:
    """A file of rows, for messages."""

    path: Path
    forms = None

    def row_name(self, start: int, row: int) -> str:
        """The row of this number after ``start`` in words."""
        return row_name(start + row)


class ParquetFiles:
    """A Parquet file, or the files in a folder, of the same columns.

    Without ``labels``, a column called label or class is taken for the class labels.  Of files
    that are copies, messages tell of the ``sources``.

    Attributes:
        where: the file or folder, for messages.
        label: the column of class labels, if any.
        columns: those of values.
        kinds: what was said of them.
        known: whether they are those of a model.
        rows: how many each row group has.
        largest: bytes of the columns of the largest row group, as float64.
        packed: bytes of the largest row group, as it is kept.

    Raises:
        ConfigurationError: no such column.
        DataError: a damaged file, or columns that differ.
    """

    def __init__(
        self, path: Path, reading: Reading, sources: Sequence[Shard | CsvFile] = ()
    ) -> None:
        self.where, self.kinds = str(path), reading.kinds
        self.known = reading.columns is not None
        self.places: list[tuple[Path, int, int]] = []
        self.rows: list[int] = []
        self.largest = self.packed = 0
        self.metadata: dict[Path, Any] = {}
        self.stamps: dict[Path, Stamp] = {}
        names: tuple[str, ...] = ()
        classes = ""
        files = shards(path)
        self.sources = dict(zip(files, sources or map(Shard, files), strict=True))
        for shard in files:
            with self._opened(shard) as file:
                schema = file.schema_arrow
                there = tuple(schema.names)
                if names and set(there) != set(names):
                    odd = sorted(set(there) ^ set(names))[0]
                    raise DataError(
                        f"{shard}: expected the columns of {files[0].name}, {quoted(names)}, got "
                        f"{quoted(there)}, which differ in {odd!r}; write all files with the same "
                        "columns"
                    )
                if not names:
                    names = there
                    self.label, self.columns = choose(shard, names, reading, _first_of(file))
                if self.label is not None:
                    of = "numbers" if is_number(schema.field(self.label).type) else "text"
                    if of != (classes := classes or of):
                        raise DataError(
                            f"{shard}: expected {classes} as class labels in column "
                            f"{self.label!r}, as in {files[0].name}, got {of}; write them alike in "
                            "all files"
                        )
                found = [file.metadata.row_group(i) for i in range(file.num_row_groups)]
                groups = [group.num_rows for group in found]
                self.packed = max([self.packed, *(group.total_byte_size for group in found)])
            if min(groups, default=0) < 0:
                raise DataError(f"{shard}: expected a whole Parquet file, got one that is damaged")
            self.largest = max(self.largest, 8 * max(groups, default=0) * len(self.columns))
            for group, (rows, end) in enumerate(zip(groups, accumulate(groups), strict=True)):
                if rows:
                    self.places.append((shard, group, end - rows))
                    self.rows.append(rows)
        if not self.rows:
            raise DataError(f"{self.where}: expected at least one row of numbers, got none")

    def read(self, group: int, columns: tuple[str, ...]) -> Raw:
        """These columns of a row group, and the class labels."""
        path, number, start = self.places[group]
        with self._opened(path) as file:
            taken = _taken(file, columns, self.label)
            table = file.read_row_group(number, columns=taken, use_threads=False)
            table.validate(full=True)
        return self._raw(path, table, start, columns, self.label)

    def pieces(self, columns: tuple[str, ...] | None = None) -> Iterator[Raw]:
        """All rows in order, a few at a time, however large the row groups are.

        Of these ``columns``, or of all of them and with the class labels.
        """
        label, columns = (self.label, self.columns) if columns is None else (None, columns)
        for path in self.sources:
            start = 0
            for table in self.tables(path, columns, label):
                yield self._raw(path, table, start, columns, label)
                start += len(table)

    def tables(self, path: Path, columns: tuple[str, ...], label: str | None) -> Iterator[Any]:
        """The same of one file, as they are in it."""
        rows = max(FEWEST_ROWS, BATCH_VALUES // len(columns))
        with self._opened(path) as file:
            for batch in file.iter_batches(rows, columns=_taken(file, columns, label)):
                batch.validate(full=True)
                yield pa.Table.from_batches([batch])

    def _raw(
        self, path: Path, table: Any, start: int, columns: tuple[str, ...], label: str | None
    ) -> Raw:
        source = self.sources[path]
        named = partial(source.row_name, start)
        raw = table_raw(
            *(source.path, table, label, columns, named), kinds=self.kinds, known=self.known
        )
        return raw if source.forms is None else replace(raw, forms=source.forms)

    @contextmanager
    def _opened(self, path: Path) -> Iterator[Any]:
        """The file, whose metadata are read only once, and which must stay as it is."""
        stamp = self.stamps.setdefault(path, Stamp.of(path))
        stamp.check()
        try:
            with opened(path, self.metadata.get(path)) as file:
                self.metadata[path] = file.metadata
                yield file
        finally:
            stamp.check()


def _taken(file: Any, columns: tuple[str, ...], label: str | None) -> list[str] | None:
    """The columns to read; None for all, which is faster."""
    taken = list(dict.fromkeys([*columns, *filter(None, [label])]))
    return None if len(taken) == len(file.schema_arrow.names) else taken


def _first_of(file: Any) -> Callable[[str], np.ndarray]:
    """What gives the first numbers of a column of a Parquet file."""

    def first(name: str) -> np.ndarray:
        batch = next(file.iter_batches(FIRST_ROWS, columns=[name]), None)
        return np.array([]) if batch is None else first_numbers(batch.column(name))

    return first


def shards(path: Path) -> list[Path]:
    """The Parquet files that ``path`` names."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return [file for file in files if file.suffix.lower() == ".parquet" and file.is_file()]


def parquet_size(path: Path) -> int:
    """Bytes of all columns as float64."""
    total = 0
    for shard in shards(path):
        with opened(shard) as file:
            total += 8 * file.metadata.num_rows * file.metadata.num_columns
    return total


@contextmanager
def opened(path: Path, metadata: Any = None) -> Iterator[Any]:
    """The opened file; Arrow's errors become sentences."""
    try:
        with parquet.ParquetFile(
            path, metadata=metadata, buffer_size=BUFFER, pre_buffer=False
        ) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected a whole Parquet file, got one that is truncated or damaged "
            f"({brief(error)}); write it again"
        ) from None
