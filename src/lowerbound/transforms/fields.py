"""A transform for each group of columns."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.errors import ConfigurationError
from lowerbound.parts import NonNegative, part
from lowerbound.transforms.base import Transform


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

    def log_slopes(self, shape: tuple[int, ...]) -> Tensor:
        slopes = torch.zeros(shape, dtype=torch.float64)
        for transform, group in zip(self.transforms, self.columns, strict=True):
            slopes[list(group)] = transform.log_slopes((len(group),))
        return slopes

    def _each(self, x: Tensor, functions: list[Callable[[Tensor], Tensor]]) -> Tensor:
        groups = zip(functions, self.columns, strict=True)
        found = [(group, function(x[..., group])) for function, group in groups]
        dtype = functools.reduce(torch.promote_types, (y.dtype for _, y in found))
        out = torch.empty_like(x, dtype=dtype)
        for group, y in found:
            out[..., group] = y.to(dtype)
        return out
