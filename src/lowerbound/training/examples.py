"""Training data on the device, as kept: compact, moved once."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.data import Dataset
from lowerbound.data.fingerprint import fingerprint


@dataclass(frozen=True)
class Examples:
    """x (n, *shape) and labels (n,) or None, on one device."""

    x: Tensor
    labels: Tensor | None
    name: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.x)

    def at(self, indices: Tensor) -> tuple[Tensor, Tensor | None]:
        """The x and labels of a batch."""
        return self.x[indices], None if self.labels is None else self.labels[indices]


def examples(data: Dataset | Tensor, device: torch.device) -> Examples:
    """``data`` on ``device``; a bare tensor has no labels."""
    if isinstance(data, Tensor):
        return Examples(data.to(device), None, "tensor", fingerprint(data, None))
    labels = None if data.labels is None else data.labels.to(device)
    return Examples(data.x.to(device), labels, data.name, data.fingerprint)
