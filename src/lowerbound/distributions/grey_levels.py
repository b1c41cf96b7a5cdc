"""A categorical distribution over grey levels."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Categorical, constraints

from lowerbound.distributions.base import Unvalidated


class GreyLevels(Unvalidated):
    """A categorical distribution over the L grey levels k/(L−1), elementwise.

    ``logits`` has shape (*batch, L); values lie in {0, 1/(L−1), …, 1}.
    """

    support = constraints.unit_interval

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-1], validate_args=False)

    @property
    def levels(self) -> int:
        return self.logits.shape[-1]

    def log_prob(self, value: Tensor) -> Tensor:
        index = (value * (self.levels - 1)).round().long().unsqueeze(-1)
        log_p = F.log_softmax(self.logits, -1)
        shape = torch.broadcast_shapes(index.shape[:-1], log_p.shape[:-1])
        return log_p.expand(*shape, -1).gather(-1, index.expand(*shape, 1)).squeeze(-1)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        index = Categorical(logits=self.logits, validate_args=False).sample(sample_shape)
        return index / (self.levels - 1)

    @property
    def mean(self) -> Tensor:
        return F.softmax(self.logits, -1) @ self._values

    @property
    def variance(self) -> Tensor:
        return F.softmax(self.logits, -1) @ self._values**2 - self.mean**2

    @property
    def _values(self) -> Tensor:
        return torch.linspace(0, 1, self.levels, dtype=self.logits.dtype, device=self.logits.device)
