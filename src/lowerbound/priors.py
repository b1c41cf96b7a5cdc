"""Priors p(z) or p(z|c): modules whose call returns a distribution over z."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound import distributions
from lowerbound.distributions import Chain, Conditional
from lowerbound.errors import ConfigurationError, ShapeError
from lowerbound.networks import Univariate, apply, autoregressive_flow
from lowerbound.networks.apply import Context as Context
from lowerbound.parts import NonNegative, Size, part

Posterior = Callable[[Tensor, Tensor | None], Distribution]


class Prior(nn.Module, ABC):
    """p(z) or p(z|c).

    A prior that needs the model's posterior has ``bind``, which `VAE` calls with it and the shape
    of one x; a prior of pseudo-inputs has ``start_at``, which `recipes.compose` calls with
    ``components`` prepared examples.
    """

    @abstractmethod
    def forward(self, context: Context = None) -> Distribution:
        """p(z|c), with batch shape () without context and (batch,) with it."""


@part
class ConditionalGaussian(Prior):
    """p(z|c) = N(μ(c), diag σ²(c)): another place in the latent space for each context.

    Args:
        network: from the context, (batch, context_dim), to 2 × latent_dim numbers: the mean μ,
            then log σ².
        latent_dim: dimensions of z.

    Source: Sohn, Lee & Yan, Learning structured output representation using deep conditional
    generative models, 2015.
    """

    def __init__(self, network: nn.Module, latent_dim: Size) -> None:
        super().__init__()
        self.network, self.latent_dim = network, latent_dim
        self.outputs = 2 * latent_dim

    def forward(self, context: Context = None) -> Distribution:
        """p(z|c), with batch shape (batch,).

        Raises:
            ConfigurationError: no context.
        """
        if context is None:
            raise ConfigurationError(
                "expected a context for the ConditionalGaussian prior, got none; give the VAE "
                "context=Labels(...)"
            )
        mean, log_variance = apply(self.network, context, None, (self.outputs,)).chunk(2, -1)
        return distributions.DiagonalNormal(mean, log_variance)


@part
class StandardNormal(Prior):
    """p(z) = N(0, I) over ``latent_dim`` dimensions, whatever the context.

    >>> StandardNormal(3)().log_prob(torch.zeros(3)).item()  # −(3/2) log 2π
    -2.7568...
    """

    origin: Tensor

    def __init__(self, latent_dim: Size) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.register_buffer("origin", torch.zeros(latent_dim), persistent=False)

    def forward(self, context: Context = None) -> Distribution:
        """p(z|c), with batch shape () without context and (batch,) with it."""
        batch = () if context is None else context.shape[:-1]
        return distributions.StandardNormal(self.origin.expand(*batch, self.latent_dim))


@part
class GaussianMixture(Prior):
    """p(z) = Σₖ πₖ N(z; μₖ, diag σₖ²), all learned, whatever the context.

    Args:
        latent_dim: dimensions of z.
        components: K, the number of Gaussians.

    Sources: Dilokthanakul et al., 2016, arXiv 1611.02648; Jiang et al., Variational deep embedding,
    2016, arXiv 1611.05148.
    """

    def __init__(self, latent_dim: Size, components: Size = 10) -> None:
        super().__init__()
        self.latent_dim, self.components = latent_dim, components
        self.logits = nn.Parameter(torch.zeros(components))
        self.mean = nn.Parameter(torch.randn(components, latent_dim))
        self.log_variance = nn.Parameter(torch.zeros(components, latent_dim))

    def forward(self, context: Context = None) -> Distribution:
        """p(z), with batch shape () without context and (batch,) with it."""
        batch = () if context is None else context.shape[:-1]
        shape = (*batch, *self.mean.shape)
        components = distributions.DiagonalNormal(
            self.mean.expand(shape), self.log_variance.expand(shape)
        )
        return distributions.Mixture(self.logits.log_softmax(-1), components)


@part
class VampPrior(Prior):
    """p(z) = (1/K) Σₖ q(z|uₖ): the model's own posterior, mixed over K learned pseudo-inputs uₖ.

    With context, p(z|c) = (1/K) Σₖ q(z|uₖ, c), which takes K encodings for each example.  The uₖ
    are like prepared x; `start_at` puts them on data.  `VAE` gives the prior its posterior, which
    stays the model's and is saved and counted once; for another posterior, build another VAE.

    Args:
        shape: of one x.
        components: K, of which a recipe takes no more than there are examples.

    Source: Tomczak & Welling, VAE with a VampPrior, 2017, arXiv 1705.07120.  There the uₖ are also
    clipped to [0, 1]; here they are free, as x need not lie there.
    """

    def __init__(self, shape: tuple[Size, ...], components: Size = 500) -> None:
        super().__init__()
        self.shape, self.components = shape, components
        self.pseudo_inputs = nn.Parameter(torch.rand(components, *shape))
        self._bound: tuple[Posterior, ...] = ()  # in a tuple, so that it is no module of this one

    def bind(self, posterior: Posterior, shape: tuple[int, ...]) -> None:
        """Take ``posterior``, from prepared x and context to q(z|x), of a model of ``shape``."""
        if shape != self.shape:
            raise ShapeError(
                f"expected pseudo-inputs of the data's shape {shape}, got {self.shape}; build "
                "VampPrior with shape= that of the likelihood"
            )
        self._bound = (posterior,)

    @torch.no_grad()
    def start_at(self, x: Float[Tensor, "components ..."]) -> None:
        """Put the pseudo-inputs on ``x``: prepared data, one example for each."""
        if x.shape != self.pseudo_inputs.shape:
            raise ShapeError(
                f"expected prepared data of shape {tuple(self.pseudo_inputs.shape)} to start at, "
                f"got {tuple(x.shape)}"
            )
        self.pseudo_inputs.copy_(x)

    def forward(self, context: Context = None) -> Distribution:
        """p(z|c), with batch shape () without context and (batch,) with it.

        Raises:
            ConfigurationError: the prior is in no VAE yet.
        """
        if not self._bound:
            raise ConfigurationError(
                "expected a VampPrior in a VAE, which gives it the posterior that it mixes, got "
                "one by itself; build VAE(prior, posterior, likelihood) first"
            )
        (posterior,) = self._bound
        u, K = self.pseudo_inputs, self.components
        if context is None:
            components = posterior(u, None)
        else:
            rows = u.repeat(context.shape[0], *[1] * len(self.shape))
            q = posterior(rows, context.repeat_interleave(K, 0))
            components = distributions.Unflattened(q, (context.shape[0], K))
        return distributions.Mixture(u.new_full((K,), -math.log(K)), components)


@part
class FlowPrior(Prior):
    """p(z) or p(z|c): a masked autoregressive flow takes z to N(0, I).

    A density is one pass through the masked networks; a draw takes latent_dim passes.

    Args:
        latent_dim: dimensions of z.
        transforms: masked networks, one after the other.
        hidden: widths of the layers of each.
        univariate: what each does to one dimension of z: ``"affine"``, or a monotonic ``"spline"``.
        context_dim: width of the context, 0 for none.

    Sources: Papamakarios, Pavlakou & Murray, Masked autoregressive flow, 2017, arXiv 1705.07057;
    splines: Durkan et al., 2019, arXiv 1906.04032; as a prior: Chen et al., Variational lossy
    autoencoder, 2016, arXiv 1611.02731.
    """

    origin: Tensor

    def __init__(
        self,
        latent_dim: Size,
        transforms: Size = 3,
        hidden: tuple[Size, ...] = (64, 64),
        univariate: Univariate = "affine",
        context_dim: NonNegative = 0,
    ) -> None:
        super().__init__()
        self.latent_dim, self.context_dim = latent_dim, context_dim
        self.flow = autoregressive_flow(
            latent_dim, transforms, hidden, univariate, context_dim=context_dim
        )
        self.register_buffer("origin", torch.zeros(latent_dim), persistent=False)

    def forward(self, context: Context = None) -> Distribution:
        """p(z|c), with batch shape () without context and (batch,) with it.

        Raises:
            ConfigurationError: the context has another width, or there is none.
        """
        batch = () if context is None else context.shape[:-1]
        width = 0 if context is None else context.shape[-1]
        if self.context_dim not in (0, width):
            raise ConfigurationError(
                f"expected a context of {self.context_dim} features for the FlowPrior, got "
                f"{width or 'none'}; give the VAE context=Labels({self.context_dim})"
            )
        base = distributions.StandardNormal(self.origin.expand(*batch, self.latent_dim))
        inverse: nn.Module = self.flow.inv  # type: ignore[assignment]
        return distributions.Flow(base, inverse, context if self.context_dim else None)


@part
class HierarchicalPrior(Prior):
    """p(z) = p(z_L) p(z_{L−1}|z_L) … p(z₁|z₂) over the concatenation z = (z₁, …, z_L).

    Args:
        top: the prior p(z_L) of the uppermost layer.
        layers: p(z₁|z₂) to p(z_{L−1}|z_L), posteriors that take the layer above as their x:
            ``DiagonalGaussian(MLP(50, (100, 100), 200), 100)`` is N(μ(z₂), diag σ²(z₂)).

    Source: Burda, Grosse & Salakhutdinov, 2015, arXiv 1509.00519.
    """

    def __init__(self, top: nn.Module, layers: tuple[nn.Module, ...]) -> None:
        super().__init__()
        if not layers:
            raise ConfigurationError(
                "expected one or more layers below the top, got none; the top is a prior by itself"
            )
        self.top, self.layers = top, nn.ModuleList(layers)
        self._below: list[int] = [layer.latent_dim for layer in layers]  # type: ignore[misc]
        if hasattr(top, "latent_dim"):
            self.sizes: list[int] = [*self._below, top.latent_dim]  # type: ignore[list-item]
            self.latent_dim = sum(self.sizes)

    def bind(self, posterior: nn.Module, shape: tuple[int, ...]) -> None:
        """Give a VampPrior at the top, if there is one, the ``posterior`` of the top layer.

        ``shape`` is that of one x.
        """
        if not hasattr(self.top, "bind"):
            return
        if not hasattr(posterior, "top"):
            raise ConfigurationError(
                f"expected a TopDownPosterior, whose q(z_L|x) the {type(self.top).__name__} at the "
                f"top mixes, got {type(posterior).__name__}"
            )
        below: list[int] = posterior.sizes[:-1]  # type: ignore[index, assignment]
        if below != self._below:
            raise ShapeError(
                f"expected prior and posterior layers of the same sizes, got {self._below} and "
                f"{below} below the top"
            )
        self.top.bind(posterior.top, shape)  # type: ignore[operator]

    def forward(self, context: Context = None) -> Distribution:
        """p(z|c), with batch shape () without context and (batch,) with it."""
        top = self.top(context)
        sizes = [*self._below, top.event_shape[0]]
        conditionals = [Conditional(layer, context=context) for layer in reversed(self.layers)]
        return Chain(top, conditionals, sizes, top_down=True)
