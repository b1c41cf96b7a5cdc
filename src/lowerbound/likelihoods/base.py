"""What all likelihoods are."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from lowerbound.errors import ConfigurationError
from lowerbound.networks import apply, output_layer, set_output
from lowerbound.parts import Size
from lowerbound.transforms import (
    Binary,
    Codes,
    Counts,
    Dequantise,
    FromSpike,
    Identity,
    Scale,
    Standardise,
    Tokens,
    Transform,
)

Support = Literal["binary", "grey", "continuous", "zero-inflated", "counts", "categories", "tokens"]
Shape = tuple[Size, ...]
Takes = Mapping[str, type[Transform]]
TAKES: dict[str, Takes] = {
    "binary": {"binary": Binary, "grey": Scale, "unit": Identity},
    "grey": {"grey": Scale},
    "continuous": {
        "grey": Dequantise,
        "unit": Identity,
        "real": Standardise,
        "positive": Standardise,
        "counts": Standardise,
    },
    "zero-inflated": {"zero-inflated": FromSpike},
    "counts": {"counts": Counts, "grey": Counts},
    "categories": {"categories": Codes},
    "tokens": {"tokens": Tokens},
}
"""The kinds of data that a likelihood of each support takes, and the transform that brings them."""


class Likelihood(nn.Module, ABC):
    """p(x|z) = ∏ᵢ p(xᵢ; θᵢ(z)): ``network`` returns ``numbers`` of θ for each element of x.

    They come in blocks, (batch, numbers, *shape), as maps do.  ``takes`` are the kinds of data that
    the likelihood can be trained on, each with its transform; they follow from ``support``.

    Args:
        network: from z, (batch, latent), to θ; of a conditional model also from the context.
        shape: of one x, such as (1, 28, 28).

    Raises:
        ShapeError: when it is called, if the network returns another number of elements.
    """

    support: ClassVar[Support]
    takes: ClassVar[Takes]
    numbers = 1

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        if "support" in vars(cls) and "takes" not in vars(cls):
            if cls.support not in TAKES:
                raise ConfigurationError(
                    f"expected {cls.__name__} to have one of the supports {', '.join(TAKES)}, or "
                    f"takes of its own, got {cls.support!r}"
                )
            cls.takes = TAKES[cls.support]

    def __init__(self, network: nn.Module, shape: Shape) -> None:
        super().__init__()
        self.network, self.shape = network, shape

    @property
    def outputs(self) -> int:
        """The numbers that ``network`` returns for one code."""
        return self.numbers * math.prod(self.shape)

    @property
    def scales(self) -> list[nn.Parameter]:
        """What is the same for all z, such as σ, and `fit` moves faster: parameters ``log_…``."""
        own = self.named_parameters(recurse=False)
        return [parameter for name, parameter in own if name.startswith("log_")]

    @torch.no_grad()
    def start(self, x: Float[Tensor, "n ..."]) -> None:
        """Start at the p(x) that fits prepared examples ``x`` best of those that ignore z.

        Where the network's last layer has one bias for a map, all elements of it start alike.
        """
        layer, places = output_layer(self.network), math.prod(self.shape[1:])
        biases = None if layer is None else layer.bias
        if biases is not None and biases.numel() * places == self.outputs and places > 1:
            values = x.movedim(1, -1).flatten(0, -2)
            x = values.view(*values.shape, *(1 for _ in self.shape[1:]))
        if (theta := self.constant(x)) is not None:
            set_output(self.network, theta.movedim(-1, 0))

    def constant(self, x: Float[Tensor, "n ..."]) -> Tensor | None:
        """θ, (*x.shape[1:], numbers), that fits ``x`` for all z; what has no part in θ is set.

        The shape of one x is `shape`, or has a 1 for each axis whose elements start alike.  NaN
        marks what is missing.  None leaves the network as it is.
        """
        return None

    @abstractmethod
    def elements(self, theta: Float[Tensor, "*batch numbers"]) -> Distribution:
        """p(xᵢ; θᵢ) for each element: of ``theta``, (*batch, numbers), a batch shape (*batch,)."""

    def forward(
        self,
        z: Float[Tensor, "*batch latent"],
        context: Float[Tensor, "... features"] | None = None,
    ) -> Distribution:
        """p(x|z,c) of z and ``context`` c, batch shape that of z, event shape ``shape``."""
        d = len(self.shape)
        theta = apply(self.network, z, context, (self.numbers, *self.shape), z.ndim - 1)
        elements = self.elements(theta.movedim(-1 - d, -1))
        return Independent(elements, d, validate_args=False)
