"""E1: why the ELBO is a lower bound, in a model in which everything is exact."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.stats import norm
from torch import Tensor

from documents.bench import Bench, system
from lowerbound import plots
from lowerbound.divergences import full_gaussian_kl


class Sum:
    """p(z) = N(0, I₂), p(x|z) = N(x; z₁ + z₂, σ²): all of its distributions are Gaussian.

    The posterior N(m, Λ⁻¹) has precision Λ = I + 11ᵀ/σ², whose two coordinates are strongly
    correlated, since only their sum is seen.
    """

    def __init__(self, x: float, sigma: float) -> None:
        self.x, self.sigma = x, sigma
        ones = torch.ones(2, 2, dtype=torch.float64)
        self.precision = torch.eye(2, dtype=torch.float64) + ones / sigma**2
        self.covariance = torch.linalg.inv(self.precision)
        self.mean = self.covariance.sum(1) * x / sigma**2
        self.log_evidence = norm(0, math.sqrt(2 + sigma**2)).logpdf(x)

    def log_joint(self, z: Tensor) -> Tensor:
        """log p(x|z) + log p(z), up to a constant."""
        return -0.5 * ((self.x - z.sum(-1)) ** 2 / self.sigma**2 + z.square().sum(-1))

    def elbo(self, mean: Tensor, covariance: Tensor) -> Tensor:
        """E_q log p(x|z) − KL(q ‖ p) for q = N(mean, covariance), in closed form."""
        error = (self.x - mean.sum()) ** 2 + covariance.sum()
        expected = -0.5 * (math.log(2 * math.pi * self.sigma**2) + error / self.sigma**2)
        zero, one = torch.zeros_like(mean), torch.eye(2, dtype=torch.float64)
        return expected - full_gaussian_kl(mean, covariance, zero, one)

    def gap(self, mean: Tensor, covariance: Tensor) -> Tensor:
        """KL(q ‖ p(z|x))."""
        return full_gaussian_kl(mean, covariance, self.mean, self.covariance)


def identity(bench: Bench, model: Sum) -> None:
    """log p(x) = ELBO(q) + KL(q ‖ p(z|x)), and the ELBO below it, for many q."""
    generator = torch.Generator().manual_seed(bench.seed)
    errors, slacks = [], []
    for _ in range(100):
        A = torch.randn(2, 2, generator=generator, dtype=torch.float64)
        mean = torch.randn(2, generator=generator, dtype=torch.float64)
        covariance = A @ A.T + 0.1 * torch.eye(2, dtype=torch.float64)
        elbo, gap = model.elbo(mean, covariance), model.gap(mean, covariance)
        errors.append((elbo + gap - model.log_evidence).abs().item())
        slacks.append(model.log_evidence - elbo.item())
    name = "largest |ELBO + KL(q ‖ posterior) − log p(x)|, 100 q"
    bench.exact(name, max(errors), "nats", goal=1e-6)
    bench.exact("smallest log p(x) − ELBO", min(slacks), "nats", goal=0, better="higher")
    at_posterior = model.log_evidence - model.elbo(model.mean, model.covariance).item()
    bench.row("log p(x) − ELBO at the posterior", abs(at_posterior), "nats", goal=1e-6)


@system("E1", "Why the ELBO is a lower bound")
def e1(bench: Bench) -> None:
    model = Sum(x=1.5, sigma=0.5)
    identity(bench, model)
    shifts = np.linspace(-1.5, 1.5, 61)
    elbos = [model.elbo(model.mean + float(s), model.covariance).item() for s in shifts]
    figure = plots.curves(
        shifts,
        {"log p(x)": np.full_like(shifts, model.log_evidence), "ELBO": np.array(elbos)},
        xlabel="shift of q's mean from the posterior's",
        ylabel="nats",
    )
    bench.picture("gap", "The bound and the evidence", "q moves past the posterior.", figure)
    bench.note("log p(x) = ELBO(q) + KL(q ‖ p(z|x)), and a KL is never negative.")
