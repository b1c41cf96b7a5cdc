"""Tables written anew with other values in some of their cells, and all else as it was."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from torch import Tensor

from lowerbound.data.columns import quoted
from lowerbound.data.delimited import Layout, layout_of
from lowerbound.data.filled import Filled
from lowerbound.data.parquet import opened
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Field, Schema
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.extras import pa, parquet, pc

QUOTED = re.compile(r'[",;\t\r\n]')
DECIMALS = re.compile(rb"[-+]?(?=\.?\d)\d*\.?(\d*)")
POWER = re.compile(rb"[-+]?[\d.]+[eE][-+]?\d+")
FIRST_ROWS = 10_000
"""How many tell the digits of a column."""
QUOTED_CELL = rb'"[^"]*+(?:""[^"]*+)*+"'
QUOTES = rb"(?:%b)?+" % QUOTED_CELL
LINE_END = rb"(?:\r\n|\r|\n|\Z)"
PHYSICAL_LINE = re.compile(rb"[^\r\n]*+" + LINE_END)
PIECE = 2**20
BOM = b"\xef\xbb\xbf"
DRAW = "draw"


def rewrite(
    path: Path,
    out: BinaryIO,
    fields: Schema,
    filled: Filled,
    reading: Reading,
    *,
    numbered: bool = False,
) -> None:
    """Write the table in ``path``, with what is ``filled`` in, once for each of these tables.

    In text, numbers have no more decimals than the others of their column, and as many where all
    of these have the same; all their digits where others are written with powers of ten.

    Args:
        path: a CSV, TSV or Parquet file.
        out: what is written to.
        fields: what the D columns of the tables hold.
        filled: the cells of the n rows that are written anew.
        reading: how the file is read; its columns are those of the tables, in their order.
        numbered: a first column called draw numbers the tables from 1.

    Raises:
        ConfigurationError: a file of another format.
        DataError: it is not of n rows any more, or has a column called draw itself.
    """
    formats: dict[str, Callable[..., None]] = {".parquet": _parquet, ".csv": _text, ".tsv": _text}
    if path.suffix.lower() not in formats or not path.is_file():
        raise ConfigurationError(
            f"expected a .csv, .tsv or .parquet file to fill in, got {path.name}; in Python, "
            "evaluation.impute takes arrays"
        )
    formats[path.suffix.lower()](path, out, fields, filled, reading, numbered=numbered)


def _text(
    path: Path, out: BinaryIO, fields: Schema, filled: Filled, reading: Reading, *, numbered: bool
) -> None:
    layout = layout_of(path, reading)
    places = _places(path, layout.names, fields, reading, numbered=numbered)
    mark = layout.delimiter.encode()
    cells_of = re.compile(rb"(?:\A|%b)(%b[^%b\r\n]*+)" % (mark, QUOTES, mark))
    decimals = _decimals_of(path, layout, cells_of, places, filled)
    for number in range(filled.tables):
        lines = _lines(path, layout)
        head = [next(lines, b"") for _ in range(1 + layout.skip)]
        if numbered and layout.named:
            head[-1] = DRAW.encode() + mark + head[-1]
        if number == 0:
            out.write(b"".join(head))
        before = str(number + 1).encode() + mark if numbered else b""
        rows, done, line = _new_cells(fields, filled, number, decimals), 0, b""
        for line in lines:
            if bare := line.rstrip(b"\r\n"):
                new = next(rows, {})
                done += 1
                if new:
                    cells = cells_of.findall(bare)
                    if len(cells) != len(layout.names):
                        raise DataError(
                            f"{path}: expected {len(layout.names)} fields in every row, got "
                            f"{len(cells)} in row {done:,}; check its quotes"
                        )
                    for j, cell in new.items():
                        cells[places[j]] = cell
                    line = mark.join(cells) + line[len(bare) :]
                line = before + line
            out.write(line)
        if done != filled.rows:
            raise _changed(path, done, filled.rows)
        if number + 1 < filled.tables and line.rstrip(b"\r\n") == line:
            first = list(itertools.islice(_lines(path, layout), 2))[1]
            out.write(first[len(first.rstrip(b"\r\n")) :] or b"\n")


def _lines(path: Path, layout: Layout) -> Iterator[bytes]:
    """The mark that a file begins with, if any, and its lines: in quotes they go on."""
    mark = layout.delimiter.encode()
    # As pyarrow has it: quotes open at the start of a cell only, and hold line breaks.
    rest = rb"[^%b\r\n]*+" % mark
    closed, line = (
        re.compile(rb"%b%b(?:%b%b%b)*+%b" % (cell, rest, mark, cell, rest, LINE_END))
        for cell in (rb'(?:%b|(?!"))' % QUOTED_CELL, QUOTES)
    )
    with path.open("rb") as file:
        start = file.read(len(BOM))
        yield start if start == BOM else b""
        buffer, at, ended, skipped = b"" if start == BOM else start, 0, False, layout.skip
        while True:
            pattern = PHYSICAL_LINE if skipped else line if ended else closed
            found = pattern.match(buffer, at)
            if found and found[0] and (ended or found.end() < len(buffer)):
                yield found[0]
                at, skipped = found.end(), max(0, skipped - 1)
            elif ended:
                return
            else:  # the line may go on
                more = file.read(PIECE)
                buffer, at, ended = buffer[at:] + more, 0, not more


def _decimals_of(
    path: Path, layout: Layout, cells_of: re.Pattern[bytes], places: list[int], filled: Filled
) -> dict[int, tuple[int, int] | None]:
    """What `_decimals` finds in the first rows of each column that is filled in."""
    known: dict[int, list[bytes]] = {j: [] for j in filled.cells.nonzero().flatten().tolist()}
    lines = itertools.islice(_lines(path, layout), 1 + layout.skip, None)
    bare = filter(None, (line.rstrip(b"\r\n") for line in lines))
    for line in itertools.islice(bare, FIRST_ROWS if known else 0):
        cells = cells_of.findall(line)
        for j, there in known.items():
            there += cells[places[j] : places[j] + 1]
    return {j: _decimals(there) for j, there in known.items()}


def _new_cells(
    fields: Schema, filled: Filled, number: int, decimals: dict[int, tuple[int, int] | None]
) -> Iterator[dict[int, bytes]]:
    """Of each row, what is filled in, by the number of its column."""
    for gaps, x in filled.table(number):
        texts = {
            j: iter(_texts(fields[j], x[gaps[:, j], j], decimals[j]))
            for j in gaps.any(0).nonzero().flatten().tolist()
        }
        for i, some in enumerate(gaps.any(1).tolist()):
            holes = gaps[i].nonzero().flatten().tolist() if some else ()
            yield {j: _cell(next(texts[j])).encode() for j in holes}


def _places(
    path: Path, names: Sequence[str], fields: Schema, reading: Reading, *, numbered: bool
) -> list[int]:
    """Where in the file, whose columns have these ``names``, those of the tables are."""
    if numbered and DRAW in names:
        raise DataError(
            f"{path}: expected no column called {DRAW!r}, which is to number the draws, got one; "
            "rename it"
        )
    columns = reading.columns or [name for name in names if name != reading.labels]
    if len(columns) != len(fields) or not set(columns) <= set(names):
        raise DataError(
            f"{path}: expected the {len(fields):,} columns that were read, got {quoted(names)}; "
            "name them, or leave out the others"
        )
    return [names.index(name) for name in columns]


def _decimals(cells: Sequence[bytes]) -> tuple[int, int] | None:
    """The least and the most decimals of the numbers among ``cells``.

    None where there are no numbers, or some with powers of ten.
    """
    bare = [cell.strip(b'" ') for cell in cells]
    found = [len(number[1]) for cell in bare if (number := DECIMALS.fullmatch(cell))]
    return (min(found), max(found)) if found and not any(map(POWER.fullmatch, bare)) else None


def _texts(field: Field, values: Tensor, between: tuple[int, int] | None) -> list[str]:
    """``values`` of a column as text, of decimals ``between`` these."""
    if between is None or field.form or field.categories:
        return field.texts(values)
    least, most = between
    x = np.array([round(value, most) + 0.0 for value in values.tolist()])  # −0.0 is 0.0
    if field.kind == "positive":
        x = np.maximum(x, 10.0**-most)
    if least == most:
        return [f"{value:.{most}f}" for value in x.tolist()]
    return [np.format_float_positional(value, trim="-") for value in x]


def _cell(text: str) -> str:
    if not QUOTED.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _parquet(
    path: Path, out: BinaryIO, fields: Schema, filled: Filled, reading: Reading, *, numbered: bool
) -> None:
    with opened(path) as file:
        schema, rows = file.schema_arrow, file.metadata.num_rows
    if rows != filled.rows:
        raise _changed(path, rows, filled.rows)
    places = _places(path, schema.names, fields, reading, numbered=numbered)
    holed = filled.cells.nonzero().flatten().tolist()
    coded = {
        j: _dictionary(path, schema.names[places[j]], fields[j], j, filled)
        for j in holed
        if pa.types.is_dictionary(schema.types[places[j]])
    }
    with ExitStack() as stack:
        writer = None
        for number in range(filled.tables):
            for table, gaps, x in _beside(path, filled.table(number)):
                for j in holed:
                    column = _plain(table.column(places[j]))
                    column = with_cells(column, gaps[:, j], fields[j].cells(x[:, j]))
                    column = _coded(column, coded[j]) if j in coded else column
                    field = table.field(places[j]).with_type(column.type)
                    table = table.set_column(places[j], field, column)
                if numbered:
                    draw = pa.array(np.full(len(table), number + 1))
                    table = table.add_column(0, DRAW, draw)
                writer = writer or stack.enter_context(parquet.ParquetWriter(out, table.schema))
                writer.write_table(table)


def _beside(
    path: Path, blocks: Iterator[tuple[Tensor, Tensor]], columns: list[str] | None = None
) -> Iterator[tuple[Any, Tensor, Tensor]]:
    """The rows of a Parquet file that go with each block, and the block."""
    left = None
    tables = _tables(path, columns)
    for gaps, x in blocks:
        pieces: list[Any] = [] if left is None else [left]
        while sum(len(piece) for piece in pieces) < len(gaps):
            pieces.append(next(tables))
        whole = pa.concat_tables(pieces)
        left = whole.slice(len(gaps))
        yield whole.slice(0, len(gaps)), gaps, x


def _tables(path: Path, columns: list[str] | None = None) -> Iterator[Any]:
    """The rows of a Parquet file, some at a time."""
    with opened(path) as file:
        for batch in file.iter_batches(columns=columns):
            yield pa.Table.from_batches([batch])


def _dictionary(path: Path, name: str, field: Field, place: int, filled: Filled) -> Any:
    """An empty column of the dictionary of the one of this ``name``, as it will be.

    What is filled in and it does not have comes after the rest, in a dictionary without order.
    """
    names, met = dict[Any, None](), dict[Any, None]()
    for number in range(filled.tables):
        for table, gaps, x in _beside(path, filled.table(number), [name]):
            of = table.column(0).type
            for chunk in table.column(0).chunks:
                names |= dict.fromkeys(chunk.dictionary.to_pylist())
            new = with_cells(_plain(table.column(0)), gaps[:, place], field.cells(x[:, place]))
            met |= dict.fromkeys(new.unique().drop_null().to_pylist())
    whole = pa.array([*(names | met)], of.value_type)
    of = pa.dictionary(pa.int32(), of.value_type) if met.keys() - names else of
    return pa.DictionaryArray.from_arrays(pa.array([], of.index_type), whole, ordered=of.ordered)


def _plain(column: Any) -> Any:
    """A column of Arrow without a dictionary."""
    coded = pa.types.is_dictionary(column.type)
    return column.cast(column.type.value_type) if coded else column


def with_cells(column: Any, gaps: Tensor, cells: np.ndarray) -> Any:
    """A column of Arrow with these cells at the gaps, of its own type unless that holds nothing."""
    coded = pa.types.is_dictionary(column.type)
    plain = _plain(column)
    new = pa.array(np.where(gaps.numpy(), cells, np.array(None)))
    if pa.types.is_null(plain.type):
        plain = plain.cast(new.type)
    whole, broken = pa.types.is_integer(new.type), pa.types.is_floating(new.type)
    if pa.types.is_integer(plain.type) and (whole or broken):
        held = np.iinfo(plain.type.to_pandas_dtype())
        new = pc.round(new) if broken else new
        new = pc.min_element_wise(pc.max_element_wise(new, held.min), min(held.max, 2**63 - 1))
    filled = pc.if_else(pa.array(gaps.numpy()), new.cast(plain.type, safe=False), plain)
    return _coded(filled, column.combine_chunks()) if coded else filled


def _coded(column: Any, old: Any) -> Any:
    """A column as the dictionary ``old`` has it: its codes, their type and order.

    What it does not have comes after them, in a dictionary without order.
    """
    names, of = old.dictionary.cast(column.type), old.type
    others = column.filter(pc.invert(pc.is_in(column, names))).unique().drop_null()
    if len(others):
        names = pa.concat_arrays([names, others])
        of = pa.dictionary(pa.int32(), column.type)
    codes = pc.index_in(column, names, skip_nulls=True).combine_chunks().cast(of.index_type)
    return pa.DictionaryArray.from_arrays(codes, names, ordered=of.ordered)


def _changed(path: Path, found: int, expected: int) -> DataError:
    return DataError(
        f"{path}: expected the {expected:,} rows that were read, got {found:,}; the file has "
        "changed since: start again"
    )
