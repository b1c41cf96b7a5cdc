"""Tables as Arrow holds them, and data frames: their columns by name, and those as numbers."""

from __future__ import annotations

import json
import logging
import re
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.columns import pick, quoted
from lowerbound.data.conversion import Raw, check_finite
from lowerbound.data.reading import Reading
from lowerbound.errors import ConfigurationError, DataError, brief, near
from lowerbound.extras import needs

log = logging.getLogger("lowerbound")

LABELS = ("label", "class")
UNNAMED = re.compile(r"|unnamed: \d+|__index_level_\d+__", re.IGNORECASE)
COUNTERS = ("index", "id")
BYTES = 16
"""In memory of one value of a table while it is read: as float64, and as it is kept."""
FIRST_ROWS = 200
FEW_ROWS = 20
A_DAY = {"s": 86_400, "ms": 86_400e3, "us": 86_400e6, "ns": 86_400e9}


def is_frame(x: Any) -> bool:
    """Whether Arrow can read it as a table."""
    return hasattr(x, "__arrow_c_stream__") or hasattr(x, "__dataframe__")


def read_frame(frame: Any, labels: Any, name: str, *, missing: bool = False) -> Raw:
    """The columns of a data frame: numbers, dates, categories, any of them with missing values.

    ``labels`` that name no column are left to the caller; ``missing`` takes NaN for missing.

    Raises:
        ConfigurationError: ``labels`` names no column.
        DataError: no table, or a column of other things.
    """
    pa = needs("pyarrow", "tables")
    interchange = needs("pyarrow.interchange", "tables")

    try:
        if hasattr(frame, "__arrow_c_stream__"):
            table = pa.table(frame)
        else:
            table = interchange.from_dataframe(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"{name}: expected a data frame, got a {type(frame).__name__} that Arrow does not read "
            f"as one ({brief(error)})"
        ) from None
    pandas = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    index = [column for column in pandas.get("index_columns", ()) if isinstance(column, str)]
    table = table.drop_columns(index)
    named = labels is None or isinstance(labels, str)
    reading = Reading(labels=labels if named else None)

    def first(column: str) -> np.ndarray:
        return first_numbers(table[column])

    label, columns = choose(name, tuple(table.column_names), reading, first, auto=named)
    if missing:
        table = pa.table(list(map(_nan_missing, table.columns)), table.column_names)
    return table_raw(name, table, label, columns, row_name, missing=True)


def _nan_missing(column: Any) -> Any:
    """A column whose NaN are nulls."""
    pa = needs("pyarrow", "tables")
    pc = needs("pyarrow.compute", "tables")

    floating = pa.types.is_floating(column.type)
    return pc.if_else(pc.is_nan(column), None, column) if floating else column


def choose(
    path: Path | str,
    names: tuple[str, ...],
    reading: Reading,
    first: Callable[[str], np.ndarray],
    *,
    auto: bool = True,
) -> tuple[str | None, tuple[str, ...]]:
    """The column of class labels, if any, and those of values.

    ``first`` gives a column's first numbers: where they, and its name, only count the rows, it is
    left out.  A column called label or class is the labels' (``auto``).
    """
    labels, where = reading.labels, Path(path).name
    if labels is not None and labels not in names:
        raise ConfigurationError(
            f"{path}: expected labels= to name a column, got {labels!r}; {near(labels, names)}"
        )
    taken = set(reading.columns or ())
    likely = (name for name in names if auto and name.lower() in LABELS and name not in taken)
    label = next(likely, None) if labels is None else labels
    if label is not None and labels is None:
        log.info("%s: column %r is taken for the class labels", where, label)
    columns = tuple(name for name in names if name != label)
    if reading.columns is not None:
        pick(path, columns, reading.columns)
        _refuse_repeated(path, names, (label, *reading.columns))
        return label, reading.columns
    if counters := [name for name in columns if _is_counter(name, names, first)]:
        log.info("%s: column %s only counts the rows, and is left out", where, quoted(counters))
        columns = tuple(name for name in columns if name not in counters)
    if "" in (bare := [name.strip() for name in columns]):
        place = names.index(columns[bare.index("")])
        raise DataError(
            f"{path}: expected a name for every column, got '' for column {place} (counted from "
            "0); name it, or write the file without it"
        )
    _refuse_repeated(path, names, (label, *columns))
    if not columns:
        raise DataError(
            f"{path}: expected at least one column of numbers besides the labels, got only "
            f"{label!r}"
        )
    return label, columns


def _refuse_repeated(path: Path | str, names: tuple[str, ...], used: Iterable[str | None]) -> None:
    """Raises DataError: several columns have a name of those ``used``."""
    times: Counter[str | None] = Counter(names)
    for name in used:
        if times[name] > 1:
            raise DataError(
                f"{path}: expected columns of different names, got {name!r} {times[name]} times; "
                "rename them"
            )


def _is_counter(name: str, names: tuple[str, ...], first: Callable[[str], np.ndarray]) -> bool:
    """Whether a column only numbers the rows, by its name and its first numbers."""
    reserved = UNNAMED.fullmatch(name) and (name or name == names[0])
    if not (reserved or name.lower() in COUNTERS):
        return False
    numbers = first(name)
    whole = len(numbers) > 0 and bool(np.all(numbers == np.floor(numbers)))
    if reserved:
        return whole and len(np.unique(numbers)) == len(numbers)
    return (
        whole and len(numbers) > 1 and numbers[0] in (0, 1) and bool((np.diff(numbers) == 1).all())
    )


def first_numbers(column: Any) -> np.ndarray:
    """The first numbers of a column; none where it holds other things."""
    if not is_number(column.type):
        return np.array([])
    return column.slice(0, FIRST_ROWS).to_numpy(zero_copy_only=False).astype(np.float64)


def gather(where: str, blocks: Iterable[Raw], most: int, columns: tuple[str, ...]) -> Raw:
    """Blocks of a table of at most ``most`` rows as one, each let go once it is taken in."""
    x, n = np.empty((most, len(columns))), 0
    classes, labels_from = [], None
    for block in blocks:
        if n + len(block.x) > most:
            raise DataError(
                f"{where}: expected {most:,} rows, as it tells of, got more; write it again"
            )
        x[n : n + len(block.x)] = block.x
        n += len(block.x)
        labels_from = block.labels_from
        if block.labels is not None:
            classes.append(block.labels)
    if n == 0:
        raise DataError(f"{where}: expected at least one row of numbers, got none")
    labels = np.concatenate(classes) if classes else None
    return Raw(x[:n], where, labels, labels_from, columns)


def table_raw(
    where: Path | str,
    table: Any,
    label: str | None,
    columns: tuple[str, ...],
    row_name: Callable[[int], str],
    *,
    missing: bool = False,
) -> Raw:
    """The columns of an Arrow table as numbers, and its column of class labels."""
    if table.num_rows == 0:
        raise DataError(f"{where}: expected at least one row of numbers, got none")
    values, observed = np.empty((table.num_rows, len(columns))), None
    categories: dict[str, tuple[str, ...]] = {}
    for j, name in enumerate(columns):
        if missing and table[name].null_count == table.num_rows:
            raise DataError(
                f"{where}: expected at least one value in column {name!r}, got none; leave it out"
            )
        values[:, j], names = _numbers(where, table[name], name)
        if names:
            categories[name] = names
    named = [j for j, name in enumerate(columns) if name in categories]
    if any(table[name].null_count for name in columns) or np.isnan(values[:, named]).any():
        observed = np.column_stack([table[name].is_valid().to_numpy() for name in columns])
        observed[:, named] &= ~np.isnan(values[:, named])
    known = np.where(observed, values, 0.0) if missing and observed is not None else values
    check_finite(known, str(where), columns, row_name, observed)
    classes = None if label is None else _labels(where, table[label], label, row_name)
    labels_from = None if label is None else f"column {label!r}"
    return Raw(values, str(where), classes, labels_from, columns, categories, observed)


def _numbers(where: Path | str, column: Any, name: str) -> tuple[np.ndarray, tuple[str, ...]]:
    """A column as numbers, NaN where there are none.

    Dates are days since 1970, and texts and categories their codes, whose names come with them.
    """
    pa = needs("pyarrow", "tables")
    pc = needs("pyarrow.compute", "tables")

    if is_number(column.type):
        if pa.types.is_decimal(column.type):
            column = column.cast("string")  # as a number's digits give the nearest float64
        return column.cast("float64", safe=False).to_numpy(), ()
    if pa.types.is_date(column.type):
        column = column.cast(pa.date64()).cast(pa.timestamp("ms"))
    if pa.types.is_timestamp(column.type):
        instants = column.cast("int64").cast("float64", safe=False)
        return instants.to_numpy() / A_DAY[column.type.unit], ()
    if pa.types.is_dictionary(column.type):
        whole = column.unify_dictionaries().combine_chunks()
        values = [None if v is None else str(v) for v in whole.dictionary.to_pylist()]
        named = [value for value in values if value is not None]
        number = {value: i for i, value in enumerate(named)}
        places = [np.nan if value is None else number[value] for value in values]
        codes = np.array(whole.indices.cast("float64").to_numpy(zero_copy_only=False))
        known = ~np.isnan(codes)
        codes[known] = np.array(places)[codes[known].astype(int)]
        return codes, tuple(named)
    if is_text(column.type):
        column = column.cast("large_string")
        names = pc.unique(column).drop_null().sort()
        codes = pc.index_in(column, names).cast("float64").to_numpy()
        known = tuple(names.to_pylist())
        _doubt_text(where, name, known, len(column) - column.null_count)
        return codes, known
    raise not_a_number(where, name, column.drop_null()[0].as_py(), f"a column of {column.type}")


def _doubt_text(where: Path | str, name: str, texts: tuple[str, ...], rows: int) -> None:
    """Say it where categories could be numbers, or names of rows."""
    if all(map(_is_numeral, texts)):
        log.warning(
            "%s: column %r holds numbers as text, and is taken for %s categories; turn it into "
            "numbers if they are quantities",
            *(where, name, f"{len(texts):,}"),
        )
    elif len(texts) == rows >= FEW_ROWS:
        log.warning(
            "%s: column %r has another text in each row, and is taken for %s categories; leave it "
            "out if it names the rows",
            *(where, name, f"{len(texts):,}"),
        )


def _is_numeral(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _labels(path: Path | str, column: Any, name: str, row_name: Callable[[int], str]) -> np.ndarray:
    pa = needs("pyarrow", "tables")
    pc = needs("pyarrow.compute", "tables")

    if pa.types.is_dictionary(column.type):
        codes, names = _numbers(path, column, name)
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


def not_a_number(path: Path | str, column: str, value: object, where: str) -> DataError:
    """The error for a column that holds something else."""
    return DataError(
        f"{path}: expected numbers in column {column!r}, got {value!r} in {where}; if the column "
        f"is the class of each row, name it with labels={column!r} (--labels {column}), "
        "else remove it or turn it into numbers"
    )


def row_name(row: int) -> str:
    """A row in words."""
    return f"row {row} (counted from 0)"
