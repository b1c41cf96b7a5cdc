"""How x is observed: the likelihood that fits the values, and what brings data to it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from lowerbound.data import Data
from lowerbound.data.schema import fields_of
from lowerbound.errors import ConfigurationError
from lowerbound.likelihoods import TAKES
from lowerbound.networks import FieldInputs, Given, LogCounts
from lowerbound.parts import awaiting, complete, registered
from lowerbound.recipes.settings import part_of
from lowerbound.transforms import Binarise, Binary, Counts, PerField, Tokens, Transform

Part = Any
"""A part's name, its class, its class with some arguments (`functools.partial`), its description
(``{"part": "GaussianMixture", "components": 4}``), or the part itself, complete."""

FITTING = {
    "binary": "Bernoulli",
    "grey": "ContinuousBernoulli",
    "unit": "ContinuousBernoulli",
    "real": "Gaussian",
    "positive": "Gaussian",
    "counts": "NegativeBinomial",
    "ordinal": "Ordinal",
    "zero-inflated": "ZeroInflated",
    "categories": "Nominal",
    "tokens": "Autoregressive",
}
"""The likelihood of ``likelihood="auto"`` for each kind of values."""

REAL = ("real", "positive", "unit")
"""The kinds of which ``real`` names the likelihood."""

SAMPLE_ROWS, SAMPLE_ELEMENTS = 10_000, 2**23


@dataclass(frozen=True)
class Observation:
    """How x is observed: a likelihood that awaits its network, and what brings data to it.

    Attributes:
        likelihood: its description, or the part itself.
        transform: from data as they are kept to the likelihood's support.
        inputs: the numbers that the encoder's network is given for one x.
        encoder: makes of a network one that takes x.
    """

    likelihood: Part
    transform: Transform
    inputs: int
    encoder: Callable[[nn.Module], nn.Module]


def observe(
    data: Data, likelihood: Part = "auto", transform: Part = None, real: Part = None
) -> Observation:
    """The likelihood asked for, or the one that fits the values in ``data``, and its transform.

    ``real`` is that of real numbers, as `compose` takes it.

    Raises:
        ConfigurationError: the likelihood or the transform does not take such values.
    """
    if len(data.schema) > 1 and any(field.kind == "tokens" for field in data.schema):
        raise ConfigurationError(
            f"expected tokens as one field of shape (T,), got {len(data.schema)} fields in "
            f"{data.name}; columns whose order says nothing are of kind categories"
        )
    chosen = part_of("likelihood", awaiting(likelihood))
    several = data.missing or data.kind in ("mixed", "ordinal", "zero-inflated", "categories")
    by_field = chosen == {"part": "Heterogeneous"}
    is_told = transform is not None or (chosen != "auto" and not by_field)
    is_numeric = not data.missing and not any(field.categories for field in data.schema)
    if by_field or (several and not (is_told and is_numeric)):
        if is_told:
            raise ConfigurationError(
                f"expected likelihood=auto and no transform for {data.name}, where values are "
                f"missing or of several kinds, got likelihood={likelihood} and "
                f"transform={transform}; each kind has its own, in the Heterogeneous likelihood"
            )
        return _observe_fields(data, real)
    of_all: str = data.values.kind if several else data.kind
    asked = _transform(transform, data)
    kind = "binary" if isinstance(asked, Binary | Binarise) else of_all
    if chosen == "auto":
        chosen, kind = _fitting(kind, real)
    cls = registered(chosen.get("part")) if isinstance(chosen, Mapping) else type(chosen)
    takes = getattr(cls, "takes", None) or TAKES.get(getattr(cls, "support", ""), {})
    if kind not in takes:
        remedy = "the mlp recipe with likelihood=auto fits them"
        if kind == "counts" and data.values.high <= 255 and "grey" in takes:
            remedy = (
                "if they are grey levels, keep them as uint8 (an .npy file or array), of shape (n, "
                "height, width) for pictures; as counts, likelihood=auto fits them"
            )
        raise ConfigurationError(
            f"expected data that are {' or '.join(takes)} for the {cls.__name__} likelihood, got "
            f"{data.name}, which are {kind}; {remedy}"
        )
    brought = asked or takes[kind].of(data)
    if isinstance(brought, Tokens):
        one_hot = (len(data.schema[0].categories or ()),) * data.shape[0]
        width = FieldInputs.width(one_hot, missing=False)
        return Observation(chosen, brought, width, partial(FieldInputs, categories=one_hot))
    wrap = _log_counts(data) if isinstance(brought, Counts) else itself
    return Observation(chosen, brought, math.prod(data.shape), wrap)


def _fitting(kind: str, real: Part) -> tuple[Part, str]:
    """The likelihood of values of a kind, and the kind that they have for it."""
    real = part_of("real", awaiting(real))
    return (real, "real") if real and kind in REAL else ({"part": FITTING[kind]}, kind)


def _transform(asked: Part, data: Data) -> Transform | None:
    """The transform asked for: by its name alone, as it follows from the data."""
    description = part_of("transform", awaiting(asked))
    if not isinstance(description, Mapping):
        return description
    cls: Any = registered(description.get("part"))
    return cls.of(data) if len(description) == 1 else complete(description)


def _log_counts(data: Data) -> Callable[[nn.Module], nn.Module]:
    """Encoders of log(1 + x), standardised: by column, or in images as one."""
    logs = sample(data, Counts()).double().log1p()
    rows = logs if logs.ndim == 2 else logs.reshape(-1, 1)
    deviation, mean = torch.std_mean(rows, 0, correction=0)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    return partial(LogCounts, mean=tuple(mean.tolist()), deviation=tuple(deviation.tolist()))


def itself(network: nn.Module) -> nn.Module:
    """The network as it is."""
    return network


@dataclass(frozen=True)
class _Columns:
    """Some columns of a table, as a transform takes values."""

    name: str
    kind: str
    scale: float
    moments: Any
    levels: Any


def _observe_fields(data: Data, real: Part) -> Observation:
    """A family for the fields of each kind, and encoders that see what is observed."""
    if len(data.shape) != 1:
        raise ConfigurationError(
            f"expected a table of fields where values are missing or of several kinds, got "
            f"{data.name} of shape {data.shape}"
        )
    fields = fields_of(data.schema)
    mean, variance = data.moments.mean, data.moments.variance()
    groups: dict[tuple[str, Any, float, int], list[int]] = {}
    for i, field in enumerate(fields):
        # E x² = s E x of values that are 0 or s.
        two = field.kind == "binary" and mean[i] > 0 and variance[i] / mean[i] + mean[i] > 128
        scale = 255.0 if two or field.kind == "grey" else 1.0
        kind = _fitting(field.kind, real)[1]
        alike = kind, field.categories, scale, len(field.levels or ())
        groups.setdefault(alike, []).append(i)
    families, transforms = [], []
    for (kind, names, scale, levels), group in groups.items():
        fitting, _ = _fitting(kind, real)
        known = {"categories": names, "levels": levels, "positive": levels == 2}
        family = complete(fitting, network=Given(), shape=(len(group),), **known)
        told = tuple(fields[i].levels for i in group)
        columns = _Columns(data.name, kind, scale, data.moments.of(group), told)
        families.append(family)
        transforms.append(family.takes[kind].of(columns))
    columns_of = tuple(tuple(group) for group in groups.values())
    spiked = [field.kind == "zero-inflated" for field in fields]
    categories = tuple(
        1 if spike else len(field.categories or field.levels or ())
        for field, spike in zip(fields, spiked, strict=True)
    )
    counts = tuple(i for i, field in enumerate(fields) if field.kind == "counts" or spiked[i])
    deviation = torch.where(variance > 0, variance.sqrt(), 1.0).tolist()
    units = tuple(deviation[i] if spiked[i] else 1.0 for i in counts)
    return Observation(
        {"part": "Heterogeneous", "families": families, "columns": columns_of},
        PerField(tuple(transforms), columns_of),
        FieldInputs.width(categories, counts, missing=data.missing),
        lambda network: FieldInputs(
            network, categories, counts, missing=data.missing, units=units if any(spiked) else ()
        ),
    )


def sample(data: Data, transform: Transform) -> Tensor:
    """x of all examples, or of as many as tell their moments, transformed without noise."""
    wanted = max(1, min(SAMPLE_ROWS, SAMPLE_ELEMENTS // math.prod(data.shape)))
    batches, found = [], 0
    for x, _ in data.batches(min(wanted, 1000), seed=0, device="cpu"):
        batches.append(transform.noiseless(x))
        found += len(x)
        if found >= wanted:
            break
    return torch.cat(batches)
