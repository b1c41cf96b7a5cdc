"""A10: the ELBO's identity, and one posterior by Markov chains and variationally."""

from __future__ import annotations

import time

import numpy as np
import torch
from torch import Tensor
from torch.distributions import MultivariateNormal

from documents.bench import Bench, system
from documents.problem_set.bound import Sum, identity
from documents.slides.markov_chains import (
    effective_sample_size,
    gaussian_gibbs,
    metropolis_hastings,
)
from lowerbound import plots


@system("A10", "The ELBO's identity; the posterior by Gibbs, Metropolis–Hastings and variationally")
def a10(bench: Bench) -> None:
    model = Sum(x=1.5, sigma=0.5)
    identity(bench, model)
    steps = bench.few(20_000, 500)
    torch.manual_seed(bench.seed)
    start = torch.zeros(2, dtype=torch.float64)
    began = [time.perf_counter()]
    gibbs = gaussian_gibbs(model.mean, model.precision, start, steps)
    began.append(time.perf_counter())
    walk, accepted = metropolis_hastings(model.log_joint, start, steps, scale=0.9)
    began.append(time.perf_counter())
    bench.row("acceptance rate, Metropolis–Hastings", accepted)
    chains = {"Gibbs": gibbs, "Metropolis–Hastings": walk}
    times, errors = {}, {}
    for (name, chain), seconds in zip(chains.items(), np.diff(began), strict=True):
        size = effective_sample_size(chain[:, 0])
        bench.row(f"effective sample size of {steps:,} draws, {name}", size, "draws")
        lengths = np.unique(np.geomspace(10, steps, 40).astype(int))
        times[name] = 1e3 * seconds * lengths / steps
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
    )
    bench.picture("error", "Error against time", "Frobenius norm, one core.", figure)
    spread = MultivariateNormal(mean, covariance).sample((2000,))
    shown = {name: chain[:: max(1, steps // 2000)] for name, chain in chains.items()}
    figure = plots.gaussian_draws(
        {name: z.numpy() for name, z in (shown | {"mean field": spread}).items()},
        model.mean.numpy(),
        model.covariance.numpy(),
    )
    caption = "Draws of each, over the posterior's ellipses of 1σ and 2σ."
    bench.picture("posterior", "The posterior", caption, figure)
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
