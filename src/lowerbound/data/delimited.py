"""CSV and TSV files, read by pyarrow in pieces.

Whether the first line names the columns is judged by the rows below it, see `header`, unless it is
told.  Fields are separated by commas; by semicolons or tabs where the first line has no comma.
"""

from __future__ import annotations

import csv
import itertools
import logging
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from lowerbound.data.arrow import Misfit, not_numbers, table_raw
from lowerbound.data.cells import FALSE, TEXT, TRUE, TRUTH, are_dates, fits, form_of, typed
from lowerbound.data.columns import quoted
from lowerbound.data.conversion import Parts, Raw, check_memory
from lowerbound.data.header import MISSING, is_value, names_columns, numbers
from lowerbound.data.reading import Reading
from lowerbound.data.tables import BYTES, choose, gather, told
from lowerbound.errors import DataError, brief, shown
from lowerbound.extras import needs, pa
from lowerbound.logs import log

LONGEST_LINE = 2**25
MOST_COLUMNS = 2**20
SAMPLED_ROWS = 200
SAMPLED_FIELDS = 2**20
BLOCK_BYTES, BLOCK_ROWS, LARGEST_BLOCK = 2**20, 64, 2**27
SHOWN, SHOWN_CHARACTERS = 3, 40
PLAIN = re.compile(r"-?(0|[1-9]\d*)(\.\d+)?")
NORMALISED = re.compile(r"-?([1-9]\.\d+|0\.0+)e[+-]\d\d")  # as numpy.savetxt writes numbers


@dataclass(frozen=True)
class Layout:
    """How a CSV file begins.

    Attributes:
        names: of its columns.
        named: whether the file names them.
        skip: lines before the first row.
        delimiter: between fields.
        rows: the fields of its first rows.
        longest: characters of the longest of these lines.
    """

    names: tuple[str, ...]
    named: bool
    skip: int
    delimiter: str
    rows: list[list[str]]
    longest: int

    def numbers(self, name: str) -> np.ndarray:
        """The first numbers of a column, NaN where there is none."""
        place = self.names.index(name)
        return numbers([[row[place] for row in self.rows]])[0]


def read_csv(path: Path, reading: Reading) -> Parts:
    """The columns of a CSV file: numbers, truth values, dates or categories, and the class labels.

    What a column holds is judged by its first rows, or told by ``reading.kinds``.  Empty cells, NA
    and the like are missing.

    Without ``labels``, a column called label or class is taken for them.  Where no line names the
    columns, they are called 0, 1, 2, ….

    Raises:
        ConfigurationError: no such column.
        DataError: a file that is no table, or a cell that its column cannot hold.
    """
    file = CsvFile.of(path, reading)
    most = _count_lines(path)
    check_memory(BYTES * most * len(file.columns), str(path))
    raw = gather(str(path), file.blocks(), most, file.columns)
    if raw.labels is not None:
        raw = replace(raw, labels=as_numbers(raw.labels))
    raw = told(raw, reading.kinds)
    named = file.names_columns(raw.categories, gaps=raw.observed is not None)
    named = named or bool(reading.given)
    return {"all": raw if named else replace(raw, columns=None, forms={})}


@dataclass(frozen=True)
class CsvFile:
    """A CSV file, once its first rows have told how it is read.

    Attributes:
        path: of the file.
        layout: how it begins.
        label: the column of class labels, if any.
        columns: those of values.
        kinds: what was said of them.
        cells: how their cells are read, as `form_of` has it.
        known: whether they are those of a model.
    """

    path: Path
    layout: Layout
    label: str | None
    columns: tuple[str, ...]
    kinds: Mapping[str, str]
    cells: Mapping[str, str]
    known: bool

    @classmethod
    def of(cls, path: Path, reading: Reading) -> CsvFile:
        """The file at ``path``, see `read_csv`."""
        layout = layout_of(path, reading)
        own = set(reading.taken or ()) <= set(layout.names)
        bare = not (layout.named or own or reading.given)
        if bare and reading.kinds:
            layout = _by_position(path, layout, reading)
        elif bare:
            reading = replace(reading, columns=None)
        label, columns = choose(path, layout.names, reading, layout.numbers)
        first = dict(zip(layout.names, zip(*layout.rows, strict=True), strict=False))
        kinds = reading.kinds
        cells = {name: form_of(first.get(name, ()), kinds.get(name)) for name in columns}
        for name in columns:
            if cells[name] == TEXT and name not in kinds and are_dates(first.get(name, ())):
                log.warning(
                    "%s: column %r holds dates of several formats, or whose day and month may be "
                    "either, and is taken for text; write them alike, or name their format with "
                    "--kind %s",
                    *(path.name, name, quote(f"{name}=dates:%d/%m/%Y")),
                )
        return cls(path, layout, label, columns, kinds, cells, reading.columns is not None)

    @property
    def forms(self) -> dict[str, str]:
        """How the columns are written, as in `Raw`."""
        return {name: "" if form == TEXT else form for name, form in self.cells.items()}

    def names_columns(self, categories: Collection[str], *, gaps: bool) -> bool:
        """Whether columns have names: it gives them, or they hold more than plain numbers."""
        named = self.layout.named or bool(self.kinds) or any(self.forms.values())
        return named or bool(categories) or gaps

    def blocks(self) -> Iterator[Raw]:
        """The rows, some at a time, as numbers."""
        start = 0
        for table in self.tables():
            named = partial(self.row_name, start)
            raw = table_raw(
                *(self.path, table, self.label, self.columns, named),
                kinds=self.kinds,
                known=self.known,
            )
            yield replace(raw, forms=self.forms)
            start += len(raw.x)

    def tables(self) -> Iterator[Any]:
        """The same as tables of Arrow: numbers, truth values, instants, and text."""
        arrow = needs("pyarrow.csv", "tables")

        truth = {name for name, form in self.cells.items() if form in TRUTH}
        texts = [name for name, form in self.cells.items() if form and name not in truth]
        types = {
            name: pa.bool_() if name in truth else pa.string() if form else pa.float64()
            for name, form in self.cells.items()
        }
        if self.label is not None:
            types.setdefault(self.label, pa.string())
        layout = self.layout
        size = min(max(BLOCK_BYTES, BLOCK_ROWS * layout.longest), LARGEST_BLOCK)
        try:
            reader = arrow.open_csv(
                self.path,
                arrow.ReadOptions(
                    column_names=layout.names, skip_rows=layout.skip, block_size=size
                ),
                arrow.ParseOptions(delimiter=layout.delimiter),
                arrow.ConvertOptions(
                    column_types=types,
                    include_columns=list(types),
                    null_values=MISSING,
                    true_values=list(TRUE),
                    false_values=list(FALSE),
                ),
            )
            with reader:
                for batch in reader:
                    table = pa.Table.from_batches([batch])
                    for name in texts:
                        column = typed(table[name], self.cells[name])
                        table = table.set_column(table.column_names.index(name), name, column)
                    yield table
        except (pa.ArrowException, OSError) as error:
            raise _explain(self, size, error) from None

    def row_name(self, start: int, row: int) -> str:
        """The row of this number after ``start`` in words."""
        return f"line {_line_of(self.path, self.layout, start + row)}"


def _by_position(path: Path, layout: Layout, reading: Reading) -> Layout:
    """``layout`` without names, with those of the columns that are asked for, in their order."""
    columns = iter(reading.columns or ())
    bare = [name for name in layout.names if name != reading.labels]
    if len(bare) != len(reading.columns or ()):
        raise DataError(
            f"{path}: expected the columns {quoted(reading.columns or ())}, got {len(bare)} "
            "without names; write them in the first line"
        )
    log.info("%s: its columns have no names, and are taken in the model's order", path.name)
    names = tuple(name if name == reading.labels else next(columns) for name in layout.names)
    return replace(layout, names=names)


def as_numbers(labels: np.ndarray) -> np.ndarray:
    """Text as numbers, if all of it is and some, such as 1.0, is no whole one as it is written.

    Whole numbers in several styles, such as 007 and 7.0 or 1e5 and 10e4, stay text, since texts
    that differ may be different classes; those that int64 does not hold exactly stay decimals.
    """
    if labels.dtype.kind != "U":
        return labels
    names, place = np.unique(labels, return_inverse=True)
    texts = names.tolist()
    values = numbers([texts])[0]
    if np.isnan(values).any() or all(text.lstrip("+-").isdigit() for text in texts):
        return labels
    if not (np.isfinite(values) & (values == np.floor(values))).all():
        return values[place]
    if not any(all(map(style.fullmatch, texts)) for style in (PLAIN, NORMALISED)):
        return labels
    exact = np.array([Decimal(text) for text in texts], object)
    held = all(-(2**63) <= number < 2**63 and number % 1 == 0 for number in exact)
    return (exact.astype(np.int64) if held else exact)[place]


def layout_of(path: Path, reading: Reading) -> Layout:
    """The names of the columns, and the first rows."""
    lines = ((number, line) for number, line in _lines(path) if line)
    number, line = next(lines, (0, ""))
    if not line:
        raise DataError(f"{path}: expected a table of numbers, got an empty file")
    delimiter = "," if "," in line else next((d for d in ";\t" if d in line), ",")
    if line.count(delimiter) >= MOST_COLUMNS:
        raise DataError(
            f"{path}: expected at most {MOST_COLUMNS:,} columns, got "
            f"{line.count(delimiter) + 1:,}; write an .npy file"
        )
    first = tuple(field.strip() for field in _fields(path, line, delimiter, whole=True))
    sampled = min(SAMPLED_ROWS, max(2, SAMPLED_FIELDS // len(first)))
    below = [text for _, text in itertools.islice(lines, sampled)]
    rows = [[field.strip() for field in _fields(path, text, delimiter)] for text in below]
    rows = [row for row in rows if len(row) == len(first)]
    longest = max(map(len, [line, *below]))
    single = _in_single_quotes(first) and not any(map(_in_single_quotes, rows))
    if single:
        first = tuple(field[1:-1] for field in first)
    double = line.count('"') == 2 * len(first) and not any('"' in text for text in below)
    named = _is_header(path, first, rows, reading, quoted=(single or double) and bool(below))
    return Layout(
        names=first if named else tuple(map(str, range(len(first)))),
        named=named,
        skip=number if named else number - 1,
        delimiter=delimiter,
        rows=rows if named else [list(first), *rows],
        longest=longest,
    )


def _in_single_quotes(fields: Sequence[str]) -> bool:
    return all(len(field) > 2 and field[0] == field[-1] == "'" for field in fields)


def _is_header(
    path: Path, first: tuple[str, ...], rows: list[list[str]], reading: Reading, *, quoted: bool
) -> bool:
    """Whether the first line names the columns, as if it alone is quoted; a guess is told."""
    if reading.header is not None:
        return reading.header
    known = set(reading.taken or ())
    if quoted or (known and known <= {*first}) or not all(map(is_value, known & {*first})):
        return True  # for all of a model's columns, or one that is called by no number
    named, sure = names_columns(first, rows)
    shown = ", ".join(first[:SHOWN]) + (", …" if len(first) > SHOWN else "")
    if named and not sure:
        log.warning(
            "%s: its first line, %s, is taken for the names of the columns, unlike the rows below; "
            "if it is an example, say header=False (--header no)",
            path.name,
            shown,
        )
    elif not named:
        log.log(
            logging.INFO if sure else logging.WARNING,
            "%s: its first line, %s, is taken for an example, like the rows below; if it names the "
            "columns, say header=True (--header yes)",
            path.name,
            shown,
        )
    return named


def _fields(path: Path, line: str, delimiter: str, *, whole: bool = False) -> list[str]:
    """The fields of a line; with ``whole``, none of them may go on in the next."""
    reader = csv.reader([line, ""], delimiter=delimiter)
    fields = next(_rows(path, reader))
    if whole and reader.line_num > 1:
        raise DataError(
            f"{path}: expected the first line to end its quotes, got {shown(fields[-1])}, "
            "which goes on in the next line; write names without line breaks"
        )
    return fields


def _rows(path: Path, reader: Iterator[list[str]]) -> Iterator[list[str]]:
    try:
        yield from reader
    except csv.Error as error:
        raise DataError(
            f"{path}: expected a table of numbers, got a line that is none ({brief(error)})"
        ) from None


def _count_lines(path: Path) -> int:
    """As many lines as the file has, or a few more."""
    newlines = returns = 0
    with path.open("rb") as file:
        while chunk := file.read(BLOCK_BYTES):
            newlines += chunk.count(b"\n")
            returns += chunk.count(b"\r")
    return max(newlines, returns) + 1


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """The lines of a text file, without their ends, numbered from 1."""
    try:
        with path.open(encoding="utf-8-sig") as file:
            for number in itertools.count(1):
                line = file.readline(LONGEST_LINE + 1)
                if len(line) > LONGEST_LINE:
                    raise DataError(
                        f"{path}: expected lines of at most {LONGEST_LINE:,} characters, got a "
                        f"longer one, line {number}; check that line, or write an .npy file"
                    )
                if not line:
                    return
                yield number, line.rstrip("\n")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{path}: expected text in UTF-8, got byte {error.object[error.start]:02x}; save it as "
            "CSV in UTF-8"
        ) from None
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from None


def _line_of(path: Path, layout: Layout, row: int) -> int:
    rows = (number for number, line in _lines(path) if line and number > layout.skip)
    return next(itertools.islice(rows, row, None))


def _explain(file: CsvFile, size: int, error: Exception) -> DataError:
    """Which line or cells kept pyarrow from reading columns, in blocks of ``size`` bytes."""
    path, layout = file.path, file.layout
    lines = (f"{line}\n" for number, line in _lines(path) if number > layout.skip)
    reader, end = csv.reader(lines, delimiter=layout.delimiter), layout.skip
    misfits: dict[str, Misfit] = {}
    for fields in _rows(path, reader):
        number, end = end + 1, layout.skip + reader.line_num
        if (length := sum(map(len, fields)) + len(fields)) > size:
            return DataError(
                f"{path}: expected lines of about as many characters as the first few, got one of "
                f"{length:,}, line {number}; check how the file was written"
            )
        if fields and len(fields) != len(layout.names):
            return DataError(
                f"{path}: expected {len(layout.names)} fields in every line, got {len(fields)} in "
                f"line {number}; check that line"
            )
        for name, field in zip(layout.names, fields, strict=False):
            form, cell = file.cells.get(name, TEXT), field.strip()
            if name not in misfits and cell not in MISSING and not fits(cell, form):
                wanted = f"dates as {form}" if "%" in form else "numbers"
                misfits[name] = Misfit(name, field[:SHOWN_CHARACTERS], f"line {number}", wanted)
    if misfits:
        return not_numbers(path, list(misfits.values()), known=file.known)
    return DataError(
        f"{path}: expected a table of numbers, got a file that is none ({brief(error)})"
    )
