"""Tables of numbers: CSV, read by pyarrow, and what Parquet has in common with it.

A CSV file has a header line unless its first line is all numbers (other than the 0, 1, 2, …, or
1, 2, 3, …, of a table whose columns were only counted).  Its fields are separated by commas; by
semicolons or tabs where the first line has no comma.
"""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.inference import first_index
from lowerbound.data.parts import Arrays
from lowerbound.errors import ConfigurationError, DataError, near

log = logging.getLogger("lowerbound")

LABELS = ("label", "class")
MISSING = ["", "NA", "N/A", "nan", "NaN", "NAN", "null", "NULL"]
NUMBER = r"^\s*[-+]?((\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[iI]nf(inity)?)\s*$"
FEWEST_COUNTED = 4


@dataclass(frozen=True)
class Header:
    """How a CSV file begins: its columns, whether the file names them, and the lines before it."""

    names: tuple[str, ...]
    named: bool
    skip: int
    delimiter: str


def read_csv(path: Path, labels: str | None = None) -> Arrays:
    """The columns of a CSV file: numbers, and the class labels in the column ``labels``.

    Without ``labels``, a column called label or class is taken for them.  Where no line names the
    columns, they are called 0, 1, 2, ….

    Raises:
        ConfigurationError: no such column.
        DataError: a file that is no table, or a value that is missing or no number.
    """
    import pyarrow as pa

    header = _header(path)
    label, columns = choose(path, header.names, labels)
    types: dict[str, Any] = dict.fromkeys(columns, pa.float64())
    if label is not None:
        types[label] = pa.string()
    try:
        table = _read_csv(path, header, types)
    except (pa.ArrowException, OSError) as error:
        raise _explain(path, header, columns, error) from None

    def row_name(row: int) -> str:
        return f"line {_line_of(path, header, row)}"

    return table_arrays(path, table, label, columns if header.named else None, columns, row_name)


def choose(
    path: Path, names: tuple[str, ...], labels: str | None
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
        log.info("%s: column %r is taken for the class labels", path.name, label)
    columns = tuple(name for name in names if name != label)
    if not columns:
        raise DataError(
            f"{path}: expected at least one column of numbers besides the labels, got only "
            f"{label!r}"
        )
    return label, columns


def table_arrays(
    path: Path,
    table: Any,
    label: str | None,
    names: tuple[str, ...] | None,
    columns: tuple[str, ...],
    row_name: Callable[[int], str],
) -> Arrays:
    """The numbers of an Arrow table, and its column of class labels."""
    if table.num_rows == 0:
        raise DataError(f"{path}: expected at least one row of numbers, got none")
    values = np.empty((table.num_rows, len(columns)))
    for j, name in enumerate(columns):
        values[:, j] = table[name].cast("float64").to_numpy()
    finite = np.isfinite(values)
    if not finite.all():
        row, j = first_index(~finite)
        value = "no value" if table[columns[j]][row].as_py() is None else str(values[row, j])
        raise DataError(
            f"{path}: expected a finite number, got {value} in {row_name(row)}, column "
            f"{columns[j]!r}; remove that row or fill the value in"
        )
    if label is None:
        return Arrays(values, str(path), columns=names)
    classes = _labels(path, table[label], label, row_name)
    return Arrays(values, str(path), classes, f"column {label!r}", names)


def _labels(path: Path, column: Any, name: str, row_name: Callable[[int], str]) -> np.ndarray:
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    text = pa.types.is_string(column.type) or pa.types.is_large_string(column.type)
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


def is_number(type_: Any) -> bool:
    """Whether a column of an Arrow type holds numbers."""
    import pyarrow as pa

    return any(
        test(type_)
        for test in (
            pa.types.is_integer,
            pa.types.is_floating,
            pa.types.is_boolean,
            pa.types.is_decimal,
        )
    )


def not_a_number(path: Path, column: str, value: object, where: str) -> DataError:
    """The error for a column that holds something else."""
    return DataError(
        f"{path}: expected numbers in column {column!r}, got {value!r} in {where}; if the column "
        f"is the class of each row, name it with labels={column!r} (--labels {column}), "
        "else remove it or turn it into numbers"
    )


def _read_csv(path: Path, header: Header, types: dict[str, Any]) -> Any:
    from pyarrow import csv as arrow

    return arrow.read_csv(
        path,
        arrow.ReadOptions(column_names=list(header.names), skip_rows=header.skip),
        arrow.ParseOptions(delimiter=header.delimiter),
        arrow.ConvertOptions(column_types=types, null_values=MISSING),
    )


def _header(path: Path) -> Header:
    lines = _lines(path)
    first = next(((number, line) for number, line in lines if line), None)
    if first is None:
        raise DataError(f"{path}: expected a table of numbers, got an empty file")
    number, line = first
    delimiter = "," if "," in line else next((d for d in ";\t" if d in line), ",")
    fields = tuple(field.strip() for field in _fields(path, line, delimiter))
    counted = any(fields == tuple(str(i + start) for i in range(len(fields))) for start in (0, 1))
    if all(_is_numeral(field) for field in fields) and not (
        counted and len(fields) >= FEWEST_COUNTED
    ):
        names = tuple(str(column) for column in range(len(fields)))
        return Header(names, named=False, skip=number - 1, delimiter=delimiter)
    return Header(fields, named=True, skip=number, delimiter=delimiter)


def _fields(path: Path, line: str, delimiter: str) -> list[str]:
    try:
        return next(csv.reader([line], delimiter=delimiter))
    except csv.Error as error:
        raise DataError(
            f"{path}: expected a table of numbers, got a line that is none ({error})"
        ) from None


def first_line(error: Exception) -> str:
    """What Arrow says, without its details."""
    return str(error).strip().partition("\n")[0]


def _is_numeral(field: str) -> bool:
    try:
        float(field)
    except ValueError:
        return field in MISSING
    return True


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file, without their ends, numbered from 1."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number, line in enumerate(file, start=1):
                yield number, line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected text in UTF-8, got byte {error.object[error.start]:02x}; save it as "
            "CSV in UTF-8"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _rows(path: Path, header: Header) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in _lines(path) if line and number > header.skip)


def _line_of(path: Path, header: Header, row: int) -> int:
    return next(number for i, (number, _) in enumerate(_rows(path, header)) if i == row)


def _explain(path: Path, header: Header, columns: tuple[str, ...], error: Exception) -> DataError:
    """Which line or value kept pyarrow from reading the file."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for number, line in _rows(path, header):
        fields = len(_fields(path, line, header.delimiter))
        if fields != len(header.names):
            return DataError(
                f"{path}: expected {len(header.names)} fields in every line, got {fields} in line "
                f"{number}; check that line"
            )
    try:
        table = _read_csv(path, header, dict.fromkeys(header.names, pa.string()))
    except (pa.ArrowException, OSError) as worse:
        error = worse
    else:
        for name in columns:
            number_like = pc.match_substring_regex(table[name], NUMBER)
            known = pc.or_(number_like, pc.is_in(table[name], pa.array(MISSING)))
            row = pc.index(known, False).as_py()
            if row >= 0:
                line_number = _line_of(path, header, row)
                return not_a_number(path, name, table[name][row].as_py(), f"line {line_number}")
    return DataError(
        f"{path}: expected a table of numbers, got a file that is none ({first_line(error)})"
    )
