"""Tables: data frames, which columns are taken, and blocks of rows as one."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import Any

import numpy as np

from lowerbound.data.arrow import LISTED, doubt, first_numbers, in_order, row_name, table_raw
from lowerbound.data.cells import TRUTH
from lowerbound.data.columns import pick, quoted
from lowerbound.data.conversion import Raw
from lowerbound.data.reading import Reading
from lowerbound.errors import ConfigurationError, DataError, brief, near
from lowerbound.extras import needs, pa
from lowerbound.logs import log

LABELS = ("label", "class")
UNNAMED = re.compile(r"|unnamed: \d+|__index_level_\d+__", re.IGNORECASE)
COUNTERS = ("index", "id")
COMMAS = re.compile(r"[-+]?(\d{1,3}(\.?\d{3})*,\d+|\d{1,3}(,\d{3})+(\.\d+)?)")
"""Numbers with a decimal comma, or commas between thousands."""
BYTES = 16
"""In memory of one value of a table while it is read: as float64, and as it is kept."""


def is_frame(x: Any) -> bool:
    """Whether Arrow can read it as a table, which a column by itself is not."""
    readable = hasattr(x, "__arrow_c_stream__") or hasattr(x, "__dataframe__")
    return readable and len(getattr(x, "shape", (0, 0))) == 2


def read_frame(frame: Any, reading: Reading, name: str, *, auto: bool = True) -> Raw:
    """The columns of a data frame: numbers, dates, categories, any of them with missing values.

    ``auto`` is as in `choose`.

    Raises:
        ConfigurationError: ``reading`` names no column.
        DataError: no table, one that lacks a column, or columns of other things.
    """
    table = arrow_table(frame, name)
    pandas = json.loads((table.schema.metadata or {}).get(b"pandas", b"{}"))
    index = [column for column in pandas.get("index_columns", ()) if isinstance(column, str)]
    table = table.drop_columns(index)

    def first(column: str) -> np.ndarray:
        return first_numbers(table[column])

    label, columns = choose(name, tuple(table.column_names), reading, first, auto=auto)
    kinds = reading.kinds
    raw = told(table_raw(name, table, label, columns, row_name, kinds=kinds), kinds)
    doubt(name, {n: c for n, c in raw.categories.items() if n not in kinds}, len(raw.x))
    return raw


def told(raw: Raw, kinds: Mapping[str, str]) -> Raw:
    """A table of whose columns the ``kinds`` were said.

    Raises:
        DataError: others are categories most of which are numbers with commas, in one message.
    """
    columns = enumerate(raw.columns or ())
    untold = {name: j for j, name in columns if name in raw.categories and name not in kinds}
    commas = {name: comma_in(raw.categories[name], raw.x[:, j]) for name, j in untold.items()}
    with_commas(raw.where, commas)
    return replace(raw, kinds=kinds)


def comma_in(names: tuple[str, ...], codes: np.ndarray) -> str | None:
    """A number with a comma, if most of a column's cells, by their ``codes``, are such ones."""
    odd = np.array([COMMAS.fullmatch(text.strip()) is not None for text in names], bool)
    if not odd.any():
        return None
    known = codes[~np.isnan(codes)].astype(int)
    return names[int(odd.argmax())] if 2 * odd[known].sum() > len(known) else None


def with_commas(where: str, found: Mapping[str, str | None]) -> None:
    """Raises DataError: in columns, by name, such numbers were ``found``."""
    some = [(name, text) for name, text in found.items() if text is not None]
    if some:
        shown = ", ".join(f"{text!r} in column {name!r}" for name, text in some[:LISTED])
        more = f" and {len(some) - LISTED:,} others" if len(some) > LISTED else ""
        raise DataError(
            f"{where}: expected numbers with a decimal point and nothing between thousands, "
            f"got {shown}{more}; write them so, or say kinds={{{some[0][0]!r}: 'categories'}} "
            f"(--kind {quote(f'{some[0][0]}=categories')}) where they are words"
        )


def arrow_table(frame: Any, name: str) -> Any:
    """A data frame as Arrow's table; of pandas' sparse columns, dense ones."""
    interchange = needs("pyarrow.interchange", "tables")

    if not hasattr(frame, "__arrow_c_stream__"):
        read = interchange.from_dataframe
    elif hasattr(frame, "dtypes") and hasattr(frame, "items"):  # of pandas: a column at a time
        read = _pandas_table
    else:
        read = pa.table
    try:
        return read(frame)
    except (pa.ArrowException, TypeError, ValueError) as error:
        raise DataError(
            f"{name}: expected a data frame, got a {type(frame).__name__} that Arrow does not read "
            f"as one ({brief(error)})"
        ) from None


def _pandas_table(frame: Any) -> Any:
    """A frame of pandas.

    Raises:
        TypeError: columns that are of no one type, all of them in one message.
    """
    sparse = [str(column) for column, of in frame.dtypes.items() if hasattr(of, "fill_value")]
    if sparse:
        dense = {column: frame[column].sparse.to_dense() for column in sparse}
        frame = frame.assign(**dense)
    try:
        return pa.table(frame)
    except (pa.ArrowException, TypeError, ValueError):
        mixed = []
        for column, values in frame.items():
            try:
                pa.array(values, from_pandas=True)
            except (pa.ArrowException, TypeError, ValueError) as error:
                mixed.append(f"column {column!r}: {brief(error)}")
        if not mixed:
            raise
        raise TypeError("; ".join(mixed) + "; make each column of one type, or drop it") from None


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
    wanted, given = reading.taken, reading.given
    unknown = [name for name in reading.kinds if name not in names]
    if unknown and reading.columns is None:
        raise ConfigurationError(
            f"{path}: expected kinds= (--kind) of its columns, got {unknown[0]!r}; "
            f"{near(unknown[0], names)}"
        )
    if labels is not None and labels not in names:
        raise ConfigurationError(
            f"{path}: expected labels= to name a column, got {labels!r}; {near(labels, names)}"
        )
    if absent := [name for name in given if name not in names and wanted is None]:
        raise ConfigurationError(
            f"{path}: expected given= (--given) of its columns, got {absent[0]!r}; "
            f"{near(absent[0], names)}"
        )
    taken = {*(wanted or given)}
    likely = (name for name in names if auto and name.lower() in LABELS and name not in taken)
    label = next(likely, None) if labels is None else labels
    if label is not None and labels is None:
        log.info("%s: column %r is taken for the class labels", where, label)
    ignored = [
        name for name, kind in reading.kinds.items() if kind == "ignore" and name not in given
    ]
    columns = tuple(
        name for name in names if (name != label or name in taken) and name not in ignored
    )
    if wanted is not None:
        pick(path, columns, wanted)
        _refuse_repeated(path, names, (label, *wanted))
        return label, wanted
    told = {*reading.kinds, *given}
    if counters := [n for n in columns if n not in told and _is_counter(n, names, first)]:
        log.info("%s: column %s only counts the rows, and is left out", where, quoted(counters))
        columns = tuple(name for name in columns if name not in counters)
    if "" in (bare := [name.strip() for name in columns]):
        place = names.index(columns[bare.index("")])
        raise DataError(
            f"{path}: expected a name for every column, got '' for column {place} (counted from "
            "0); name it, or write the file without it"
        )
    _refuse_repeated(path, names, (label, *columns))
    if {*columns} <= {*given}:
        raise DataError(
            f"{path}: expected at least one column of numbers besides the labels"
            f"{' and what is given' * bool(given)}, got only {quoted([*given] or [str(label)])}"
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


class Names:
    """The categories of a column, met a block at a time."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}

    def add(self, codes: np.ndarray, names: Sequence[str]) -> np.ndarray:
        """``codes`` of these names, NaN where missing, by the numbers of all that were met."""
        return renumbered(codes, [self.numbers.setdefault(n, len(self.numbers)) for n in names])

    def in_order(self, codes: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
        """The names in sorted order, numerals by size, and the ``codes`` of all by these."""
        names = in_order(self.numbers)
        places = {name: i for i, name in enumerate(names)}
        return names, renumbered(codes, [places[name] for name in self.numbers])


def renumbered(codes: np.ndarray, numbers: Sequence[int]) -> np.ndarray:
    """The numbers of ``codes``, NaN of NaN."""
    return np.array([*numbers, np.nan])[np.nan_to_num(codes, nan=len(numbers)).astype(int)]


def _held(block: Raw, columns: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """What each column of a block that has any cells holds."""
    for name, empty in zip(columns, np.isnan(block.x).all(0).tolist(), strict=True):
        form = block.forms.get(name, "")
        if name in block.categories:
            what = "text"
        elif form in TRUTH:
            what = "truth values"
        else:
            what = "dates" if "%" in form or form == "time" else "numbers"
        if not empty:
            yield name, what


def gather(where: str, blocks: Iterable[Raw], most: int, columns: tuple[str, ...]) -> Raw:
    """Blocks of a table of at most ``most`` rows as one, each let go once it is taken in.

    Categories are numbered in sorted order, numerals by size.

    Raises:
        DataError: more rows, or none; a column that holds one thing here and another there.
    """
    x, n = np.empty((most, len(columns))), 0
    classes, labels_from = [], None
    forms: dict[str, str] = {}
    numbered: dict[str, Names] = {}
    held: dict[str, tuple[str, str]] = {}
    for block in blocks:
        for name, what in _held(block, columns):
            first, there = held.setdefault(name, (what, block.where))
            if what != first:
                raise DataError(
                    f"{block.where}: expected {first} in column {name!r}, as in "
                    f"{Path(there).name}, got {what}; write it alike in all files, or leave it out "
                    f"with kinds={{{name!r}: 'ignore'}} (--kind {name}=ignore)"
                )
        if n + len(block.x) > most:
            raise DataError(
                f"{where}: expected {most:,} rows, as it tells of, got more; write it again"
            )
        here = x[n : n + len(block.x)]
        here[:] = block.x
        n += len(block.x)
        labels_from = block.labels_from
        for name, form in block.forms.items():  # of days, or of no cells, as those of the others
            forms[name] = max(form, forms.get(name, ""))
        for name, names in block.categories.items():
            j = columns.index(name)
            here[:, j] = numbered.setdefault(name, Names()).add(block.x[:, j], names)
        if block.labels is not None:
            classes.append(block.labels)
    if n == 0:
        raise DataError(f"{where}: expected at least one row of numbers, got none")
    x, categories = x[:n], {}
    for name, met in numbered.items():
        j = columns.index(name)
        categories[name], x[:, j] = met.in_order(x[:, j])
    observed, labels = ~np.isnan(x), np.concatenate(classes) if classes else None
    seen = None if observed.all() else observed
    return Raw(x, where, labels, labels_from, columns, categories, forms, observed=seen)
