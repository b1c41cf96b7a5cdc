"""The composition: a prior, a posterior and a likelihood."""

from __future__ import annotations

from typing import TypeVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.distributions import Distribution

from lowerbound.errors import ConfigurationError, ShapeError
from lowerbound.parts import part
from lowerbound.transforms import Identity, Transform

T = TypeVar("T", Tensor, Tensor | None)


@part
class VAE(nn.Module):
    """p(x, z) = p(z) p(x|z) with an approximate posterior q(z|x).

    ``transform`` takes data as it is kept (grey levels as uint8, say) to what the parts see, and
    ``context`` takes class labels to features; every part is then given c.

    The parts, `log_weights` and the objectives work on prepared tensors, as `prepare` returns them.
    `encode`, `embed`, `decode`, `reconstruct` and `sample` take and return data.

    >>> from lowerbound import MLP, Bernoulli, DiagonalGaussian, StandardNormal
    >>> model = VAE(
    ...     StandardNormal(2),
    ...     DiagonalGaussian(MLP(784, (512,), 4), 2),
    ...     Bernoulli(MLP(2, (512,), 784), shape=(1, 28, 28)),
    ... )
    >>> sum(p.numel() for p in model.parameters())
    807700
    """

    def __init__(
        self,
        prior: nn.Module,
        posterior: nn.Module,
        likelihood: nn.Module,
        transform: Transform = Identity(),
        context: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.prior, self.posterior, self.likelihood = prior, posterior, likelihood
        self.transform, self.context = transform, context
        for given, name, meaning in (
            (posterior, "latent_dim", "the dimensions of z"),
            (likelihood, "shape", "the shape of one x"),
        ):
            if not hasattr(given, name):
                raise ConfigurationError(
                    f"expected {type(given).__name__} to have {name}, {meaning}, got none; set it "
                    "as an attribute"
                )
        sizes = {part.latent_dim for part in (prior, posterior) if hasattr(part, "latent_dim")}
        if len(sizes) > 1:
            raise ShapeError(
                f"expected prior and posterior over one latent space, got latent_dim "
                f"{prior.latent_dim} and {posterior.latent_dim}"
            )

    @property
    def latent_dim(self) -> int:
        """Dimensions of z."""
        return self.posterior.latent_dim  # type: ignore[return-value]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one x."""
        return self.likelihood.shape  # type: ignore[return-value]

    @property
    def is_density(self) -> bool:
        """Whether log p(x|z) is a density, or a probability, of the data itself."""
        support = getattr(self.likelihood, "support", None)
        levels = getattr(self.likelihood, "levels", None)
        if levels is not None and levels != getattr(self.transform, "maximum", 0) + 1:
            return False
        return support == self.transform.output

    def log_weights(
        self,
        x: Float[Tensor, "batch ..."],
        samples: int = 1,
        context: Float[Tensor, "batch features"] | None = None,
    ) -> Float[Tensor, "samples batch"]:
        """log w = log p(x|z) + log p(z) − log q(z|x), z ~ q(z|x), of prepared x; nats."""
        q = self.posterior(x, context)
        z = q.rsample((samples,))
        return (
            self.likelihood(z, context).log_prob(x)
            + self.prior(context).log_prob(z)
            - q.log_prob(z)
        )

    def prepare(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor | None]:
        """Data (batch, *shape) and labels (batch,) as the tensors that the parts see.

        Labels are ignored by a model without context.

        Raises:
            ShapeError: x has another shape than the model's.
            ConfigurationError: a conditional model was given no labels, or wrong ones.
        """
        self._check(x)
        return self.transform(x), self.features(context)

    def _here(self, tensor: T) -> T:
        """``tensor`` on the model's device."""
        return tensor if tensor is None else tensor.to(next(self.parameters()).device)

    def _check(self, x: Tensor) -> None:
        if x.shape[1:] != self.shape:
            raise ShapeError(f"expected x of shape {('batch', *self.shape)}, got {tuple(x.shape)}")

    def features(self, context: Tensor | None) -> Tensor | None:
        """The context as features (batch, context_dim), or None in a model without context."""
        if self.context is None:
            return None
        if context is None:
            raise ConfigurationError(
                "expected class labels, as this model is conditional, got none; pass context="
            )
        return self.context(context)

    def encode(self, x: Tensor, context: Tensor | None = None) -> Distribution:
        """The posterior q(z|x) of data x, transformed without noise."""
        self._check(x)
        x, context = self._here(x), self._here(context)
        return self.posterior(self.transform.noiseless(x), self.features(context))

    def decode(self, z: Float[Tensor, "*batch latent"], context: Tensor | None = None) -> Tensor:
        """The mean of p(x|z), in the data's units, (*batch, *shape)."""
        z, context = self._here(z), self._here(context)
        return self.transform.inverse(self.likelihood(z, self.features(context)).mean)

    @torch.no_grad()
    def embed(self, x: Tensor, context: Tensor | None = None) -> Float[Tensor, "batch latent"]:
        """The posterior's mean for data x."""
        return self.encode(x, context).mean

    @torch.no_grad()
    def reconstruct(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """The decoder's mean at the posterior's mean, in the data's units, (batch, *shape)."""
        return self.decode(self.embed(x, context), context)

    @torch.no_grad()
    def sample(
        self, n: int, context: Tensor | None = None, *, seed: int | None = None, mean: bool = False
    ) -> Tensor:
        """x ~ p(x|z), z ~ p(z), or with ``mean`` the decoder's mean at z; (n, *shape), data units.

        ``seed`` makes the draw repeatable and leaves torch's generator as it was.  A conditional
        model takes n labels as ``context``.
        """
        if context is not None and len(context) != n:
            raise ShapeError(f"expected a label for each of {n} samples, got {len(context)}")
        device = next(self.parameters()).device
        devices = [device] if device.type == "cuda" else []
        with torch.random.fork_rng(devices, enabled=seed is not None):
            if seed is not None:
                torch.manual_seed(seed)
            features = self.features(self._here(context))
            z = draw(self.prior(features), n)
            p = self.likelihood(z, features)
            return self.transform.inverse(p.mean if mean else p.sample())


def draw(prior: Distribution, n: int) -> Tensor:
    """n draws z, (n, …): one of each distribution in a batch of n, else all of the one."""
    return prior.sample() if prior.batch_shape else prior.sample((n,))
