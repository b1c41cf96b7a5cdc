"""Normalising flows."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution, constraints

from lowerbound.distributions.base import Unvalidated, frozen, quasi_normal


class Flow(Unvalidated):
    """z = f(ε) with ε ~ ``base``: log p(z) = log base(ε) − log |∂f/∂ε|.

    ``flow`` is a module from ``features``, (*batch, features) or None, to the transform f.  The
    density of the z drawn last is remembered, so that it costs no inversion of f.
    """

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, base: Distribution, flow: nn.Module, features: Tensor | None = None) -> None:
        self.base, self.flow, self.features = base, flow, features
        self.transform = flow(features)
        self._drawn: tuple[Tensor, Tensor] | None = None
        super().__init__(base.batch_shape, base.event_shape, validate_args=False)

    @property
    def mean(self) -> Tensor:
        """E[z], estimated with noise that is always the same."""
        return self.at(quasi_normal(len(self.batch_shape), self.base.mean)).mean(0)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        noise = self.base.rsample(sample_shape)
        with self._full_precision(noise):
            z, log_volume = self.transform.call_and_ladj(noise)
        self._drawn = z, self.base.log_prob(noise) - log_volume
        return z

    def at(self, noise: Tensor) -> Tensor:
        """z from standard normal noise of its shape."""
        with self._full_precision(noise):
            return self.transform(self.base.at(noise))  # type: ignore[attr-defined]

    def log_prob(self, value: Tensor) -> Tensor:
        if self._drawn is not None and value is self._drawn[0]:
            log_p = self._drawn[1]
            if log_p.requires_grad or not torch.is_grad_enabled():
                return log_p
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
