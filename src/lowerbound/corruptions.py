"""Corruptions of prepared x, for denoising; noise comes from torch's global generator."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.errors import ConfigurationError
from lowerbound.parts import part
from lowerbound.streams import bernoulli


class Corruption(ABC):
    """A random change of x that keeps its shape."""

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """A corrupted copy of x."""


@part
@dataclass(frozen=True)
class GaussianNoise(Corruption):
    """x + σε, ε ~ N(0, I).

    Args:
        sigma: σ, above 0.
    """

    sigma: float = 0.5

    def __post_init__(self) -> None:
        if not self.sigma > 0:
            raise ConfigurationError(f"GaussianNoise: expected sigma > 0, got {self.sigma}")

    def __call__(self, x: Tensor) -> Tensor:
        return x + self.sigma * torch.randn_like(x)


@part
@dataclass(frozen=True)
class Masking(Corruption):
    """Each element set to 0 with probability ``rate``.

    Args:
        rate: the probability, between 0 and 1.
    """

    rate: float = 0.5

    def __post_init__(self) -> None:
        if not 0 < self.rate < 1:
            raise ConfigurationError(f"Masking: expected 0 < rate < 1, got {self.rate}")

    def __call__(self, x: Tensor) -> Tensor:
        return x * (torch.rand_like(x) >= self.rate)


@part
@dataclass(frozen=True)
class BernoulliDraw(Corruption):
    """A draw from Bernoulli(x), for x in [0, 1]: a black-and-white image whose mean is x.

    Raises:
        ConfigurationError: x has other values.
    """

    def __call__(self, x: Tensor) -> Tensor:
        if not torch.compiler.is_compiling() and not ((x >= 0) & (x <= 1)).all():
            raise ConfigurationError(
                "expected values from 0 to 1 for BernoulliDraw, got others; take another corruption"
            )
        return bernoulli(x)
