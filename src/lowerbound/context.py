"""Context: what a conditional model knows besides x."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from lowerbound.errors import ConfigurationError
from lowerbound.parts import Size, part


@part
class Labels(nn.Module):
    """Class labels 0 … classes − 1, (batch,), to one-hot features (batch, classes)."""

    def __init__(self, classes: Size) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, labels: Tensor) -> Tensor:
        if labels.is_floating_point() or labels.ndim != 1:
            raise ConfigurationError(
                f"expected labels as integers of shape (batch,), got {labels.dtype} of shape "
                f"{tuple(labels.shape)}"
            )
        wrong = labels[(labels < 0) | (labels >= self.classes)]
        if len(wrong):
            raise ConfigurationError(
                f"expected class labels from 0 to {self.classes - 1}, got {wrong[0].item()}"
            )
        return F.one_hot(labels.long(), self.classes).float()
