"""Whether data lie where a likelihood gives them a probability."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from functools import reduce
from operator import or_
from typing import Any

import torch
from torch import Tensor

from lowerbound.data import Data, Dataset
from lowerbound.data.columns import quoted
from lowerbound.data.schema import ALLOWED, Values, fields_of
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.logs import log
from lowerbound.transforms import (
    Binary,
    Counts,
    Dequantise,
    FromSpike,
    Identity,
    Levels,
    PerField,
    Scale,
    Standardise,
    Transform,
)

Wanted = tuple[str, Callable[[Values], bool]]
FAR = 10.0  # deviations
ROWS = 2**14
LOST = 0.01
"""The share of a deviation that may be lost in a model's floating type."""


def check_support(likelihood: Any, transform: Any, data: Data) -> None:
    """Refuse data to which ``likelihood`` of their ``transform`` gives no probability.

    Nothing is known of transforms and supports of one's own, which pass.

    Raises:
        ConfigurationError: elements are missing, and the likelihood cannot leave them out.
        DataError: they are fractions where counts are wanted, say, or words where numbers are.
    """
    if data.missing and not getattr(likelihood, "takes_missing", False):
        raise ConfigurationError(
            f"expected the Heterogeneous likelihood for {data.name}, parts of which are missing, "
            f"got {type(likelihood).__name__}; recipes.compose makes it"
        )
    check_transform(likelihood, transform)
    if not hasattr(likelihood, "by_name"):
        _check_numbers(data)
    if not hasattr(likelihood, "families"):
        _check(likelihood, transform, data.values, data.name)
    elif data.shape == likelihood.shape:
        _check_fields(likelihood, transform, data)


def _check_numbers(data: Data) -> None:
    """Refuse names of categories, whose codes would pass for numbers."""
    for field in fields_of(data.schema):
        if field.categories:
            raise DataError(
                f"{data.name}: expected numbers in {field.name!r}, as the model was made for, got "
                f"the categories {quoted(field.categories)}; correct that column"
            )


def _check_fields(likelihood: Any, transform: Any, data: Data) -> None:
    """As `check_support`, of each column of a table, in one pass where it is on disk."""
    names = [repr(field.name) for field in fields_of(data.schema)]
    fields = [
        (family, each, columns, expected(family, each))
        for family, each, columns in _fields(likelihood, transform)
    ]
    fields = [f for f in fields if f[3] or _is_bounded(*f[:2])]
    found = [Values()] * len(fields)
    for x in _parts(data) if fields else ():
        for i, (family, each, columns, wanted) in enumerate(fields):
            values = x[:, list(columns)]
            if _is_bounded(family, each):
                _check_known(each, values, columns, names, data.name)
            if wanted:
                found[i] |= Values.of(values)
    for of_all, (family, each, columns, wanted) in zip(found, fields, strict=True):
        if wanted and not wanted[1](of_all):
            for i in columns:
                name = f"{i} (counted from 0)" if data.columns is None else names[i]
                of_one = reduce(or_, (Values.of(x[:, i]) for x in _parts(data)), Values())
                _check(family, each, of_one, f"{data.name}, column {name}")


def _is_bounded(family: Any, transform: Any) -> bool:
    """Whether ``transform`` makes negative numbers of values to which the family gives none."""
    return isinstance(transform, Levels) or bool(getattr(family, "positive", False))


def _parts(data: Data) -> Iterator[Tensor]:
    """All x in memory, or in batches those on disk."""
    if isinstance(data, Dataset):
        yield data.x
        return
    for x, _ in data.batches(ROWS, device="cpu"):
        yield x


def _check_known(
    transform: Levels | FromSpike, x: Tensor, columns: tuple[int, ...], names: list[str], where: str
) -> None:
    """Raises DataError: a value x in one of the ``columns`` is none that the model was made for."""
    unknown = transform(x) < 0
    for j in unknown.any(0).nonzero().flatten().tolist():
        if isinstance(transform, Levels):
            wanted = f"one of {', '.join(f'{level:g}' for level in transform.levels[j])}"
            others = "real numbers or counts"
        else:
            side = "at least" if transform.signs[j] > 0 else "at most"
            wanted, others = f"numbers of {side} {transform.spikes[j]:g}", "real numbers"
        raise DataError(
            f"{where}, column {names[columns[j]]}: expected {wanted}, as the model was made for, "
            f"got {x[unknown[:, j], j][0].item():g}; leave such rows out, or train with that "
            f"column as one of {others}"
        )


def _fields(likelihood: Any, transform: Any) -> list[tuple[Any, Any, tuple[int, ...]]]:
    """Each family of a likelihood of rows, with each transform of its columns, and these."""
    groups = zip(likelihood.families, likelihood.columns, strict=True)
    if not isinstance(transform, PerField):
        return [(family, transform, columns) for family, columns in groups]
    transforms = list(zip(transform.transforms, transform.columns, strict=True))
    return [
        (family, each, shared)
        for family, columns in groups
        for each, of in transforms
        if (shared := tuple(i for i in columns if i in of))
    ]


def _check(likelihood: Any, transform: Any, values: Values, where: str) -> None:
    wanted = expected(likelihood, transform)
    if wanted is None or values.low > values.high or wanted[1](values):
        return
    whole = "whole numbers" if values.whole else "values"
    raise DataError(
        f"{where}: expected {wanted[0]} for {type(likelihood).__name__} with the transform "
        f"{type(transform).__name__}, got {whole} from {values.low:.4g} to {values.high:.4g}; "
        "recipes.compose chooses a likelihood and a transform that fit"
    )


def is_density(likelihood: Any, transform: Any) -> bool:
    """Whether ``likelihood`` of what ``transform`` makes of data is a density of the data."""
    if hasattr(likelihood, "families"):
        return all(is_density(family, each) for family, each, _ in _fields(likelihood, transform))
    levels = getattr(likelihood, "levels", None)
    if levels is not None and levels != getattr(transform, "maximum", 0) + 1:
        return False
    return bool(getattr(likelihood, "support", None) == transform.output)


def check_transform(likelihood: Any, transform: Any) -> None:
    """Refuse a transform to values that ``likelihood`` does not describe.

    Raises:
        DataError: it is Standardise where counts are wanted, say.
    """
    if hasattr(likelihood, "families"):
        for family, each, _ in _fields(likelihood, transform):
            check_transform(family, each)
        return
    support, takes = getattr(likelihood, "support", None), getattr(likelihood, "takes", {})
    unfit = {
        "binary": (Counts, Standardise),
        "grey": (Counts, Standardise, Dequantise),
        "zero-inflated": (Scale, Standardise, Dequantise),
        "counts": (Scale, Standardise, Dequantise),
        "tokens": (Counts, Scale, Standardise, Dequantise),
        "continuous": () if "real" in takes else (Counts, Standardise),
    }.get(support if isinstance(support, str) else "", ())
    if type(transform) in unfit:
        raise DataError(
            f"expected a transform to values that {type(likelihood).__name__} describes, got "
            f"{type(transform).__name__}; recipes.compose chooses a likelihood and a transform "
            "that fit"
        )


def expected(likelihood: Any, transform: Any) -> Wanted | None:
    """What values must be, in words and as a predicate."""
    support = getattr(likelihood, "support", None)
    match transform:
        case Binary(maximum=m):
            two = m in (1, 255)  # of which `Values` knows
            return f"only 0 and {m:g}", lambda v: m in v.tops if two else v.whole and v.high <= m
        case Scale(maximum=m) if support == "grey":
            return f"whole numbers from 0 to {m:g}", lambda v: v.whole and _fills(v, m)
        case Scale(maximum=m):
            return f"numbers from 0 to {m:g}", lambda v: v.low >= 0 and _fills(v, m)
        case Dequantise(levels=n):
            return f"whole numbers from 0 to {n - 1}", lambda v: v.whole and _fills(v, n - 1)
        case Identity() if hasattr(likelihood, "vocabulary"):
            n = len(likelihood.vocabulary)
            return f"tokens from 0 to {n - 1}", lambda v: v.whole and v.high < n
        case Counts():
            return ALLOWED["counts"]
        case Identity() if support == "counts":
            return ALLOWED["counts"]
        case Identity() if support in ("binary", "grey") or (
            support == "continuous" and "real" not in getattr(likelihood, "takes", ("real",))
        ):
            return ALLOWED["unit"]
    return None


def _fills(values: Values, most: float) -> bool:
    """Whether they are on a scale up to ``most``, and not on one that ends at 1."""
    return values.high <= most and not (most > 1 and 0 < values.high <= 1)


def decoded_elements(likelihood: Any) -> int:
    """Numbers that a decoder returns for one z."""
    return math.prod(likelihood.shape) * getattr(likelihood, "numbers", 1)


def warn_of_scale(likelihood: Any, transform: Any, data: Data) -> None:
    """Say it where real numbers are far from 0, or from 1 in scale, and nothing scales them."""
    real = "real" in getattr(likelihood, "takes", ())
    if not real or type(transform) is not Identity or data.missing:
        return
    mean, deviation = data.moments.mean, data.moments.variance().sqrt()
    farthest = max(mean.abs().max().item(), deviation.max().item())
    widest = deviation.max().item()
    if farthest > FAR or 0 < widest < 1 / FAR:
        log.warning(
            "%s: values as far as %.4g from 0, of deviations up to %.4g, are hard to learn as they "
            "are; give the model transform=Standardise.of(data), or have recipes.compose make it",
            data.name,
            farthest,
            widest,
        )


def expect_digits(transform: Transform, data: Data, dtype: torch.dtype) -> None:
    """Refuse training data that, as the transform brings them, ``dtype`` does not tell apart.

    Raises:
        DataError: a column's mean and one deviation above it differ in too few digits.
    """
    if data.dtype != torch.float64 or dtype == torch.float64:
        return
    mean, deviation = data.moments.mean, data.moments.variance().sqrt()
    pair = torch.stack([mean, mean + deviation]).expand(2, math.prod(data.shape))
    low, high = transform.noiseless(pair.reshape(2, *data.shape)).flatten(1)
    there = (high - low).abs()
    seen = (high.to(dtype) - low.to(dtype)).abs()
    lost = ~((seen - there).abs() <= LOST * there) & ~data.moments.constant()
    if lost.any():
        j = int(lost.int().argmax()) % len(mean)
        raise DataError(
            f"{data.name}: expected numbers that float32 tells apart once they are transformed, "
            f"got column {j} (counted from 0) of mean {mean[j].item():.6g} and deviation "
            f"{deviation[j].item():.3g} under {type(transform).__name__}; give the VAE "
            "transform=Standardise.of(data), or rescale that column"
        )
