"""Arrays and tables as they came, and what they become: data sets."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.conversion import Part, Parts, Raw, number_labels, to_layout, to_tensor
from lowerbound.data.dataset import Data, Dataset, Splits
from lowerbound.data.schema import Field, Kind, Schema, Values
from lowerbound.data.tables import is_frame, read_frame
from lowerbound.errors import ConfigurationError, DataError


def assemble(parts: Parts, source: str, name: str, *, missing: bool = False) -> dict[Part, Dataset]:
    """The parts of ``source`` as data sets of one dtype, one schema and one numbering of classes.

    Raises:
        DataError: see `Dataset`; labels of some parts only.
    """
    converted = {part: _converted(raw, missing=missing) for part, raw in parts.items()}
    levels = all(x.dtype == torch.uint8 for x, _ in converted.values())
    complete = all(observed is None for _, observed in converted.values())
    if not levels:
        converted = {part: (x.float(), observed) for part, (x, observed) in converted.items()}
    kind = _kind(next(iter(parts.values())), list(converted.values()))
    numbers, classes = _number(source, parts)
    return {
        part: Dataset(
            x if levels and complete else _with_nan(x.float(), observed),
            numbers.get(part),
            name if part in ("all", "train") else f"{name} {part}",
            classes,
            _schema(parts[part], kind, tuple(x.shape[1:])),
            parts[part].labels_from,
            missing=not complete,
        )
        for part, (x, observed) in converted.items()
    }


def _converted(raw: Raw, *, missing: bool) -> tuple[Tensor, Tensor | None]:
    """x with 0 for what is missing, and which elements are observed."""
    observed = raw.observed
    if observed is None and missing and raw.x.dtype.kind == "f":
        observed = ~np.isnan(raw.x)
    if observed is None or observed.all():
        return to_tensor(raw.x, raw.where, raw.columns), None
    filled = np.where(observed, raw.x, np.zeros((), raw.x.dtype))
    mask = torch.from_numpy(np.ascontiguousarray(to_layout(observed, raw.where)))
    return to_tensor(filled, raw.where, raw.columns), mask


def _with_nan(x: Tensor, observed: Tensor | None) -> Tensor:
    return x if observed is None else x.masked_fill(~observed, torch.nan)


def _kind(raw: Raw, converted: Sequence[tuple[Tensor, Tensor | None]]) -> Kind:
    """The one kind of all numbers that are observed; codes of categories are none."""
    numeric = [j for j, column in enumerate(raw.columns or ()) if column not in raw.categories]
    found = Values()
    for x, observed in converted:
        if raw.categories:
            x, observed = x[:, numeric], None if observed is None else observed[:, numeric]
        found |= Values.of(x if observed is None else x[observed])
    return found.kind


def _schema(raw: Raw, kind: Kind, shape: tuple[int, ...]) -> Schema:
    """One field for x, or one for each named column."""
    if raw.columns is None:
        return (Field("x", kind, shape),)
    return tuple(
        Field(column, "categories", categories=raw.categories[column])
        if column in raw.categories
        else Field(column, kind)
        for column in raw.columns
    )


def _number(source: str, parts: Parts) -> tuple[dict[Part, Tensor], tuple[str, ...] | None]:
    labelled = {part: raw.labels for part, raw in parts.items() if raw.labels is not None}
    if not labelled:
        return {}, None
    bare = [part for part in parts if part not in labelled]
    if bare:
        raise DataError(
            f"{source}: expected class labels for all parts or for none, got some for "
            f"{' and '.join(labelled)}, none for {' and '.join(bare)}"
        )
    if names := next(iter(parts.values())).classes:
        given = {part: torch.from_numpy(y.astype(np.int64)) for part, y in labelled.items()}
        return given, names
    numbers, classes = number_labels(list(labelled.values()), f"{source} labels")
    return dict(zip(labelled, numbers, strict=True)), classes


def from_arrays(
    x: Any,
    labels: Any = None,
    *,
    name: str = "data",
    columns: Sequence[str] | None = None,
    observed: Any = None,
    missing: bool = False,
) -> Dataset:
    """A data set from arrays, tensors, lists or a data frame, converted as files are.

    Of a frame (pandas, polars, or anything else that Arrow reads), columns of numbers and truth
    values become numbers, dates days since 1970, texts and categories fields of kind categories;
    nulls are missing.  A column called label or class is taken for the class labels, unless
    ``labels`` are given.

    Args:
        x: (n, D), (n, H, W), (n, C, H, W) or (n, H, W, C), of real numbers; or a frame.
        labels: (n,), whole numbers or text, numbered in sorted order; or the name of a column.
        name: what messages and reports call it.
        columns: the D names of a table's columns.
        observed: which elements of x were observed, bool of its shape; the others are missing.
        missing: whether NaN in x means missing, rather than a mistake.

    Raises:
        ConfigurationError: ``labels`` names no column; columns or a mask beside a frame.
        DataError: see `Dataset`.

    >>> from_arrays([[1, 2, 3], [4, 5, 60]], labels=["b", "a"])
    Dataset(data: 2 rows of 3 numbers, counts, 1–60, 2 classes)
    >>> from_arrays([[0.5, np.nan]], missing=True).observed
    tensor([[ True, False]])
    """
    if is_frame(x):
        if columns is not None or observed is not None:
            raise ConfigurationError(
                f"{name}: expected neither columns= nor observed= with a data frame, which has its "
                "own; leave them out"
            )
        raw = read_frame(x, labels, name)
    else:
        array = np.asarray(x.detach().cpu() if isinstance(x, Tensor) else x)
        named = None if columns is None else tuple(columns)
        given = None if labels is None else np.asarray(labels)
        mask = None if observed is None else np.asarray(observed, bool)
        if mask is not None and mask.shape != array.shape:
            raise DataError(
                f"{name}: expected observed= of x's shape {array.shape}, got {mask.shape}"
            )
        raw = Raw(array, name, given, columns=named, observed=mask)
    return assemble({"all": raw}, name, name, missing=missing)["all"]


def as_dataset(data: Any, part: Literal["train", "validation", "test"] = "train") -> Data:
    """``data`` as what has batches: a data set as it is, of `Splits` their ``part``.

    A bare tensor (n, ...) is taken as it is, without labels; arrays and frames go through
    `from_arrays`.

    Raises:
        DataError: no examples, or values that cannot be used.
    """
    if isinstance(data, Splits):
        data = getattr(data, part)
    if isinstance(data, Data):
        return data
    if isinstance(data, Tensor):
        kept = data.dtype == torch.uint8 or data.is_floating_point()
        return Dataset(data if kept else data.float(), name="tensor")
    return from_arrays(data)
