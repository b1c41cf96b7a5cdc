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

from lowerbound.data.delimited import layout_of
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Schema
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.extras import needs

QUOTED = re.compile(r'[",;\t\r\n]')
DRAW = "draw"


def rewrite(
    path: Path, fields: Schema, gaps: Tensor, tables: Sequence[Tensor], reading: Reading
) -> bytes:
    """The table in ``path``, whose cells at ``gaps`` are those of each of the ``tables`` in turn.

    With several tables, a first column called draw numbers them from 1.

    Args:
        path: a CSV, TSV or Parquet file.
        fields: the D columns that the tables have, in their order.
        gaps: which cells of the n rows are written anew, (n, D).
        tables: (n, D) each, NaN nowhere at the gaps.
        reading: how the file is read.

    Raises:
        ConfigurationError: a file of another format.
        DataError: it is not of n rows any more.
    """
    formats: dict[str, Callable[..., bytes]] = {".parquet": _parquet, ".csv": _text, ".tsv": _text}
    if path.suffix.lower() not in formats or not path.is_file():
        raise ConfigurationError(
            f"expected a .csv, .tsv or .parquet file to fill in, got {path.name}; in Python, "
            "evaluation.impute takes arrays"
        )
    return formats[path.suffix.lower()](path, fields, gaps, tables, reading)


def _text(
    path: Path, fields: Schema, gaps: Tensor, tables: Sequence[Tensor], reading: Reading
) -> bytes:
    layout = layout_of(path, reading)
    names = [name for name in layout.names if name != reading.labels]
    by_name = {field.name for field in fields} <= set(names)
    chosen = [field.name for field in fields] if by_name else names
    places = [layout.names.index(name) for name in chosen]
    lines = path.read_bytes().splitlines(keepends=True)
    head, body = lines[: layout.skip], lines[layout.skip :]
    rows = [i for i, line in enumerate(body) if line.rstrip(b"\r\n")]
    if len(rows) != len(gaps):
        raise _changed(path, len(rows), len(gaps))
    mark = layout.delimiter.encode()
    outside = re.compile(re.escape(mark) + rb'(?=(?:[^"]*"[^"]*")*[^"]*$)')
    found = []
    for draw, table in enumerate(tables, 1):
        new = list(body)
        texts = {
            j: iter(field.texts(table[gaps[:, j], j]))
            for j, field in enumerate(fields)
            if gaps[:, j].any()
        }
        for row in gaps.any(1).nonzero().flatten().tolist():
            line = body[rows[row]]
            bare = line.rstrip(b"\r\n")
            cells = outside.split(bare) if b'"' in bare else bare.split(mark)
            for j in gaps[row].nonzero().flatten().tolist():
                cells[places[j]] = _cell(next(texts[j])).encode()
            new[rows[row]] = mark.join(cells) + line[len(bare) :]
        if len(tables) > 1:
            for i in rows:
                new[i] = str(draw).encode() + mark + new[i]
            if new[-1].rstrip(b"\r\n") == new[-1]:
                new[-1] += b"\n"
        found += new
    if len(tables) > 1 and layout.named:
        head[-1] = DRAW.encode() + mark + head[-1].removeprefix(b"\xef\xbb\xbf")
    return b"".join([*head, *found])


def _cell(text: str) -> str:
    if not QUOTED.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


def _parquet(
    path: Path, fields: Schema, gaps: Tensor, tables: Sequence[Tensor], reading: Reading
) -> bytes:
    pa, parquet = needs("pyarrow", "tables"), needs("pyarrow.parquet", "tables")
    whole = parquet.read_table(path)
    if len(whole) != len(gaps):
        raise _changed(path, len(whole), len(gaps))
    drawn = []
    for draw, values in enumerate(tables, 1):
        table = whole
        for j, field in enumerate(fields):
            if gaps[:, j].any():
                place = table.column_names.index(field.name)
                column = _filled(table.column(place), gaps[:, j], field.cells(values[:, j]))
                table = table.set_column(place, table.field(place).with_type(column.type), column)
        if len(tables) > 1:
            table = table.add_column(0, DRAW, pa.array(np.full(len(table), draw)))
        drawn.append(table)
    buffer = io.BytesIO()
    parquet.write_table(pa.concat_tables(drawn), buffer)
    return buffer.getvalue()


def _filled(column: Any, gaps: Tensor, cells: np.ndarray) -> Any:
    """A column of Arrow with these cells at the gaps, of its own type."""
    pa, pc = needs("pyarrow", "tables"), needs("pyarrow.compute", "tables")
    coded = pa.types.is_dictionary(column.type)
    plain = column.cast(column.type.value_type) if coded else column
    known = torch.where(gaps, torch.arange(len(gaps)), -1).tolist()
    new = pa.array([None if i < 0 else cells[i] for i in known])
    filled = pc.if_else(pa.array(gaps.numpy()), new.cast(plain.type, safe=False), plain)
    return filled.dictionary_encode() if coded else filled


def _changed(path: Path, found: int, expected: int) -> DataError:
    return DataError(
        f"{path}: expected the {expected:,} rows that were read, got {found:,}; the file has "
        "changed since: start again"
    )
