"""Distributions over vectors, made of others: mixtures, flows, layers; and a point mass."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Size, Tensor, nn
from torch.distributions import Categorical, Distribution, constraints, kl_divergence, register_kl

from lowerbound.distributions.base import Unvalidated, broadcast, frozen, quasi_normal
from lowerbound.divergences import exact_kl
from lowerbound.errors import ConfigurationError


class Delta(Unvalidated):
    """All mass at one ``value``, (*batch, latent): a plain autoencoder's posterior.

    It has no density.
    """

    support = constraints.real_vector
    has_rsample = True
    has_density = False

    def __init__(self, value: Tensor) -> None:
        self.value = value
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.value

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.value)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        return self.value.expand(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        raise ConfigurationError(
            "expected a posterior with a density, got a deterministic one, whose KL is infinite; "
            "train it with the Reconstruction objective, or use DiagonalGaussian"
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Delta:
        return Delta(self.value.expand(*batch_shape, *self.event_shape))


ELEMENTS = 2**24


class Mixture(Unvalidated):
    """Σₖ πₖ pₖ(z).

    Unlike torch's MixtureSameFamily, it takes memory for a bounded number of samples at a time, not
    for all of them with all K components.

    Args:
        log_weights: log πₖ, (*batch, K).
        components: the pₖ as one distribution of batch shape (*batch, K).
    """

    support = constraints.real_vector

    def __init__(self, log_weights: Tensor, components: Distribution) -> None:
        self.log_weights, self.components = log_weights, components
        batch = components.batch_shape[:-1]
        super().__init__(batch, components.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return (self.log_weights.exp().unsqueeze(-1) * self.components.mean).sum(-2)

    def log_prob(self, value: Tensor) -> Tensor:
        if value.ndim <= len(self.batch_shape) + 1 or torch.compiler.is_compiling():
            return self._log_prob(value)  # the sizes of a compiled graph are not known
        size = math.prod(value.shape[1:]) * self.log_weights.shape[-1]
        chunks = value.split(max(1, ELEMENTS // max(1, size)))
        return torch.cat([self._log_prob(chunk) for chunk in chunks])

    def _log_prob(self, value: Tensor) -> Tensor:
        p, dtype = self.components, torch.promote_types(value.dtype, self.log_weights.dtype)
        if hasattr(p, "log_probs") and len(p.batch_shape) == 1:
            log_probs = p.log_probs(value)
        else:
            log_probs = p.log_prob(value.unsqueeze(-2))
        return (self.log_weights + log_probs).logsumexp(-1).to(dtype)

    @torch.no_grad()
    def sample(self, sample_shape: Any = Size()) -> Tensor:
        n, size = math.prod(sample_shape), math.prod(self.components.batch_shape)
        most = max(1, ELEMENTS // (size * self.event_shape[0]))
        drawn = [self._sample(min(most, n - start)) for start in range(0, n, most)]
        return torch.cat(drawn).reshape(self._extended_shape(sample_shape))

    def _sample(self, n: int) -> Tensor:
        logits = self.log_weights.expand(self.components.batch_shape)
        which = Categorical(logits=logits, validate_args=False).sample((n,))
        z = self.components.sample((n,))
        index = which[..., None, None].expand(*which.shape, 1, z.shape[-1])
        return z.gather(-2, index).squeeze(-2)


class Flow(Unvalidated):
    """z = f(ε) with ε ~ ``base``: log p(z) = log base(ε) − log |∂f/∂ε|.

    The density of a z costs the inversion of f, unless it is asked for with the draw.

    Args:
        base: over vectors, (*batch, latent).
        flow: a module from the features to the transform f.
        features: (*batch, features), or None.
    """

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: Distribution, flow: nn.Module, features: Tensor | None = None) -> None:
        self.base, self.flow, self.features = base, flow, features
        self.transform = flow(features)
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """E[z], estimated with noise that is always the same."""
        return self.at(quasi_normal(len(self.batch_shape), self.base.mean)).mean(0)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        return self.rsample_and_log_prob(sample_shape)[0]

    def rsample_and_log_prob(self, sample_shape: Any = Size()) -> tuple[Tensor, Tensor]:
        """Draws z, of ``sample_shape``, and log p(z), in one pass through f."""
        return self._through(self.base.rsample(sample_shape))

    def at(self, noise: Tensor) -> Tensor:
        """z from standard normal noise of its shape."""
        with self._full_precision(noise):
            return self.transform(self.base.at(noise))  # type: ignore[attr-defined]

    def at_and_log_prob(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        """z = f(``noise``), and log p(z), in one pass through f."""
        return self._through(self.base.at(noise))  # type: ignore[attr-defined]

    def _through(self, start: Tensor) -> tuple[Tensor, Tensor]:
        """f(``start``) and log p of it."""
        with self._full_precision(start):
            z, log_volume = self.transform.call_and_ladj(start)
        return z, self.base.log_prob(start) - log_volume

    def log_prob(self, value: Tensor) -> Tensor:
        with self._full_precision(value):
            noise, log_volume = self.transform.inv.call_and_ladj(value)
        return self.base.log_prob(noise) + log_volume

    def detach(self) -> Flow:
        """The same distribution, with no gradient to its parameters; z has to be inverted."""
        features = None if self.features is None else self.features.detach()
        return Flow(self.base.detach(), frozen(self.flow), features)  # type: ignore[attr-defined]

    def _full_precision(self, like: Tensor) -> torch.autocast:
        """Log-densities need the digits."""
        return torch.autocast(like.device.type, enabled=False)


class Unflattened(Unvalidated):
    """``rows``, of batch shape (n,), as a distribution of batch shape ``batch_shape``, in order.

    A network sees rows; what it says of each is wanted for samples × batch, or batch × components.
    """

    support = constraints.real_vector

    def __init__(self, rows: Distribution, batch_shape: tuple[int, ...]) -> None:
        self.rows = rows
        super().__init__(Size(batch_shape), rows.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.rows.mean.reshape(*self.batch_shape, *self.event_shape)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        return self.rows.rsample(sample_shape).reshape(self._extended_shape(sample_shape))

    def at(self, noise: Tensor) -> Tensor:
        """z from standard normal noise of its shape."""
        rows = noise.expand(*self.batch_shape, -1).reshape(*self.rows.batch_shape, -1)
        z = self.rows.at(rows)  # type: ignore[attr-defined]
        return z.reshape(*self.batch_shape, *self.event_shape)

    @torch.no_grad()
    def sample(self, sample_shape: Any = Size()) -> Tensor:
        return self.rows.sample(sample_shape).reshape(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        shape = broadcast(value.shape[:-1], self.batch_shape)
        samples = shape[: len(shape) - len(self.batch_shape)]
        value = value.expand(*shape, -1).reshape(*samples, *self.rows.batch_shape, -1)
        return self.rows.log_prob(value).reshape(shape)


@register_kl(Unflattened, Unflattened)
def _(q: Unflattened, p: Unflattened) -> Tensor:
    return kl_divergence(q.rows, p.rows).reshape(q.batch_shape)


@dataclass(frozen=True)
class Conditional:
    """p(child | parent): ``layer``, called with parents as its x, and with the context.

    With features the layer is called with these instead, and the parents stand before the context.
    Parents, (*samples, batch, parent), have a row for each sample of an example.

    Args:
        layer: a posterior, such as `DiagonalGaussian`.
        features: of the data, (batch, features), or None.
        context: (batch, context_dim), or None.
    """

    layer: nn.Module
    features: Tensor | None = None
    context: Tensor | None = None

    def __call__(self, parents: Tensor) -> Distribution:
        rows = parents.reshape(-1, parents.shape[-1])
        features, context = (
            None if given is None else given.repeat(rows.shape[0] // given.shape[0], 1)
            for given in (self.features, self.context)
        )
        if features is None:
            child = self.layer(rows, context)
        else:
            given = rows if context is None else torch.cat((rows, context), -1)
            child = self.layer(features, given)
        return Unflattened(child, parents.shape[:-1])

    def detach(self) -> Conditional:
        """The same, with no gradient to its parameters."""
        features = None if self.features is None else self.features.detach()
        return Conditional(frozen(self.layer), features, self.context)


class Chain(Unvalidated):
    """p(z₁, …, z_L) over the concatenation of the layers, from the first drawn and conditionals.

    Args:
        first: the distribution of the layer that is drawn first.
        conditionals: of each further layer given the one before, in the order drawn.
        sizes: the dimensions of z₁, …, z_L, whose order is always that of the concatenation.
        top_down: whether it is p(z_L) p(z_{L−1}|z_L) … p(z₁|z₂), not p(z₁) p(z₂|z₁) …
            p(z_L|z_{L−1}).
    """

    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        first: Distribution,
        conditionals: Sequence[Conditional],
        sizes: Sequence[int],
        *,
        top_down: bool,
    ) -> None:
        self.first, self.conditionals = first, conditionals
        self.sizes, self.top_down = list(sizes), top_down
        super().__init__(first.batch_shape, Size([sum(sizes)]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """E[z], exact for the first layer drawn; of others, estimated with the same noise."""
        noise = quasi_normal(len(self.batch_shape), self.first.mean.new_empty(self.event_shape))
        _, *others = self._at(noise)
        return self._joined([self.first.mean, *(z.mean(0) for z in others)])

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        return self._joined(self._drawn_after(self.first.rsample(sample_shape)))

    @torch.no_grad()
    def sample(self, sample_shape: Any = Size()) -> Tensor:
        return self._joined(self._drawn_after(self.first.sample(sample_shape)))

    def at(self, noise: Tensor) -> Tensor:
        """z from standard normal noise of its shape."""
        return self._joined(self._at(noise))

    def log_prob(self, value: Tensor) -> Tensor:
        return self.log_prob_per_layer(value).sum(-1)

    def log_prob_per_layer(self, value: Tensor) -> Tensor:
        """log p of each layer given its parents, z₁ first, (*samples, *batch, layers).

        ``value`` is z, (*samples, *batch, latent).
        """
        drawn = self._split(value)
        log_p = [self.first.log_prob(drawn[0])]
        for child, (parents, z) in zip(self.conditionals, itertools.pairwise(drawn), strict=True):
            log_p.append(child(parents).log_prob(z))
        return torch.stack(self._from_the_bottom(log_p), -1)

    def kl_per_layer(self, p: Chain, z: Tensor) -> Tensor:
        """KL(self ‖ p) by layer, z₁ first, at the given z ~ self: (*batch, layers), nats.

        Where ``p`` is drawn in the same order, each layer's is E KL(q(zₗ|parents) ‖
        p(zₗ|parents)), in closed form where one is known.  Elsewhere it is the mean of
        log q(zₗ|·) − log p(zₗ|·), of which the sum is a KL and a single one need not be.
        Shapes: z (samples, *batch, latent).
        """
        if self.top_down != p.top_down:
            return (self.log_prob_per_layer(z) - p.log_prob_per_layer(z)).mean(0)
        drawn = self._split(z)
        terms = [_kl(self.first, p.first, drawn[0]).expand(z.shape[:-1])]
        pairs = zip(self.conditionals, p.conditionals, itertools.pairwise(drawn), strict=True)
        terms += [_kl(ours(parents), theirs(parents), z_) for ours, theirs, (parents, z_) in pairs]
        return torch.stack(self._from_the_bottom(terms), -1).mean(0)

    def detach(self) -> Chain:
        """The same distribution, with no gradient to its parameters."""
        conditionals = [conditional.detach() for conditional in self.conditionals]
        return Chain(self.first.detach(), conditionals, self.sizes, top_down=self.top_down)  # type: ignore[attr-defined]

    def _drawn_after(self, z: Tensor) -> list[Tensor]:
        """z, and a draw of each further layer, in the order drawn."""
        drawn = [z]
        for child in self.conditionals:
            drawn.append(child(drawn[-1]).rsample())
        return drawn

    def _at(self, noise: Tensor) -> list[Tensor]:
        """The layers from noise, in the order drawn."""
        first, *others = self._split(noise)
        drawn = [self.first.at(first)]  # type: ignore[attr-defined]
        for child, part in zip(self.conditionals, others, strict=True):
            drawn.append(child(drawn[-1]).at(part))  # type: ignore[attr-defined]
        return drawn

    def _split(self, value: Tensor) -> list[Tensor]:
        """The layers of z in the order drawn, a value for each distribution of the batch."""
        shape = broadcast(value.shape[:-1], self.batch_shape)
        return self._from_the_bottom(list(value.expand(*shape, -1).split(self.sizes, -1)))

    def _joined(self, drawn: list[Tensor]) -> Tensor:
        return torch.cat(self._from_the_bottom(drawn), -1)

    def _from_the_bottom(self, drawn: list[Tensor]) -> list[Tensor]:
        """z₁, …, z_L from the order in which they are drawn; or back."""
        return drawn[::-1] if self.top_down else drawn


def _kl(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """KL(q ‖ p) in closed form, or else log q(z) − log p(z)."""
    exact = exact_kl(q, p)
    return q.log_prob(z) - p.log_prob(z) if exact is None else exact
