"""CSV and TSV files, read by pyarrow.

A file has a header line unless its first line is all numbers (other than the 0, 1, 2, …, or
1, 2, 3, …, of a table whose columns were only counted).  Its fields are separated by commas; by
semicolons or tabs where the first line has no comma.
"""

from __future__ import annotations

import csv
import itertools
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from lowerbound.data.conversion import Parts
from lowerbound.data.tables import choose, first_line, not_a_number, table_raw
from lowerbound.errors import DataError
from lowerbound.extras import needs

MISSING = ["", "NA", "N/A", "nan", "NaN", "NAN", "null", "NULL"]
FEWEST_COUNTED = 4


@dataclass(frozen=True)
class Header:
    """How a CSV file begins: its columns, whether the file names them, and the lines before it."""

    names: tuple[str, ...]
    named: bool
    skip: int
    delimiter: str


def read_csv(path: Path, labels: str | None = None) -> Parts:
    """The columns of a CSV file: numbers, and the class labels in the column ``labels``.

    Without ``labels``, a column called label or class is taken for them.  Where no line names the
    columns, they are called 0, 1, 2, ….

    Raises:
        ConfigurationError: no such column.
        DataError: a file that is no table, or a value that is missing or no number.
    """
    pa = needs("pyarrow", "tables")
    arrow = needs("pyarrow.csv", "tables")

    header = _header(path)
    label, columns = choose(path, header.names, labels)
    types: dict[str, Any] = dict.fromkeys(columns, pa.float64())
    if label is not None:
        types[label] = pa.string()
    read = partial(
        arrow.read_csv,
        path,
        parse_options=arrow.ParseOptions(delimiter=header.delimiter),
        convert_options=arrow.ConvertOptions(column_types=types, null_values=MISSING),
    )
    names, skip = list(header.names), header.skip
    try:
        try:
            table = read(arrow.ReadOptions(column_names=names, skip_rows=skip))
        except pa.ArrowException:  # which names the line only where it reads in one thread
            table = read(arrow.ReadOptions(column_names=names, skip_rows=skip, use_threads=False))
    except (pa.ArrowException, OSError) as error:
        raise _explain(path, header, error) from None

    def row_name(row: int) -> str:
        return f"line {_line_of(path, header, row)}"

    raw = table_raw(path, table, label, columns, row_name)
    return {"all": raw if header.named else replace(raw, columns=None)}


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


def _line_of(path: Path, header: Header, row: int) -> int:
    rows = (number for number, line in _lines(path) if line and number > header.skip)
    return next(itertools.islice(rows, row, None))


def _explain(path: Path, header: Header, error: Exception) -> DataError:
    """Which line or value kept pyarrow from reading the file, as it tells of its own error."""
    if match := re.search(r"Row #(\d+): Expected \d+ columns, got (\d+)", str(error)):
        line = _line_of(path, header, int(match[1]) - header.skip - 1)
        return DataError(
            f"{path}: expected {len(header.names)} fields in every line, got {match[2]} in line "
            f"{line}; check that line"
        )
    if match := re.search(r"column #(\d+): Row #(\d+): .* invalid value '(.*)'", str(error)):
        line = _line_of(path, header, int(match[2]) - header.skip - 1)
        return not_a_number(path, header.names[int(match[1])], match[3], f"line {line}")
    return DataError(
        f"{path}: expected a table of numbers, got a file that is none ({first_line(error)})"
    )
