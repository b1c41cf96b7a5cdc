"""What all of them share."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.distributions import Distribution, constraints

LOG_2PI = math.log(2 * math.pi)


class Unvalidated(Distribution):
    """A distribution whose parameters torch does not check."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def noise(self, sample_shape: Any, like: Tensor) -> Tensor:
        """Standard normal noise of the shape of a sample."""
        shape = self._extended_shape(sample_shape)
        return torch.randn(shape, dtype=like.dtype, device=like.device)
