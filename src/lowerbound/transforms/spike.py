"""Columns less a number that many rows have."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from lowerbound.errors import ConfigurationError
from lowerbound.lazy import lazy
from lowerbound.parts import Finite, part
from lowerbound.transforms.base import Output, Transform, floating, levels_told


@part
@dataclass(frozen=True)
class FromSpike(Transform):
    """±(x − a), exactly 0 where x is the number a that many rows have; densities stay as they are.

    Args:
        spikes: a, of each column.
        signs: −1 for each column whose other values are all below a, else 1.
    """

    spikes: tuple[Finite, ...]
    signs: tuple[Literal[-1, 1], ...]
    output: ClassVar[Output] = "zero-inflated"

    @classmethod
    def of(cls, values: Any) -> FromSpike:
        """With the ``levels`` of each of the columns ``values``: a, and −∞ or ∞ beside it.

        Raises:
            ConfigurationError: they have none.
        """
        levels = levels_told(values, "zero-inflated", cls.__name__)
        spikes = tuple(next(level for level in each if math.isfinite(level)) for each in levels)
        return cls(spikes, tuple(-1 if each[0] == -math.inf else 1 for each in levels))

    def __post_init__(self) -> None:
        if not self.spikes or len(self.spikes) != len(self.signs):
            raise ConfigurationError(
                f"FromSpike: expected a sign for each spike, got {self.signs} for {self.spikes}"
            )

    def __call__(self, x: Tensor) -> Tensor:
        spike, sign = self._figures.to(x.device)
        return ((x.double() - spike) * sign).to(floating(x).dtype)

    def inverse(self, x: Tensor) -> Tensor:
        spike, sign = self._figures.to(x.device)
        return (x.double() * sign + spike).to(x.dtype)

    @lazy
    def _figures(self) -> Tensor:
        return torch.tensor((self.spikes, self.signs), dtype=torch.float64)

    def log_slopes(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64)
