"""What a transform is."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol

import torch
from torch import Tensor

from lowerbound.errors import ConfigurationError
from lowerbound.parts import part

Output = Literal[
    "binary", "binarised", "grey", "continuous", "zero-inflated", "counts", "categories", "tokens"
]


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


def levels_told(values: Any, kind: str, transform: str) -> tuple[Any, ...]:
    """The ``levels`` of each of the columns ``values``, which the ``transform`` is made of.

    Raises:
        ConfigurationError: some have none, as they are of another kind than ``kind``.
    """
    levels = getattr(values, "levels", ())
    if not levels or not all(levels):
        raise ConfigurationError(
            f"expected columns of kind {kind} for the transform {transform}, got {values.kind} "
            f"ones in {values.name}; leave the transform to likelihood=auto"
        )
    return tuple(levels)


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
    def log_slopes(self, shape: tuple[int, ...]) -> Tensor:
        """log |dtransform(xᵢ)/dxᵢ| of the elements of one x of this ``shape``, nats, float64.

        Discrete elements, which have probabilities, have 0.
        """

    def log_volume(self, x: Tensor) -> Tensor:
        """log |∂transform(x)/∂x| over what is observed of x, (n, *shape): nats, float64, (n,)."""
        slopes = self.log_slopes(tuple(x.shape[1:])).to(x.device)
        return torch.where(x.isnan(), 0.0, slopes).flatten(1).sum(1)


@part
@dataclass(frozen=True)
class Identity(Transform):
    """x as it is."""

    output: ClassVar[Output] = "continuous"

    def __call__(self, x: Tensor) -> Tensor:
        return floating(x)

    def inverse(self, x: Tensor) -> Tensor:
        return x

    def log_slopes(self, shape: tuple[int, ...]) -> Tensor:
        return torch.zeros(shape, dtype=torch.float64)
