"""Markov chains on a posterior known up to a constant, and what their draws are worth."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def metropolis_hastings(
    log_density: Callable[[Tensor], Tensor], start: Tensor, steps: int, scale: float
) -> tuple[Tensor, float]:
    """Random-walk Metropolis: propose z + scale·ε, accept with probability min(1, p(z′)/p(z)).

    Returns the chain, (steps, d), and the share of accepted proposals.

    Source: Metropolis et al., Equation of state calculations by fast computing machines, 1953.
    """
    z, log_p = start, log_density(start)
    chain, accepted = torch.empty(steps, *start.shape, dtype=start.dtype), 0
    noise = scale * torch.randn(steps, *start.shape, dtype=start.dtype)
    thresholds = torch.rand(steps, dtype=start.dtype).log()
    for i in range(steps):
        proposal = z + noise[i]
        proposed = log_density(proposal)
        if thresholds[i] < proposed - log_p:
            z, log_p, accepted = proposal, proposed, accepted + 1
        chain[i] = z
    return chain, accepted / steps


def gaussian_gibbs(mean: Tensor, precision: Tensor, start: Tensor, steps: int) -> Tensor:
    """Gibbs sampling of N(μ, Λ⁻¹): each coordinate in turn from its conditional given the others.

    z_i | z_−i ~ N(μ_i − Σ_{j≠i} Λ_ij (z_j − μ_j)/Λ_ii, 1/Λ_ii).  Returns the chain, (steps, d).

    Source: Geman & Geman, Stochastic relaxation, Gibbs distributions, 1984.
    """
    z, chain = start.clone(), torch.empty(steps, *start.shape, dtype=start.dtype)
    noise = torch.randn(steps, *start.shape, dtype=start.dtype)
    for step in range(steps):
        for i in range(len(z)):
            others = precision[i] @ (z - mean) - precision[i, i] * (z[i] - mean[i])
            z[i] = mean[i] - others / precision[i, i] + noise[step, i] / precision[i, i].sqrt()
        chain[step] = z
    return chain


def effective_sample_size(chain: Tensor) -> float:
    """n / (1 + 2 Σ ρ_t) for a chain of numbers, (n,), summed to the first negative pair of ρ.

    Source: Geyer, Practical Markov chain Monte Carlo, 1992.

    >>> _ = torch.manual_seed(0)
    >>> bool(900 < effective_sample_size(torch.randn(1000)) < 1100)
    True
    """
    n = len(chain)
    centred = (chain - chain.mean()).double()
    spectrum = torch.fft.rfft(centred, 2 * n)
    covariance = torch.fft.irfft(spectrum.abs().square(), 2 * n)[:n]
    correlation = covariance / covariance[0]
    pairs = correlation[: n - n % 2].view(-1, 2).sum(1)
    negative = (pairs < 0).nonzero()
    last = int(negative[0]) if len(negative) else len(pairs)
    return n / max(2 * float(pairs[:last].sum()) - 1, 1e-12)
