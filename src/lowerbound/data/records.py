"""Rows of a table as records: cells by the names of their columns, as JSON has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from lowerbound.data.arrow import Misfit, not_numbers, row_name, table_raw
from lowerbound.data.cells import TEXT, TRUE, TRUTH, fits, typed
from lowerbound.data.columns import quoted
from lowerbound.data.conversion import Raw
from lowerbound.data.header import MISSING
from lowerbound.data.schema import Field, Schema
from lowerbound.errors import DataError, near, shown
from lowerbound.extras import pa

Record = Mapping[str, Any]


def from_records(
    records: Sequence[Record], fields: Schema, where: str, kinds: Mapping[str, str] | None = None
) -> Raw:
    """The columns of ``fields``, by name; others are left out.

    Cells are read as those of a CSV file are: text that is the number, the date or the truth value
    of its column will do, and null, "" and "NA" are missing.

    Args:
        records: a cell for each column, null where it is missing.
        fields: of the columns, in order.
        where: what messages call the records.
        kinds: what the columns hold, see `Reading`.

    Raises:
        DataError: a record without one of the columns, or a cell that its column cannot hold.
    """
    for row, record in enumerate(records):
        if not isinstance(record, Mapping):
            raise DataError(
                f"{where}: expected every row as an object of cells by the names of their columns, "
                f"got {shown(record)} in {row_name(row)}"
            )
        if missing := [field.name for field in fields if field.name not in record]:
            raise DataError(
                f"{where}: expected the columns {quoted([field.name for field in fields])} in "
                f"every row, null where a cell is missing, got none called {missing[0]!r} in "
                f"{row_name(row)}; {near(missing[0], map(str, record))}"
            )
    found = {f.name: _column(where, f, [record[f.name] for record in records]) for f in fields}
    if misfits := [column for column in found.values() if isinstance(column, Misfit)]:
        raise not_numbers(where, misfits, known=True)
    words = {field.name: "categories" for field in fields if field.categories}
    raw = table_raw(where, pa.table(found), None, tuple(found), row_name, kinds=words, known=True)
    return replace(raw, forms={f.name: _form(f) for f in fields}, kinds=kinds or {})


def to_records(x: Tensor, fields: Schema) -> list[dict[str, Any]]:
    """Rows x, (n, D), as `from_records` takes them; infinite numbers are null too."""
    columns = zip(fields, x.unbind(1), strict=True)
    cells = {
        field.name: [value or None for value in field.texts(column)]
        if "%" in field.form
        else field.cells(column).tolist()
        for field, column in columns
    }
    return [dict(zip(cells, row, strict=True)) for row in zip(*cells.values(), strict=True)]


def _form(field: Field) -> str:
    """How the cells of a column are read, as `form_of` has it, but of text."""
    return "" if field.form == "whole" else field.form


def _column(where: str, field: Field, cells: list[Any]) -> Any:
    """A column of Arrow's: text, instants, truth values or numbers; or a cell that it cannot hold.

    A truth value is 1 or 0 in a column of numbers.
    """
    form = TEXT if field.categories else _form(field)
    texts: list[str | None] = []
    for row, cell in enumerate(cells):
        text = _text(cell)
        text = text if text is None or form == TEXT else text.strip()
        if isinstance(cell, bool) and form == "":
            text = str(int(cell))
        if text is None or text in MISSING:
            texts.append(None)
        elif isinstance(cell, str | int | float) and fits(text, form):
            texts.append(text)
        else:
            wanted = "text" if form == TEXT else f"dates as {form}" if "%" in form else "numbers"
            return Misfit(field.name, cell, row_name(row), wanted)
    if form in TRUTH:
        return pa.array([text and text in TRUE for text in texts], pa.bool_())
    if form == "":
        return pa.array([text and float(text) for text in texts], pa.float64())
    try:
        return typed(pa.array(texts, pa.string()), form)
    except UnicodeEncodeError as error:
        raise DataError(
            f"{where}: expected text in column {field.name!r}, got {error.object!a}, half of a "
            "pair of surrogates"
        ) from None


def _text(cell: Any) -> str | None:
    """A cell as a CSV file has it, whole numbers without a point; None where it is missing."""
    if cell is None or isinstance(cell, str):
        return cell
    return str(int(cell)) if isinstance(cell, float) and cell.is_integer() else str(cell)
