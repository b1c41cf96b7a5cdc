"""Joint distributions over layers of codes, each drawn given the one before."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution, constraints, kl_divergence

from lowerbound.distributions.base import Unvalidated, frozen, quasi_normal
from lowerbound.distributions.unflattened import Unflattened


@dataclass(frozen=True)
class Conditional:
    """p(child | parent): ``layer``, called with parents as its x, and with the context.

    With ``features`` of the data the layer is called with these instead, and the parents stand
    before the context.  Both have a row for each example; parents, (*samples, batch, parent), have
    a row for each sample of it.
    """

    layer: nn.Module
    features: Tensor | None = None
    context: Tensor | None = None

    def __call__(self, parents: Tensor) -> Distribution:
        rows = parents.reshape(-1, parents.shape[-1])
        features, context = (
            None if given is None else given.repeat(len(rows) // len(given), 1)
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

    Bottom-up, p(z₁) p(z₂|z₁) … p(z_L|z_{L−1}); with ``top_down``, p(z_L) p(z_{L−1}|z_L) … p(z₁|z₂).
    ``sizes`` are those of z₁, …, z_L, the order of the concatenation in both.
    """

    support = constraints.real_vector
    has_rsample = True

    def __init__(
        self,
        first: Distribution,
        conditionals: Sequence[Conditional],
        sizes: Sequence[int],
        top_down: bool,
    ) -> None:
        self.first, self.conditionals = first, conditionals
        self.sizes, self.top_down = list(sizes), top_down
        super().__init__(first.batch_shape, Size([sum(sizes)]), validate_args=False)

    @property
    def mean(self) -> Tensor:
        """E[z]: exact for the first layer drawn; of others, estimated with the same noise."""
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
        """log p of each layer given its parents, z₁ first, (*samples, *batch, layers)."""
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
        return Chain(self.first.detach(), conditionals, self.sizes, self.top_down)  # type: ignore[attr-defined]

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
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        return self._from_the_bottom(list(value.expand(*shape, -1).split(self.sizes, -1)))

    def _joined(self, drawn: list[Tensor]) -> Tensor:
        return torch.cat(self._from_the_bottom(drawn), -1)

    def _from_the_bottom(self, drawn: list[Tensor]) -> list[Tensor]:
        """z₁, …, z_L from the order in which they are drawn; or back."""
        return drawn[::-1] if self.top_down else drawn


def _kl(q: Distribution, p: Distribution, z: Tensor) -> Tensor:
    """KL(q ‖ p) in closed form, or else log q(z) − log p(z)."""
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        return q.log_prob(z) - p.log_prob(z)
