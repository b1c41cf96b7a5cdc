"""A network."""

import torch
from torch import nn

import lowerbound as lb


@lb.part
class Residual(nn.Module):
    """h ← h + W₂ relu(W₁ h), ``depth`` times, between two linear layers."""

    def __init__(
        self,
        in_features: int,
        out_features: int,
        width: int = 16,
        depth: int = 2,
        context_dim: int = 0,
    ) -> None:
        super().__init__()
        self.first = nn.Linear(in_features + context_dim, width)
        self.blocks = nn.ModuleList(lb.MLP(width, (width,), width) for _ in range(depth))
        self.last = nn.Linear(width, out_features)

    def forward(self, x: torch.Tensor, context: torch.Tensor | None = None) -> torch.Tensor:
        x = x.flatten(1)
        h = self.first(x if context is None else torch.cat((x, context), -1))
        for block in self.blocks:
            h = h + block(h)
        return self.last(h)
