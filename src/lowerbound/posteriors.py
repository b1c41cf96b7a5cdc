"""Approximate posteriors q(z|x) or q(z|x,c): modules whose call returns a distribution over z.

Each takes a network from x, (batch, *shape), to the numbers that its distribution needs.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound import distributions
from lowerbound.networks import apply
from lowerbound.parts import Size, part

Context = Float[Tensor, "batch features"] | None


@part
class DiagonalGaussian(nn.Module):
    """q(z|x) = N(μ(x), diag σ²(x)).

    ``network`` returns 2 × latent_dim numbers per example: the mean μ, then log σ².

    Source: Kingma & Welling, Auto-Encoding Variational Bayes, 2013, arXiv 1312.6114.
    """

    def __init__(self, network: nn.Module, latent_dim: Size) -> None:
        super().__init__()
        self.network, self.latent_dim = network, latent_dim

    def forward(self, x: Float[Tensor, "batch ..."], context: Context = None) -> Distribution:
        """q(z|x,c), batch shape (batch,), event shape (latent_dim,)."""
        mean, log_variance = apply(self.network, x, context, (2 * self.latent_dim,)).chunk(2, -1)
        return distributions.DiagonalNormal(mean, log_variance)


@part
class Deterministic(nn.Module):
    """q(z|x) = δ(z − f(x)): the encoder of a plain autoencoder.

    ``network`` returns latent_dim numbers per example.
    """

    def __init__(self, network: nn.Module, latent_dim: Size) -> None:
        super().__init__()
        self.network, self.latent_dim = network, latent_dim

    def forward(self, x: Float[Tensor, "batch ..."], context: Context = None) -> Distribution:
        """δ(z − f(x,c)), batch shape (batch,), event shape (latent_dim,)."""
        return distributions.Delta(apply(self.network, x, context, (self.latent_dim,)))
