"""B1 and B2: the KL of two Gaussians in closed form, against quadrature and Monte Carlo."""

from __future__ import annotations

from functools import cache

import torch
from scipy.integrate import quad
from scipy.stats import norm

from documents.bench import Bench, system
from lowerbound import divergences
from lowerbound.distributions import DiagonalNormal, StandardNormal

CASES = tuple((m, s, n, t) for m in (-1.5, 0.0, 2.0) for s in (0.3, 1.0, 2.0)
              for n in (0.0, 1.0) for t in (0.5, 1.0, 3.0))  # fmt: skip


def closed_form(*case: float) -> float:
    """KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) of (μ₁, σ₁, μ₂, σ₂)."""
    numbers = (torch.tensor(value, dtype=torch.float64) for value in case)
    return divergences.univariate_gaussian_kl(*numbers).item()


@cache
def by_quadrature(mean_1: float, sigma_1: float, mean_2: float, sigma_2: float) -> float:
    """∫ q log(q/p) for two univariate Gaussians."""
    q, p = norm(mean_1, sigma_1), norm(mean_2, sigma_2)
    ends = mean_1 - 12 * sigma_1, mean_1 + 12 * sigma_1
    return quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), *ends, points=[mean_1])[0]


@system("B1", "KL between two univariate Gaussians")
def b1(bench: Bench) -> None:
    """The closed form against quadrature, and for equal Gaussians."""
    error = max(abs(closed_form(*case) - by_quadrature(*case)) for case in CASES)
    bench.exact("largest error against quadrature", error, "nats", goal=1e-6)
    equal = max(abs(closed_form(m, s, m, s)) for m, s, _, _ in CASES)
    bench.exact("largest |KL| of equal Gaussians", equal, "nats", goal=1e-12)


@system("B2", "KL of a diagonal Gaussian to N(0, I)")
def b2(bench: Bench) -> None:
    """The closed form against quadrature in each dimension, and against Monte Carlo."""
    means, sigmas = torch.tensor([[m, s] for m, s, _, _ in CASES], dtype=torch.float64).T
    terms = divergences.standard_normal_kl_terms(means, 2 * sigmas.log())
    by_hand = torch.tensor([by_quadrature(m, s, 0, 1) for m, s, _, _ in CASES])
    error = (terms - by_hand).abs().max().item()
    bench.exact("largest error against quadrature", error, "nats", goal=1e-6)
    torch.manual_seed(bench.seed)
    q, p = DiagonalNormal(means, 2 * sigmas.log()), StandardNormal(torch.zeros_like(means))
    estimate, spread = divergences.monte_carlo_kl(q, p, bench.few(1_000_000, 20_000))
    distance = ((estimate - terms.sum()) / spread).abs().item()
    bench.exact("distance from Monte Carlo", distance, "standard errors", goal=4)
