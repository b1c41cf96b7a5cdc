"""Which kind each column of a table is of, and which columns a model can learn from."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.columns import quoted
from lowerbound.data.conversion import Raw
from lowerbound.data.dataset import Data
from lowerbound.data.schema import FEW_ROWS, Field, Kind, Levels, Schema, Values, levels_of
from lowerbound.errors import DataError

log = logging.getLogger("lowerbound")

WIDE = 50
"""Columns of counts above which a table is one of counts, whatever is in a few of them."""
NAMES, WORDS, REPEATED = 0.5, 3, 0.1
SHOWN, LINES, LONGEST, FIRST = 3, 40, 40, 10_000
DATES = "%"


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
    apart = gaps or bool(raw.categories) or bool(raw.kinds)
    if known and not raw.kinds:
        return raw.schema(kind, shape, _kinds(x, {}) if raw.categories else None)
    levels = {} if x.dtype == torch.uint8 else levels_of(x)
    if not raw.forms:
        return raw.schema(kind, shape, _kinds(x, levels) if apart or levels else None)
    whole = ((x == x.floor()) | x.isnan()).all(0).tolist()
    forms = {
        name: _form(raw.forms.get(name, ""), is_whole=is_whole)
        for name, is_whole in zip(raw.columns, whole, strict=True)
    }
    columns, raw = raw.columns, replace(raw, forms=forms)
    one = kind == "unit" or (kind == "counts" and len(columns) > WIDE) or len(x) < FEW_ROWS
    if one and not apart:
        return raw.schema(kind, shape)
    kinds = _kinds(x, levels)
    for j, name in enumerate(columns):
        told = raw.kinds.get(name, "dates" if DATES in forms[name] else "").partition(":")[0]
        if told == "ordinal":
            kinds[j] = "ordinal", tuple(x[~x[:, j].isnan(), j].unique().tolist())
        elif told:
            kinds[j] = ("real" if told == "dates" else told), None  # type: ignore[assignment]
        elif kinds[j][1] is None:
            kinds[j] = _of_measures(x[:, j], kinds[j][0]), None
    return raw.schema(kind, shape, kinds)


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


def _form(form: str, *, is_whole: bool) -> str:
    if form == "time":
        return "%Y-%m-%d" if is_whole else "%Y-%m-%d %H:%M:%S"
    return "whole" if is_whole and not form else form


def informative(raw: Raw) -> Raw:
    """A table without the columns that a model cannot learn from; it is told which, and why.

    These are the ones of no value or one value, and those of text that names the rows or is free;
    what their kind was said of stays.  Of fewer than 20 rows, only those of no value are left out.

    Raises:
        DataError: there are no others.
    """
    if raw.columns is None or not raw.forms:
        return raw
    where = Path(raw.where).name
    why: dict[str, list[str]] = {}
    for j, name in enumerate(raw.columns):
        found = None if name in raw.kinds else _lacking(raw.x[:, j], raw.categories.get(name))
        if found:
            why.setdefault(found, []).append(name)
        elif name not in raw.kinds and _numbers_rows(raw.x[:, j], name):
            log.warning(
                "%s: column %r has another whole number in each row; if these name the rows, leave "
                "it out with kinds={%r: 'ignore'} (--kind %s=ignore)",
                *(where, name, name, name),
            )
    for reason, names in why.items():
        level = logging.WARNING if reason in (NAMED, FREE) else logging.INFO
        them = f"column{'s' * (len(names) > 1)} {quoted(names)}"
        log.log(level, "%s: left out: %s (%s)", where, them, reason)
    left = {name for names in why.values() for name in names}
    kept = [j for j, name in enumerate(raw.columns) if name not in left]
    if not kept:
        raise DataError(
            f"{raw.where}: expected a column whose values vary and repeat, got none; say what they "
            "hold with kinds= (--kind NAME=KIND)"
        )
    if len(kept) == len(raw.columns):
        return raw
    return replace(
        raw,
        x=raw.x[:, kept],
        columns=tuple(raw.columns[j] for j in kept),
        categories={name: c for name, c in raw.categories.items() if name not in left},
        observed=None if raw.observed is None else raw.observed[:, kept],
    )


NAMED = "names of the rows; --kind NAME=categories takes them all the same"
FREE = "free text; --kind NAME=categories takes it all the same"


def _lacking(column: np.ndarray, names: tuple[str, ...] | None) -> str | None:
    """Why a model could learn nothing from a column; None where it can."""
    known = column[~np.isnan(column)]
    if not len(known):
        return "no values"
    if len(column) < FEW_ROWS:
        return None
    if (known == known[0]).all():
        return "the same in all rows"
    if names is None:
        return None
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
    if data.columns is None:
        return {}, {}
    forms = {field.name: field.form for field in data.schema if field.form}
    if data.kind not in ("mixed", "categories") and not any(DATES in f for f in forms.values()):
        return {}, forms
    kinds = {
        field.name: f"dates:{field.form}" if DATES in field.form else _read_as(field)
        for field in data.schema
    }
    return kinds, forms


def _read_as(field: Field) -> str:
    """The kind to read others as: of levels, which the model itself checks, numbers."""
    return "real" if field.kind == "ordinal" else field.kind


def column_table(data: Data, families: Sequence[str]) -> list[str]:
    """Lines that tell of each column: name, kind, first values, share missing, and its family."""
    first = data.take(FIRST).x
    rows = [("column", "kind", "such as", "missing", "family")]
    for j, (field, family) in enumerate(zip(data.schema[:LINES], families, strict=False)):
        values = first[:, j].double()
        known = values[~values.isnan()]
        first_few = known.unique()[:SHOWN] if field.categories else known[:SHOWN]
        worded = field.categories or field.form
        some = field.texts(first_few) if worded else [f"{v:.7g}" for v in first_few.tolist()]
        kind = "dates" if DATES in field.form else str(field.kind)
        kind += f" ({len(field.categories)})" if field.categories else ""
        gaps = 1 - len(known) / len(values)
        shown = ", ".join(some)
        shown = shown if len(shown) <= LONGEST else f"{shown[:LONGEST]}…"
        rows.append((field.name, kind, shown, f"{gaps:.1%}" if gaps else "", family))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    more = len(data.schema) - LINES
    return [*lines, *([f"and {more:,} others"] if more > 0 else [])]
