"""Counts as a network takes them."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.parts import part


@part
class LogCounts(nn.Module):
    """``network`` of log(1 + x): counts that span decades, in numbers that a network takes well.

    Source: Lopez et al. 2017, arXiv 1709.02082.
    """

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(
        self,
        x: Float[Tensor, "batch ..."],
        context: Float[Tensor, "batch features"] | None = None,
    ) -> Tensor:
        logs = torch.log1p(x)
        return self.network(logs) if context is None else self.network(logs, context)
