"""Parquet files, read by pyarrow a row group, or fewer rows, at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.arrow import (
    FIRST_ROWS,
    Misfit,
    first_numbers,
    is_number,
    not_numbers,
    row_name,
    table_raw,
)
from lowerbound.data.columns import quoted
from lowerbound.data.conversion import Parts, Raw, check_memory
from lowerbound.data.reading import Reading, Stamp
from lowerbound.data.tables import BYTES, choose, gather, refuse_commas
from lowerbound.errors import DataError, brief
from lowerbound.extras import needs

BATCH_VALUES, FEWEST_ROWS = 2**18, 1024
BUFFER = 2**16


def read_parquet(path: Path, reading: Reading) -> Parts:
    """All rows of a Parquet file, or of those in a folder."""
    found = ParquetBlocks(path, reading)
    check_memory(BYTES * sum(found.rows) * len(found.columns) + found.packed, str(path))
    raw = gather(found.where, found.pieces(), sum(found.rows), found.columns)
    raw = replace(raw, kinds=reading.kinds)
    refuse_commas(raw)
    return {"all": raw}


def stored_parquet(path: Path, reading: Reading) -> ParquetBlocks:
    """The same, to be read a block at a time.

    Raises:
        DataError: columns that hold no numbers, all of them in one message.
    """
    found = ParquetBlocks(path, reading)
    found.missing = False
    found.expect_numbers()
    return found


class ParquetBlocks:
    """The row groups of a Parquet file, or of the files in a folder, of the same columns.

    Without ``labels``, a column called label or class is taken for the class labels.

    Raises:
        ConfigurationError: no such column.
        DataError: a damaged file, or columns that differ.
    """

    missing = True

    def __init__(self, path: Path, reading: Reading) -> None:
        self.where, self.kinds = str(path), reading.kinds
        self.places: list[tuple[Path, int, int]] = []
        self.rows: list[int] = []
        self.largest = self.packed = 0
        self.metadata: dict[Path, Any] = {}
        self.stamps: dict[Path, Stamp] = {}
        names: tuple[str, ...] = ()
        files = shards(path)
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

    def expect_numbers(self) -> None:
        """Raises DataError: columns that hold something else."""
        for shard in self.stamps:
            misfits = []
            with self._opened(shard) as file:
                types = dict(zip(file.schema_arrow.names, file.schema_arrow.types, strict=True))
                for name in self.columns:
                    if not is_number(types[name]):
                        first = next(file.iter_batches(1, columns=[name]), None)
                        value = first.column(0)[0].as_py() if first else None
                        misfits.append(Misfit(name, value, "row 0"))
            if misfits:
                raise not_numbers(shard, misfits)

    def read(self, block: int) -> Raw:
        """One block as it came."""
        path, group, start = self.places[block]
        with self._opened(path) as file:
            table = file.read_row_group(group, columns=self._taken(file), use_threads=False)
            table.validate(full=True)
        return self._raw(path, table, start)

    def pieces(self) -> Iterator[Raw]:
        """All rows in order, a few at a time, however large the row groups are."""
        pa = needs("pyarrow", "tables")
        rows = max(FEWEST_ROWS, BATCH_VALUES // len(self.columns))
        for path in dict.fromkeys(path for path, _, _ in self.places):
            start = 0
            with self._opened(path) as file:
                for batch in file.iter_batches(rows, columns=self._taken(file)):
                    batch.validate(full=True)
                    yield self._raw(path, pa.Table.from_batches([batch]), start)
                    start += len(batch)

    def _raw(self, path: Path, table: Any, start: int) -> Raw:
        return table_raw(
            *(path, table, self.label, self.columns, lambda row: row_name(start + row)),
            missing=self.missing,
            kinds=self.kinds,
        )

    def _taken(self, file: Any) -> list[str] | None:
        """The columns to read; None for all, which is faster."""
        taken = [*self.columns, *filter(None, [self.label])]
        return None if len(taken) == len(file.schema_arrow.names) else taken

    @contextmanager
    def _opened(self, path: Path) -> Iterator[Any]:
        """The file, whose metadata are read only once, and which must stay as it is."""
        stamp = self.stamps.setdefault(path, Stamp.of(path))
        stamp.check()
        try:
            with _parquet(path, self.metadata.get(path)) as file:
                self.metadata[path] = file.metadata
                yield file
        finally:
            stamp.check()


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
        with _parquet(shard) as file:
            total += 8 * file.metadata.num_rows * file.metadata.num_columns
    return total


@contextmanager
def _parquet(path: Path, metadata: Any = None) -> Iterator[Any]:
    """The opened file; Arrow's errors become sentences."""
    pa = needs("pyarrow", "tables")
    parquet = needs("pyarrow.parquet", "tables")

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
