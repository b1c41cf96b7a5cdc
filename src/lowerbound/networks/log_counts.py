"""Counts as a network takes them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.networks.apply import Context
from lowerbound.parts import part


@part
class LogCounts(nn.Module):
    """``network`` of log(1 + x), standardised: counts that span decades, as it takes them well.

    ``mean`` and ``deviation`` are those of log(1 + x), for each column, or one for all elements.
    A negative x, as a pseudo-input can become, is taken for 0.

    Source: Lopez et al. 2017, arXiv 1709.02082.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: tuple[float, ...] = (0.0,),
        deviation: tuple[float, ...] = (1.0,),
    ) -> None:
        super().__init__()
        self.network, self.mean, self.deviation = network, mean, deviation

    def forward(self, x: Float[Tensor, "batch ..."], context: Context = None) -> Tensor:
        logs = torch.log1p(x.clamp(min=0))
        logs = (logs - logs.new_tensor(self.mean)) / logs.new_tensor(self.deviation)
        return self.network(logs) if context is None else self.network(logs, context)
