"""Columns less their means, divided by their deviations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.errors import ConfigurationError
from lowerbound.lazy import lazy
from lowerbound.parts import Finite, Positive, part
from lowerbound.transforms.base import Transform, Values, floating

SMALLEST = 1e-150


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
        mean, deviation = self._figures.to(x.device)
        centred = (x.double() - mean) / deviation
        return centred.to(floating(x).dtype)

    def inverse(self, x: Tensor) -> Tensor:
        mean, deviation = self._figures.to(x.device)
        brought = x.double() * deviation + mean
        return brought if self._is_wide else brought.to(x.dtype)

    @lazy
    def _figures(self) -> Tensor:
        return torch.tensor((self.mean, self.deviation), dtype=torch.float64)

    @lazy
    def _is_wide(self) -> bool:
        """Whether float32 has less than 12 binary digits for a deviation, or not its size."""
        figures = zip(self.mean, self.deviation, strict=True)
        return any(abs(m) > 2**12 * s or not 1e-30 < s < 1e30 for m, s in figures)

    def log_slopes(self, shape: tuple[int, ...]) -> Tensor:
        return -self._figures[1].log().expand(shape)
