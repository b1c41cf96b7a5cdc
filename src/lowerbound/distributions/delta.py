"""A point mass."""

from __future__ import annotations

from typing import Any

import torch
from torch import Size, Tensor
from torch.distributions import constraints

from lowerbound.distributions.base import Unvalidated
from lowerbound.errors import ConfigurationError


class Delta(Unvalidated):
    """All mass at one point: the posterior of a plain autoencoder.  It has no density."""

    support = constraints.real_vector
    has_rsample = True

    def __init__(self, value: Tensor) -> None:
        self.value = value
        super().__init__(value.shape[:-1], value.shape[-1:], validate_args=False)

    @property
    def mean(self) -> Tensor:
        return self.value

    @property
    def variance(self) -> Tensor:
        return torch.zeros_like(self.value)

    def rsample(self, sample_shape: Any = Size()) -> Tensor:
        return self.value.expand(self._extended_shape(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        raise ConfigurationError(
            "expected a posterior with a density, got a deterministic one, whose KL is infinite; "
            "train it with the Reconstruction objective, or use DiagonalGaussian"
        )

    def expand(self, batch_shape: Any, _instance: Any = None) -> Delta:
        return Delta(self.value.expand(*batch_shape, *self.event_shape))
