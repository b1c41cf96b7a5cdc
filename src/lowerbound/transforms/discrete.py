"""Transforms of what is counted or has a name."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from lowerbound.errors import ConfigurationError
from lowerbound.lazy import lazy
from lowerbound.parts import Finite, part
from lowerbound.transforms.base import Identity, Output, Transform, floating, levels_told

SAME = 1e-3  # of the least distance between two levels


@part
@dataclass(frozen=True)
class Counts(Identity):
    """Whole numbers from 0, as they are; `networks.LogCounts` is for the encoder, which sees them.

    What is compared with p(x|z) must be the counts themselves, as it gives them probabilities.
    """

    output = "counts"


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
        return cls(levels_told(values, "ordinal", cls.__name__))

    def __post_init__(self) -> None:
        if len({len(each) for each in self.levels}) != 1 or not all(
            len(each) > 1 and list(each) == sorted(set(each)) for each in self.levels
        ):
            raise ConfigurationError(
                "Levels: expected for each column as many levels, two or more, in ascending "
                f"order, got {self.levels}"
            )

    def __call__(self, x: Tensor) -> Tensor:
        levels = self._figures.to(x.device)
        distance, code = (x.double().unsqueeze(-1) - levels).abs().min(-1)
        is_level = distance <= SAME * levels.diff(dim=-1).amin(-1)
        code = torch.where(is_level, code, -1)
        return code.to(floating(x).dtype).masked_fill(x.isnan(), math.nan)

    def inverse(self, x: Tensor) -> Tensor:
        levels = self._figures.to(x.device)
        code = x.nan_to_num().round().clamp(0, levels.shape[1] - 1).long().unsqueeze(-1)
        found = levels.expand(*x.shape, -1).gather(-1, code).squeeze(-1)
        return found.masked_fill(x.isnan(), math.nan).to(x.dtype)

    @lazy
    def _figures(self) -> Tensor:
        return torch.tensor(self.levels, dtype=torch.float64)

    def log_slopes(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64)


@part
@dataclass(frozen=True)
class Tokens(Identity):
    """Tokens by their codes 0 … V − 1, as they are kept."""

    output = "tokens"
