"""The distributions of a VAE as models for the entropy coder, on grids of parameters.

What the networks return is rounded to grids so coarse that the last bits of a float cannot matter,
and so fine that the loss is not seen: by e it costs e² nats for each latent dimension in log σ, and
at most e²/8 for each binary pixel in a logit, or e²/2 for each grey one in log p; e² is 1/12 of the
square of the grid's step.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import constriction
import numpy as np
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

from lowerbound.compression.exact import not_finite
from lowerbound.compression.tables import exp_on_grid
from lowerbound.distributions import DiagonalNormal, GreyDistribution, Mixture

coding = constriction.stream.model
Symbols = np.ndarray
LATENT_BITS, FARTHEST, PRIOR_DEVIATIONS = 6, 512, 8
MEAN_STEPS, LOWEST_LOG_SIGMA, SIGMA_STEPS = 8, -8, 32
DEVIATIONS, SMALLEST_WINDOW = 6, 3
LOGIT, LOGIT_STEPS = (-16, 16), 64
LOG_LEVEL, LEVEL_STEPS = (-17, 0), 32


@dataclass(frozen=True)
class EntropyModel:
    """A family of the coder's models and each symbol's parameters."""

    family: Any
    parameters: tuple[np.ndarray, ...]

    def push(self, stack: Any, symbols: Symbols) -> None:
        """Put symbols, flat and int32, on the stack."""
        stack.encode_reverse(symbols, self.family, *self.parameters)

    def pop(self, stack: Any) -> Symbols:
        """Take them off again; from any other stack, a draw from this model."""
        return stack.decode(self.family, *self.parameters)


@dataclass(frozen=True)
class Certain:
    """``count`` symbols that can only be 0, and so take no bits."""

    count: int

    def push(self, stack: Any, symbols: Symbols) -> None:
        """Put nothing on the stack."""

    def pop(self, stack: Any) -> Symbols:
        """The symbols."""
        return np.zeros(self.count, np.int32)


@dataclass(frozen=True)
class Windows:
    """Quantised Gaussians over all whole numbers, each coded in a window around its centre.

    The coder gives every symbol of a window at least 2⁻²⁴.  Over the whole grid these add up to a
    code in thousands that lies nowhere near its mean, and an example that it describes badly.  So a
    window is as wide as six σ ask, rounded up to a power of two: ``parts`` are the places of the
    codes with one such width, and their models.
    """

    centres: np.ndarray
    parts: tuple[tuple[np.ndarray, EntropyModel], ...]

    def push(self, stack: Any, symbols: Symbols) -> None:
        """Put symbols on the stack."""
        for places, model in reversed(self.parts):
            model.push(stack, symbols[places] - self.centres[places])

    def pop(self, stack: Any) -> Symbols:
        """Take them off again."""
        symbols = np.empty_like(self.centres)
        for places, model in self.parts:
            symbols[places] = model.pop(stack) + self.centres[places]
        return symbols


@dataclass(frozen=True)
class LatentGrid:
    """z = k/2^bits for whole k, from −2 ``farthest`` to 2 ``farthest``: the codes that can be sent.

    Gaussians over them have means from −``farthest`` to ``farthest`` and log σ to ``widest``.
    """

    farthest: int
    widest: float
    bits: int = LATENT_BITS

    @classmethod
    def reaching(cls, p: Mixture, bits: int = LATENT_BITS) -> LatentGrid:
        """The grid that is as wide as a mixture of Gaussians, and at most as wide as ±512.

        It reaches eight σ to either side of each mean, σ the largest of a component, or that of the
        whole mixture where a seldom component is wider.  A posterior may be as wide as either.

        Raises:
            DataError: a number is NaN or infinite.
        """
        mean, variance = p.components.mean, p.components.variance
        weights = p.log_weights.exp().unsqueeze(-1)
        middle = (weights * mean).sum(0)
        whole = (weights * (variance + (mean - middle) ** 2)).sum(0).max().sqrt().item()
        largest = variance.max().sqrt().item()
        reach = mean.abs().max().item() + PRIOR_DEVIATIONS * min(largest, whole)
        if not math.isfinite(reach) or not math.isfinite(largest + whole):
            raise not_finite()
        log_sigma = math.log(max(largest, whole, math.exp(LOWEST_LOG_SIGMA)))
        farthest = 1 << (math.ceil(min(reach, FARTHEST)) - 1).bit_length()
        return cls(farthest, round(log_sigma * SIGMA_STEPS) / SIGMA_STEPS, bits)

    @property
    def steps(self) -> float:
        """Steps of the grid in 1."""
        return float(1 << self.bits)

    def codes(self, symbols: Symbols) -> Tensor:
        """The z of symbols k."""
        return torch.from_numpy(symbols).double() / self.steps

    def gaussians(self, p: DiagonalNormal) -> tuple[np.ndarray, np.ndarray]:
        """μ, on a grid finer than that of z, and σ, on a logarithmic one, both in steps of z's."""
        fine = MEAN_STEPS * self.steps
        mean = (p.mean.clamp(-self.farthest, self.farthest) * fine).round() / MEAN_STEPS
        log_sigma = 0.5 * p.log_variance + 0 * p.mean  # NaN where either is
        sigma = exp_on_grid(log_sigma, LOWEST_LOG_SIGMA, self.widest, SIGMA_STEPS)
        return mean.numpy(), self.steps * sigma

    def everywhere(self, mean: np.ndarray, sigma: np.ndarray) -> EntropyModel:
        """N(μ, σ²) over the whole grid, so that no code is out of reach.

        The coder's 2⁻²⁴ for each symbol costs −log(1 − 2⁻²⁴ · 4 farthest · 2^bits) nats for each
        latent dimension: 10⁻⁴ for N(0, 1), and 0.008 for the widest prior.
        """
        return EntropyModel(
            _gaussian(2 * self.farthest << self.bits), (mean.ravel(), sigma.ravel())
        )

    def posterior(self, q: DiagonalNormal) -> Windows:
        """N(μ, σ²) near μ."""
        mean, sigma = (numbers.ravel() for numbers in self.gaussians(q))
        centre = np.rint(mean)
        widths = 1 << np.frexp(DEVIATIONS * sigma)[1].clip(min=SMALLEST_WINDOW)
        parts = tuple(
            (
                places,
                EntropyModel(_gaussian(int(width)), (mean[places] - centre[places], sigma[places])),
            )
            for width in np.unique(widths)
            for places in [np.flatnonzero(widths == width)]
        )
        return Windows(centre.astype(np.int32), parts)


def _gaussian(last: int) -> Any:
    return coding.QuantizedGaussian(-last, last)


def levels_of(elements: Distribution) -> int | None:
    """How many values a pixel with this distribution has: 2, or grey levels; None for others."""
    if isinstance(elements, Bernoulli):
        return 2
    return elements.levels if isinstance(elements, GreyDistribution) else None


def pixels(elements: Distribution) -> EntropyModel:
    """p(x|z), pixel by pixel."""
    if isinstance(elements, Bernoulli):
        odds = exp_on_grid(elements.logits, *LOGIT, LOGIT_STEPS).ravel()
        return EntropyModel(coding.Bernoulli(perfect=False), (odds / (1 + odds),))
    assert isinstance(elements, GreyDistribution)
    return _categorical(elements.level_log_probs())


def choices(log_p: Tensor) -> EntropyModel | Certain:
    """One of K for each row of log p, (n, K), which may lack a constant."""
    if log_p.shape[-1] == 1:
        return Certain(len(log_p))
    return _categorical(log_p - log_p.amax(-1, keepdim=True))


def _categorical(log_p: Tensor) -> EntropyModel:
    p = exp_on_grid(log_p, *LOG_LEVEL, LEVEL_STEPS)
    return EntropyModel(coding.Categorical(perfect=False), (p.reshape(-1, p.shape[-1]),))


def joined(models: Sequence[EntropyModel]) -> EntropyModel:
    """Models of one family, one after the other."""
    columns = zip(*(model.parameters for model in models), strict=True)
    return EntropyModel(models[0].family, tuple(np.concatenate(column) for column in columns))
