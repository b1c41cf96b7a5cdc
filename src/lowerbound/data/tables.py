"""Tables, read by pyarrow: CSV, Parquet, and the data frames that Arrow reads."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.conversion import Parts, Raw, check_finite, check_memory
from lowerbound.errors import ConfigurationError, DataError, near
from lowerbound.extras import needs

log = logging.getLogger("lowerbound")

LABELS = ("label", "class")
MICROSECONDS_A_DAY = 86_400e6


def is_frame(x: Any) -> bool:
    """Whether Arrow can read it as a table."""
    return hasattr(x, "__arrow_c_stream__") or hasattr(x, "__dataframe__")


def read_frame(frame: Any, labels: Any, name: str) -> Raw:
    """The columns of a data frame: numbers, dates, categories, any of them with missing values.

    Raises:
        ConfigurationError: ``labels`` names no column.
        DataError: no table, or a column of other things.
    """
    pa = needs("pyarrow", "tables")
    interchange = needs("pyarrow.interchange", "tables")

    try:
        if hasattr(frame, "__arrow_c_stream__"):
            table = pa.table(frame)
        else:
            table = interchange.from_dataframe(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"{name}: expected a data frame, got a {type(frame).__name__} that Arrow does not read "
            f"as one ({first_line(error)})"
        ) from None
    pandas = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    index = [column for column in pandas.get("index_columns", ()) if isinstance(column, str)]
    table = table.drop_columns(index)
    if labels is None or isinstance(labels, str):
        label, columns = choose(name, tuple(table.column_names), labels)
        return table_raw(name, table, label, columns, _row, missing=True)
    raw = table_raw(name, table, None, tuple(table.column_names), _row, missing=True)
    return replace(raw, labels=np.asarray(labels))


def choose(
    path: Path | str, names: tuple[str, ...], labels: str | None
) -> tuple[str | None, tuple[str, ...]]:
    """The column of class labels, if any, and the others."""
    for name in names:
        if name.strip() in ("", "__index_level_0__"):
            raise DataError(
                f"{path}: expected a name for every column, got {name!r} for column "
                f"{names.index(name)} (counted from 0); if it only counts the rows, write the file "
                "without it (pandas: index=False)"
            )
        if names.count(name) > 1:
            raise DataError(
                f"{path}: expected columns of different names, got {name!r} {names.count(name)} "
                "times; rename them"
            )
    if labels is not None and labels not in names:
        raise ConfigurationError(
            f"{path}: expected labels= to name a column, got {labels!r}; {near(labels, names)}"
        )
    likely = [name for name in names if name.lower() in LABELS]
    label = labels if labels is not None else next(iter(likely), None)
    if label is not None and labels is None:
        log.info("%s: column %r is taken for the class labels", Path(path).name, label)
    columns = tuple(name for name in names if name != label)
    if not columns:
        raise DataError(
            f"{path}: expected at least one column of numbers besides the labels, got only "
            f"{label!r}"
        )
    return label, columns


def table_raw(
    where: Path | str,
    table: Any,
    label: str | None,
    columns: tuple[str, ...],
    row_name: Callable[[int], str],
    *,
    missing: bool = False,
) -> Raw:
    """The columns of an Arrow table as numbers, and its column of class labels."""
    if table.num_rows == 0:
        raise DataError(f"{where}: expected at least one row of numbers, got none")
    values, observed = np.empty((table.num_rows, len(columns))), None
    categories: dict[str, tuple[str, ...]] = {}
    for j, name in enumerate(columns):
        if missing and table[name].null_count == table.num_rows:
            raise DataError(
                f"{where}: expected at least one value in column {name!r}, got none; leave it out"
            )
        values[:, j], names = _numbers(where, table[name], name)
        if names:
            categories[name] = names
    named = [j for j, name in enumerate(columns) if name in categories]
    if any(table[name].null_count for name in columns) or np.isnan(values[:, named]).any():
        observed = np.column_stack([table[name].is_valid().to_numpy() for name in columns])
        observed[:, named] &= ~np.isnan(values[:, named])
    known = np.where(observed, values, 0.0) if missing and observed is not None else values
    check_finite(known, str(where), columns, row_name, observed)
    classes = None if label is None else _labels(where, table[label], label, row_name)
    labels_from = None if label is None else f"column {label!r}"
    return Raw(values, str(where), classes, labels_from, columns, categories, observed)


def _numbers(where: Path | str, column: Any, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """A column as numbers, NaN where there are none.

    Dates are days since 1970, and texts and categories their codes, whose names come with them.
    """
    pa = needs("pyarrow", "tables")
    pc = needs("pyarrow.compute", "tables")

    if is_number(column.type):
        try:
            return column.cast("float64").to_numpy(), ()
        except pa.ArrowInvalid:
            raise DataError(
                f"{where}: expected numbers up to 2⁵³, which float64 holds exactly, in column "
                f"{name!r}, got larger ones; leave the column out if it only numbers the rows"
            ) from None
    if pa.types.is_date(column.type) or pa.types.is_timestamp(column.type):
        instants = column.cast(pa.timestamp("us", getattr(column.type, "tz", None)), safe=False)
        return instants.cast("int64").cast("float64").to_numpy() / MICROSECONDS_A_DAY, ()
    if pa.types.is_dictionary(column.type):
        whole = column.unify_dictionaries().combine_chunks()
        values = whole.dictionary.to_pylist()
        named = [value for value in values if value is not None]
        number = {value: i for i, value in enumerate(named)}
        places = [number.get(value, np.nan) for value in values]
        codes = np.array(whole.indices.cast("float64").to_numpy(zero_copy_only=False))
        known = ~np.isnan(codes)
        codes[known] = np.array(places)[codes[known].astype(int)]
        return codes, tuple(map(str, named))
    if is_text(column.type):
        column = column.cast("large_string")
        names = pc.unique(column).drop_null().sort()
        codes = pc.index_in(column, names).cast("float64").to_numpy()
        return codes, tuple(names.to_pylist())
    raise not_a_number(where, name, column.drop_null()[0].as_py(), f"a column of {column.type}")


def _labels(path: Path | str, column: Any, name: str, row_name: Callable[[int], str]) -> np.ndarray:
    pa = needs("pyarrow", "tables")
    pc = needs("pyarrow.compute", "tables")

    if pa.types.is_dictionary(column.type):
        codes, names = _numbers(path, column, name)
        places = np.where(np.isnan(codes), len(names), codes).astype(int)
        column = pa.chunked_array([pa.array(np.array([*names, None], object)[places], "string")])
    if text := is_text(column.type):
        column = column.cast("large_string")
    if not text and not is_number(column.type):
        raise DataError(
            f"{path}: expected class labels, whole numbers or text, in column {name!r}, "
            f"got {column.type}"
        )
    missing = pc.is_null(column)
    if text:
        missing = pc.or_kleene(missing, pc.equal(column, ""))
    row = pc.index(missing, True).as_py()
    if row >= 0:
        raise DataError(
            f"{path}: expected a class label, got none in {row_name(row)}, column {name!r}; "
            "remove that row or fill the label in"
        )
    values = column.to_numpy()
    return values.astype(np.str_) if text else values


def is_text(type_: Any) -> bool:
    """Whether a column of an Arrow type holds text."""
    return str(type_) in ("string", "large_string", "string_view")


def is_number(type_: Any) -> bool:
    """Whether a column of an Arrow type holds numbers."""
    return re.match(r"u?int\d|halffloat|float|double|bool|decimal", str(type_)) is not None


def not_a_number(path: Path | str, column: str, value: object, where: str) -> DataError:
    """The error for a column that holds something else."""
    return DataError(
        f"{path}: expected numbers in column {column!r}, got {value!r} in {where}; if the column "
        f"is the class of each row, name it with labels={column!r} (--labels {column}), "
        "else remove it or turn it into numbers"
    )


def first_line(error: Exception) -> str:
    """What Arrow says, without its details."""
    return str(error).strip().partition("\n")[0]


def read_parquet(path: Path, labels: str | None = None) -> Parts:
    """All rows of a Parquet file, or of those in a folder."""
    blocks = ParquetBlocks(path, labels)
    check_memory(7 * blocks.size, str(path))  # float64 on the way
    raws = [blocks.read(block) for block in range(len(blocks.rows))]
    classes = [raw.labels for raw in raws if raw.labels is not None]
    return {
        "all": replace(
            raws[0],
            x=np.concatenate([raw.x for raw in raws]),
            where=blocks.where,
            labels=np.concatenate(classes) if classes else None,
        )
    }


class ParquetBlocks:
    """The row groups of a Parquet file, or of the files in a folder, of the same columns.

    Without ``labels``, a column called label or class is taken for the class labels.

    Raises:
        ConfigurationError: no such column.
        DataError: a damaged file, columns that differ, or a column that holds no numbers.
    """

    def __init__(self, path: Path, labels: str | None = None) -> None:
        self.where = str(path)
        self.places: list[tuple[Path, int, int]] = []
        self.rows: list[int] = []
        self.largest = 0
        names: tuple[str, ...] = ()
        files = shards(path)
        for shard in files:
            with _parquet(shard) as file:
                found = tuple(file.schema_arrow.names)
                if names and found != names:
                    raise DataError(
                        f"{shard}: expected the columns of {files[0].name}, {', '.join(names)}, "
                        f"got {', '.join(found)}; write all files with the same columns"
                    )
                if not names:
                    names = found
                    self.label, self.columns = choose(shard, names, labels)
                for name in self.columns:
                    if not is_number(file.schema_arrow.field(name).type):
                        first = next(file.iter_batches(1, columns=[name]), None)
                        value = first.column(0)[0].as_py() if first else None
                        raise not_a_number(shard, name, value, "row 0")
                groups = [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)]
            self.largest = max(self.largest, 4 * max(groups, default=0) * len(self.columns))
            for group, (rows, end) in enumerate(zip(groups, accumulate(groups), strict=True)):
                if rows:
                    self.places.append((shard, group, end - rows))
                    self.rows.append(rows)
        if not self.rows:
            raise DataError(f"{self.where}: expected at least one row of numbers, got none")
        self.size = 4 * sum(self.rows) * len(self.columns)

    def read(self, block: int) -> Raw:
        """One block as it came."""
        path, group, start = self.places[block]
        with _parquet(path) as file:
            table = file.read_row_group(group, use_threads=False)
            table.validate(full=True)
        return table_raw(path, table, self.label, self.columns, lambda row: _row(start + row))


def shards(path: Path) -> list[Path]:
    """The Parquet files that ``path`` names."""
    files = sorted(path.glob("*.parquet")) if path.is_dir() else [path]
    return [file for file in files if file.suffix.lower() == ".parquet" and file.is_file()]


def parquet_size(path: Path) -> int:
    """Bytes of all columns as float32."""
    total = 0
    for shard in shards(path):
        with _parquet(shard) as file:
            total += 4 * file.metadata.num_rows * file.metadata.num_columns
    return total


def _row(row: int) -> str:
    return f"row {row} (counted from 0)"


@contextmanager
def _parquet(path: Path) -> Iterator[Any]:
    """The opened file; Arrow's errors become sentences."""
    pa = needs("pyarrow", "tables")
    parquet = needs("pyarrow.parquet", "tables")

    try:
        with parquet.ParquetFile(path) as file:
            yield file
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"{path}: expected a whole Parquet file, got one that is truncated or damaged "
            f"({first_line(error)}); write it again"
        ) from None
