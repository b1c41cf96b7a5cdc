"""Is the aggregate posterior q(z) = (1/n) Σᵢ q(z|xᵢ) the prior?  The KL between them."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.data import Dataset
from lowerbound.distributions import LOG_2PI, DiagonalNormal, as_diagonal
from lowerbound.errors import ConfigurationError, ShapeError
from lowerbound.evaluation.estimates import Between, estimate
from lowerbound.evaluation.walk import posteriors
from lowerbound.vae import VAE

ROWS = 100


def aggregate_kl(
    mean: Float[Tensor, "n latent"], log_variance: Float[Tensor, "n latent"], seed: int = 0
) -> Between:
    """KL(q(z) ‖ N(0, I)), q(z) the mean of N(μ(x), diag σ²(x)), from one draw z of each posterior.

    log q(z) = log Σⱼ N(z; μⱼ, σⱼ²) − log n: the log-mean-exp over all examples, not a batch.

    With q(z) the mean over all x that there could be, of which n are at hand, the two bounds hold
    in expectation, by Jensen's inequality, and close as n grows: the lower judges each z by the
    posteriors of the other n − 1 examples; the upper by all n, its own among them, which is the KL
    of the sample's own mixture.

    Source: Hoffman & Johnson, ELBO surgery: yet another way to carve up the variational evidence
    lower bound, 2016.

    Raises:
        ShapeError: fewer than two examples, or shapes that differ.
    """
    if len(mean) < 2 or mean.shape != log_variance.shape:
        raise ShapeError(
            "expected means and log-variances (n, latent) of at least two examples, got "
            f"{tuple(mean.shape)} and {tuple(log_variance.shape)}"
        )
    mean, log_variance = mean.double(), log_variance.double()
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed)).to(mean)
    z = mean + (0.5 * log_variance).exp() * noise
    log_p = -0.5 * (z**2 + LOG_2PI).sum(-1)
    log_all, log_others = log_mixtures(z, mean, log_variance)
    return Between(estimate(log_others - log_p), estimate(log_all - log_p))


def log_mixtures(z: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """log of the mean of N(zᵢ; μⱼ, diag σⱼ²) over all j, and over j ≠ i; (n,) each."""
    q = DiagonalNormal(mean, log_variance)
    log_all, log_others = [], []
    for start in range(0, len(z), ROWS):
        log_q = q.log_probs(z[start : start + ROWS])
        own = log_q.diagonal(start).clone()
        log_q.diagonal(start).fill_(-math.inf)
        log_others.append(log_q.logsumexp(1))
        log_all.append(log_others[-1].logaddexp(own))
    n = len(z)
    return torch.cat(log_all) - math.log(n), torch.cat(log_others) - math.log(n - 1)


@torch.no_grad()
def gaussian_posteriors(model: VAE, data: Dataset) -> tuple[Tensor, Tensor]:
    """μ and log σ² of q(z|x) for all the data, (n, latent) each, on the CPU.

    Raises:
        ConfigurationError: the posterior is not a diagonal Gaussian.
    """
    batches = [gaussian_parameters(q) for q in posteriors(model, data)]
    mean, log_variance = (torch.cat(column).cpu() for column in zip(*batches, strict=True))
    return mean, log_variance


def gaussian_parameters(q: Distribution) -> tuple[Tensor, Tensor]:
    """μ and log σ² of a diagonal Gaussian."""
    normal = as_diagonal(q)
    if normal is None:
        raise ConfigurationError(f"expected a diagonal Gaussian posterior, got {type(q).__name__}")
    return normal.mean, normal.log_variance
