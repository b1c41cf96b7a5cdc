"""Priors p(z) or p(z|c): modules whose call returns a distribution over z."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound import distributions
from lowerbound.parts import Size, part


@part
class StandardNormal(nn.Module):
    """p(z) = N(0, I) over ``latent_dim`` dimensions, whatever the context.

    >>> StandardNormal(3)().log_prob(torch.zeros(3)).item()  # −(3/2) log 2π
    -2.7568...
    """

    origin: Tensor

    def __init__(self, latent_dim: Size) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.register_buffer("origin", torch.zeros(latent_dim), persistent=False)

    def forward(self, context: Float[Tensor, "batch features"] | None = None) -> Distribution:
        """p(z|c), with batch shape () without context and (batch,) with it."""
        batch = () if context is None else context.shape[:-1]
        return distributions.StandardNormal(self.origin.expand(*batch, self.latent_dim))
