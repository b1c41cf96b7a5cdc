"""Transforms from data as it is kept to the tensors that a model sees, per batch, on its device.

``output`` names what comes out, in the words of `likelihoods.Support`: a likelihood is a density of
the data only where the two agree.  ``log_volume`` is what must be added to a log-density of the
transformed x to make it one of the data (the log of the Jacobian), in nats per example.  Random
transforms draw from torch's global generator, which `fit` and `evaluate` seed.  A missing element,
NaN, stays one.  What comes out is of any floating type, which `VAE.prepare` brings to the model's.
"""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from lowerbound.errors import ConfigurationError
from lowerbound.lazy import lazy
from lowerbound.parts import Finite, NonNegative, Positive, Size, part

SMALLEST = 1e-150
SAME = 1e-3  # of the least distance between two levels
Output = Literal["binary", "binarised", "grey", "continuous", "counts", "categories", "tokens"]


class Values(Protocol):
    """What a transform is made for: a data set, or some columns of one."""

    @property
    def name(self) -> str:
        """What messages call them."""

    @property
    def kind(self) -> str:
        """What the values are; see `data.Kind`."""

    @property
    def scale(self) -> float:
        """The divisor that takes binary and grey values to [0, 1]."""

    @property
    def moments(self) -> Any:
        """Their mean and variance; see `data.moments`."""


def floating(x: Tensor) -> Tensor:
    """x in float32, or in float64 if it is."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Transform(ABC):
    """What a transform is."""

    output: ClassVar[Any]

    @classmethod
    def of(cls, values: Values) -> Transform:
        """The transform that brings ``values`` to its output."""
        return cls()

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Data to model units."""

    def noiseless(self, x: Tensor) -> Tensor:
        """The same of x, with the expectation in place of a random draw.

        It is what is encoded, but in training and evaluation, so that codes are repeatable.
        """
        return self(x)

    @abstractmethod
    def inverse(self, x: Tensor) -> Tensor:
        """Means and samples x in model units, (*batch, *shape), in data units, as floats."""

    @abstractmethod
    def log_volume(self, shape: tuple[int, ...]) -> float:
        """log |∂transform(x)/∂x| for one x of this shape, nats."""


@part
@dataclass(frozen=True)
class Identity(Transform):
    """x as it is."""

    output: ClassVar[Output] = "continuous"

    def __call__(self, x: Tensor) -> Tensor:
        return floating(x)

    def inverse(self, x: Tensor) -> Tensor:
        return x

    def log_volume(self, shape: tuple[int, ...]) -> float:
        return 0.0


@part
@dataclass(frozen=True)
class Counts(Identity):
    """Whole numbers from 0, as they are; `networks.LogCounts` is for the encoder, which sees them.

    What is compared with p(x|z) must be the counts themselves, as it gives them probabilities.
    """

    output = "counts"


@part
@dataclass(frozen=True)
class Scale(Transform):
    """Grey levels 0 … maximum to [0, 1]: x/maximum.

    Args:
        maximum: the value that becomes 1, above 0.
    """

    maximum: Positive = 255.0
    output: ClassVar[Output] = "grey"

    @classmethod
    def of(cls, values: Values) -> Scale:
        return cls(values.scale)

    def __call__(self, x: Tensor) -> Tensor:
        return floating(x) / self.maximum

    def inverse(self, x: Tensor) -> Tensor:
        return x * self.maximum

    def log_volume(self, shape: tuple[int, ...]) -> float:
        return 0.0


@part
@dataclass(frozen=True)
class Binary(Scale):
    """Data that are 0 or maximum to 0 or 1.

    Args:
        maximum: the value that becomes 1, above 0.
    """

    output = "binary"


@part
@dataclass(frozen=True)
class Binarise(Scale):
    """A fresh draw b ~ Bernoulli(x/maximum) at each use.

    Args:
        maximum: the value that is always 1, above 0.

    Source: Salakhutdinov & Murray, On the quantitative analysis of deep belief networks, 2008.
    """

    output = "binarised"

    @classmethod
    def of(cls, values: Values) -> Scale:
        """Values that are binary already stay what they are.

        Raises:
            ConfigurationError: values that lie in no known interval.
        """
        if values.kind not in ("binary", "grey", "unit"):
            raise ConfigurationError(
                f"expected binary, grey or unit values to binarise, got {values.kind} ones in "
                f"{values.name}"
            )
        return (Binary if values.kind == "binary" else cls)(values.scale)

    def __call__(self, x: Tensor) -> Tensor:
        return torch.bernoulli(self.noiseless(x))

    def noiseless(self, x: Tensor) -> Tensor:
        return super().__call__(x)


@part
@dataclass(frozen=True)
class Dequantise(Transform):
    """Grey levels 0 … levels − 1 to [0, 1): (x + u)/levels with fresh u ~ U[0, 1).

    A log-density of the result, less D log levels, bounds the log-probability of the levels.

    Args:
        levels: how many there are.

    Source: Theis, van den Oord & Bethge, A note on the evaluation of generative models, 2016,
    arXiv 1511.01844.
    """

    levels: Size = 256
    output = "continuous"

    def __call__(self, x: Tensor) -> Tensor:
        x = x.float()
        return (x + torch.rand_like(x)) / self.levels

    def noiseless(self, x: Tensor) -> Tensor:
        return (x.float() + 0.5) / self.levels

    def inverse(self, x: Tensor) -> Tensor:
        return (x * self.levels - 0.5).clamp(0, self.levels - 1)

    def log_volume(self, shape: tuple[int, ...]) -> float:
        return -math.prod(shape) * math.log(self.levels)


@part
@dataclass(frozen=True)
class Standardise(Transform):
    """(x − mean)/deviation, with the training set's figures: for each column, or one for all.

    Computed in float64, as numbers far from 0 may be rounded only once they are centred; what comes
    back to data units stays in it where float32 has few digits for a deviation.

    Args:
        mean: of each column, or one for all.
        deviation: of each column, or one for all, above 0.
    """

    mean: tuple[Finite, ...]
    deviation: tuple[Positive, ...]
    output = "continuous"

    @classmethod
    def of(cls, values: Values) -> Standardise:
        """By the moments of ``values``; columns that do not vary are only centred.

        Raises:
            ConfigurationError: numbers so small or large that float64 does not hold their squares.
        """
        mean, constant = values.moments.mean, values.moments.constant()
        wrong = constant & (mean != 0) & (mean.abs() < SMALLEST)
        wrong |= ~values.moments.variance().isfinite()
        if wrong.any():
            raise ConfigurationError(
                f"expected columns of numbers from {SMALLEST:g} to {1 / SMALLEST:g} in size in "
                f"{values.name}, got a mean of {mean[wrong][0].item():.3g}; rescale the data"
            )
        deviation = values.moments.variance().sqrt().masked_fill(constant, 1.0)
        return cls(tuple(mean.tolist()), tuple(deviation.tolist()))

    def __post_init__(self) -> None:
        if not self.mean or len(self.mean) != len(self.deviation):
            raise ConfigurationError(
                f"Standardise: expected as many positive deviations as means, got "
                f"{len(self.mean)} means and {len(self.deviation)} deviations"
            )

    def __call__(self, x: Tensor) -> Tensor:
        mean, deviation = torch.from_numpy(self._figures).to(x.device)
        centred = (x.double() - mean) / deviation
        return centred.to(floating(x).dtype)

    def inverse(self, x: Tensor) -> Tensor:
        mean, deviation = torch.from_numpy(self._figures).to(x.device)
        brought = x.double() * deviation + mean
        return brought if self._is_wide else brought.to(x.dtype)

    @lazy
    def _figures(self) -> np.ndarray:
        return np.array([self.mean, self.deviation])

    @lazy
    def _is_wide(self) -> bool:
        """Whether float32 has less than 12 binary digits for a deviation, or not its size."""
        figures = zip(self.mean, self.deviation, strict=True)
        return any(abs(m) > 2**12 * s or not 1e-30 < s < 1e30 for m, s in figures)

    def log_volume(self, shape: tuple[int, ...]) -> float:
        repeats = math.prod(shape) / len(self.deviation)
        return -repeats * sum(math.log(s) for s in self.deviation)


@part
@dataclass(frozen=True)
class Codes(Identity):
    """Categories by their numbers 0 … K − 1, as they are kept."""

    output = "categories"


@part
@dataclass(frozen=True)
class Levels(Transform):
    """The number of each value among the levels of its column, 0 … K − 1; −1 of other values.

    What comes back is the nearest level.

    Args:
        levels: of each column, in ascending order.
    """

    levels: tuple[tuple[Finite, ...], ...]
    output: ClassVar[Output] = "categories"

    @classmethod
    def of(cls, values: Any) -> Levels:
        """With the ``levels`` of each of the columns ``values``.

        Raises:
            ConfigurationError: they have none.
        """
        levels = getattr(values, "levels", ())
        if not all(levels) or not levels:
            raise ConfigurationError(
                f"expected columns of kind ordinal for the transform Levels, got {values.kind} "
                f"ones in {values.name}; leave the transform to likelihood=auto"
            )
        return cls(levels)

    def __post_init__(self) -> None:
        if len({len(each) for each in self.levels}) != 1 or not all(
            len(each) > 1 and list(each) == sorted(set(each)) for each in self.levels
        ):
            raise ConfigurationError(
                "Levels: expected for each column as many levels, two or more, in ascending "
                f"order, got {self.levels}"
            )

    def __call__(self, x: Tensor) -> Tensor:
        levels = torch.from_numpy(self._figures).to(x.device)
        distance, code = (x.double().unsqueeze(-1) - levels).abs().min(-1)
        is_level = distance <= SAME * levels.diff(dim=-1).amin(-1)
        code = torch.where(is_level, code, -1)
        return code.to(floating(x).dtype).masked_fill(x.isnan(), math.nan)

    def inverse(self, x: Tensor) -> Tensor:
        levels = torch.from_numpy(self._figures).to(x.device)
        code = x.nan_to_num().round().clamp(0, levels.shape[1] - 1).long().unsqueeze(-1)
        found = levels.expand(*x.shape, -1).gather(-1, code).squeeze(-1)
        return found.masked_fill(x.isnan(), math.nan).to(x.dtype)

    @lazy
    def _figures(self) -> np.ndarray:
        return np.array(self.levels)

    def log_volume(self, shape: tuple[int, ...]) -> float:
        return 0.0


@part
@dataclass(frozen=True)
class Tokens(Identity):
    """Tokens by their codes 0 … V − 1, as they are kept."""

    output = "tokens"


@part
@dataclass(frozen=True)
class PerField(Transform):
    """A transform for each of several groups of columns of a row, (batch, columns).

    ``columns`` are the numbers of each group's columns, which together are all of them.

    Args:
        transforms: of each group.
        columns: the numbers of each group's columns.
    """

    transforms: tuple[Transform, ...]
    columns: tuple[tuple[NonNegative, ...], ...]

    def __post_init__(self) -> None:
        every = sorted(column for group in self.columns for column in group)
        if len(self.transforms) != len(self.columns) or every != list(range(len(every))):
            raise ConfigurationError(
                f"PerField: expected a transform for each group, and every column in one group, "
                f"got {len(self.transforms)} transforms for the columns {self.columns}"
            )

    @property
    def output(self) -> tuple[tuple[tuple[int, ...], str], ...]:
        """What comes out of each group of columns."""
        return tuple(zip(self.columns, (t.output for t in self.transforms), strict=True))

    def __call__(self, x: Tensor) -> Tensor:
        return self._each(x, [transform.__call__ for transform in self.transforms])

    def noiseless(self, x: Tensor) -> Tensor:
        return self._each(x, [transform.noiseless for transform in self.transforms])

    def inverse(self, x: Tensor) -> Tensor:
        return self._each(x, [transform.inverse for transform in self.transforms])

    def log_volume(self, shape: tuple[int, ...]) -> float:
        groups = zip(self.transforms, self.columns, strict=True)
        return sum(transform.log_volume((len(group),)) for transform, group in groups)

    def _each(self, x: Tensor, functions: list[Callable[[Tensor], Tensor]]) -> Tensor:
        groups = zip(functions, self.columns, strict=True)
        found = [(group, function(x[..., group])) for function, group in groups]
        dtype = functools.reduce(torch.promote_types, (y.dtype for _, y in found))
        out = torch.empty_like(x, dtype=dtype)
        for group, y in found:
            out[..., group] = y.to(dtype)
        return out
