"""Transforms of grey levels."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lowerbound.errors import ConfigurationError
from lowerbound.parts import Positive, Size, part
from lowerbound.streams import bernoulli
from lowerbound.transforms.base import Output, Transform, Values, floating


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

    def log_slopes(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64)


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
        return bernoulli(self.noiseless(x))

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

    def log_slopes(self, shape: tuple[int, ...]) -> Tensor:
        return torch.full(shape, -math.log(self.levels), dtype=torch.float64)
