"""A data set in memory, and its division into training, validation and test parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Generic

import numpy as np
import torch
from torch import Tensor
from typing_extensions import TypeVar

from lowerbound.data.fingerprint import fingerprint
from lowerbound.data.inference import Kind, check_finite, infer_kind, number_labels, to_tensor
from lowerbound.data.moments import Moments
from lowerbound.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from lowerbound.data.stored import Stored

ROWS = 10_000


@dataclass(frozen=True, eq=False, repr=False)
class Dataset:
    """Examples x of one shape: a table (n, D), or images (n, C, H, W); uint8 or float32.

    Args:
        x: the values, on the CPU.
        labels: class numbers 0…K−1, int64 of shape (n,).
        name: what messages and reports call it.
        classes: the K names of the classes.
        columns: the D names of a table's columns.
        labels_from: where the labels came from, for `summary`.
        declared_kind: the `kind`, where it is known; otherwise it is inferred from the values.

    Raises:
        DataError: a tensor of another dtype or shape, NaN or infinity, or names or labels that do
            not fit.

    >>> Dataset(torch.tensor([[0.0, 0.5], [1.0, 0.2]]), name="pairs")
    Dataset(pairs: 2 rows of 2 numbers, in the unit interval, 0–1)
    """

    x: Tensor
    labels: Tensor | None = None
    name: str = "data"
    classes: tuple[str, ...] | None = None
    columns: tuple[str, ...] | None = None
    labels_from: str | None = None
    declared_kind: Kind | None = None

    def __post_init__(self) -> None:
        x, name = self.x, self.name
        if x.dtype not in (torch.uint8, torch.float32):
            raise DataError(
                f"{name}: expected uint8 or float32, got {x.dtype}; from_arrays converts it"
            )
        if x.ndim not in (2, 4) or 0 in x.shape:
            raise DataError(
                f"{name}: expected a table (n, D) or images (n, C, H, W), none of them 0, "
                f"got shape {tuple(x.shape)}"
            )
        if x.dtype == torch.float32:
            check_finite(x, name, self.columns)
        if self.columns is not None and (len(self.columns),) != self.shape:
            raise DataError(
                f"{name}: expected one column name per value of shape {self.shape}, "
                f"got {len(self.columns)} names"
            )
        self._check_labels()

    def _check_labels(self) -> None:
        if self.labels is None:
            return
        if self.labels.shape != (len(self),):
            raise DataError(
                f"{self.name}: expected one label for each of {len(self):,} examples, "
                f"got labels of shape {tuple(self.labels.shape)}"
            )
        if self.labels.dtype != torch.int64:
            raise DataError(
                f"{self.name}: expected labels in int64, got {self.labels.dtype}; "
                "from_arrays converts them"
            )
        low, high = int(self.labels.min()), int(self.labels.max())
        if low < 0 or (self.classes is not None and high >= len(self.classes)):
            last = f"{len(self.classes) - 1}, its last class" if self.classes else "K−1"
            raise DataError(
                f"{self.name}: expected labels from 0 to {last}, got {low if low < 0 else high}"
            )

    def __len__(self) -> int:
        return self.x.shape[0]

    def __repr__(self) -> str:
        return f"Dataset({self.summary()})"

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example: (D,) or (C, H, W)."""
        return tuple(self.x.shape[1:])

    @property
    def dtype(self) -> torch.dtype:
        """The type of the values."""
        return self.x.dtype

    @cached_property
    def moments(self) -> Moments:
        """Mean and variance: of each column of a table, else of all values."""
        moments = Moments()
        for x in self.x.split(ROWS):
            moments.add(x if x.ndim == 2 else x.reshape(-1, 1))
        return moments

    @cached_property
    def kind(self) -> Kind:
        """What the values are; a part of a data set has the kind of the whole."""
        return self.declared_kind or infer_kind(self.x)

    @property
    def scale(self) -> float:
        """The divisor that takes binary and grey values to [0, 1]; 1 for other kinds."""
        if self.kind == "grey":
            return 255.0
        return 255.0 if self.kind == "binary" and self.x.max() > 1 else 1.0

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256, in hex, of dtype, shape and bytes of x and of the labels."""
        return fingerprint(self.x, self.labels)

    def subset(self, indices: Sequence[int] | Tensor, name: str | None = None) -> Dataset:
        """The examples at ``indices``, in that order.

        Raises:
            ConfigurationError: no indices, or one outside the data set.
        """
        index = torch.as_tensor(indices, dtype=torch.int64)
        if index.ndim != 1 or len(index) == 0:
            raise ConfigurationError(
                f"{self.name}: expected a list of at least one index, got shape "
                f"{tuple(index.shape)}"
            )
        if int(index.min()) < 0 or int(index.max()) >= len(self):
            outside = int(index.min()) if int(index.min()) < 0 else int(index.max())
            raise ConfigurationError(
                f"{self.name}: expected indices from 0 to {len(self) - 1}, got {outside}"
            )
        return dataclasses.replace(
            self,
            x=self.x[index],
            labels=None if self.labels is None else self.labels[index],
            name=self.name if name is None else name,
            declared_kind=self.kind,
        )

    def take(self, n: int) -> Dataset:
        """The first ``n`` examples, or all where there are fewer."""
        return self.subset(torch.arange(min(n, len(self))))

    def summary(self) -> str:
        """One line: how many examples of which shape, which values, which classes."""
        if len(self.shape) == 3:
            what = f"{_count(len(self), 'image')} of {'×'.join(str(size) for size in self.shape)}"
        else:
            what = f"{_count(len(self), 'row')} of {_count(self.shape[0], 'number')}"
        return f"{self.name}: {what}, {self._values()}{self._classes()}"

    def _values(self) -> str:
        low, high = self.x.min().item(), self.x.max().item()
        span = f"{low:.4g}–{high:.4g}" if low >= 0 else f"{low:.4g} to {high:.4g}"
        if self.kind == "binary":
            return f"binary, 0 and {self.scale:.0f}"
        grey = "grey levels" if len(self.shape) == 1 or self.shape[0] == 1 else "levels"
        return {
            "grey": f"{grey} {span}",
            "unit": f"in the unit interval, {span}",
            "real": f"real, {span}",
            "counts": f"counts, {span}",
        }[self.kind]

    def _classes(self) -> str:
        if self.labels is None:
            return ""
        number = len(self.classes) if self.classes else int(self.labels.max()) + 1
        source = f" from {self.labels_from}" if self.labels_from else ""
        return f", {_count(number, 'class')}{source}"


Train = TypeVar("Train", "Dataset", "Stored", default=Dataset)


@dataclass(frozen=True, eq=False)
class Splits(Generic[Train]):
    """The three parts of a data set, all of one shape and dtype.

    Raises:
        DataError: parts that differ in shape or dtype.
    """

    train: Train
    validation: Dataset | None
    test: Dataset

    def __post_init__(self) -> None:
        for part in (self.validation, self.test):
            if part is not None and _form(part) != _form(self.train):
                raise DataError(
                    f"{part.name}: expected examples like those of {self.train.name}, "
                    f"{_form(self.train)}, got {_form(part)}"
                )

    def summary(self) -> str:
        """One line: the training part in full, the sizes of the others."""
        held = f"; {len(self.validation):,} for validation" if self.validation else ""
        return f"{self.train.summary()}{held}; {len(self.test):,} for test"


def from_arrays(
    x: Any,
    labels: Any = None,
    *,
    name: str = "data",
    columns: Sequence[str] | None = None,
) -> Dataset:
    """A data set from arrays or tensors, laid out and converted as files are.

    Args:
        x: (n, D), (n, H, W), (n, C, H, W) or (n, H, W, C), of real numbers.
        labels: (n,), whole numbers or text, numbered in sorted order.

    Raises:
        DataError: see `Dataset`.

    >>> from_arrays([[1, 2, 3], [4, 5, 60]], labels=["b", "a"])
    Dataset(data: 2 rows of 3 numbers, counts, 1–60, 2 classes)
    """
    tensor = to_tensor(np.asarray(x), name, columns)
    numbers, classes = None, None
    if labels is not None:
        (numbers,), classes = number_labels([np.asarray(labels)], f"{name} labels")
    return Dataset(tensor, numbers, name, classes, tuple(columns) if columns is not None else None)


def _form(dataset: Dataset | Stored) -> str:
    dtype = str(dataset.dtype).removeprefix("torch.")
    return f"shape {dataset.shape} in {dtype}"


def _count(n: int, noun: str) -> str:
    plural = "es" if noun.endswith("s") else "s"
    return f"{n:,} {noun}{'' if n == 1 else plural}"
