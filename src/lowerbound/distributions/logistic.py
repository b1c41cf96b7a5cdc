"""Logistic distributions cut into grey levels, and their mixtures."""

from __future__ import annotations

import functools
import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Size, Tensor

from lowerbound.distributions.grey_levels import GreyDistribution

FINEST = -16.0


class DiscretisedLogistic(GreyDistribution):
    """P(k) = σ(b) − σ(a) with a, b = ((k ∓ ½)/(L − 1) − μ)/s, elementwise in μ and log s.

    The first level takes all that lies below its upper edge, and the last all above its lower one,
    so that the probabilities sum to 1.  σ(b) − σ(a) = σ(b) σ(−a) (1 − e^(a − b)), and the logarithm
    of this product is exact however far the level lies from μ.  Scales below e⁻¹⁶, at which it all
    lies in one level, are taken as that.

    Source: Kingma et al. 2016, arXiv 1606.04934; the ends: Salimans et al. 2017, arXiv 1701.05517.
    """

    def __init__(self, location: Tensor, log_scale: Tensor, levels: int = 256) -> None:
        self.location, self.log_scale = location, log_scale.clamp(min=FINEST)
        self.levels = levels
        super().__init__(location.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        k = self.index(value)
        first, last = k == 0, k == self.levels - 1
        below = F.logsigmoid(self._standardised(k + 0.5))
        above = F.logsigmoid(-self._standardised(k - 0.5))
        return (
            below.masked_fill(last, 0)
            + above.masked_fill(first, 0)
            + self._log_width().masked_fill(first | last, 0)
        )

    def level_log_probs(self) -> Tensor:
        edges = torch.arange(self.levels - 1, device=self.location.device) + 0.5
        t = self._standardised(edges.view(-1, *[1] * self.location.ndim))
        below = F.logsigmoid(t)
        above = below - t  # log σ(−t) = log σ(t) − t
        inner = below[1:] + (above[:-1] + self._log_width())
        return torch.cat((below[:1], inner, above[-1:])).movedim(0, -1)

    def _standardised(self, level: Tensor) -> Tensor:
        """(level/(L − 1) − μ)/s."""
        value = level.to(self.location.dtype) / (self.levels - 1)
        return (value - self.location) * (-self.log_scale).exp()

    def _log_width(self) -> Tensor:
        """log(1 − e^−w), w = 1/((L − 1) s) the width of a level; near 0, log w − w/2."""
        log_width = -self.log_scale - math.log(self.levels - 1)
        narrow, width = log_width < -8, log_width.exp()
        exact = torch.log(-torch.expm1(-torch.where(narrow, 1.0, width)))
        return torch.where(narrow, log_width - width / 2, exact)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        """The level in which μ + s log u/(1 − u) falls."""
        shape = self._extended_shape(sample_shape)
        u = torch.rand(shape, dtype=torch.float64, device=self.location.device)
        k = self.index(self.location + self.log_scale.exp() * torch.logit(u))
        return (k.clamp(0, self.levels - 1) / (self.levels - 1)).to(self.location.dtype)

    @property
    def mean(self) -> Tensor:
        return self.moment(1).to(self.location.dtype)

    @property
    def variance(self) -> Tensor:
        return (self.moment(2) - self.moment(1) ** 2).clamp(min=0).to(self.location.dtype)

    def moment(self, power: int) -> Tensor:
        """E k^p = Σ_j ((j + 1)^p − j^p) P(k > j), in the values' units, in float64.

        A level at a time, so that memory does not grow with them.
        """
        total = torch.zeros_like(self.location, dtype=torch.float64)
        for j in range(self.levels - 1):
            edge = self._standardised(torch.tensor(j + 0.5, device=total.device)).double()
            total = total + ((j + 1) ** power - j**power) * torch.sigmoid(-edge)
        return total / (self.levels - 1) ** power


class LogisticMixture(GreyDistribution):
    """P(k) = Σᵢ πᵢ Pᵢ(k), Pᵢ discretised logistics; ``components`` and logits are (*batch, i).

    Source: Salimans, Karpathy, Chen & Kingma, PixelCNN++, 2017, arXiv 1701.05517.
    """

    def __init__(self, logits: Tensor, components: DiscretisedLogistic) -> None:
        self.logits, self.components, self.levels = logits, components, components.levels
        super().__init__(logits.shape[:-1], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        log_p = self.components.log_prob(value.unsqueeze(-1))
        return (self._log_weights() + log_p).logsumexp(-1)

    def level_log_probs(self) -> Tensor:
        """A component at a time, so that memory does not grow with them."""
        log_weights, whole = self._log_weights().unbind(-1), self.components
        parts = zip(log_weights, whole.location.unbind(-1), whole.log_scale.unbind(-1), strict=True)
        terms = (
            log_weight.unsqueeze(-1)
            + DiscretisedLogistic(location, log_scale, self.levels).level_log_probs()
            for log_weight, location, log_scale in parts
        )
        return functools.reduce(torch.logaddexp, terms)

    def _log_weights(self) -> Tensor:
        return F.log_softmax(self.logits, -1)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        which = torch.distributions.Categorical(logits=self.logits, validate_args=False)
        chosen = which.sample(sample_shape).unsqueeze(-1)
        return self.components.sample(sample_shape).gather(-1, chosen).squeeze(-1)

    @property
    def mean(self) -> Tensor:
        return self._moment(1).to(self.logits.dtype)

    @property
    def variance(self) -> Tensor:
        return (self._moment(2) - self._moment(1) ** 2).clamp(min=0).to(self.logits.dtype)

    def _moment(self, power: int) -> Tensor:
        return (F.softmax(self.logits.double(), -1) * self.components.moment(power)).sum(-1)
