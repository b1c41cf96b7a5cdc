"""A distribution's one batch dimension as several."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import Distribution, constraints, kl_divergence, register_kl

from lowerbound.distributions.base import Unvalidated


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
        shape = torch.broadcast_shapes(value.shape[:-1], self.batch_shape)
        samples = shape[: len(shape) - len(self.batch_shape)]
        value = value.expand(*shape, -1).reshape(*samples, *self.rows.batch_shape, -1)
        return self.rows.log_prob(value).reshape(shape)


@register_kl(Unflattened, Unflattened)
def _(q: Unflattened, p: Unflattened) -> Tensor:
    return kl_divergence(q.rows, p.rows).reshape(q.batch_shape)
