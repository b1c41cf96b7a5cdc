"""Which kind each column of a table is of, and which columns a model can learn from."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.columns import quoted
from lowerbound.data.conversion import Raw
from lowerbound.data.dataset import Data
from lowerbound.data.schema import (
    FEW_ROWS,
    LEVELLED,
    Field,
    Kind,
    Levels,
    Schema,
    Values,
    levels_of,
)
from lowerbound.data.spikes import spike_of, told_spike
from lowerbound.errors import DataError
from lowerbound.logs import log

WIDE = 50
"""Columns of counts above which a table is one of counts, whatever is in a few of them."""
NAMES, WORDS, REPEATED = 0.5, 3, 0.1
SHOWN, ALIKE, LINES, LONGEST, FIRST = 3, 30, 40, 40, 10_000
DATES, MEASURED = "%", ("real", "unit", "counts")


class Column(NamedTuple):
    """What a column of a table holds: by its values alone, and by these or what was said."""

    by_values: Kind
    kind: Kind
    levels: Levels = None

    @classmethod
    def of(cls, where: str, x: Tensor, form: str, told: str = "", levels: Levels = None) -> Column:
        """That of the values x, (n,), NaN where missing, of this ``form`` and ``told`` kind.

        ``levels`` are as `levels_of` has them; ``where`` the values are is said in messages.

        Raises:
            DataError: it was told to be zero-inflated, and has no number in several rows.
        """
        kind = Values.of(x).kind
        told = (told or ("dates" if DATES in form else "")).partition(":")[0]
        if told == "ordinal":
            return cls(kind, "ordinal", tuple(x[~x.isnan()].unique().tolist()))
        if told == "zero-inflated":
            return cls(kind, "zero-inflated", told_spike(x, where))
        if told:
            return cls(kind, "real" if told == "dates" else told)  # type: ignore[arg-type]
        if levels and kind != "binary":
            return cls(kind, "ordinal", levels)
        if kind in MEASURED and (spike := spike_of(x)):
            return cls(kind, "zero-inflated", spike)
        return cls(kind, _of_measures(x, kind))


def column_schema(raw: Raw, x: Tensor, kind: Kind, *, gaps: bool, known: bool) -> Schema:
    """A field for x (n, …) as a whole, of ``kind``, or for each named column, of its own kind.

    Args:
        raw: what was read.
        x: the same as numbers, NaN where missing.
        kind: of all values together, but of categories' codes.
        gaps: whether values are missing.
        known: whether the columns are those of a model, and not to be judged anew.
    """
    shape = tuple(x.shape[1:])
    if raw.columns is None or raw.vocabulary is not None:
        return raw.schema(kind, shape)
    levels = {} if x.dtype == torch.uint8 or (known and not raw.kinds) else levels_of(x)
    if not raw.forms:
        apart = gaps or bool(raw.categories) or bool(levels)
        return raw.schema(kind, shape, _kinds(x, levels) if apart else None)

    whole = ((x == x.floor()) | x.isnan()).all(0).tolist()
    forms = {
        name: form_of_whole(raw.forms.get(name, ""), is_whole=is_whole)
        for name, is_whole in zip(raw.columns, whole, strict=True)
    }

    def columns() -> list[Column]:
        each = enumerate(zip(forms.items(), x.unbind(1), strict=True))
        return [
            Column.of(
                f"{raw.where}, column {name!r}",
                column,
                form,
                raw.kinds.get(name, ""),
                levels.get(j),
            )
            for j, ((name, form), column) in each
        ]

    return table_schema(replace(raw, forms=forms), kind, len(x), columns, gaps=gaps, known=known)


def table_schema(
    raw: Raw,
    kind: Kind,
    rows: int,
    columns: Callable[[], Sequence[Column]],
    *,
    gaps: bool,
    known: bool,
) -> Schema:
    """A field for each column that was read, of so many ``rows``, see `column_schema`."""
    shape = (len(raw.columns or ()),)
    apart = gaps or bool(raw.categories) or bool(raw.kinds)
    one = kind == "unit" or (kind == "counts" and shape[0] > WIDE) or rows < FEW_ROWS
    if not apart and (known or one):
        return raw.schema(kind, shape)
    if known and not raw.kinds:
        own = [(column.by_values, None) for column in columns()] if raw.categories else None
        return raw.schema(kind, shape, own)
    return raw.schema(kind, shape, [(column.kind, column.levels) for column in columns()])


def form_of_whole(form: str, *, is_whole: bool) -> str:
    """How a column is written, by how it came and whether all of its numbers are whole."""
    if form == "time":
        return "%Y-%m-%d" if is_whole else "%Y-%m-%d %H:%M:%S"
    return "whole" if is_whole and not form else form


def _kinds(x: Tensor, levels: Mapping[int, tuple[float, ...]]) -> list[tuple[Kind, Levels]]:
    """The kind of each column by its values, and the ``levels`` of ordinal ones."""
    kinds = [Values.of(column).kind for column in x.unbind(1)]
    ordinal = {j: each for j, each in levels.items() if kinds[j] != "binary"}
    return [("ordinal" if j in ordinal else kind, ordinal.get(j)) for j, kind in enumerate(kinds)]


def _of_measures(column: Tensor, kind: Kind) -> Kind:
    """``kind``, but real for measures in whole numbers, and in [0, 1] among others.

    Counts begin near 0, and vary at least half as much as a Poisson variable.
    """
    if kind == "counts" and len(column) >= FEW_ROWS:
        known = column[~column.isnan()].double()
        mean = known.mean()
        counted = known.min() <= mean / 2 and known.var(correction=0) >= mean / 2
        return "counts" if counted else "real"
    return "real" if kind == "unit" else kind


def informative(raw: Raw, given: Sequence[str] = ()) -> Raw:
    """A table without the columns that a model cannot learn from; it is told which, and why.

    These are the ones of no value or one value, and those of text that names the rows or is free;
    what their kind was said of stays, and what is ``given``.  Of fewer than 20 rows, only those of
    no value are left out.

    Raises:
        DataError: there are no others.
    """
    if raw.columns is None or not raw.forms:
        return raw
    found = {
        name: lacking(raw.x[:, j], name, raw.categories.get(name))
        for j, name in enumerate(raw.columns)
        if name not in raw.kinds and name not in given
    }
    kept = taken(raw.where, raw.columns, found)
    if len(kept) == len(raw.columns):
        return raw
    return raw.only([raw.columns[j] for j in kept])


def taken(where: str, columns: Sequence[str], lacks: Mapping[str, str | None]) -> list[int]:
    """The numbers of the columns that are not left out for what they lack; it is told which are.

    Raises:
        DataError: there are none.
    """
    name, why = Path(where).name, dict[str, list[str]]()
    for column, found in lacks.items():
        if found == NUMBERED:
            log.warning(
                "%s: column %r has another whole number in each row; if these name the rows, leave "
                "it out with kinds={%r: 'ignore'} (--kind %s)",
                *(name, column, column, quote(f"{column}=ignore")),
            )
        elif found:
            why.setdefault(found, []).append(column)
    for reason, names in why.items():
        level = logging.WARNING if reason in (NAMED, FREE) else logging.INFO
        them = f"column{'s' * (len(names) > 1)} {quoted(names)}"
        log.log(level, "%s: left out: %s (%s)", name, them, reason)
    kept = [j for j, column in enumerate(columns) if lacks.get(column) in (None, NUMBERED)]
    if not kept:
        raise DataError(
            f"{where}: expected a column whose values vary and repeat, got none; say what they "
            "hold with kinds= (--kind NAME=KIND)"
        )
    return kept


NAMED = "names of the rows; --kind NAME=categories takes them all the same"
FREE = "free text; --kind NAME=categories takes it all the same"
NUMBERED = "numbers of the rows, perhaps"


def lacking(column: np.ndarray, name: str, names: tuple[str, ...] | None) -> str | None:
    """Why a model could learn nothing from a column, of numbers or of codes of ``names``.

    None where it can.
    """
    known = column[~np.isnan(column)]
    if not len(known):
        return "no values"
    if len(column) < FEW_ROWS:
        return None
    if (known == known[0]).all():
        return "the same in all rows"
    if names is None:
        return NUMBERED if _numbers_rows(column, name) else None
    used = np.unique(known).astype(int)
    words = sum(len(names[i].split()) for i in used) / len(used)
    if words >= WORDS and len(used) > max(REPEATED * len(known), FEW_ROWS / 2):
        return FREE
    return NAMED if len(used) > max(NAMES * len(known), FEW_ROWS / 2) else None


def _numbers_rows(column: np.ndarray, name: str) -> bool:
    """Whether numbers may only name the rows: whole, all different, and called so or in a row."""
    known = column[~np.isnan(column)]
    if len(column) < FEW_ROWS or len(known) < len(column) or (known != np.floor(known)).any():
        return False
    ordered = np.unique(known)
    called = name.lower().endswith(("id", "no", "number", "nr", "key", "code"))
    return len(ordered) == len(known) and (called or bool((np.diff(ordered) == 1).all()))


def told_kinds(data: Data) -> tuple[dict[str, str], dict[str, str]]:
    """What to read other tables as, and how columns are written, by name; see `Reading.kinds`."""
    own = () if data.columns is None else data.schema
    given = () if data.given is None else data.given.schema
    forms = {field.name: field.form for field in (*own, *given) if field.form}
    dated = any(DATES in field.form for field in own)
    apart = dated or data.kind in ("mixed", "categories")
    kinds = {field.name: _read_as(field, field.kind) for field in own if apart}
    # Of what is given, a model takes any numbers.
    return kinds | {field.name: _read_as(field, "real") for field in given}, forms


def _read_as(field: Field, kind: str) -> str:
    """The kind to read others as: of levels, which the model itself checks, numbers."""
    if DATES in field.form:
        return f"dates:{field.form}"
    return "categories" if field.categories else "real" if field.kind in LEVELLED else kind


def column_table(data: Data, families: Sequence[str]) -> list[str]:
    """Lines that tell of each column: name, kind, first values, share missing, and its family."""
    header: tuple[str, ...] = ("column", "kind", "such as", "missing", "family")
    rows = [header, *_rows(data, families)]
    if data.given is not None:
        rows += _rows(data.given, ["given"] * len(data.given.schema))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _rows(data: Data, families: Sequence[str]) -> list[tuple[str, ...]]:
    """What is told of the first columns; of more than 30 alike, of the first few."""
    rows: list[tuple[str, ...]] = []
    first = data.take(FIRST).x
    kinds = [field.kind for field in data.schema]
    alike = len(kinds) > ALIKE and len({*zip(kinds, families, strict=False)}) == 1
    shown = data.schema[: SHOWN if alike else LINES]
    for j, (field, family) in enumerate(zip(shown, families, strict=False)):
        values = first[:, j].double()
        known = values[~values.isnan()]
        first_few = known.unique()[:SHOWN] if field.categories else known[:SHOWN]
        worded = field.categories or field.form
        some = field.texts(first_few) if worded else [f"{v:.7g}" for v in first_few.tolist()]
        kind = "dates" if DATES in field.form else str(field.kind)
        kind += f" ({len(field.categories)})" if field.categories else ""
        gaps = 1 - len(known) / len(values)
        told = ", ".join(some)
        told = told if len(told) <= LONGEST else f"{told[:LONGEST]}…"
        rows.append((field.name, kind, told, f"{gaps:.1%}" if gaps else "", family))
    if alike:
        rows.append((f"and {len(kinds) - SHOWN:,} more", kinds[0], "", "", families[0]))
    elif len(kinds) > LINES:
        rows.append((f"and {len(kinds) - LINES:,} others", "", "", "", ""))
    return rows
