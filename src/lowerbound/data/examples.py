"""What training and evaluation take: a data set, or a bare tensor of examples."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.data.fingerprint import fingerprint
from lowerbound.errors import DataError


@dataclass(frozen=True)
class Examples:
    """x (n, *shape) and labels (n,) or None, on one device, compact as they are kept."""

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
    """``data`` on ``device``; a bare tensor has no labels.

    Raises:
        DataError: neither a data set nor a tensor, no examples, or values that are not finite.
    """
    if isinstance(data, Dataset):
        labels = None if data.labels is None else data.labels.to(device)
        return Examples(data.x.to(device), labels, data.name, data.fingerprint)
    if not isinstance(data, Tensor):
        raise DataError(
            f"expected a Dataset or a tensor (n, ...), got {type(data).__module__}."
            f"{type(data).__name__}; lowerbound.data.from_arrays makes a data set of arrays"
        )
    if data.ndim < 2 or 0 in data.shape:
        raise DataError(f"expected a tensor of examples (n, ...), got shape {tuple(data.shape)}")
    if not data.isfinite().all():
        raise DataError("expected finite values, got NaN or infinity in the tensor")
    return Examples(data.to(device), None, "tensor", fingerprint(data, None))
