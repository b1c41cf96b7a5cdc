"""What the cells of a column of text hold: numbers, truth values, dates, or text."""

from __future__ import annotations

import datetime
import re
from collections.abc import Sequence
from typing import Any

from lowerbound.data.header import MISSING, is_truth, is_value
from lowerbound.errors import ConfigurationError
from lowerbound.extras import pa, pc

TEXT = "text"
FORMATS = (
    *("%Y-%m-%d", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M"),
    *("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%dT%H:%M:%S.%f", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S%z"),
    *("%Y-%m-%dT%H:%M:%S.%fZ", "%Y-%m-%dT%H:%M:%S.%f%z", "%Y-%m-%d %H:%M:%S%z"),
    "%Y-%m-%d %H:%M:%S.%f%z",
    *("%Y/%m/%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%m/%d/%y", "%d/%m/%y"),
)
"""Of dates; one whose day may be its month, throughout, is of no known format."""
ISO = re.compile(r"%Y-%m-%d[ T]%H:%M:%S(\.%f)?(Z|%z)?")
"""Formats that Arrow reads without being told of them."""
DIGITS = {"%Y": r"\d{4}", "%f": r"\d{1,6}", "%z": r"(Z|[+-]\d{2}:?\d{2})", ".": r"\."}
FIRST = 20
TRUE, FALSE = ("True", "true", "TRUE", "1"), ("False", "false", "FALSE", "0")

TRUTH = {word: TRUE[i] for words in (TRUE, FALSE) for i, word in enumerate(words[:3])}


def form_of(fields: Sequence[str], kind: str | None = None) -> str:
    """How the known ``fields`` of a column are to be read, given its ``kind`` if that was said.

    As numbers, ``""``, where at least half of them are; as truth values, by the word for true, or
    as dates, by their format, where all of them are; else as ``"text"``.

    >>> form_of(["1", "NA", "2.5"]), form_of(["true", "false"]), form_of(["31.12.1999", "1.1.2000"])
    ('', 'true', '%d.%m.%Y')
    >>> form_of(["a", "b", "3"]), form_of(["1", "2"], "categories")
    ('text', 'text')
    """
    if kind == "categories":
        return TEXT
    known = [field for field in fields if field not in MISSING]
    if is_truth(known):
        return TRUTH.get(known[0], TRUE[0])
    told, _, form = (kind or "dates").partition(":")
    if form or told != "dates" or 2 * sum(map(is_value, known)) >= len(known) or not known:
        return form
    dates = [form for form in FORMATS if all(is_date(field, form) for field in known)]
    if any(form.endswith("Z") for form in dates):  # which %z takes too
        dates = dates[:1]
    if kind == "dates" and len(dates) != 1:
        raise ConfigurationError(
            f"expected dates of one format, such as 2007-11-30, got {known[0]!r}, in which day and "
            "month may be either; name the format, as in dates:%d/%m/%y"
        )
    return dates[0] if len(dates) == 1 else TEXT


def are_dates(fields: Sequence[str]) -> bool:
    """Whether each of the first known ``fields`` is a date of some format."""
    known = [field for field in fields if field not in MISSING][:FIRST]
    return bool(known) and all(any(is_date(field, form) for form in FORMATS) for field in known)


def is_date(field: str, form: str) -> bool:
    """Whether a field is a date of the format ``form``."""
    try:
        instant(field, form)
    except (ValueError, OverflowError):  # the latter of the last or first day, in UTC
        return False
    return True


def instant(field: str, form: str) -> datetime.datetime:
    """The date and time of a field, those of a time zone in UTC."""
    found = datetime.datetime.strptime(field, form)
    return found.astimezone(datetime.UTC).replace(tzinfo=None) if found.tzinfo else found


def fits(field: str, form: str) -> bool:
    """Whether a known field can be read as one of a column of this ``form``."""
    if form == TEXT:
        return True
    if form in TRUTH:
        return field in (*TRUE, *FALSE)
    if "%" in form:
        return is_date(field, form)
    return is_value(field) and field.isascii() and not is_truth([field])


def typed(column: Any, form: str) -> Any:
    """A column of text as its ``form`` has it: as instants, or as text that may be missing.

    Arrow reads 2020-02-30 as the first of March: what it would not write as it is, Python reads.

    Raises:
        pyarrow.ArrowInvalid: a field is no such date.
    """
    trimmed = pc.utf8_trim_whitespace(column)
    missing = pc.is_in(trimmed, pa.array(MISSING, trimmed.type))
    column = pc.if_else(missing, None, column if form == TEXT else trimmed)
    if form == TEXT:
        return column
    read = _by_arrow(column, form)
    odd = pc.unique(column.filter(pc.is_null(read)).drop_null())
    dates = []
    for text in odd.to_pylist():
        try:
            dates.append(instant(text, form))
        except (ValueError, OverflowError):
            raise pa.ArrowInvalid(f"{text!r} is no date") from None
    return pc.coalesce(pa.array(dates, read.type).take(pc.index_in(column, odd)), read)


def _by_arrow(column: Any, form: str) -> Any:
    """The instants of the fields that Arrow reads as they are written; null for others.

    Raises:
        pyarrow.ArrowInvalid: a field is no such date.
    """
    if not any(part in form for part in ("%f", "%z")):
        read = pc.strptime(column, form, "s")
        return pc.if_else(pc.equal(pc.strftime(read, form), column), read, None)
    exact = pa.timestamp("us")
    if not ISO.fullmatch(form):
        return pa.nulls(len(column), exact)
    written = re.sub(r"%.|\.", lambda part: DIGITS.get(part[0], r"\d{2}"), form)
    plain = pc.if_else(pc.match_substring_regex(column, f"^{written}$"), column, None)
    zone = "UTC" if form.endswith(("Z", "%z")) else None
    read = plain.cast(pa.timestamp("us", zone)).cast("int64").cast(exact)
    year = pc.year(read)
    there = pc.and_(pc.greater_equal(year, datetime.MINYEAR), pc.less_equal(year, datetime.MAXYEAR))
    return pc.if_else(there, read, None)
