"""Mixtures of distributions over vectors."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Categorical, Distribution, constraints

from lowerbound.distributions.base import Unvalidated
from lowerbound.distributions.gaussian import DiagonalNormal

ELEMENTS = 2**24


class Mixture(Unvalidated):
    """Σₖ πₖ pₖ(z), from log πₖ, (*batch, K), and the pₖ as one distribution of that batch shape.

    Unlike torch's MixtureSameFamily, it takes memory for a bounded number of samples at a time, not
    for all of them with all K components.
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
        if value.ndim <= len(self.batch_shape) + 1:
            return self._log_prob(value)
        size = math.prod(value.shape[1:]) * self.log_weights.shape[-1]
        chunks = value.split(max(1, ELEMENTS // max(1, size)))
        return torch.cat([self._log_prob(chunk) for chunk in chunks])

    def _log_prob(self, value: Tensor) -> Tensor:
        p, dtype = self.components, torch.promote_types(value.dtype, self.log_weights.dtype)
        if isinstance(p, DiagonalNormal) and len(p.batch_shape) == 1:
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
