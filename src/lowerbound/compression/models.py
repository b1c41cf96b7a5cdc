"""The three distributions of a VAE as models for the entropy coder, on grids of parameters.

What the networks return is rounded to grids so coarse that the last bits of a float cannot matter,
and so fine that the loss is not seen: by e it costs e² nats for each latent dimension in log σ, and
at most e²/8 for each binary pixel in a logit, or e²/2 for each grey one in log p; e² is 1/12 of the
square of the grid's step.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import constriction
import numpy as np
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

from lowerbound.compression.tables import exp_on_grid
from lowerbound.distributions import DiagonalNormal, GreyDistribution

coding = constriction.stream.model
Symbols = np.ndarray
FARTHEST_MEAN, MEAN_STEPS = 8, 8
LOG_SIGMA, SIGMA_STEPS = (-8, 0), 32
DEVIATIONS, SMALLEST_WINDOW = 6, 3
LOGIT, LOGIT_STEPS = (-16, 16), 64
LOG_LEVEL, LEVEL_STEPS = (-17, 0), 32


@dataclass(frozen=True)
class EntropyModel:
    """A family of the coder's models and each symbol's parameters, or one model for ``count``."""

    family: Any
    parameters: tuple[np.ndarray, ...]
    count: int | None = None

    def push(self, stack: Any, symbols: Symbols) -> None:
        """Put symbols, flat and int32, on the stack."""
        stack.encode_reverse(symbols, self.family, *self.parameters)

    def pop(self, stack: Any) -> Symbols:
        """Take them off again; from any other stack, a draw from this model."""
        return stack.decode(self.family, *(self.parameters or (self.count,)))


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
    """z = k/2^bits for whole k: the codes that can be sent."""

    bits: int = 6

    @property
    def steps(self) -> float:
        """Steps of the grid in 1."""
        return float(1 << self.bits)

    def codes(self, symbols: Symbols) -> Tensor:
        """The z of symbols k."""
        return torch.from_numpy(symbols).double() / self.steps

    def prior(self, count: int) -> EntropyModel:
        """N(0, 1) for each of ``count`` codes."""
        return EntropyModel(_gaussian(2 * FARTHEST_MEAN << self.bits, 0.0, self.steps), (), count)

    def posterior(self, q: DiagonalNormal) -> Windows:
        """N(μ, σ²), with μ on a grid finer than that of z, and σ on a logarithmic one."""
        fine = MEAN_STEPS * self.steps
        mean = (q.mean.clamp(-FARTHEST_MEAN, FARTHEST_MEAN) * fine).round() / MEAN_STEPS
        log_sigma = 0.5 * q.log_variance + 0 * q.mean  # NaN where either is
        sigma = self.steps * exp_on_grid(log_sigma, *LOG_SIGMA, SIGMA_STEPS).ravel()
        centre = mean.round()
        offset = (mean - centre).numpy().ravel()
        widths = 1 << np.frexp(DEVIATIONS * sigma)[1].clip(min=SMALLEST_WINDOW)
        parts = tuple(
            (places, EntropyModel(_gaussian(int(width)), (offset[places], sigma[places])))
            for width in np.unique(widths)
            for places in [np.flatnonzero(widths == width)]
        )
        return Windows(centre.numpy().ravel().astype(np.int32), parts)


def _gaussian(last: int, *fixed: float) -> Any:
    return coding.QuantizedGaussian(-last, last, *fixed)


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
    p = exp_on_grid(elements.level_log_probs(), *LOG_LEVEL, LEVEL_STEPS)
    return EntropyModel(coding.Categorical(perfect=False), (p.reshape(-1, p.shape[-1]),))


def joined(models: Sequence[EntropyModel]) -> EntropyModel:
    """Models of one family, one after the other."""
    columns = zip(*(model.parameters for model in models), strict=True)
    return EntropyModel(models[0].family, tuple(np.concatenate(column) for column in columns))
