"""What all of them share."""

from __future__ import annotations

import copy
import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.distributions import Distribution, constraints
from torch.quasirandom import SobolEngine

LOG_2PI = math.log(2 * math.pi)
MEAN_POINTS = 64


class Unvalidated(Distribution):
    """A distribution whose parameters torch does not check."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def noise(self, sample_shape: Any, like: Tensor) -> Tensor:
        """Standard normal noise of the shape of a sample."""
        shape = self._extended_shape(sample_shape)
        return torch.randn(shape, dtype=like.dtype, device=like.device)


def frozen(module: nn.Module) -> nn.Module:
    """``module`` with the same weights and no gradient to them; its inputs still get theirs."""
    shared = {id(tensor): tensor for tensor in module.buffers()}
    detached = {id(tensor): tensor.detach() for tensor in module.parameters()}
    return copy.deepcopy(module, shared | detached)


def quasi_normal(batch_ndim: int, like: Tensor) -> Tensor:
    """Points that stand for N(0, I) in averages, (points, 1, …, 1, d), d the last size of ``like``.

    They are scrambled Sobol points and their mirror images, always the same, so that an average
    over them is the same for an example wherever it is met, and exact for what is linear.
    """
    dimensions = like.shape[-1]
    uniform = SobolEngine(dimensions, scramble=True, seed=0).draw(MEAN_POINTS)
    points = torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6)).to(like)
    return torch.cat((points, -points)).reshape(-1, *[1] * batch_ndim, dimensions)
