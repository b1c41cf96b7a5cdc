"""The one noun for data: what it has in memory and on disk alike; the data set in memory."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Literal, Self

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.batches import Batch, permutation, recode
from lowerbound.data.conversion import check_finite, dtype_name, is_finite
from lowerbound.data.moments import Moments
from lowerbound.data.schema import Field, Kind, Schema, Values
from lowerbound.errors import ConfigurationError, DataError, brief, check_count, count, shown
from lowerbound.notebooks import Summarised


class Data(Summarised):
    """Examples of one shape, with or without class labels.

    Attributes:
        name: what messages and reports call it.
        schema: its fields; a table with named columns has one for each of them.
        dtype: of the values.
        labels: class numbers 0…K−1, int64 of shape (n,), or None.
        classes: the K names of the classes.
        values: what is known of all values.
        moments: mean and variance of what is observed: of each column of a table, else of all.
        fingerprint: SHA-256, in hex.
        missing: whether elements may be NaN, which means that they were not observed.
        given: covariates of each example, which a conditional model is given, or None.
        labels_from: where the labels came from, in words.
        first: the number of the first example in the data of which these are a block.
    """

    name: str
    schema: Schema
    dtype: torch.dtype
    labels: Tensor | None
    classes: tuple[str, ...] | None
    values: Values
    moments: Moments
    fingerprint: str
    missing: bool
    given: Dataset | None
    labels_from: str | None = None
    first: int = 0

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def to(self, device: str | torch.device) -> Self:
        """The same data, whose batches are on ``device``."""

    @abstractmethod
    def _pass(self, batch_size: int, seed: int | None, start: int) -> Iterator[Batch]:
        """The batches of one pass, see `batches`."""

    @abstractmethod
    def _rows(self, index: Tensor, name: str) -> Dataset:
        """The examples at ``index``, which was checked."""

    @abstractmethod
    def codes(self, columns: range) -> Tensor:
        """The codes of categories that occur in some columns."""

    @abstractmethod
    def recoded(self, places: Mapping[range, Tensor], schema: Schema) -> Self:
        """The same under another ``schema``, code c of some columns now being ``places[…][c]``."""

    def told(self) -> str:
        """The `summary`, for messages that have the name already."""
        return self.summary().removeprefix(f"{self.name}: ")

    @property
    def context(self) -> Tensor | None:
        """What a conditional model is given: covariates, (n, C), or else labels, (n,)."""
        return self.labels if self.given is None else self.given.x

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of one example, (D,), (C, H, W) or another."""
        if self.columns is None:
            return self.schema[0].shape
        return (sum(field.size for field in self.schema),)

    @property
    def kind(self) -> Kind | Literal["mixed"]:
        """What the values are, if all fields are of one kind, else "mixed"."""
        kinds = {field.kind for field in self.schema}
        return kinds.pop() if len(kinds) == 1 else "mixed"

    @property
    def scale(self) -> float:
        """The divisor that takes binary and grey values to [0, 1]; 1 for other kinds."""
        if self.kind == "grey":
            return 255.0
        return 255.0 if self.kind == "binary" and self.values.high > 1 else 1.0

    @property
    def columns(self) -> tuple[str, ...] | None:
        """The names of a table's columns, where they have names."""
        if len(self.schema) == 1 and self.schema[0].shape:
            return None
        return tuple(field.name for field in self.schema)

    def batches(
        self,
        batch_size: int,
        *,
        seed: int | None = None,
        start: int = 0,
        device: str | torch.device | None = None,
    ) -> Iterator[Batch]:
        """Batches of ``batch_size`` examples of one pass, from the ``start``-th on, on ``device``.

        In the data's order, or with a ``seed`` in a random one; the last batch may be smaller.

        Raises:
            ConfigurationError: ``batch_size`` is no number of examples.
        """
        batch_size = check_count("examples in a batch", batch_size)
        for batch in self._pass(batch_size, seed, start):
            yield batch if device is None else batch.to(device)

    def table(self, x: Tensor) -> dict[str, list[Any]]:
        """Rows (n, D) in this table's units, such as a model's samples, as columns by their names.

        As `Field.cells` has them: categories by their names, and what is missing as None.

        Raises:
            ConfigurationError: the data are no table with named columns, or x has others.
        """
        if self.columns is None or x.shape[1:] != (len(self.columns),):
            raise ConfigurationError(
                f"{self.name}: expected rows of the columns {self.columns}, got x of shape "
                f"{tuple(x.shape)}"
            )
        columns = zip(self.schema, x.unbind(1), strict=True)
        return {field.name: field.cells(column).tolist() for field, column in columns}

    def subset(self, indices: Any, name: str | None = None) -> Dataset:
        """The examples at ``indices``, in that order, in memory, called ``name`` in messages.

        Args:
            indices: whole numbers, of any sequence, array or tensor; or a truth value for each
                example, as masks are.
            name: what to call them; the data set's own name without.

        Raises:
            ConfigurationError: no index, something other than indices, or one outside the data set.
        """
        expected = f"expected a list of at least one index, or a mask of {len(self):,}"
        try:
            index = np.asarray(indices.cpu() if isinstance(indices, Tensor) else indices)
        except (TypeError, ValueError, RuntimeError) as error:
            raise ConfigurationError(
                f"{self.name}: {expected}, got {shown(indices)} ({brief(error)})"
            ) from None
        if index.dtype == bool and index.shape == (len(self),):
            index = index.nonzero()[0]
        if index.ndim != 1 or len(index) == 0 or index.dtype.kind not in "iu":
            raise ConfigurationError(
                f"{self.name}: {expected}, got {dtype_name(index.dtype)} of shape {index.shape}"
            )
        low, high = int(index.min()), int(index.max())
        if low < 0 or high >= len(self):
            raise ConfigurationError(
                f"{self.name}: expected indices from 0 to {len(self) - 1}, got "
                f"{low if low < 0 else high}"
            )
        rows = torch.from_numpy(index.astype(np.int64))
        return self._rows(rows, self.name if name is None else name)

    def take(self, n: int) -> Dataset:
        """The first ``n`` examples, or all where there are fewer, in memory.

        Raises:
            ConfigurationError: ``n`` is no number of examples.
        """
        return self.subset(torch.arange(min(check_count("examples", n), len(self))))


@dataclass(frozen=True, eq=False, repr=False)
class Dataset(Data):
    """Examples x in memory: a table (n, D), images (n, C, H, W), or (n, *shape) of other things.

    Args:
        x: the values, uint8, float32 or float64; other floating-point numbers are kept too.
        labels: class numbers 0…K−1, int64 of shape (n,).
        name: what messages and reports call it.
        classes: the K names of the classes.
        schema: its fields; without one, x is one field, whose kind its values tell.
        labels_from: where the labels came from, for `summary`.
        missing: whether elements may be NaN, which means that they were not observed.
        groups: numbers of what examples are from, (n,), which `data.split` holds out whole.
        given: covariates of each example, a table of as many rows.
        first: the number of the first example in the data of which these are a block.

    Raises:
        DataError: a tensor of another dtype or shape, infinity, NaN without ``missing``, or fields
            or labels that do not fit.

    >>> Dataset(torch.tensor([[0.0, 0.5], [1.0, 0.2]]), name="pairs")
    Dataset(pairs: 2 rows of 2 numbers, in the unit interval, 0–1)
    """

    x: Tensor
    labels: Tensor | None = None
    name: str = "data"
    classes: tuple[str, ...] | None = None
    schema: Schema = ()
    labels_from: str | None = None
    missing: bool = False
    groups: np.ndarray | None = None
    given: Dataset | None = None
    first: int = 0

    def __post_init__(self) -> None:
        x, name = self.x, self.name
        if x.dtype != torch.uint8 and not x.is_floating_point():
            raise DataError(
                f"{name}: expected uint8, float32 or float64, got {x.dtype}; see from_arrays"
            )
        if x.ndim < 2 or 0 in x.shape:
            raise DataError(
                f"{name}: expected a tensor of examples (n, ...), none of its sizes 0, "
                f"got shape {tuple(x.shape)}"
            )
        known = x.nan_to_num(0.0, torch.inf, -torch.inf) if self.missing else x
        if not is_finite(known):
            columns = self.columns if (len(self.schema),) == x.shape[1:] else None
            check_finite(known, name, columns)
        if not self.schema:
            schema = (Field("x", self.values.kind, tuple(x.shape[1:])),)
            object.__setattr__(self, "schema", schema)
        self._check_schema()
        self._check_labels()

    def _check_schema(self) -> None:
        if self.shape != self.x.shape[1:]:
            raise DataError(
                f"{self.name}: expected a field, or one column name per value of shape "
                f"{tuple(self.x.shape[1:])}, got {len(self.schema)} "
                f"({', '.join(field.name for field in self.schema)})"
            )
        ((name, times),) = Counter(field.name for field in self.schema).most_common(1)
        if times > 1:
            raise DataError(
                f"{self.name}: expected fields of different names, got {name!r} {times} times; "
                "rename them"
            )
        if self.kind == "real" or (self.kind == "grey" and self.dtype == torch.uint8):
            return
        alike = len({(field.kind, field.categories) for field in self.schema}) == 1
        if alike and self.schema[0].allows(self.values):
            return  # as tables may have thousands of columns
        sizes = [field.size for field in self.schema]
        parts = [self.x] if len(sizes) == 1 else self.x.split(sizes, dim=1)
        for field, part in zip(self.schema, parts, strict=True):
            field.check(part, self.name)

    def _check_labels(self) -> None:
        rows = None if self.given is None else self.given.x[:, 0]
        for what, numbers in (("label", self.labels), ("group", self.groups), ("covariate", rows)):
            if numbers is not None and tuple(numbers.shape) != (len(self),):
                raise DataError(
                    f"{self.name}: expected one {what} for each of {len(self):,} examples, "
                    f"got {what}s of shape {tuple(numbers.shape)}"
                )
        if self.labels is None:
            return
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

    @property
    def dtype(self) -> torch.dtype:  # type: ignore[override]
        """The type of the values."""
        return self.x.dtype

    @cached_property
    def observed(self) -> Tensor | None:
        """Which elements of x were observed, bool of its shape; None where all were."""
        if not self.missing:
            return None
        observed = ~self.x.isnan()
        return None if observed.all() else observed

    @cached_property
    def values(self) -> Values:  # type: ignore[override]
        return Values.of(self.x)

    @cached_property
    def moments(self) -> Moments:  # type: ignore[override]
        moments = Moments()
        moments.add(self.x)
        return moments

    @cached_property
    def fingerprint(self) -> str:  # type: ignore[override]
        """SHA-256, in hex, of schema, classes, and dtype, shape and bytes of x, labels, given."""
        digest = hashlib.sha256(f"{self.schema} {self.classes}\n".encode())
        for tensor in filter(torch.is_tensor, (self.x, self.labels)):
            digest.update(f"{tensor.dtype} {tuple(tensor.shape)}\n".encode())
            flat = tensor.detach().cpu().contiguous().view(-1)
            digest.update(flat.view(torch.uint8).numpy().data)
        if self.given is not None:
            digest.update(self.given.fingerprint.encode())
        return digest.hexdigest()

    def to(self, device: str | torch.device) -> Self:
        x, labels = Batch(self.x, self.labels).to(device)
        given = None if self.given is None else self.given.to(device)
        return self if x is self.x else replace(self, x=x, labels=labels, given=given)

    def codes(self, columns: range) -> Tensor:
        values = self.x[:, columns.start : columns.stop]
        return values[~values.isnan()].long().unique()

    def recoded(self, places: Mapping[range, Tensor], schema: Schema) -> Self:
        x = self.x.clone()
        for columns, codes in places.items():
            recode(x, columns, codes)
        return replace(self, x=x, schema=schema)

    def _pass(self, batch_size: int, seed: int | None, start: int) -> Iterator[Batch]:
        rows: Iterable[slice | Tensor]
        if seed is None:
            first, n = start * batch_size, len(self)
            rows = (slice(i, i + batch_size) for i in range(first, n, batch_size))
        else:
            rows = permutation(len(self), seed).to(self.x.device).split(batch_size)[start:]
        return map(Batch(self.x, self.context).at, rows)

    def _rows(self, index: Tensor, name: str) -> Dataset:
        x, labels = Batch(self.x, self.labels).at(index.to(self.x.device))
        groups = None if self.groups is None else self.groups[index.numpy()]
        given = None if self.given is None else self.given.subset(index)
        return replace(self, x=x, labels=labels, name=name, groups=groups, given=given, first=0)

    def summary(self) -> str:
        noun = "value" if self.kind in ("mixed", "categories") else "number"
        if self.kind == "tokens":
            each, names = f"{self.shape[0]:,} tokens", self.schema[0].categories or ()
            what = f"{count(len(self), 'sequence')} of {each} of {len(names):,}"
            return f"{self.name}: {what}{self._beside()}"
        if len(self.shape) == 1:
            what = f"{count(len(self), 'row')} of {count(self.shape[0], noun)}"
        else:
            each = "×".join(str(size) for size in self.shape)
            what = f"{count(len(self), 'image' if len(self.shape) == 3 else 'example')} of {each}"
        return f"{self.name}: {what}, {self._values()}{self._missing()}{self._beside()}"

    def _values(self) -> str:
        if self.kind == "mixed":
            kinds = Counter(field.kind for field in self.schema)
            return ", ".join(f"{number} {kind}" for kind, number in kinds.items())
        if self.kind == "binary":
            return f"binary, 0 and {self.scale:.0f}"
        low, high = self.values.low, self.values.high
        digits = 4 if f"{low:.4g}" != f"{high:.4g}" or low == high else 15
        span = ("–" if low >= 0 else " to ").join(f"{end:.{digits}g}" for end in (low, high))
        grey = "grey levels" if len(self.shape) == 1 or self.shape[0] == 1 else "levels"
        told = {"grey": f"{grey} {span}", "unit": f"in the unit interval, {span}"}
        return told.get(self.kind, f"{self.kind}, {span}")

    def _missing(self) -> str:
        if self.observed is None:
            return ""
        return f", {1 - self.observed.double().mean().item():.1%} missing"

    def _beside(self) -> str:
        covariates = 0 if self.given is None else self.given.shape[0]
        given = f", {count(covariates, 'covariate')}" if covariates else ""
        if self.labels is None:
            return given
        number = len(self.classes) if self.classes else int(self.labels.max()) + 1
        source = f" from {self.labels_from}" if self.labels_from else ""
        return f", {count(number, 'class')}{source}{given}"
