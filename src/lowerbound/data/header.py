"""Whether the first line of a table names its columns, judged by the rows below it."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain

import numpy as np

MISSING = ["", "NA", "N/A", "n/a", "#N/A", "<NA>", "NaT", "nan", "NaN", "NAN", "null", "NULL", "?"]
TRUTH = ("true", "false")
FEWEST_COUNTED = 4
FEWEST_SPACED = 5
FEWEST_ROWS = 5
FAR, MOSTLY, TINY = 10, 0.8, 1e-300


def names_columns(first: Sequence[str], rows: Sequence[Sequence[str]]) -> tuple[bool, bool]:
    """Whether ``first`` holds names, and whether that answer is beyond doubt.

    A word above numbers is a name.  A word that its own column repeats is a value, and so are words
    or numbers that occur twice in the line.  Nothing is the name of a first column that counts the
    rows.  Numbers are names where they count the columns, or rise or fall throughout and are evenly
    spaced as no row is, or are far from the rows below, or are whole where the rows' numbers have
    decimals even if those are 0, unless the rows rise or fall as they do.

    >>> names_columns(["age", "height"], [["41", "170"]])
    (True, True)
    >>> names_columns(["5.1", "3.5", "setosa"], [["4.9", "3.0", "setosa"]])
    (False, True)
    >>> names_columns(["3", "7"], [["2.5", "9.1"], ["6.2", "4.5"]] * 3)
    (False, False)
    >>> names_columns(["1990", "1991"], [["9.2", "9.9"], ["8", "9"], ["9", "8"], ["9", "9"]] * 2)
    (True, False)
    """
    columns = list(zip(*rows, strict=True)) or [()] * len(first)
    numeric = [_mostly_values(column) for column in columns]
    words = [not is_value(field) and field not in MISSING for field in first]
    if any(word and (number or not rows) for word, number in zip(words, numeric, strict=True)):
        return True, True
    if rows and first[0] == "" and _counts(columns[0]):
        return True, False
    if any(words):
        repeated = len(set(first)) < len(first) or any(
            word and field in column
            for word, field, column in zip(words, first, columns, strict=True)
        )
        if repeated:
            return False, True
        if not any(numeric):
            return True, False
    places = [j for j, number in enumerate(numeric) if first[j] and (number or not rows)]
    above = [first[j] for j in places]
    below = [[row[j] for j in places] for row in rows]
    whole = all(map(str.isdigit, above)) and not any(map(str.isdigit, chain(*below)))
    pointed = whole and _keep_decimals(list(chain(*below)))
    values = numbers(below).reshape(len(rows), len(places))
    named = _numbers_name(numbers([above])[0], values, whole=whole, pointed=pointed)
    return named, not named and not (whole and above and rows)


def is_value(field: str) -> bool:
    """Whether a field holds a number or a truth value."""
    try:
        float(field)
    except ValueError:
        return field.lower() in TRUTH
    return "_" not in field


def is_truth(column: Sequence[str]) -> bool:
    """Whether a column holds True and False."""
    known = [field.lower() for field in column if field not in MISSING]
    return bool(known) and all(field in TRUTH for field in known)


def _counts(column: Sequence[str]) -> bool:
    """Whether a column numbers the rows from 0 or 1."""
    return any(all(field == str(i) for i, field in enumerate(column, start)) for start in (0, 1))


def _keep_decimals(fields: Sequence[str]) -> bool:
    """Whether numbers are written with decimals where these are 0, as 4.0 or to a fixed length."""
    decimals = [field.partition(".")[2] for field in fields]
    fixed = len(set(map(len, decimals))) == 1 and len(decimals[0]) > 1
    return fixed or any(set(places) == {"0"} for places in decimals)


def _mostly_values(column: Sequence[str]) -> bool:
    known = [field for field in column if field not in MISSING]
    return 2 * sum(map(is_value, known)) > len(known)


def numbers(rows: Sequence[Sequence[str]]) -> np.ndarray:
    """The numbers of each row, NaN where there is none."""
    return np.array(
        [
            [float(f) if is_value(f) and f.lower() not in TRUTH else np.nan for f in row]
            for row in rows
        ]
    )


def _numbers_name(first: np.ndarray, rows: np.ndarray, *, whole: bool, pointed: bool) -> bool:
    """Whether numbers are names, as years, wavelengths or counts of the columns are.

    ``whole``: they are written as whole numbers, and none of the rows' is; ``pointed``: nor would
    one that is whole be.
    """
    n, many = len(first), len(rows) >= FEWEST_ROWS
    counted = any(np.array_equal(first, np.arange(n) + start) for start in (0, 1))
    if counted and (n >= FEWEST_COUNTED or (n > 1 and whole and many)):
        return not any(np.array_equal(np.sort(row), first) for row in rows)
    steps = np.diff(first)
    if n < 2 or not (np.all(steps > 0) or np.all(steps < 0)):
        return False
    spaced = bool(_is_even(first[None]).all()) and not _is_even(rows).any()
    if spaced and n >= FEWEST_SPACED:
        return True
    if not many:
        return False
    low, high = np.fmin.reduce(rows), np.fmax.reduce(rows)
    beyond = np.fmin.reduce(np.maximum(low - first, first - high) / np.maximum(high - low, TINY))
    alike = np.mean(np.all(np.diff(rows) * steps[0] > 0, axis=1))  # rows in the same order
    if beyond > 1 and spaced and n > 2:
        return True
    return bool(beyond > FAR or ((beyond > 1 or pointed) and alike < MOSTLY))


def _is_even(rows: np.ndarray) -> np.ndarray:
    """Whether the numbers of each row rise or fall by equal steps."""
    steps = np.diff(rows, axis=1)
    mean = steps.mean(axis=1, keepdims=True)
    return np.all((mean != 0) & (np.abs(steps - mean) <= 0.01 * np.abs(mean)), axis=1)
