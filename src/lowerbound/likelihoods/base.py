"""What all likelihoods are."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar, Literal

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution, Independent

from lowerbound.networks import apply
from lowerbound.parts import Size

Support = Literal["binary", "grey", "continuous", "counts"]
Shape = tuple[Size, ...]


class Likelihood(nn.Module, ABC):
    """p(x|z) = ∏ᵢ p(xᵢ; θᵢ(z)): ``network`` returns ``numbers`` of θ for each element of x.

    They come in blocks, (batch, numbers, *shape), as maps do.
    """

    support: ClassVar[Support]
    numbers = 1

    def __init__(self, network: nn.Module, shape: Shape) -> None:
        super().__init__()
        self.network, self.shape = network, shape

    @abstractmethod
    def elements(self, theta: Float[Tensor, "*batch numbers"]) -> Distribution:
        """p(xᵢ; θᵢ) for each element."""

    def forward(
        self,
        z: Float[Tensor, "*batch latent"],
        context: Float[Tensor, "... features"] | None = None,
    ) -> Distribution:
        """p(x|z,c), batch shape that of z, event shape ``shape``."""
        d = len(self.shape)
        theta = apply(self.network, z, context, (self.numbers, *self.shape), z.ndim - 1)
        elements = self.elements(theta.movedim(-1 - d, -1))
        return Independent(elements, d, validate_args=False)  # type: ignore[arg-type]
