"""Arrays and tables as they came, and what they become: data sets."""

from __future__ import annotations

import functools
import math
import operator
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.conversion import (
    Part,
    Parts,
    Raw,
    check_memory,
    check_resolution,
    converted,
    numbers,
    place,
    real_numbers,
)
from lowerbound.data.dataset import Data, Dataset
from lowerbound.data.kinds import column_schema
from lowerbound.data.labels import number_labels
from lowerbound.data.reading import Reading
from lowerbound.data.schema import LEVELLED
from lowerbound.data.splits import Splits
from lowerbound.data.tables import is_frame, read_frame
from lowerbound.data.tokens import encoded, names_of
from lowerbound.errors import ConfigurationError, DataError, brief, near


def assemble(
    parts: Parts,
    source: str,
    name: str,
    *,
    missing: bool = False,
    named: bool = False,
    given: Sequence[str] = (),
) -> dict[Part, Dataset]:
    """The parts of ``source`` as data sets of one dtype, one schema and one numbering of classes.

    ``missing`` takes NaN for missing; ``named`` tells that the columns are those asked for, which
    may hold nothing here; ``given`` are the columns that are covariates.

    Raises:
        DataError: see `Dataset`; labels of some parts only.
    """
    how: dict[str, Any] = {"missing": missing, "named": named}
    if given:
        bare: Any = {"labels": None, "labels_from": None, "groups": None}
        beside = {part: replace(raw.only(given), **bare) for part, raw in parts.items()}
        covariates = assemble(beside, source, f"{name}, given", **how)
        others = {
            part: raw.only([column for column in raw.columns or () if column not in given])
            for part, raw in parts.items()
        }
        found = assemble(others, source, name, **how)
        return {part: replace(data, given=covariates[part]) for part, data in found.items()}
    parts = _encoded(parts, source)
    masks = {part: _observed(raw, missing=missing) for part, raw in parts.items()}
    tensors = {part: converted(raw, masks[part]) for part, raw in parts.items()}
    dtype = functools.reduce(torch.promote_types, (x.dtype for x, _ in tensors.values()))
    known = functools.reduce(operator.or_, (values for _, values in tensors.values()))
    gaps = any(mask is not None for mask in masks.values())
    if gaps and not named:
        for part, mask in masks.items():
            _refuse_empty(parts[part], mask)
    labels, classes = _number(source, parts)
    found = {
        part: Dataset(
            x.to(dtype),
            labels.get(part),
            name if part in ("all", "train") else f"{name} {part}",
            classes,
            column_schema(parts[part], x, known.kind, gaps=gaps, known=named),
            parts[part].labels_from,
            missing=gaps,
            groups=parts[part].groups,
        )
        for part, (x, _) in tensors.items()
    }
    if known.is_vast:
        for part, data in found.items():
            check_resolution(data, parts[part].where)
    return found


def _encoded(parts: Parts, source: str) -> Parts:
    """The parts, of which tokens are by the codes of one vocabulary.

    Raises:
        DataError: see `tokens.encoded`; parts of different vocabularies.
    """
    vocabularies = {raw.vocabulary for raw in parts.values()}
    if vocabularies == {None}:
        return parts
    if len(vocabularies) > 1:
        raise DataError(f"{source}: expected one vocabulary for all parts, got several")
    (vocabulary,) = vocabularies
    arrays, names = encoded([raw.x for raw in parts.values()], vocabulary or (), source)
    return {
        part: replace(raw, x=x, vocabulary=names)
        for (part, raw), x in zip(parts.items(), arrays, strict=True)
    }


def _observed(raw: Raw, *, missing: bool) -> np.ndarray | None:
    """Which elements are observed; None where all are, or NaN is a mistake."""
    observed = raw.observed
    if missing and raw.x.dtype.kind == "f":
        observed = ~np.isnan(raw.x) if observed is None else observed & ~np.isnan(raw.x)
    return None if observed is None or observed.all() else observed


def _refuse_empty(raw: Raw, observed: np.ndarray | None) -> None:
    """Raises DataError: a named column of several rows has no value that would tell its kind.

    Where it was told, none is needed, but for levels.
    """
    if observed is not None and len(observed) > 1:
        there = {
            name: bool(known.any())
            for name, known in zip(raw.columns or (), observed.T, strict=False)
        }
        expect_values(raw.where, there, raw.kinds)


def expect_values(where: str, there: Mapping[str, bool], kinds: Mapping[str, str]) -> None:
    """Refuse columns that, by name, have no values, unless they are of a kind that was said.

    Raises:
        DataError: there is one.
    """
    for name, some in there.items():
        if not some and kinds.get(name, "ordinal") in LEVELLED:
            raise DataError(
                f"{where}: expected at least one value in column {name!r}, got none; leave it out"
            )


def _number(source: str, parts: Parts) -> tuple[dict[Part, Tensor], tuple[str, ...] | None]:
    labelled = {part: raw.labels for part, raw in parts.items() if raw.labels is not None}
    if bare := [part for part in parts if labelled and part not in labelled]:
        raise DataError(
            f"{source}: expected class labels for all parts or for none, got some for "
            f"{' and '.join(labelled)}, none for {' and '.join(bare)}"
        )
    classes = next(iter(parts.values())).classes
    if classes or not labelled:
        return {part: torch.from_numpy(y.astype(np.int64)) for part, y in labelled.items()}, classes
    tensors, classes = number_labels(list(labelled.values()), f"{source} labels")
    return dict(zip(labelled, tensors, strict=True)), classes


def from_arrays(
    x: Any,
    labels: Any = None,
    *,
    name: str = "data",
    columns: Sequence[str] | None = None,
    observed: Any = None,
    missing: bool = False,
    vocabulary: int | Sequence[str] | None = None,
    kinds: Mapping[str, str] | None = None,
    given: Any = None,
) -> Dataset:
    """A data set from arrays, tensors, lists or a data frame, converted as files are.

    Of a frame (pandas, polars, or anything else that Arrow reads), columns of numbers and truth
    values become numbers, dates days since 1970, texts and categories fields of kind categories;
    nulls and NaN are missing.  A column called label or class is taken for the class labels, unless
    ``labels`` are given.

    Args:
        x: (n, D), (n, H, W), (n, C, H, W) or (n, H, W, C), of real numbers; or a frame.
        labels: (n,), whole numbers or text, numbered in sorted order; or the name of a column.
        name: what messages and reports call it.
        columns: the D names of a table's columns; of a frame those to take, in this order, one of
            which may be the labels' too.
        observed: which elements of x were observed, bool of its shape; the others are missing.
        missing: whether NaN in x means missing, rather than a mistake.
        vocabulary: x are sequences of tokens (n, T), codes 0 … V − 1, and −1 after the end of a
            shorter one; this is V, or the V names.
        kinds: what columns of a frame hold, where their values do not tell: by name, real,
            positive, unit, counts, binary, ordinal, categories, dates, or ignore, which leaves
            one out.
        given: covariates, of which a conditional model takes x to depend: of a frame the names of
            their columns, or else what makes a data set of as many rows, in which NaN is missing.

    Raises:
        ConfigurationError: ``labels`` or ``kinds`` name no column; a mask beside a frame, or a
            vocabulary beside either; kinds without a frame.
        DataError: see `Dataset`.

    >>> from_arrays([[1, 2, 3], [4, 5, 60]], labels=["b", "a"])
    Dataset(data: 2 rows of 3 numbers, counts, 1–60, 2 classes)
    >>> from_arrays([[0.5, np.nan]], missing=True).observed
    tensor([[ True, False]])
    """
    if vocabulary is not None and (columns is not None or missing or observed is not None):
        raise ConfigurationError(
            f"{name}: expected neither columns nor missing values of tokens, whose vocabulary is "
            "given, got both; leave one of them out"
        )
    if isinstance(columns, str):
        raise DataError(f"{name}: expected columns= a list of names, got the text {columns!r}")
    named = None if columns is None else tuple(columns)
    by_name = isinstance(given, list | tuple) and all(isinstance(each, str) for each in given)
    beside = tuple(given) if by_name else ()
    if is_frame(x):
        if observed is not None or vocabulary is not None:
            raise ConfigurationError(
                f"{name}: expected no observed= or vocabulary= with a data frame, whose nulls are "
                "missing and whose columns are no tokens; leave them out"
            )
        column = labels if isinstance(labels, str) else None
        reading = Reading(labels=column, columns=named, kinds=kinds or {}, given=beside)
        raw = read_frame(x, reading, name, auto=labels is None or column is not None)
    else:
        if kinds:
            raise ConfigurationError(
                f"{name}: expected kinds= with a data frame, whose columns have names, got a "
                f"{type(x).__name__}; make a frame of it"
            )
        if isinstance(x, list | tuple) and any(isinstance(row, np.ma.MaskedArray) for row in x):
            x = np.ma.stack(x)
        array = real_numbers(to_array(x, name), name)
        mask = None if observed is None else _mask(observed, name)
        if isinstance(x, np.ma.MaskedArray):
            mask = _unmasked(x, mask, name, missing=missing)
        if mask is not None and mask.shape != array.shape:
            raise DataError(
                f"{name}: expected observed= of x's shape {array.shape}, got {mask.shape}"
            )
        tokens = None if vocabulary is None else names_of(vocabulary, name)
        raw = Raw(array, name, columns=named, observed=mask, vocabulary=tokens)
    if labels is not None and raw.labels is None:
        raw = replace(raw, labels=_label_array(labels, f"{name} labels"))
    if absent := [column for column in beside if column not in (raw.columns or ())]:
        raise ConfigurationError(
            f"{name}: expected given= of its columns, got {absent[0]!r}; "
            f"{near(absent[0], raw.columns or ())}"
        )
    found = assemble({"all": raw}, name, name, missing=missing, given=beside)["all"]
    if given is None or beside:
        return found
    covariates = given if isinstance(given, Dataset) else from_arrays(given, missing=True)
    return replace(found, given=covariates)


def to_array(value: Any, where: str) -> np.ndarray:
    """An array, a tensor, a sparse matrix or a list, on whatever device, as an array.

    Raises:
        DataError: a ragged list, or what else makes no array; a sparse matrix that does not fit.
    """
    sparse = hasattr(value, "toarray") or getattr(value, "layout", torch.strided) != torch.strided
    if sparse:
        check_memory(2 * math.prod(value.shape) * value.dtype.itemsize, where)
    try:
        if isinstance(value, Tensor):
            value = value.detach().to_dense() if sparse else value.detach()
            value = value.cpu().resolve_conj().resolve_neg()
            known = not value.is_floating_point() or value.dtype in (torch.float32, torch.float64)
            value = value if known else value.float()
        return np.asarray(value.toarray() if hasattr(value, "toarray") else value)
    except (ValueError, TypeError, RuntimeError) as error:
        raise DataError(
            f"{where}: expected an array, a tensor or lists of one length, got a "
            f"{type(value).__name__} that makes no array ({brief(error)})"
        ) from None


def _mask(observed: Any, name: str) -> np.ndarray:
    """What was observed, as truth values."""
    given = to_array(observed, name)
    mask = given.astype(bool)
    if not np.array_equal(given, mask):
        raise DataError(f"{name}: expected observed= of truth values, got others; use ~isnan(x)")
    return mask


def _unmasked(
    x: np.ma.MaskedArray, observed: np.ndarray | None, name: str, *, missing: bool
) -> np.ndarray | None:
    """What of a masked array was observed, where values may be missing."""
    masked = np.ma.getmaskarray(x)
    if not masked.any():
        return observed
    if not missing:
        index = tuple(int(i) for i in np.argwhere(masked)[0])
        raise DataError(
            f"{name}: expected numbers, got a masked one in {place(index)}; remove that row or "
            "fill the value in, or say missing=True"
        )
    return ~masked if observed is None else observed & ~masked


def _label_array(labels: Any, where: str) -> np.ndarray:
    """Labels as they came; a list as one of objects, as NaN beside text would become text."""
    if isinstance(labels, np.ma.MaskedArray) and labels.mask.any():
        labels = labels.tolist()  # in which None stands for what is masked
    array = to_array(labels, where)
    listed = isinstance(labels, list | tuple) and array.ndim == 1
    return np.array(labels, object) if listed else array


def in_memory(data: Any) -> Dataset:
    """`as_dataset`, read where it is on disk."""
    found = as_dataset(data)
    return found if isinstance(found, Dataset) else found.take(len(found))


def is_plain(x: Any) -> bool:
    """Whether x is a tensor that a data set may keep as it is."""
    kept = (torch.uint8, torch.float32, torch.float64)
    return isinstance(x, Tensor) and x.dtype in kept and x.layout == torch.strided


def as_dataset(data: Any, part: Literal["train", "validation", "test"] = "train") -> Data:
    """``data`` as what has batches: a data set as it is, of `Splits` their ``part``.

    A bare tensor (n, ...) keeps its shape, without labels; arrays and frames go through
    `from_arrays`.

    Raises:
        DataError: no examples, or values that cannot be used.
    """
    if isinstance(data, Splits):
        data = getattr(data, part)
    if isinstance(data, Data):
        return data
    if not isinstance(data, Tensor):
        return from_arrays(data)
    if is_plain(data):
        return Dataset(data.detach(), name="tensor")
    return Dataset(numbers(to_array(data, "tensor"), "tensor"), name="tensor")
