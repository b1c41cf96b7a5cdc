"""A10, B1, B2, C1, E1: the closed forms and the ELBO's identity, where everything is exact."""

from __future__ import annotations

import math
import time

import numpy as np
import torch
from scipy.integrate import quad
from scipy.stats import norm
from torch import Tensor
from torch.distributions import MultivariateNormal

from lowerbound import divergences, plots
from lowerbound.distributions import DiagonalNormal, StandardNormal
from lowerbound.divergences import full_gaussian_kl
from lowerbound.evaluation.markov_chains import (
    effective_sample_size,
    gaussian_gibbs,
    metropolis_hastings,
)
from lowerbound.reproduce.bench import Bench
from lowerbound.reproduce.system import system

CASES = tuple((m, s, n, t) for m in (-1.5, 0.0, 2.0) for s in (0.3, 1.0, 2.0)
              for n in (0.0, 1.0) for t in (0.5, 1.0, 3.0))  # fmt: skip


def numbers(*values: float) -> tuple[Tensor, ...]:
    return tuple(torch.tensor(value, dtype=torch.float64) for value in values)


def by_quadrature(mean_1: float, sigma_1: float, mean_2: float, sigma_2: float) -> float:
    """∫ q log(q/p) for two univariate Gaussians."""
    q, p = norm(mean_1, sigma_1), norm(mean_2, sigma_2)
    ends = mean_1 - 12 * sigma_1, mean_1 + 12 * sigma_1
    return quad(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)), *ends, points=[mean_1])[0]


@system("B1", "KL between two univariate Gaussians")
def b1(bench: Bench) -> None:
    univariate(bench)


def univariate(bench: Bench) -> None:
    """The closed form against quadrature, and at equality."""
    errors = [
        abs(divergences.univariate_gaussian_kl(*numbers(*case)).item() - by_quadrature(*case))
        for case in CASES
    ]
    bench.row("largest error against quadrature", max(errors), "nats", goal=1e-6, setting="exact")
    equal = [
        abs(divergences.univariate_gaussian_kl(*numbers(m, s, m, s)).item()) for m, s, _, _ in CASES
    ]
    bench.row("largest |KL| of equal Gaussians", max(equal), "nats", goal=1e-12, setting="exact")


@system("B2", "KL of a diagonal Gaussian to N(0, I)")
def b2(bench: Bench) -> None:
    to_standard_normal(bench)


def to_standard_normal(bench: Bench) -> None:
    """The closed form against quadrature in each dimension, and against Monte Carlo."""
    means, sigmas = torch.tensor([[m, s] for m, s, _, _ in CASES], dtype=torch.float64).T
    terms = divergences.standard_normal_kl_terms(means, 2 * sigmas.log())
    exact = [by_quadrature(m, s, 0, 1) for m, s, _, _ in CASES]
    error = (terms - torch.tensor(exact)).abs().max().item()
    bench.row("largest error against quadrature", error, "nats", goal=1e-6, setting="exact")
    torch.manual_seed(bench.seed)
    q, p = DiagonalNormal(means, 2 * sigmas.log()), StandardNormal(torch.zeros_like(means))
    estimate, spread = divergences.monte_carlo_kl(q, p, bench.few(1_000_000, 20_000))
    distance = ((estimate - terms.sum()) / spread).abs().item()
    bench.row("distance from Monte Carlo", distance, "standard errors", goal=4, setting="exact")


@system("C1", "The two KL derivations")
def c1(bench: Bench) -> None:
    univariate(bench)
    to_standard_normal(bench)


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
    bench.row(
        "largest |ELBO + KL(q ‖ posterior) − log p(x)|, 100 q",
        max(errors),
        "nats",
        goal=1e-6,
        setting="exact",
    )
    bench.row(
        "smallest log p(x) − ELBO", min(slacks), "nats", goal=0, better="higher", setting="exact"
    )
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
        title="The gap between them is KL(q ‖ p(z|x))",
    )
    bench.picture("gap", "The bound and the evidence", "q moves past the posterior.", figure)
    bench.note("log p(x) = ELBO(q) + KL(q ‖ p(z|x)), and a KL is never negative.")


@system("A10", "The ELBO's identity; the posterior by Gibbs, Metropolis–Hastings and variationally")
def a10(bench: Bench) -> None:
    model = Sum(x=1.5, sigma=0.5)
    identity(bench, model)
    steps = bench.few(20_000, 500)
    torch.manual_seed(bench.seed)
    start = torch.zeros(2, dtype=torch.float64)
    chains, seconds = {}, {}
    began = time.perf_counter()
    chains["Gibbs"] = gaussian_gibbs(model.mean, model.precision, start, steps)
    seconds["Gibbs"] = time.perf_counter() - began
    began = time.perf_counter()
    chains["Metropolis–Hastings"], accepted = metropolis_hastings(
        model.log_joint, start, steps, scale=0.9
    )
    seconds["Metropolis–Hastings"] = time.perf_counter() - began
    bench.row("acceptance rate, Metropolis–Hastings", accepted, "")
    times, errors = {}, {}
    for name, chain in chains.items():
        size = effective_sample_size(chain[:, 0])
        bench.row(f"effective sample size of {steps:,} draws, {name}", size, "draws")
        lengths = np.unique(np.geomspace(10, steps, 40).astype(int))
        times[name] = 1e3 * seconds[name] * lengths / steps
        errors[name] = np.array([covariance_error(model, chain[:n].T.cov()) for n in lengths])
    name = "variational, mean field"
    times[name], errors[name], mean, covariance = mean_field(model, bench.few(400, 50))
    for method in errors:
        bench.row(f"final error of the covariance, {method}", errors[method][-1], "Frobenius norm")
    figure = plots.curves(
        times,
        errors,
        xlabel="milliseconds",
        ylabel="error of the posterior's covariance",
        logx=True,
        logy=True,
        title="Markov chains are unbiased and slow, the mean field biased and fast",
    )
    bench.picture("error", "Error against time", "Frobenius norm, one core.", figure)
    spread = MultivariateNormal(mean, covariance).sample((2000,))
    shown = {name: chain[:: max(1, steps // 2000)] for name, chain in chains.items()}
    figure = plots.gaussian_draws(
        {name: z.numpy() for name, z in (shown | {"mean field": spread}).items()},
        model.mean.numpy(),
        model.covariance.numpy(),
        title="The posterior (ellipses: 1σ, 2σ), and its best approximation without correlation",
    )
    bench.picture("posterior", "The posterior", "Draws of each.", figure)
    bench.note(
        "Only z₁ + z₂ is seen, so the posterior is a narrow ridge. A factorised q cannot lie along "
        "it, and is too narrow: that error stays however long it is optimised. The chains' error "
        "falls as one over the square root of their length."
    )


def covariance_error(model: Sum, covariance: Tensor) -> float:
    return (covariance - model.covariance).norm().item()


def mean_field(model: Sum, steps: int) -> tuple[np.ndarray, np.ndarray, Tensor, Tensor]:
    """Gradient ascent on the ELBO of a factorised q: times in ms, errors, mean, covariance."""
    mean = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    log_variance = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.Adam([mean, log_variance], lr=0.1)
    began, times, errors = time.perf_counter(), [], []
    for _ in range(steps):
        loss = -model.elbo(mean, torch.diag(log_variance.exp()))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        times.append(1e3 * (time.perf_counter() - began))
        errors.append(covariance_error(model, torch.diag(log_variance.detach().exp())))
    covariance = torch.diag(log_variance.detach().exp())
    return np.array(times), np.array(errors), mean.detach(), covariance
