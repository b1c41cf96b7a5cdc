"""What the values of a data set are: its fields, and the kind of each.

============= ==================================================================
binary        only 0 and 1, or only 0 and 255
grey          levels 0–255, of one channel or several
unit          numbers in [0, 1], the largest above 10⁻⁶
real          any numbers; dates are days since 1970
positive      numbers above 0
counts        whole numbers from 0 to 2²⁴; larger ones are times, places or names: real
ordinal       a few numbers, each met often, such as grades, or 0, 2.5 and 5.5
zero-inflated one number, such as 0, in many rows, and any numbers in the others
categories    codes 0…K−1 of K named categories
tokens        codes 0…K−1 of the K words of a vocabulary
============= ==================================================================
"""

from __future__ import annotations

import datetime
import math
import re
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from shlex import quote
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor

from lowerbound.errors import ConfigurationError, DataError, near

Kind = Literal[
    "binary",
    "grey",
    "unit",
    "real",
    "positive",
    "counts",
    "ordinal",
    "zero-inflated",
    "categories",
    "tokens",
]
Levels = tuple[float, ...] | None
AT_ONCE = 2**16
MOST_COUNTED, LEAST_UNIT = 2**24, 1e-6
NAMED, LEVELLED = ("categories", "tokens"), ("ordinal", "zero-inflated")
MOST_LEVELS, LEAST_TIMES = 20, 10
MOMENT = "datetime64[us]"
EPOCH = datetime.date(1970, 1, 1)
FIRST_DAY, LAST_DAY = ((day - EPOCH).days for day in (datetime.date.min, datetime.date.max))
A_SECOND = 1 / 86_400
FEW_ROWS = 20
"""Rows below which a column's values do not tell whether it varies, or counts something."""
TIMED = re.compile("%[HIMSfpcX]")
"""In formats of dates that have a time of day too."""
FALSE_OF = {"True": "False", "true": "false", "TRUE": "FALSE"}


@dataclass(frozen=True)
class Values:
    """What must be known of values to tell their kind; ``a | b`` is of both together.

    >>> (Values.of(torch.tensor([0.0, 1.0])) | Values.of(torch.tensor([0.5]))).kind
    'unit'

    Attributes:
        low, high: the smallest and the largest.
        levels: they are uint8.
        whole: they are whole numbers from 0.
        tops: those of 1 and 255 for which all values are 0 or it.
    """

    low: float = math.inf
    high: float = -math.inf
    levels: bool = True
    whole: bool = True
    tops: frozenset[int] = frozenset((1, 255))

    @classmethod
    def of(cls, x: Tensor) -> Values:
        """Of the elements that are observed, which NaN are not."""
        if x.numel() == 0:
            return cls()
        low, high = (value.item() for value in torch.aminmax(x))
        if math.isnan(low):
            return cls.of(x[~x.isnan()])
        levels = x.dtype == torch.uint8
        parts = x.reshape(-1).split(AT_ONCE)  # so that the first few tell
        whole = levels or (low >= 0 and all((p == p.floor()).all() for p in parts))
        tops = (1, 255) if high == 0 else (1,) if high == 1 else (255,) if high == 255 else ()
        two_valued = tops and low >= 0 and all(((p == 0) | (p == high)).all() for p in parts)
        return cls(low, high, levels, whole, frozenset(tops if two_valued else ()))

    def __or__(self, other: Values) -> Values:
        return Values(
            min(self.low, other.low),
            max(self.high, other.high),
            self.levels and other.levels,
            self.whole and other.whole,
            self.tops & other.tops,
        )

    @property
    def is_vast(self) -> bool:
        """Whether float64 does not hold every whole number of their size."""
        return max(-self.low, self.high) >= 2**53

    @property
    def kind(self) -> Kind:
        """The most particular kind that they could be, but for those that must be declared."""
        if self.tops:
            return "binary"
        if self.levels:
            return "grey"
        if self.low < 0:
            return "real"
        if self.whole and self.high <= MOST_COUNTED:
            return "counts"
        return "unit" if LEAST_UNIT < self.high <= 1 else "real"


def levels_of(x: Tensor) -> dict[int, tuple[float, ...]]:
    """By column of a table ``x``, its numbers, where they are few and met often.

    Each must be met twice, and of whole ones the largest often: the largest counts of a sample are
    rare, whatever its size, so that counts are not taken for grades.
    """
    different = (x[: LEAST_TIMES * MOST_LEVELS].sort(0).values.diff(dim=0) > 0).sum(0)
    found = {}
    for j in (different < MOST_LEVELS).nonzero().flatten().tolist():
        column = x[:, j]
        levels, times = column[~column.isnan()].unique(return_counts=True)
        whole = bool((levels == levels.floor()).all())
        met = times[-1:] >= LEAST_TIMES if whole else times >= 2
        often = times.sum() >= LEAST_TIMES * len(times) and bool(met.all())
        if often and 2 <= len(levels) <= MOST_LEVELS:
            found[j] = tuple(levels.tolist())
    return found


@dataclass(frozen=True)
class Field:
    """One part of every example.

    Args:
        name: of a table's column; "x" where the whole example is one field.
        kind: of its values.
        shape: of its values in one example.
        categories: the names of the categories, or the vocabulary of tokens, by code.
        levels: the numbers of an ordinal field, in ascending order; of a zero-inflated one, the
            number that many rows have, and −∞ before it, or ∞ behind, if no others lie elsewhere.
        form: how its numbers are written: "whole"; the word for truth, such as "True"; a format of
            dates, such as "%Y-%m-%d"; empty for others.

    Raises:
        ConfigurationError: a name that is no text, an unknown kind, or categories or levels that
            do not go with it.

    >>> Field("colour", "categories", categories=("blue", "red")).size
    1
    """

    name: str
    kind: Kind
    shape: tuple[int, ...] = ()
    categories: tuple[str, ...] | None = None
    levels: Levels = field(default=None, repr=False)  # no part of fingerprints
    form: str = field(default="", repr=False, compare=False)

    def __post_init__(self) -> None:
        if not isinstance(self.name, str):
            raise ConfigurationError(f"expected text as the name of a field, got {self.name!r}")
        if self.kind not in get_args(Kind):
            raise ConfigurationError(
                f"expected a kind of values for the field {self.name!r}, got {self.kind!r}; "
                f"{near(self.kind, get_args(Kind))}"
            )
        if bool(self.categories) != (self.kind in NAMED):
            raise ConfigurationError(
                f"expected names of categories, or a vocabulary, for fields of kind categories or "
                f"tokens and for no others, got {self.categories} for {self.name!r} of kind "
                f"{self.kind}"
            )
        levels = self.levels or ()
        if bool(levels) != (self.kind in LEVELLED) or list(levels) != sorted(set(levels)):
            raise ConfigurationError(
                f"expected levels in ascending order for fields of kind ordinal or zero-inflated, "
                f"and for no others, got {self.levels} for {self.name!r} of kind {self.kind}"
            )

    @property
    def size(self) -> int:
        """How many numbers of an example belong to it."""
        return math.prod(self.shape)

    def cells(self, values: Tensor) -> np.ndarray:
        """Values of a column, (n,), as Python has them: Nones, names, whole numbers, dates, …

        Categories come by their names, dates as dates of the years 1 to 9999, and whole numbers
        and truth values are rounded to the nearest; other numbers have the digits that give them
        back in their dtype.  A number that is not finite is not known.
        """
        x = values.detach().cpu().numpy()
        known = np.isfinite(x)
        found = np.full(x.shape, None, object)
        if self.categories:
            codes = np.rint(x[known]).clip(0, len(self.categories) - 1).astype(int)
            found[known] = np.array(self.categories, object)[codes]
        elif TIMED.search(self.form):
            days = x[known].astype(np.float64).clip(FIRST_DAY, LAST_DAY + 1 - A_SECOND)
            found[known] = (days * 86_400e6).round().astype(MOMENT).tolist()
        elif "%" in self.form:
            days = np.rint(x[known]).clip(FIRST_DAY, LAST_DAY)
            found[known] = days.astype("datetime64[D]").tolist()
        elif self.form == "whole":
            found[known] = [round(number) for number in x[known].tolist()]  # of any size
        elif self.form:
            found[known] = x[known] > 0.5
        else:
            found[known] = x[known].astype(str).astype(np.float64)
        return found

    def texts(self, values: Tensor) -> list[str]:
        """``values`` of a column, (n,), as a CSV file has them, nothing where one is missing.

        >>> Field("born", "real", form="%d.%m.%Y").texts(torch.tensor([0.0, torch.nan]))
        ['01.01.1970', '']
        """
        if self.form or self.categories:
            return [self._text(value) for value in self.cells(values)]
        x = values.detach().cpu().numpy()
        texts = x.astype(str).tolist()
        return ["" if text == "nan" else text.removesuffix(".0") for text in texts]

    def column(self, values: Tensor) -> Any:
        """``values``, (n,), for a table: numbers, or the words for what else they stand for."""
        if not self.form and not self.categories:
            return values.cpu().numpy() if values.isfinite().all() else self.cells(values).tolist()
        return self.cells(values).tolist() if self.form == "whole" else self.texts(values)

    def _text(self, value: Any) -> str:
        if value is None:
            return ""
        if isinstance(value, bool):
            return self.form if value else FALSE_OF[self.form]
        if "%" in self.form:
            value = value.replace(tzinfo=datetime.UTC) if "%z" in self.form else value
            return value.strftime(self.form.replace("%Y", f"{value.year:04}"))
        return str(value)

    def allows(self, values: Values) -> bool:
        """Whether ``values`` are of this kind."""
        known = not self.categories or values.high < len(self.categories)
        return known and ALLOWED[self.kind][1](values)

    def check(self, x: Tensor, where: str) -> None:
        """Refuse x, (n, …), not of this kind; ``where`` it is, and in which row, is said.

        Raises:
            DataError: it is not.
        """
        if self.allows(values := Values.of(x)):
            return
        row = bisect(range(len(x)), 0, key=lambda i: not self.allows(Values.of(x[: i + 1])))
        kind = quote(f"{self.name}=real")
        is_column = not self.shape and not self.categories
        remedy = f", or train with --kind {kind}" if is_column else ""
        raise DataError(
            f"{where}: expected {ALLOWED[self.kind][0]} in {self.name!r}, whose kind is "
            f"{self.kind}, got values from {values.low:.4g} to {values.high:.4g}, the first that "
            f"does not fit in row {row:,} (counted from 0); correct them{remedy}"
        )


ALLOWED: dict[Kind, tuple[str, Callable[[Values], bool]]] = {
    "binary": ("only 0 and 1, or only 0 and 255,", lambda values: bool(values.tops)),
    "grey": ("whole numbers from 0 to 255", lambda values: values.whole and values.high <= 255),
    "unit": ("numbers from 0 to 1", lambda values: values.low >= 0 and values.high <= 1),
    "real": ("numbers", lambda values: True),
    "positive": ("numbers above 0", lambda values: values.low > 0),
    "counts": ("whole numbers from 0", lambda values: values.whole),
    "ordinal": ("numbers", lambda values: True),
    "zero-inflated": ("numbers", lambda values: True),
    "categories": ("the codes of its categories", lambda values: values.whole),
    "tokens": ("the codes of its vocabulary", lambda values: values.whole),
}
"""What the values of each kind are, in words, and whether given ones are."""

Schema = tuple[Field, ...]


def fields_of(schema: Schema) -> list[Field]:
    """The field of each column of a table."""
    return [field for field in schema for _ in range(field.size)]
