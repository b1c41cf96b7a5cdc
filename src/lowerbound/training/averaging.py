"""Exponential moving average of weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class WeightAverage:
    """θ̄ ← d θ̄ + (1 − d) θ after each step, with d = min(decay, (1 + t)/(10 + t)) at step t."""

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.decay = decay
        self.parameters: list[Tensor] = list(model.parameters())
        self.average = [p.detach().clone() for p in self.parameters]

    @torch.no_grad()
    def update(self, step: int) -> None:
        """Take in the weights after ``step``."""
        torch._foreach_lerp_(self.average, self.parameters, self.weight(step))

    def weight(self, step: int) -> float:
        """1 − d at ``step``."""
        return 1 - min(self.decay, (1 + step) / (10 + step))

    def of(self, parameter: nn.Parameter) -> Tensor:
        """The average of ``parameter``."""
        return next(a for p, a in zip(self.parameters, self.average, strict=True) if p is parameter)

    @contextmanager
    def swapped_in(self) -> Iterator[None]:
        """The model with averaged weights, inside the ``with``."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def copy_to_model(self) -> None:
        """Give the model the averaged weights for good."""
        for parameter, average in zip(self.parameters, self.average, strict=True):
            parameter.copy_(average)

    @torch.no_grad()
    def _swap(self) -> None:
        for parameter, average in zip(self.parameters, self.average, strict=True):
            kept = parameter.clone()
            parameter.copy_(average)
            average.copy_(kept)

    def state(self) -> dict[str, Tensor]:
        """The averages by number."""
        return {str(i): tensor for i, tensor in enumerate(self.average)}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""
        for i, tensor in enumerate(self.average):
            tensor.copy_(state[str(i)])
