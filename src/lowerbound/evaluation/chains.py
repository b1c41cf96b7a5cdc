"""Whether draws of a Markov chain are of its target, and how many they are worth.

Source: Vehtari, Gelman, Simpson, Carpenter & Bürkner, Rank-normalization, folding, and
localization: an improved R̂ for assessing convergence of MCMC, 2021, arXiv 1903.08008.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.errors import ConfigurationError
from lowerbound.evaluation.estimates import Figures

LEAST_DRAWS = 4


@dataclass(frozen=True)
class Convergence(Figures):
    """How well weight draws are mixed, by the log-likelihoods of examples under each of them.

    Attributes:
        draws: M, of each chain.
        examples: how many, of those whose log-likelihood is finite under every draw.
        r_hat: split R̂, the median over examples; 1 where a chain's halves, and all chains, agree.
        ess: the effective draws of all chains together, the median over examples.
        r_hat_of_mean: R̂ of the mean log-likelihood over examples.
        ess_of_mean: its effective draws.
    """

    draws: int
    examples: int
    r_hat: float
    ess: float
    r_hat_of_mean: float
    ess_of_mean: float

    def __str__(self) -> str:
        return (
            f"{self.draws:,} weight draws, worth {self.ess:.0f} by the log-likelihoods of "
            f"{self.examples:,} examples, R̂ {self.r_hat:.2f} (medians; by their mean "
            f"{self.ess_of_mean:.0f}, R̂ {self.r_hat_of_mean:.2f})"
        )


def convergence(*chains: Float[Tensor, "draws n"]) -> Convergence:
    """How well ``chains`` of weight draws are mixed, of the log-likelihoods of n examples in each.

    Raises:
        ConfigurationError: fewer than four draws; no example that all draws find possible.
    """
    values = torch.stack(chains).double()
    if values.shape[1] < LEAST_DRAWS:
        raise ConfigurationError(
            f"expected at least {LEAST_DRAWS} weight draws, to compare a chain's halves, got "
            f"{values.shape[1]}; train for more epochs"
        )
    values = values[..., values.isfinite().all(0).all(0)]
    if not values.shape[2]:
        raise ConfigurationError(
            "expected examples with a finite log-likelihood under every weight draw, got none; "
            "train for longer, or judge by data like those of training"
        )
    mean = values.mean(2)
    return Convergence(
        draws=values.shape[1],
        examples=values.shape[2],
        r_hat=split_r_hat(values).median().item(),
        ess=bulk_ess(values).median().item(),
        r_hat_of_mean=split_r_hat(mean).item(),
        ess_of_mean=bulk_ess(mean).item(),
    )


def split_r_hat(values: Float[Tensor, "chains draws *rest"]) -> Float[Tensor, "*rest"]:
    """R̂ = √((W (n − 1)/n + B/n)/W) of the halves of each chain of ``values``, rank-normalised.

    W is the variance within them, B/n that of their means.  Near 1 where they agree; chains are to
    be run until it is below 1.01.
    """
    halves = _rank_normalised(_halves(values))
    return (_variance(halves) / halves.var(1).mean(0)).sqrt()


def bulk_ess(values: Float[Tensor, "chains draws *rest"]) -> Float[Tensor, "*rest"]:
    """S/τ, τ = 1 + 2 Σ ρₜ: the independent draws that all S ``values`` are worth, rank-normalised.

    The autocorrelations ρₜ of the halves of each chain are summed in pairs, as long as these are
    positive, and as if they never rose (Geyer's initial monotone sequence).
    """
    halves = _rank_normalised(_halves(values))
    chains, n = halves.shape[:2]
    centred = halves - halves.mean(1, keepdim=True)
    spectrum = torch.fft.rfft(centred, 2 * n, dim=1).abs().square()
    covariance = torch.fft.irfft(spectrum, 2 * n, dim=1)[:, :n] / n
    rho = 1 - (halves.var(1).mean(0) - covariance.mean(0)) / _variance(halves)
    rho = torch.cat((torch.ones_like(rho[:1]), rho[1:]))
    pairs = rho[: n - n % 2].unflatten(0, (-1, 2)).sum(1)
    positive = (pairs > 0).cumprod(0)
    tau = 2 * (positive * pairs.cummin(0).values).sum(0) - 1
    return chains * n / tau.clamp(min=1 / math.log10(chains * n))


def _halves(values: Tensor) -> Tensor:
    n = values.shape[1] // 2
    return torch.cat((values[:, :n], values[:, -n:])).double()


def _rank_normalised(values: Tensor) -> Tensor:
    """Normal quantiles of each value's rank among all."""
    flat = values.flatten(0, 1)
    ranks = flat.argsort(0).argsort(0) + 1
    return torch.special.ndtri((ranks - 0.375) / (len(flat) + 0.25)).view_as(values)


def _variance(halves: Tensor) -> Tensor:
    n = halves.shape[1]
    return halves.var(1).mean(0) * (n - 1) / n + halves.mean(1).var(0)
