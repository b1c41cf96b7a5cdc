"""Transforms from data as it is kept to the tensors that a model sees, per batch, on its device.

``output`` names what comes out, in the words of `likelihoods.Support`: a likelihood is a density of
the data only where the two agree.  ``log_volume`` is what must be added to a log-density of the
transformed x to make it one of the data (the log of the Jacobian), in nats per example.  Random
transforms draw from torch's global generator, which `fit` and `evaluate` seed.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lowerbound.errors import ConfigurationError
from lowerbound.parts import part

Output = Literal["binary", "binarised", "grey", "continuous", "counts"]


class Transform(ABC):
    """What a transform is."""

    output: ClassVar[Output]

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Data to model units."""

    def noiseless(self, x: Tensor) -> Tensor:
        """The same, with the expectation in place of a random draw: what is encoded outside of
        training and evaluation, so that codes are repeatable."""
        return self(x)

    @abstractmethod
    def inverse(self, x: Tensor) -> Tensor:
        """Model to data units, of means and samples, as floats."""

    @abstractmethod
    def log_volume(self, shape: tuple[int, ...]) -> float:
        """log |∂transform(x)/∂x| for one x of this shape, nats."""


@part
@dataclass(frozen=True)
class Identity(Transform):
    """x as it is."""

    output = "continuous"

    def __call__(self, x: Tensor) -> Tensor:
        return x if x.is_floating_point() else x.float()

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
    """Grey levels 0 … maximum to [0, 1]: x/maximum."""

    maximum: float = 255.0
    output: ClassVar[Output] = "grey"

    def __call__(self, x: Tensor) -> Tensor:
        return x.float() / self.maximum

    def inverse(self, x: Tensor) -> Tensor:
        return x * self.maximum

    def log_volume(self, shape: tuple[int, ...]) -> float:
        return 0.0


@part
@dataclass(frozen=True)
class Binary(Scale):
    """Data that are 0 or maximum to 0 or 1."""

    output = "binary"


@part
@dataclass(frozen=True)
class Binarise(Scale):
    """A fresh draw b ~ Bernoulli(x/maximum) at each use.

    Source: Salakhutdinov & Murray, On the quantitative analysis of deep belief networks, 2008.
    """

    output = "binarised"

    def __call__(self, x: Tensor) -> Tensor:
        return torch.bernoulli(self.noiseless(x))

    def noiseless(self, x: Tensor) -> Tensor:
        return super().__call__(x)


@part
@dataclass(frozen=True)
class Dequantise(Transform):
    """Grey levels 0 … levels − 1 to [0, 1): (x + u)/levels with fresh u ~ U[0, 1).

    A log-density of the result, less D log levels, bounds the log-probability of the levels.

    Source: Theis, van den Oord & Bethge, A note on the evaluation of generative models, 2016,
    arXiv 1511.01844.
    """

    levels: int = 256
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
    """(x − mean)/deviation, with the training set's figures: for each column, or one for all."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    output = "continuous"

    def __post_init__(self) -> None:
        if len(self.mean) != len(self.deviation) or not all(s > 0 for s in self.deviation):
            raise ConfigurationError(
                f"Standardise: expected as many positive deviations as means, got "
                f"{len(self.mean)} means and deviations {self.deviation}"
            )

    def __call__(self, x: Tensor) -> Tensor:
        x = x if x.is_floating_point() else x.float()
        return (x - x.new_tensor(self.mean)) / x.new_tensor(self.deviation)

    def inverse(self, x: Tensor) -> Tensor:
        return x * x.new_tensor(self.deviation) + x.new_tensor(self.mean)

    def log_volume(self, shape: tuple[int, ...]) -> float:
        repeats = math.prod(shape) / len(self.deviation)
        return -repeats * sum(math.log(s) for s in self.deviation)


def standardise(x: Tensor) -> Standardise:
    """`Standardise` fitted to x: column by column of a table (n, columns), else as a whole.

    Columns that do not vary are only centred.
    """
    x = x.double() if x.ndim == 2 else x.double().reshape(-1, 1)
    mean, deviation = x.mean(0), x.std(0)
    deviation = torch.where(deviation > 0, deviation, 1.0)
    return Standardise(tuple(mean.tolist()), tuple(deviation.tolist()))
