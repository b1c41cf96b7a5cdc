"""Divergences: Kullback–Leibler, in closed form and by Monte Carlo; total correlation; MMD.

All but MMD in nats.  Variances are passed as log-variances, log σ², where networks produce them.
"""

from __future__ import annotations

from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, Independent, kl_divergence

from lowerbound.errors import ShapeError, check_count

Kernel = Literal["imq", "rbf"]
SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def univariate_gaussian_kl(
    mean_1: Tensor, sigma_1: Tensor, mean_2: Tensor, sigma_2: Tensor
) -> Tensor:
    """KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) = log(σ₂/σ₁) + (σ₁² + (μ₁ − μ₂)²) / (2σ₂²) − ½, elementwise.

    Args:
        mean_1: μ₁.
        sigma_1: σ₁ > 0.
        mean_2: μ₂.
        sigma_2: σ₂ > 0; all four of one shape, or broadcast to it.

    >>> one = torch.tensor(1.0)
    >>> univariate_gaussian_kl(0 * one, one, 0 * one, one).item()
    0.0
    """
    return (
        torch.log(sigma_2 / sigma_1)
        + (sigma_1**2 + (mean_1 - mean_2) ** 2) / (2 * sigma_2**2)
        - 0.5
    )


def standard_normal_kl_terms(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(μᵢ, σᵢ²) ‖ N(0, 1)) = ½ (σᵢ² + μᵢ² − 1 − log σᵢ²), for each dimension i.

    Args:
        mean: μ.
        log_variance: log σ², of the same shape, which is the result's too.

    Source: Kingma & Welling, Auto-Encoding Variational Bayes, 2013, appendix B, arXiv 1312.6114.
    """
    return 0.5 * (log_variance.exp() + mean**2 - 1 - log_variance)


def diagonal_gaussian_kl_terms(
    mean_1: Tensor, log_variance_1: Tensor, mean_2: Tensor, log_variance_2: Tensor
) -> Tensor:
    """KL(N(μ₁ᵢ, σ₁ᵢ²) ‖ N(μ₂ᵢ, σ₂ᵢ²)) for each dimension i, from log-variances.

    ½ (log σ₂² − log σ₁² + σ₁²/σ₂² + (μ₁ − μ₂)²/σ₂² − 1)

    Args:
        mean_1: μ₁.
        log_variance_1: log σ₁².
        mean_2: μ₂.
        log_variance_2: log σ₂²; all four of one shape, or broadcast to it.
    """
    return 0.5 * (
        log_variance_2
        - log_variance_1
        + (log_variance_1 - log_variance_2).exp()
        + (mean_1 - mean_2) ** 2 * (-log_variance_2).exp()
        - 1
    )


def full_gaussian_kl(
    mean_1: Float[Tensor, "*batch d"],
    covariance_1: Float[Tensor, "*batch d d"],
    mean_2: Float[Tensor, "*batch d"],
    covariance_2: Float[Tensor, "*batch d d"],
) -> Float[Tensor, "*batch"]:
    """KL(N(μ₁, Σ₁) ‖ N(μ₂, Σ₂)) = ½ [tr Σ₂⁻¹Σ₁ + (μ₂−μ₁)ᵀ Σ₂⁻¹ (μ₂−μ₁) − d + log |Σ₂|/|Σ₁|].

    Args:
        mean_1: μ₁, (*batch, d).
        covariance_1: Σ₁, (*batch, d, d), symmetric and positive definite.
        mean_2: μ₂, (*batch, d).
        covariance_2: Σ₂, as Σ₁.
    """
    L_1, L_2 = torch.linalg.cholesky(covariance_1), torch.linalg.cholesky(covariance_2)
    return cholesky_gaussian_kl(mean_1, L_1, mean_2, L_2)


def cholesky_gaussian_kl(
    mean_1: Float[Tensor, "*#batch d"],
    L_1: Float[Tensor, "*#batch d d"],
    mean_2: Float[Tensor, "*#batch d"],
    L_2: Float[Tensor, "*#batch d d"],
) -> Float[Tensor, "*batch"]:
    """KL(N(μ₁, L₁L₁ᵀ) ‖ N(μ₂, L₂L₂ᵀ)), from lower triangular Cholesky factors.

    tr Σ₂⁻¹Σ₁ = ‖L₂⁻¹L₁‖², (μ₂−μ₁)ᵀ Σ₂⁻¹ (μ₂−μ₁) = ‖L₂⁻¹(μ₂−μ₁)‖², and log |Σ| = 2 Σᵢ log Lᵢᵢ.

    Args:
        mean_1: μ₁, (*batch, d).
        L_1: L₁, (*batch, d, d).
        mean_2: μ₂, (*batch, d).
        L_2: L₂, (*batch, d, d).
    """
    difference = (mean_2 - mean_1).unsqueeze(-1)
    L_1 = L_1.expand(*difference.shape[:-2], *L_1.shape[-2:])
    whitened = torch.linalg.solve_triangular(L_2, torch.cat((L_1, difference), -1), upper=False)
    log_determinants = 2 * (_log_diagonal(L_2) - _log_diagonal(L_1))
    return 0.5 * (whitened.square().sum((-2, -1)) - mean_1.shape[-1] + log_determinants)


def _log_diagonal(L: Tensor) -> Tensor:
    return L.diagonal(dim1=-2, dim2=-1).log().sum(-1)


def monte_carlo_kl(q: Distribution, p: Distribution, samples: int) -> tuple[Tensor, Tensor]:
    """KL(q ‖ p) ≈ mean of log q(z) − log p(z) over z ~ q, and its standard error; in nats.

    Args:
        q: drawn from.
        p: over the same space.
        samples: how many z, at least two; both results have q's batch shape.

    Raises:
        ConfigurationError: fewer than two samples.
    """
    z = q.sample((check_count("samples", samples, least=2),))
    log_ratio = q.log_prob(z) - p.log_prob(z)
    return log_ratio.mean(0), log_ratio.std(0) / samples**0.5


def marginals(p: Distribution) -> Distribution | None:
    """pⱼ(zⱼ) of each dimension, batch shape (*batch, d), where p(z) = ∏ⱼ pⱼ(zⱼ); else None.

    Those of torch's Independent, or what a distribution itself has as ``marginals``.
    """
    if isinstance(p, Independent) and p.reinterpreted_batch_ndims == 1:
        return p.base_dist
    return getattr(p, "marginals", None)


def kl_terms(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(qⱼ ‖ pⱼ) of each latent dimension, (*batch, d), nats.

    None where q or p does not factorise over dimensions, or no closed form is known.
    """
    of_q, of_p = marginals(q), marginals(p)
    if of_q is None or of_p is None:
        return None
    try:
        return kl_divergence(of_q, of_p)
    except NotImplementedError:
        return None


def exact_kl(q: Distribution, p: Distribution) -> Tensor | None:
    """KL(q ‖ p), (*batch), in closed form; None where none is known."""
    try:
        return kl_divergence(q, p)
    except NotImplementedError:
        terms = kl_terms(q, p)
        return None if terms is None else terms.sum(-1)


def kl(q: Distribution, p: Distribution, z: Tensor, log_q: Tensor | None = None) -> Tensor:
    """KL(q ‖ p): in closed form where one is known, else estimated at the given z ~ q.

    Of layered codes, the estimate is in closed form for each layer given its parents, where it can
    be.  Shapes: z (samples, *batch, latent); result (*batch).  ``log_q`` is log q(z) where it is
    known already.
    """
    exact = exact_kl(q, p)
    if exact is not None:
        return exact
    if hasattr(q, "kl_per_layer") and hasattr(p, "kl_per_layer"):
        return q.kl_per_layer(p, z).sum(-1)
    return ((q.log_prob(z) if log_q is None else log_q) - p.log_prob(z)).mean(0)


def gaussian_total_correlation(covariance: Float[Tensor, "*batch d d"]) -> Float[Tensor, "*batch"]:
    """KL(N(μ, Σ) ‖ ∏ᵢ N(μᵢ, Σᵢᵢ)) = ½ (Σᵢ log Σᵢᵢ − log |Σ|): how far dimensions depend.

    ``covariance`` is Σ, (*batch, d, d), symmetric and positive definite.

    Source: Watanabe, Information theoretical analysis of multivariate correlation, 1960.
    """
    variances = covariance.diagonal(dim1=-2, dim2=-1)
    return 0.5 * (variances.log().sum(-1) - torch.linalg.slogdet(covariance).logabsdet)


def mmd(
    x: Float[Tensor, "n d"], y: Float[Tensor, "m d"], kernel: Kernel = "imq"
) -> Float[Tensor, ""]:
    """MMD² = E k(x, x′) + E k(y, y′) − 2 E k(x, y), without bias: no point is paired with itself.

    k is a function of ‖x − y‖²/c, the mean over c = 2d · SCALES, as 2d is the mean squared distance
    of two draws from N(0, I): ``"imq"``, the inverse multiquadratic 1/(1 + ‖x − y‖²/c), or
    ``"rbf"``, the Gaussian exp(−‖x − y‖²/c).  Negative values are possible near 0.

    Sources: Gretton et al., A kernel two-sample test, 2012; kernel and scales: Tolstikhin et al.,
    Wasserstein auto-encoders, 2017, arXiv 1711.01558.

    Raises:
        ShapeError: fewer than two points in either.
    """
    n, m = len(x), len(y)
    if min(n, m) < 2 or x.shape[1:] != y.shape[1:]:
        raise ShapeError(
            "expected two sets of at least two points in the same space, got shapes "
            f"{tuple(x.shape)} and {tuple(y.shape)}"
        )
    within_x = (_kernel(x, x, kernel).sum() - n) / (n * (n - 1))  # as k(x, x) = 1
    within_y = (_kernel(y, y, kernel).sum() - m) / (m * (m - 1))
    return within_x + within_y - 2 * _kernel(x, y, kernel).mean()


def _kernel(x: Tensor, y: Tensor, kernel: Kernel) -> Tensor:
    """k(xᵢ, yⱼ) for all pairs, (n, m)."""
    distances = torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")
    squared = distances.square() / (2 * x.shape[1])
    values = [
        (-squared / scale).exp() if kernel == "rbf" else 1 / (1 + squared / scale)
        for scale in SCALES
    ]
    return torch.stack(values).mean(0)
