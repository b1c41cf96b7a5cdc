"""Tables that stay on disk: read a block at a time, once each column was judged as in memory."""

from __future__ import annotations

import functools
import itertools
import operator
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from lowerbound.data.assembly import expect_values
from lowerbound.data.conversion import Raw
from lowerbound.data.delimited import CsvFile, as_numbers
from lowerbound.data.kinds import Column, form_of_whole, lacking, table_schema, taken
from lowerbound.data.parquet import ParquetFiles
from lowerbound.data.reading import Reading
from lowerbound.data.schema import Schema, Values, levels_of
from lowerbound.data.tables import comma_in, gather, renumbered, with_commas
from lowerbound.errors import DataError, brief
from lowerbound.extras import pa, parquet

AT_ONCE = 2**25
"""Bytes of the columns that are judged at a time."""
LARGEST = 2**23
"""Bytes of a row group above which a table is copied: several are in memory at a time."""


class Judged(NamedTuple):
    """What was found of a column."""

    column: Column
    values: Values
    known: int
    form: str
    categories: tuple[str, ...] | None
    used: np.ndarray
    lacks: str | None
    comma: str | None


class TableBlocks:
    """The row groups of Parquet as blocks.

    A CSV file, and large row groups, are first copied to a folder of temporary files, which is
    deleted at last.

    Attributes:
        where: the file or folder, for messages.
        rows: how many examples each block has.
        schema: the fields; None where columns have no names.
        missing: whether some cells are.
        used: by the number of a column of categories, the codes that occur.

    Raises:
        ConfigurationError: no such column.
        DataError: as in memory.
    """

    def __init__(self, path: Path, reading: Reading, *, training: bool) -> None:
        known, is_text = reading.columns is not None, path.suffix.lower() in (".csv", ".tsv")
        self.csv = CsvFile.of(path, reading) if is_text else None
        source = self.csv or ParquetFiles(path, reading)
        if isinstance(source, CsvFile) or source.largest > LARGEST:
            self.folder = tempfile.TemporaryDirectory(prefix="lowerbound-")
            source = _copied(source, reading, Path(self.folder.name))
        self.files = source
        self.where, self.told = str(path), reading.kinds
        self.rows = self.files.rows
        next(self.files.pieces())  # refuses all columns of other things at once
        found = self._judged()
        with_commas(self.where, {n: c.comma for n, c in found.items() if n not in self.told})
        total = sum(self.rows)
        gaps = any(each.known < total for each in found.values())
        named = {name for name, each in found.items() if each.categories is not None}
        self.is_bare = self.csv is not None and not self.csv.names_columns(named, gaps=gaps)
        self.columns = tuple(found)
        if training and not self.is_bare:
            lacks = {name: each.lacks for name, each in found.items() if name not in self.told}
            self.columns = tuple(self.columns[j] for j in taken(self.where, self.columns, lacks))
        found = {name: found[name] for name in self.columns}
        self.missing = any(each.known < total for each in found.values())
        if self.missing and not known and total > 1:
            there = {name: each.known > 0 for name, each in found.items()}
            expect_values(self.where, there, self.told)
        self.categories = {n: c.categories for n, c in found.items() if c.categories is not None}
        self.used = {j: c.used for j, c in enumerate(found.values()) if c.categories is not None}
        self.schema = None if self.is_bare else self._schema(found, total, known=known)

    def _judged(self) -> dict[str, Judged]:
        """Each column of the file, as many at a time as fit."""
        at_once = max(1, AT_ONCE // (8 * sum(self.rows)))
        names, found = self.files.columns, dict[str, Judged]()
        for start in range(0, len(names), at_once):
            some = names[start : start + at_once]
            raw = gather(self.where, self.files.pieces(some), sum(self.rows), some)
            for name, x in zip(some, raw.x.T, strict=True):
                found[name] = self._judge(name, np.ascontiguousarray(x), raw)
        return found

    def _judge(self, name: str, x: np.ndarray, raw: Raw) -> Judged:
        """The column x, (n,)."""
        categories, known = raw.categories.get(name), x[~np.isnan(x)]
        lacks = lacking(x, name, categories)
        if categories is not None:
            column, values = Column("categories", "categories"), Values()
            used, comma = np.unique(known).astype(int), comma_in(categories, x)
            return Judged(column, values, len(known), "", categories, used, lacks, comma)
        whole = bool((known == np.floor(known)).all())
        form = form_of_whole(raw.forms.get(name, ""), is_whole=whole)
        cells = torch.from_numpy(x)
        levels = levels_of(cells.unsqueeze(1)).get(0)
        where = f"{self.where}, column {name!r}"
        column = Column.of(where, cells, form, self.told.get(name, ""), levels)
        values = Values.of(cells)
        return Judged(column, values, len(known), form, None, known[:0], lacks, None)

    def _schema(self, found: dict[str, Judged], rows: int, *, known: bool) -> Schema:
        kind = functools.reduce(operator.or_, (c.values for c in found.values()), Values()).kind
        raw = Raw(
            np.empty((0, len(found))),
            self.where,
            columns=self.columns,
            categories=self.categories,
            forms={name: each.form for name, each in found.items()},
            kinds=self.told,
        )
        columns = [each.column for each in found.values()]
        return table_schema(raw, kind, rows, lambda: columns, gaps=self.missing, known=known)

    def classes(self, labels: np.ndarray) -> np.ndarray:
        """Class labels, those of a CSV file as numbers where they are written so."""
        return as_numbers(labels) if self.csv else labels

    def read(self, block: int) -> Raw:
        """One block, its categories by the numbers that they have in the whole table."""
        raw = self.files.read(block, self.columns)
        for name, names in raw.categories.items():
            places = {text: i for i, text in enumerate(self.categories[name])}
            j = self.columns.index(name)
            raw.x[:, j] = renumbered(raw.x[:, j], [places[text] for text in names])
        if self.is_bare:
            return replace(raw, columns=None, forms={})
        return replace(raw, categories=self.categories)


def _copied(found: CsvFile | ParquetFiles, reading: Reading, folder: Path) -> ParquetFiles:
    """The same in small row groups, in a ``folder`` of temporary files.

    Raises:
        DataError: that has no room.
    """
    reading = replace(reading, labels=found.label, columns=found.columns)
    if isinstance(found, CsvFile):
        _write(found.tables(), found.path, folder / "0.parquet")
        copies = ParquetFiles(folder, reading, [found])
    else:
        for i, path in enumerate(found.sources):
            tables = found.tables(path, found.columns, found.label)
            _write(tables, path, folder / f"{i:06}.parquet")
        copies = ParquetFiles(folder, reading, [*found.sources.values()])
    copies.known = found.known
    return copies


def _write(tables: Iterator[Any], source: Path, copy: Path) -> None:
    """Tables of Arrow as Parquet, each a row group."""
    if (first := next(tables, None)) is None:
        raise DataError(f"{source}: expected at least one row of numbers, got none")
    numeric = [name for name in first.column_names if pa.types.is_floating(first[name].type)]
    words = [name for name in first.column_names if name not in numeric]
    try:
        with parquet.ParquetWriter(copy, first.schema, use_dictionary=words or False) as writer:
            for table in itertools.chain([first], tables):
                writer.write_table(table)
    except OSError as error:
        raise DataError(
            f"{source}: expected room for a copy as Parquet in {copy.parent.parent}, got "
            f"{brief(error)}; name another folder by the environment variable TMPDIR"
        ) from None
