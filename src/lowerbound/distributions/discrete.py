"""Distributions over counts 0, 1, 2, … and over the L grey levels k/(L − 1), elementwise."""

from __future__ import annotations

import functools
import math
from abc import ABC, abstractmethod
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Size, Tensor
from torch.distributions import Categorical, Distribution, constraints

from lowerbound.distributions.base import Unvalidated, broadcast, log_gamma_draw, log_rising


class Poisson(Unvalidated):
    """P(k) = μ^k e^−μ/k!, from ``log_mean`` = log μ.

    log P(k) is −∞ where μ exceeds the largest number of log μ's dtype, as float32's log μ > 88.7
    does.  Its gradient by log μ is k − μ, with μ at most that number: finite, so that a sample of
    no weight adds 0 to a gradient, and not NaN.
    """

    support = constraints.nonnegative_integer

    def __init__(self, log_mean: Tensor) -> None:
        self.log_mean = log_mean
        super().__init__(log_mean.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        k, log_mean = value.double(), self.log_mean.double()
        largest = math.log(torch.finfo(self.log_mean.dtype).max)
        # μ, and beyond the largest number its tangent there
        mean = log_mean.clamp(max=largest).exp() * (1 + (log_mean - largest).relu())
        log_p = k * log_mean - mean - torch.lgamma(k + 1)
        return log_p.to(self.log_mean.dtype)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        return torch.poisson(self.log_mean.exp().expand(self._extended_shape(sample_shape)))

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        return self.mean


LARGEST = 600.0  # of log r, whose r and 1/r are float64 numbers; beyond it is the Poisson


class NegativeBinomial(Unvalidated):
    """P(k) = Γ(k + r)/(Γ(r) k!) (r/(r + μ))^r (μ/(r + μ))^k, elementwise.

    The Poisson distribution whose rate is drawn from a Gamma distribution of mean μ and shape r:
    its variance is μ + μ²/r, and it becomes the Poisson distribution as the dispersion r grows.

    Args:
        log_mean: log μ.
        log_dispersion: log r, of a shape that broadcasts with log μ's.
    """

    support = constraints.nonnegative_integer

    def __init__(self, log_mean: Tensor, log_dispersion: Tensor) -> None:
        self.log_mean, self.log_dispersion = torch.broadcast_tensors(log_mean, log_dispersion)
        super().__init__(self.log_mean.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        k, log_dispersion = value.double(), self.log_dispersion.double()
        log_r = log_dispersion.clamp(-LARGEST, LARGEST)
        log_odds = self.log_mean.double() - log_r  # of μ/(r + μ)
        r = log_r.exp()
        log_p = (
            log_rising(r, k)
            - torch.lgamma(k + 1)
            + r * F.logsigmoid(-log_odds)
            + k * F.logsigmoid(log_odds)
            + (k > 0) * (log_dispersion - log_r).clamp(max=0)  # P(k) ∝ r of the smallest r
        )
        return log_p.to(self.log_mean.dtype)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        log_rate = self.log_mean - self.log_dispersion.double()
        draw = log_gamma_draw(
            self.log_dispersion.double().exp(), self._extended_shape(sample_shape)
        )
        return torch.poisson((log_rate + draw).exp()).to(self.log_mean.dtype)

    @property
    def mean(self) -> Tensor:
        return self.log_mean.exp()

    @property
    def variance(self) -> Tensor:
        return self.mean + (2 * self.log_mean - self.log_dispersion).exp()


class ZeroInflated(Unvalidated):
    """0 with probability π, else a draw of P′, elementwise.

    Of counts, P(k) = π [k = 0] + (1 − π) P′(k).  Of a density p′, 0 has the probability π, and
    other x the density (1 − π) p′(x): logarithms of the two do not compare.

    Args:
        logits: of π.
        other: P′, over counts, or p′.
    """

    support = constraints.real

    def __init__(self, logits: Tensor, other: Distribution) -> None:
        self.logits, self.other = logits, other
        super().__init__(logits.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        zero, absent, present = value == 0, F.logsigmoid(self.logits), F.logsigmoid(-self.logits)
        if self.other.support.is_discrete:  # type: ignore[union-attr]
            present = present + self.other.log_prob(value)
            return torch.where(zero, torch.logaddexp(absent, present), present)
        inside = torch.where(zero, 1.0, value)
        return torch.where(zero, absent, present + self.other.log_prob(inside))

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        absent = torch.bernoulli(self.logits.sigmoid().expand(self._extended_shape(sample_shape)))
        return self.other.sample(sample_shape).masked_fill(absent.bool(), 0.0)

    @property
    def mean(self) -> Tensor:
        return torch.sigmoid(-self.logits) * self.other.mean

    @property
    def variance(self) -> Tensor:
        """(1 − π)(σ² + π μ²), with the mean and variance of ``other``."""
        absent, mean = self.logits.sigmoid(), self.other.mean
        return (1 - absent) * (self.other.variance + absent * mean**2)


class GreyDistribution(Unvalidated, ABC):
    """A distribution over the L grey levels 0, 1/(L − 1), …, 1."""

    support = constraints.unit_interval
    levels: int

    @abstractmethod
    def level_log_probs(self) -> Float[Tensor, "*batch levels"]:
        """log P of every level."""

    def index(self, value: Tensor) -> Tensor:
        """The level k of the value k/(L − 1), as a number."""
        return (value * (self.levels - 1)).round()


class GreyLevels(GreyDistribution):
    """A categorical distribution over the L levels, from ``logits`` of shape (*batch, L)."""

    def __init__(self, logits: Tensor) -> None:
        self.logits, self.levels = logits, logits.shape[-1]
        super().__init__(logits.shape[:-1], validate_args=False)

    def level_log_probs(self) -> Tensor:
        return F.log_softmax(self.logits, -1)

    def log_prob(self, value: Tensor) -> Tensor:
        index = self.index(value).long().unsqueeze(-1)
        log_p = self.level_log_probs()
        shape = broadcast(index.shape[:-1], log_p.shape[:-1])
        return log_p.expand(*shape, -1).gather(-1, index.expand(*shape, 1)).squeeze(-1)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        index = Categorical(logits=self.logits, validate_args=False).sample(sample_shape)
        return index / (self.levels - 1)

    @property
    def mean(self) -> Tensor:
        return F.softmax(self.logits, -1) @ self._values

    @property
    def variance(self) -> Tensor:
        return F.softmax(self.logits, -1) @ self._values**2 - self.mean**2

    @property
    def _values(self) -> Tensor:
        return torch.linspace(0, 1, self.levels, dtype=self.logits.dtype, device=self.logits.device)


class BetaBinomial(GreyDistribution):
    """k of n = L − 1 with a probability drawn from Beta(α, β), elementwise.

    P(k) = C(n, k) B(k + α, n − k + β)/B(α, β).

    Args:
        log_alpha: log α.
        log_beta: log β, of the same shape.
        levels: L.
    """

    def __init__(self, log_alpha: Tensor, log_beta: Tensor, levels: int = 256) -> None:
        self.log_alpha, self.log_beta, self.levels = log_alpha, log_beta, levels
        super().__init__(log_alpha.shape, validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        n = self.levels - 1
        k = self.index(value).double()
        alpha, beta = self.log_alpha.double().exp(), self.log_beta.double().exp()
        log_p = (
            _log_choose(n, k)
            + log_rising(alpha, k)
            + log_rising(beta, n - k)
            - log_rising(alpha + beta, n)
        )
        return log_p.to(self.log_alpha.dtype)

    def level_log_probs(self) -> Tensor:
        """From P(k + 1)/P(k) = (n − k)/(k + 1) · (α + k)/(β + n − 1 − k), which needs no log Γ."""
        n = self.levels - 1
        k = torch.arange(n, dtype=self.log_alpha.dtype, device=self.log_alpha.device)
        steps = (
            torch.logaddexp(self.log_alpha.unsqueeze(-1), k.log())
            - torch.logaddexp(self.log_beta.unsqueeze(-1), k.flip(0).log())
            + ((n - k) / (k + 1)).log()
        )
        return F.log_softmax(F.pad(steps.cumsum(-1), (1, 0)), -1)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        shape = self._extended_shape(sample_shape)
        log_odds = log_gamma_draw(self.log_alpha.double().exp(), shape) - log_gamma_draw(
            self.log_beta.double().exp(), shape
        )
        n = torch.full_like(log_odds, self.levels - 1)
        return (torch.binomial(n, log_odds.sigmoid()) / n).to(self.log_alpha.dtype)

    @property
    def mean(self) -> Tensor:
        """α/(α + β)."""
        return torch.sigmoid(self.log_alpha - self.log_beta)

    @property
    def variance(self) -> Tensor:
        """p (1 − p) (α + β + n)/((α + β + 1) n), p the mean."""
        n, p = self.levels - 1, self.mean
        total = self.log_alpha.exp() + self.log_beta.exp()
        return p * (1 - p) * ((total + n) / (total + 1)) / n


def _log_choose(n: int, k: Tensor) -> Tensor:
    """log n!/(k! (n − k)!)."""
    return torch.lgamma(k.new_tensor(n + 1.0)) - torch.lgamma(k + 1) - torch.lgamma(n - k + 1)


FINEST = -16.0


class DiscretisedLogistic(GreyDistribution):
    """P(k) = σ(b) − σ(a) with a, b = ((k ∓ ½)/(L − 1) − μ)/s, elementwise.

    The first level takes all that lies below its upper edge, and the last all above its lower one,
    so that the probabilities sum to 1.  σ(b) − σ(a) = σ(b) σ(−a) (1 − e^(a − b)), and the logarithm
    of this product is exact however far the level lies from μ.  Scales below e⁻¹⁶, at which it all
    lies in one level, are taken as that.

    Args:
        location: μ, in the values' units, where black is 0 and white 1.
        log_scale: log s, of the same shape.
        levels: L.

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
        """The level in which μ + s log u/(1 − u) falls, u ~ U(0, 1)."""
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
        """E k^p = Σ_j ((j + 1)^p − j^p) P(k > j), p = ``power``, in the values' units, in float64.

        A level at a time, so that memory does not grow with them; all together in a graph, which
        would.
        """
        total = torch.zeros_like(self.location, dtype=torch.float64)
        levels = torch.arange(self.levels - 1, device=total.device)
        for j in levels.split(self.levels if torch.compiler.is_compiling() else 1):
            j = j.view(-1, *[1] * total.ndim)
            above = torch.sigmoid(-self._standardised(j + 0.5).double())
            total = total + (((j + 1) ** power - j**power) * above).sum(0)
        return total / (self.levels - 1) ** power


class LogisticMixture(GreyDistribution):
    """P(k) = Σᵢ πᵢ Pᵢ(k), Pᵢ discretised logistics, elementwise.

    Args:
        logits: of the πᵢ, (*batch, i).
        components: the Pᵢ, of the same shape.

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
