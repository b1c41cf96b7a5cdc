"""The first and last layers of networks that split their input or output."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.parts import Size, part


@part
class GaussianHeads(nn.Module):
    """μ = mean(h) and log σ = std(h), two linear layers on features h = network(x).

    Returns μ, then log σ² = 2 std(h), as `DiagonalGaussian` takes them.
    """

    def __init__(self, network: nn.Module, in_features: Size, latent_dim: Size) -> None:
        super().__init__()
        self.network = network
        self.mean = nn.Linear(in_features, latent_dim)
        self.std = nn.Linear(in_features, latent_dim)

    def forward(
        self,
        x: Float[Tensor, "batch ..."],
        context: Float[Tensor, "batch features"] | None = None,
    ) -> Float[Tensor, "batch out"]:
        h = self.network(x) if context is None else self.network(x, context)
        return torch.cat((self.mean(h), 2 * self.std(h)), -1)


@part
class Leading(nn.Module):
    """``network`` of the first ``features`` numbers of z alone: p(x|z₁) where z = (z₁, …, z_L)."""

    def __init__(self, network: nn.Module, features: Size) -> None:
        super().__init__()
        self.network, self.features = network, features

    def forward(
        self,
        z: Float[Tensor, "batch latent"],
        context: Float[Tensor, "batch features"] | None = None,
    ) -> Float[Tensor, "batch ..."]:
        z = z[:, : self.features]
        return self.network(z) if context is None else self.network(z, context)
