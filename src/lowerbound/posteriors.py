"""Approximate posteriors q(z|x) or q(z|x,c): modules whose call returns a distribution over z.

Each takes a network from x, (batch, *shape), to the numbers that its distribution needs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound import distributions
from lowerbound.distributions import Chain, Conditional
from lowerbound.errors import ConfigurationError
from lowerbound.networks import Univariate, apply, autoregressive_flow
from lowerbound.networks.apply import Context
from lowerbound.parts import NonNegative, Size, part

LOG_VARIANCES = (-80.0, 20.0)


def bounded(log_variance: Tensor) -> Tensor:
    """log σ² between those of which float32 holds 1/σ² and z², for any q gives a bound.

    A network has others for rows far from what it was trained on, and 0·∞ would follow in log q.
    The gradient is as if there were no limits, so that training finds back.
    """
    limited = log_variance.detach().clamp(*LOG_VARIANCES)
    return limited + (log_variance - log_variance.detach())


def log_softplus(s: Tensor) -> Tensor:
    """log log(1 + e^s), which is s to all digits far below 0, where e^s is 0 in floating point."""
    return torch.where(s < -35, s, F.softplus(s.clamp(min=-35)).log())


class Posterior(nn.Module, ABC):
    """q(z|x) or q(z|x,c) over ``latent_dim`` dimensions.

    One whose arguments are a ``network`` and the ``latent_dim`` also has ``outputs``, the numbers
    that the network returns for each x.
    """

    latent_dim: int

    @abstractmethod
    def forward(self, x: Float[Tensor, "batch ..."], context: Context = None) -> Distribution:
        """q(z|x,c), batch shape (batch,), event shape (latent_dim,).

        Args:
            x: prepared, (batch, *shape).
            context: features c, (batch, context_dim); None in a model without context.
        """


@part
class DiagonalGaussian(Posterior):
    """q(z|x) = N(μ(x), diag σ²(x)).

    Args:
        network: from x, (batch, *shape), to 2 × latent_dim numbers: the mean μ, then log σ².
        latent_dim: dimensions of z.
        scale: what brings the network's numbers s to σ: ``"exp"``, e^(s/2), or ``"softplus"``,
            log(1 + e^s).

    Source: Kingma & Welling, Auto-Encoding Variational Bayes, 2013, arXiv 1312.6114.
    """

    def __init__(
        self, network: nn.Module, latent_dim: Size, scale: Literal["exp", "softplus"] = "exp"
    ) -> None:
        super().__init__()
        self.network, self.latent_dim, self.scale = network, latent_dim, scale
        self.outputs = 2 * latent_dim

    def forward(self, x: Float[Tensor, "batch ..."], context: Context = None) -> Distribution:
        mean, log_variance = apply(self.network, x, context, (self.outputs,)).chunk(2, -1)
        if self.scale == "softplus":
            log_variance = 2 * log_softplus(log_variance)
        return distributions.DiagonalNormal(mean, bounded(log_variance))


@part
class FullGaussian(Posterior):
    """q(z|x) = N(μ(x), L(x) L(x)ᵀ): the dimensions of z may be correlated given x.

    Args:
        network: from x, (batch, *shape), to latent_dim (latent_dim + 3)/2 numbers: μ, then
            2 log Lᵢᵢ, then the elements of L below its diagonal, row by row.
        latent_dim: dimensions of z.

    Source: Kingma & Welling, An introduction to variational autoencoders, 2019, section 2.5.1,
    arXiv 1906.02691.
    """

    rows: Tensor
    columns: Tensor

    def __init__(self, network: nn.Module, latent_dim: Size) -> None:
        super().__init__()
        self.network, self.latent_dim = network, latent_dim
        self.outputs = latent_dim * (latent_dim + 3) // 2
        rows, columns = torch.tril_indices(latent_dim, latent_dim, -1)
        self.register_buffer("rows", rows, persistent=False)
        self.register_buffer("columns", columns, persistent=False)

    def forward(self, x: Float[Tensor, "batch ..."], context: Context = None) -> Distribution:
        d = self.latent_dim
        numbers = apply(self.network, x, context, (self.outputs,))
        mean, log_diagonal, below = numbers.split((d, d, d * (d - 1) // 2), -1)
        L = (0.5 * bounded(log_diagonal)).exp().diag_embed()
        L[:, self.rows, self.columns] = below
        return distributions.FullNormal(mean, L)


@part
class FlowPosterior(Posterior):
    """q(z|x) = f(·; h(x)) of N(μ(x), diag σ²(x)), with f an inverse autoregressive flow.

    Drawing z and the density of a z just drawn are one pass through the masked networks.  The
    density of any other z inverts f, in latent_dim passes one after the other.

    Args:
        network: from x, (batch, *shape), to 2 × latent_dim + features numbers: μ, log σ², then h.
        latent_dim: dimensions of z.
        features: width of h(x), which the flow is given.
        transforms: masked networks, one after the other.
        hidden: widths of the layers of each.
        univariate: what each does to one dimension of z: ``"affine"``, or a monotonic ``"spline"``.
        coupling: f is a coupling flow, whose inverse takes 2 passes.

    Sources: Kingma et al., Improving variational inference with inverse autoregressive flow, 2016,
    arXiv 1606.04934; splines: Durkan et al. 2019, arXiv 1906.04032; coupling: Dinh et al. 2016,
    arXiv 1605.08803.
    """

    def __init__(
        self,
        network: nn.Module,
        latent_dim: Size,
        features: NonNegative = 32,
        transforms: Size = 2,
        hidden: tuple[Size, ...] = (64,),
        univariate: Univariate = "affine",
        *,
        coupling: bool = False,
    ) -> None:
        super().__init__()
        self.network, self.latent_dim, self.features = network, latent_dim, features
        self.outputs = 2 * latent_dim + features
        self.flow = autoregressive_flow(
            latent_dim, transforms, hidden, univariate, coupling=coupling, context_dim=features
        )

    def forward(self, x: Float[Tensor, "batch ..."], context: Context = None) -> Distribution:
        d = self.latent_dim
        numbers = apply(self.network, x, context, (self.outputs,))
        mean, log_variance, h = numbers.split((d, d, self.features), -1)
        base = distributions.DiagonalNormal(mean, bounded(log_variance))
        return distributions.Flow(base, self.flow, h if self.features else None)


@part
class BottomUpPosterior(Posterior):
    """q(z|x) = q(z₁|x) q(z₂|z₁) … q(z_L|z_{L−1}) over the concatenation z = (z₁, …, z_L).

    Args:
        layers: posteriors themselves, the first of x and each further one of the layer below.

    Raises:
        ConfigurationError: fewer than two layers.

    Source: Burda, Grosse & Salakhutdinov, 2015, arXiv 1509.00519.
    """

    def __init__(self, layers: tuple[nn.Module, ...]) -> None:
        super().__init__()
        self.layers, self.sizes = nn.ModuleList(layers), _sizes(layers)
        self.latent_dim = sum(self.sizes)

    def forward(self, x: Float[Tensor, "batch ..."], context: Context = None) -> Distribution:
        first, *others = self.layers
        conditionals = [Conditional(layer, context=context) for layer in others]
        return Chain(first(x, context), conditionals, self.sizes, top_down=False)


@part
class TopDownPosterior(Posterior):
    """q(z|x) = q(z_L|x) q(z_{L−1}|z_L, x) … q(z₁|z₂, x) over the concatenation z = (z₁, …, z_L).

    Args:
        network: from x, (batch, *shape), to features h, (batch, any).
        layers: posteriors, from z₁'s to z_L's: the last is called with h, and each other one with
            h and, as its context, the layer above.

    Raises:
        ConfigurationError: fewer than two layers.

    Source: Tomczak & Welling, VAE with a VampPrior, 2017, arXiv 1705.07120; so drawn, each layer's
    KL to the prior is in closed form given its parents.
    """

    def __init__(self, network: nn.Module, layers: tuple[nn.Module, ...]) -> None:
        super().__init__()
        self.network, self.layers = network, nn.ModuleList(layers)
        self.sizes = _sizes(layers)
        self.latent_dim = sum(self.sizes)

    def forward(self, x: Float[Tensor, "batch ..."], context: Context = None) -> Distribution:
        h = self._features(x, context)
        *others, top = self.layers
        conditionals = [Conditional(layer, h, context) for layer in reversed(others)]
        return Chain(top(h, context), conditionals, self.sizes, top_down=True)

    def top(self, x: Float[Tensor, "batch ..."], context: Context = None) -> Distribution:
        """q(z_L|x,c) of x and ``context``, batch shape (batch,), event shape that of z_L."""
        return self.layers[-1](self._features(x, context), context)

    def _features(self, x: Tensor, context: Tensor | None) -> Tensor:
        return self.network(x) if context is None else self.network(x, context)


def _sizes(layers: tuple[nn.Module, ...]) -> list[int]:
    if len(layers) < 2:
        raise ConfigurationError(
            f"expected two or more layers, got {len(layers)}; a single one is a posterior by itself"
        )
    return [layer.latent_dim for layer in layers]  # type: ignore[misc]


@part
class Deterministic(Posterior):
    """q(z|x) = δ(z − f(x)): the encoder of a plain autoencoder.

    Args:
        network: from x, (batch, *shape), to the code, (batch, latent_dim).
        latent_dim: dimensions of z.
    """

    def __init__(self, network: nn.Module, latent_dim: Size) -> None:
        super().__init__()
        self.network, self.latent_dim = network, latent_dim
        self.outputs = latent_dim

    def forward(self, x: Float[Tensor, "batch ..."], context: Context = None) -> Distribution:
        return distributions.Delta(apply(self.network, x, context, (self.outputs,)))
