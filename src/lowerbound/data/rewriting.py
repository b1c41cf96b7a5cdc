"""Tables written anew with other values in some of their cells, and all else as it was."""

from __future__ import annotations

import io
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.columns import quoted
from lowerbound.data.delimited import layout_of
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Field, Schema
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.extras import needs

QUOTED = re.compile(r'[",;\t\r\n]')
DECIMALS = re.compile(rb"[-+]?(?=\.?\d)\d*\.?(\d*)")
POWER = re.compile(rb"[-+]?[\d.]+[eE][-+]?\d+")
FIRST_ROWS = 10_000
"""How many tell the digits of a column."""
BOM = b"\xef\xbb\xbf"
DRAW = "draw"


def rewrite(
    path: Path,
    fields: Schema,
    gaps: Tensor,
    tables: Sequence[Tensor],
    reading: Reading,
    *,
    numbered: bool = False,
) -> bytes:
    """The table in ``path``, whose cells at ``gaps`` are those of each of the ``tables`` in turn.

    In text, numbers have no more decimals than the others of their column, and as many where all
    of these have the same; all their digits where others are written with powers of ten.

    Args:
        path: a CSV, TSV or Parquet file.
        fields: what the D columns of the tables hold.
        gaps: which cells of the n rows are written anew, (n, D).
        tables: (n, D) each, NaN nowhere at the gaps.
        reading: how the file is read; its columns are those of the tables, in their order.
        numbered: a first column called draw numbers the tables from 1.

    Raises:
        ConfigurationError: a file of another format.
        DataError: it is not of n rows any more, or has a column called draw itself.
    """
    formats: dict[str, Callable[..., bytes]] = {".parquet": _parquet, ".csv": _text, ".tsv": _text}
    if path.suffix.lower() not in formats or not path.is_file():
        raise ConfigurationError(
            f"expected a .csv, .tsv or .parquet file to fill in, got {path.name}; in Python, "
            "evaluation.impute takes arrays"
        )
    return formats[path.suffix.lower()](path, fields, gaps, tables, reading, numbered=numbered)


def _text(
    path: Path,
    fields: Schema,
    gaps: Tensor,
    tables: Sequence[Tensor],
    reading: Reading,
    *,
    numbered: bool,
) -> bytes:
    layout = layout_of(path, reading)
    places = _places(path, layout.names, fields, reading, numbered=numbered)
    content = path.read_bytes()
    text = content.removeprefix(BOM)
    head = text.splitlines(keepends=True)[: layout.skip]
    mark = layout.delimiter.encode()
    # As pyarrow has it: quotes open at the start of a cell only, and hold line breaks.
    cell = rb'(?:"[^"]*+(?:""[^"]*+)*+")?+[^%b\r\n]*+' % mark
    line_of = re.compile(rb"%b(?:%b%b)*+(?:\r\n|\r|\n|\Z)" % (cell, mark, cell))
    cells_of = re.compile(rb"(?:\A|%b)(%b)" % (mark, cell))
    body = [found[0] for found in line_of.finditer(text, len(b"".join(head))) if found[0]]
    rows = [i for i, line in enumerate(body) if line.rstrip(b"\r\n")]
    if len(rows) != len(gaps):
        raise _changed(path, len(rows), len(gaps))
    first_cells = [cells_of.findall(body[i].rstrip(b"\r\n")) for i in rows[:FIRST_ROWS]]
    decimals = {
        j: _decimals([cells[places[j]] for cells in first_cells if len(cells) > places[j]])
        for j in gaps.any(0).nonzero().flatten().tolist()
    }
    found = []
    for draw, table in enumerate(tables, 1):
        new = list(body)
        texts = {
            j: iter(_texts(fields[j], table[gaps[:, j], j], between))
            for j, between in decimals.items()
        }
        for row in gaps.any(1).nonzero().flatten().tolist():
            line = body[rows[row]]
            bare = line.rstrip(b"\r\n")
            cells = cells_of.findall(bare)
            if len(cells) != len(layout.names):
                raise DataError(
                    f"{path}: expected {len(layout.names)} fields in every row, got {len(cells)} "
                    f"in row {row + 1:,}; check its quotes"
                )
            for j in gaps[row].nonzero().flatten().tolist():
                cells[places[j]] = _cell(next(texts[j])).encode()
            new[rows[row]] = mark.join(cells) + line[len(bare) :]
        if numbered:
            for i in rows:
                new[i] = str(draw).encode() + mark + new[i]
        if draw < len(tables) and new[-1].rstrip(b"\r\n") == new[-1]:
            first = text.splitlines(keepends=True)[0]
            new[-1] += first[len(first.rstrip(b"\r\n")) :] or b"\n"
        found += new
    if numbered and layout.named:
        head[-1] = DRAW.encode() + mark + head[-1]
    return content[: len(content) - len(text)] + b"".join([*head, *found])


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
    path: Path,
    fields: Schema,
    gaps: Tensor,
    tables: Sequence[Tensor],
    reading: Reading,
    *,
    numbered: bool,
) -> bytes:
    pa, parquet = needs("pyarrow", "tables"), needs("pyarrow.parquet", "tables")
    whole = parquet.read_table(path)
    if len(whole) != len(gaps):
        raise _changed(path, len(whole), len(gaps))
    places = _places(path, whole.column_names, fields, reading, numbered=numbered)
    table, values = pa.concat_tables([whole] * len(tables)), torch.cat(list(tables))
    gaps = gaps.repeat(len(tables), 1)
    for j, (place, field) in enumerate(zip(places, fields, strict=True)):
        if gaps[:, j].any():
            column = with_cells(table.column(place), gaps[:, j], field.cells(values[:, j]))
            table = table.set_column(place, table.field(place).with_type(column.type), column)
    if numbered:
        draws = np.arange(1, len(tables) + 1).repeat(len(whole))
        table = table.add_column(0, DRAW, pa.array(draws))
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


def with_cells(column: Any, gaps: Tensor, cells: np.ndarray) -> Any:
    """A column of Arrow with these cells at the gaps, of its own type unless that holds nothing."""
    pa, pc = needs("pyarrow", "tables"), needs("pyarrow.compute", "tables")
    coded = pa.types.is_dictionary(column.type)
    plain = column.cast(column.type.value_type) if coded else column
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
    pa, pc = needs("pyarrow", "tables"), needs("pyarrow.compute", "tables")
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
