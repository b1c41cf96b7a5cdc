"""Covariates: a context of several columns, of categories and of numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.context import Known, Names
from lowerbound.data import Dataset
from lowerbound.data.assembly import assemble
from lowerbound.data.columns import D, by_category, by_name, quoted
from lowerbound.data.reading import Reading
from lowerbound.data.schema import fields_of
from lowerbound.data.tables import is_frame, read_frame
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.extras import pa
from lowerbound.parts import NonNegative, part
from lowerbound.transforms import Standardise


@part
class Covariates(Known):
    """Covariates c, (batch, C), to features (batch, F): one-hot categories, standardised numbers.

    Of a missing cell, NaN, all features are 0, but for one that tells that it is missing, which
    each column has where cells were missing in training.

    Args:
        columns: the names of the C columns.
        categories: of each column, the names of its categories, whose codes are in c; none of a
            column of numbers.
        numbers: what standardises the columns of numbers; None where there are none.
        counts: the columns that are taken as log(1 + c) before that.
        missing: whether cells may be missing.

    Raises:
        ConfigurationError: categories of more or fewer columns than there are.

    >>> from lowerbound.data import from_arrays
    >>> given = from_arrays([[1.5], [2.5], [3.5]], columns=["age"])
    >>> Covariates.of(given)(given.x)
    tensor([[-1.],
            [ 0.],
            [ 1.]])
    """

    remedy = "read the data with given= (--given), or pass context= to sample or embed"

    def __init__(
        self,
        columns: Names,
        categories: tuple[tuple[str, ...], ...],
        numbers: Standardise | None = None,
        counts: tuple[NonNegative, ...] = (),
        *,
        missing: bool = False,
    ) -> None:
        super().__init__()
        self.columns, self.categories = tuple(columns), tuple(map(tuple, categories))
        self.scale, self.counts, self.missing = numbers, tuple(counts), missing
        numeric = [i for i, names in enumerate(self.categories) if not names]
        if len(categories) != len(columns) or len(numeric) != len(numbers.mean if numbers else ()):
            raise ConfigurationError(
                f"expected categories or a mean of each of {len(columns)} columns, got categories "
                f"of {len(categories)}, and {len(numeric)} without; see Covariates.of"
            )
        self.numeric = numeric

    @classmethod
    def of(cls, given: Dataset) -> Covariates:
        """For the covariates ``given``, such as `Dataset.given`."""
        fields = fields_of(given.schema)
        categories = tuple(field.categories or () for field in fields)
        numeric = [i for i, names in enumerate(categories) if not names]
        counts = tuple(i for i in numeric if fields[i].kind == "counts")
        numbers = None
        if numeric:
            x = _logs(given.x.double(), counts)[:, numeric]
            numbers = Standardise.of(Dataset(x, name=given.name, missing=True))
        names = given.columns or tuple(f"c{i}" for i in range(len(fields)))
        return cls(names, categories, numbers, counts, missing=given.observed is not None)

    @property
    def width(self) -> int:
        each = sum(len(names) or 1 for names in self.categories)
        return each + len(self.columns) * self.missing

    @property
    def what(self) -> str:
        return f"covariates {quoted(self.columns)}"

    def expect(self, data: D) -> D:
        """``data``, their covariates in the order of ``columns``, categories as they are here.

        Data in memory without covariates have them in columns of these names, if in any.

        Raises:
            DataError: a column is missing or is of another kind, or a category is none of these.
        """
        given = data.given
        if (
            given is None
            and isinstance(data, Dataset)
            and {*self.columns} <= {*(data.columns or ())}
        ):
            given = replace(data, labels=None, classes=None)
        if given is None:
            return data
        given = self._own(given)
        return data if given is data.given else replace(data, given=given)  # type: ignore[type-var]

    def _own(self, given: Dataset) -> Dataset:
        given = by_name(given, self.columns)
        fields = fields_of(given.schema)
        if len(fields) != len(self.columns):
            raise DataError(f"{given.name}: expected {self.what}, got {len(fields)} columns")
        for name, field, names in zip(self.columns, fields, self.categories, strict=True):
            if bool(field.categories) != bool(names):
                wanted, got = ("categories", "numbers") if names else ("numbers", "categories")
                raise DataError(
                    f"{given.name}: expected {wanted} in {name!r}, as the model was made for, got "
                    f"{got}; correct that column"
                )
        known = dict(enumerate(self.categories))
        same = tuple(field.categories or () for field in fields) == self.categories
        return given if same else by_category(given, {i: n for i, n in known.items() if n})

    def numbers(self, context: Any) -> Any:
        """Covariates as the rows of numbers that this takes.

        ``context`` is a frame, a data set of the columns, or a mapping from their names to lists,
        or to one value each; or such rows themselves.

        Raises:
            ConfigurationError: neither of these.
            DataError: as in `expect`.
        """
        if isinstance(context, Tensor):
            return context
        if isinstance(context, np.ndarray):
            return context.copy()  # a tensor of what is read-only would warn
        if isinstance(context, Dataset):
            return self._own(context).x
        if isinstance(context, Mapping):
            lists = {
                n: v if hasattr(v, "__len__") and not isinstance(v, str) else [v]
                for n, v in context.items()
            }
            try:
                context = pa.table(lists)
            except (pa.ArrowException, TypeError, ValueError) as error:
                raise ConfigurationError(
                    f"expected {self.what}, a value or a list for each, got {error}"
                ) from None
        if not is_frame(context):
            raise ConfigurationError(
                f"expected {self.what} as a frame or a mapping, got a {type(context).__name__}"
            )
        kinds = {
            name: "categories" if names else "real"
            for name, names in zip(self.columns, self.categories, strict=True)
        }
        raw = read_frame(context, Reading(columns=self.columns, kinds=kinds), "context", auto=False)
        return self._own(
            assemble({"all": raw}, "context", "context", missing=True, named=True)["all"]
        ).x

    def forward(self, given: Tensor) -> Tensor:
        if given.ndim != 2 or given.shape[1] != len(self.columns):
            raise ConfigurationError(
                f"expected {self.what}, of shape (batch, {len(self.columns)}), got "
                f"{tuple(given.shape)}; {self.remedy}"
            )
        if not torch.compiler.is_compiling():  # a compiler cannot look at values
            self._refuse(given)
        seen = ~given.isnan()
        features = []
        if self.scale is not None:
            numbers = self.scale(_logs(given.double(), self.counts)[:, self.numeric])
            features.append(torch.where(seen[:, self.numeric], numbers, 0.0))
        for i, names in enumerate(self.categories):
            if names:
                features.append(given[:, [i]] == torch.arange(len(names), device=given.device))
        if self.missing:
            features.append(seen.logical_not())
        return torch.cat([each.double() for each in features], -1).float()

    def _refuse(self, given: Tensor) -> None:
        """Raises ConfigurationError: a code of no category, infinity, or NaN that none had."""
        limits = [len(names) or torch.inf for names in self.categories]
        codes = torch.tensor([bool(names) for names in self.categories], device=given.device)
        odd = codes & ((given < 0) | (given % 1 > 0)) | (given >= torch.tensor(limits).to(given))
        odd |= given.isinf() | (given.isnan() & (not self.missing))
        if not odd.any():
            return
        row, column = odd.nonzero()[0].tolist()
        names, value = self.categories[column], given[row, column].item()
        what = f"a code from 0 to {len(names) - 1}" if names else "a finite number"
        raise ConfigurationError(
            f"expected {what} as {self.columns[column]!r} in every row, as in training, got "
            f"{'none' if math.isnan(value) else f'{value:g}'} in row {row} (counted from 0); "
            "correct it"
        )


def _logs(given: Tensor, counts: tuple[int, ...]) -> Tensor:
    """±log(1 + |c|) of some columns, the others as they are."""
    if not counts:
        return given
    logs = given.sign() * given.abs().log1p()
    chosen = torch.zeros(given.shape[1], dtype=torch.bool, device=given.device)
    chosen[list(counts)] = True
    return torch.where(chosen, logs, given)
