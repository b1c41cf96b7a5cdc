"""The columns of an Arrow table as numbers."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np

from lowerbound.data.cells import TRUE, form_of, is_date, typed
from lowerbound.data.conversion import Raw, check_finite
from lowerbound.data.header import MISSING
from lowerbound.data.schema import FEW_ROWS
from lowerbound.errors import DataError
from lowerbound.extras import pa, pc
from lowerbound.logs import log

FIRST_ROWS = 200
LISTED = 5
MOST_EXACT = 2**53
A_DAY = {"s": 86_400, "ms": 86_400e3, "us": 86_400e6, "ns": 86_400e9}


@dataclass(frozen=True)
class Misfit:
    """A cell that its column cannot hold: ``value`` at ``place``, where ``wanted`` are expected."""

    column: str
    value: object
    place: str
    wanted: str = "numbers"


def first_numbers(column: Any) -> np.ndarray:
    """The first numbers of a column; none where it holds other things."""
    if not is_number(column.type):
        return np.array([])
    return column.slice(0, FIRST_ROWS).to_numpy(zero_copy_only=False).astype(np.float64)


def table_raw(
    where: Path | str,
    table: Any,
    label: str | None,
    columns: tuple[str, ...],
    row_name: Callable[[int], str],
    *,
    kinds: Mapping[str, str] | None = None,
    known: bool = False,
) -> Raw:
    """The columns of an Arrow table as numbers, and its column of class labels.

    Nulls and NaN are missing; ``kinds`` are what was said of columns, and ``known`` is as
    `not_numbers` has it.

    Raises:
        DataError: columns of other things, all of them in one message; or infinite numbers.
    """
    if table.num_rows == 0:
        raise DataError(f"{where}: expected at least one row of numbers, got none")
    values, told = np.empty((table.num_rows, len(columns))), kinds or {}
    categories: dict[str, tuple[str, ...]] = {}
    forms: dict[str, str] = {}
    misfits = []
    for j, name in enumerate(columns):
        column = as_column(table[name], name, told.get(name, ""))
        if isinstance(column, Misfit):
            misfits.append(column)
            continue
        values[:, j], names, forms[name] = column
        if names is not None:
            categories[name] = names
    if misfits:
        raise not_numbers(where, misfits, known=known)
    observed = ~np.isnan(values)
    nothing = bool(observed.all())
    held = values if nothing else np.where(observed, values, 0.0)
    check_finite(held, str(where), columns, row_name)
    classes = None if label is None else _labels(where, table[label], label, row_name)
    labels_from = None if label is None else f"column {label!r}"
    return Raw(
        *(values, str(where), classes, labels_from, columns, categories, forms),
        observed=None if nothing else observed,
    )


Column = tuple[np.ndarray, tuple[str, ...] | None, str]
"""Numbers, NaN where there are none; names of the categories whose codes they are; their form."""


def as_column(column: Any, name: str, kind: str = "") -> Column | Misfit:
    """A column as numbers, of the ``kind`` that was said; or a cell that is none.

    Dates are days since 1970, and texts and categories their codes.
    """
    if pa.types.is_dictionary(column.type) and kind not in ("", "categories"):
        column = column.cast(column.type.value_type)
    number, date = is_number(column.type), pa.types.is_date(column.type)
    if pa.types.is_null(column.type):
        return np.full(len(column), np.nan), () if kind == "categories" else None, ""
    if number and kind == "categories":
        if isinstance(column := _numerals(column, name), Misfit):
            return column
    elif number:
        form = TRUE[0] if pa.types.is_boolean(column.type) else ""
        if pa.types.is_decimal(column.type):
            column = column.cast("string")  # as a number's digits give the nearest float64
        return column.cast("float64", safe=False).to_numpy(), None, form
    if date or pa.types.is_timestamp(column.type):
        column = column.cast(pa.date64()).cast(pa.timestamp("ms")) if date else column
        days = column.cast("int64").cast("float64", safe=False).to_numpy()
        return days / A_DAY[column.type.unit], None, "%Y-%m-%d" if date else "time"
    if pa.types.is_dictionary(column.type):
        return *_coded(column), ""
    if is_text(column.type) and kind in ("", "categories"):
        column = column.cast("large_string")
        names = pa.array(in_order(pc.unique(column).drop_null().to_pylist()), "large_string")
        codes = pc.index_in(column, names).cast("float64").to_numpy()
        return codes, tuple(names.to_pylist()), ""
    if is_text(column.type) and kind.partition(":")[0] == "dates":
        return _dates(column.cast("string"), name, kind)
    known = column.drop_null()
    held = known[0].as_py() if len(known) else None
    return Misfit(name, held, f"a column of {column.type}")


def _dates(column: Any, name: str, kind: str) -> Column | Misfit:
    """A column of text that was said to hold dates."""
    texts = [text.strip() for text in pc.unique(column.drop_null()).to_pylist()]
    form = form_of(texts, kind)
    try:
        days, names, _ = cast(Column, as_column(typed(column, form), name))
    except pa.ArrowInvalid:
        odd = next(text for text in texts if text not in MISSING and not is_date(text, form))
        return Misfit(name, odd, f"a column of {column.type}", f"dates as {form}")
    return days, names, form


def _coded(column: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """The codes of a column of Arrow's dictionaries, NaN where missing, and the names."""
    whole = column.unify_dictionaries().combine_chunks()
    values = [None if v is None else str(v) for v in whole.dictionary.to_pylist()]
    named = [value for value in values if value is not None]
    number_of = {value: i for i, value in enumerate(named)}
    places = [np.nan if value is None else number_of[value] for value in values]
    codes = np.array(whole.indices.cast("float64").to_numpy(zero_copy_only=False))
    known = ~np.isnan(codes)
    codes[known] = np.array(places)[codes[known].astype(int)]
    return codes, tuple(named)


def _numerals(column: Any, name: str) -> Any:
    """Numbers as text, whole ones without a point; NaN as missing.

    Whole ones as floats that may stand for several are a `Misfit`.
    """
    if pa.types.is_floating(column.type):
        column = pc.if_else(pc.is_nan(column), None, column)
        if pc.all(pc.equal(column, pc.floor(column))).as_py() and column.null_count < len(column):
            largest = pc.max(pc.abs(column)).as_py()
            if largest >= MOST_EXACT:
                place = f"a column of {column.type}"
                return Misfit(name, largest, place, "whole numbers below 2⁵³, or words,")
            column = column.cast("int64")
    return column.cast("string")


def in_order(names: Iterable[str]) -> tuple[str, ...]:
    """Names sorted; numerals by their size.

    >>> in_order(["10", "9"]), in_order(["b", "10", "a"])
    (('9', '10'), ('10', 'a', 'b'))
    """
    texts = sorted(names)
    return tuple(sorted(texts, key=float) if all(map(_is_numeral, texts)) else texts)


def doubt(where: Path | str, categories: Mapping[str, tuple[str, ...]], rows: int) -> None:
    """Say it where categories could be numbers, or names of ``rows`` of a frame."""
    for name, texts in categories.items():
        if all(map(_is_numeral, texts)):
            log.warning(
                "%s: column %r holds numbers as text, and is taken for %s categories; turn it into "
                "numbers if they are quantities",
                *(where, name, f"{len(texts):,}"),
            )
        elif len(texts) == rows >= FEW_ROWS:
            log.warning(
                "%s: column %r has another text in each row, and is taken for %s categories; leave "
                "it out if it names the rows",
                *(where, name, f"{len(texts):,}"),
            )


def _is_numeral(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _labels(path: Path | str, column: Any, name: str, row_name: Callable[[int], str]) -> np.ndarray:
    if pa.types.is_dictionary(column.type):
        codes, known = _coded(column)
        names = list(known)
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


def not_numbers(path: Path | str, misfits: Sequence[Misfit], *, known: bool = False) -> DataError:
    """The error for all columns of numbers that hold something else.

    Of columns that a model is made for, their kind is ``known``, and none other can be told.
    """
    first, *others = misfits
    more = ", ".join(f"{m.value!r} in column {m.column!r} in {m.place}" for m in others[:LISTED])
    left = f" and {len(others) - LISTED:,} others" if len(others) > LISTED else ""
    name = first.column
    kind, label = shlex.quote(f"{name}=categories"), shlex.quote(name)
    others_told = (
        f", or say kinds={{{name!r}: 'categories'}} (--kind {kind}), or ignore, or "
        f"labels={name!r} (--labels {label}) if it is the class of each row"
    )
    return DataError(
        f"{path}: expected {first.wanted} in column {name!r}, got {first.value!r} in {first.place}"
        + (f"; likewise {more}{left}" if others else "")
        + "; correct such cells or leave them empty"
        + ("" if known else others_told)
    )


def row_name(row: int) -> str:
    """A row in words."""
    return f"row {row} (counted from 0)"
