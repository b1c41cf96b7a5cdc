"""Priors p(z) or p(z|c): modules whose call returns a distribution over z."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound import distributions
from lowerbound.errors import ConfigurationError
from lowerbound.networks import apply
from lowerbound.parts import Size, part


@part
class ConditionalGaussian(nn.Module):
    """p(z|c) = N(μ(c), diag σ²(c)): another place in the latent space for each context.

    ``network`` takes the context and returns 2 × latent_dim numbers: the mean μ, then log σ².

    Source: Sohn, Lee & Yan, Learning structured output representation using deep conditional
    generative models, 2015.
    """

    def __init__(self, network: nn.Module, latent_dim: Size) -> None:
        super().__init__()
        self.network, self.latent_dim = network, latent_dim

    def forward(self, context: Float[Tensor, "batch features"] | None = None) -> Distribution:
        """p(z|c), with batch shape (batch,).

        Raises:
            ConfigurationError: no context.
        """
        if context is None:
            raise ConfigurationError(
                "expected a context for the ConditionalGaussian prior, got none; give the VAE "
                "context=Labels(...)"
            )
        mean, log_variance = apply(self.network, context, None, (2 * self.latent_dim,)).chunk(2, -1)
        return distributions.DiagonalNormal(mean, log_variance)


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
