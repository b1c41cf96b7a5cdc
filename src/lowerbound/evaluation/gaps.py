"""What the ELBO loses: to the family of q, and to an encoder that must serve all x at once.

log p(x) − L[q] = (log p(x) − L[q*]) + (L[q*] − L[q]), with q* the best diagonal Gaussian for this
one x: the approximation gap and the amortisation gap.

Source: Cremer, Li & Duvenaud, Inference suboptimality in variational autoencoders, 2018, arXiv
1801.03558.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from lowerbound.distributions import DiagonalNormal
from lowerbound.errors import ShapeError, check_count
from lowerbound.evaluation.bounds import example_bounds
from lowerbound.evaluation.estimates import Estimate, Figures, estimate
from lowerbound.evaluation.refit import Refit
from lowerbound.evaluation.walk import Progress, expect_finite, held_out, per_example
from lowerbound.streams import Stream
from lowerbound.vae import VAE, Conditioned

BOUNDS = ("elbo", "importance_weighted")
DRAWS, ROUND = 8, 50
LEARNING_RATES = (0.1, 0.01)
TOLERANCE = 0.01
MOST_ROUNDS = 100


@dataclass(frozen=True)
class Gaps(Figures):
    """The ELBO's distance from log p(x) in two parts, nats; each a mean over the same examples.

    Attributes:
        examples: how many.
        evidence: the best lower bound on log p(x) at hand, from which both gaps are counted.
        method: what gave ``evidence``, in words.
        elbo: L[q], of the encoder's q(z|x).
        best_elbo: L[q*], of the best diagonal Gaussian for each x.
        approximation: evidence − L[q*], too small by what ``evidence`` itself lacks, and with few
            examples too large by chance, as the best of several estimates is taken for it.
        amortisation: L[q*] − L[q], too small by what the search for q* left.
        steps: of that search, over all batches of examples the most.
        converged: whether the last 50 steps of each batch gained less than 0.01 nats on average.
    """

    examples: int
    evidence: Estimate
    method: str
    elbo: Estimate
    best_elbo: Estimate
    approximation: Estimate
    amortisation: Estimate
    steps: int
    converged: bool

    def __str__(self) -> str:
        rows = [
            (f"log p(x) ≥ {self.method}", self.evidence),
            ("  approximation gap, at least", self.approximation),
            ("ELBO of the best q for each x", self.best_elbo),
            ("  amortisation gap", self.amortisation),
            ("ELBO of the encoder's q", self.elbo),
        ]
        lines = [f"  {name:<48}{gap:>10.2f} nats" for name, gap in rows]
        found = "found" if self.converged else "still rising"
        return "\n".join([*lines, f"  (q* {found} after {self.steps:,} steps)"])


def gaps(
    model: VAE,
    data: Any,
    *,
    samples: int = 1000,
    annealed: Tensor | None = None,
    leave_out: Collection[int] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> Gaps:
    """The approximation and the amortisation gap of ``data``.

    log p(x) is taken from whichever is highest on average: the importance-weighted bound with q, or
    with q*, or ``annealed``.  All are lower bounds in expectation, and blind to modes of p(z|x)
    that q, q* and the chains miss.

    Args:
        model: its posterior must be a diagonal Gaussian, the family in which q* is sought.
        data: the examples.
        samples: draws for the bounds of q and of q*.
        annealed: log p(x) of the same examples by `anneal`, with the same seed.
        leave_out: as in `anneal`.
        seed: of all noise.
        progress: called with the examples done and their number.

    Raises:
        ConfigurationError: another posterior, or fewer than two examples.
        ShapeError: ``annealed`` has not one number for each example.
    """
    samples = check_count("samples", samples)
    data = held_out(data, leave_out=leave_out)
    n = len(data) - len(leave_out)
    if annealed is not None and annealed.shape != (n,):
        raise ShapeError(
            f"expected an annealed log p(x) for each of {n} examples, got {tuple(annealed.shape)}"
        )

    def measure(given: Conditioned) -> dict[str, Tensor]:
        best, steps, settled = best_posterior(given)
        with torch.random.fork_rng([given.x.device] if given.x.is_cuda else []):
            bounds = example_bounds(model, given, samples)
        # By the same noise, most of which their difference is then without.
        of_best = example_bounds(model, replace(given, q=best), samples)
        search = {"steps": torch.tensor(steps), "settled": torch.tensor(settled)}
        return {
            **{name: bounds[name] for name in BOUNDS},
            **{f"best_{name}": of_best[name] for name in BOUNDS},
            **{name: value.expand(len(given.x)) for name, value in search.items()},
        }

    found = per_example(
        *(model, data, measure),
        seed=seed,
        stream=Stream.GAPS,
        copies=2 * DRAWS,
        progress=progress,
        leave_out=leave_out,
    )
    expect_finite(found, leave_out=leave_out)
    elbo, weighted, best_elbo, best_weighted = (
        found[best + name].double() for best in ("", "best_") for name in BOUNDS
    )
    bounds = {f"importance-weighted, k={samples:,}": weighted}
    bounds |= {f"importance-weighted by q*, k={samples:,}": best_weighted}
    bounds |= {} if annealed is None else {"annealed": annealed.double()}
    method, evidence = max(bounds.items(), key=lambda named: named[1].mean())
    return Gaps(
        examples=n,
        evidence=estimate(evidence),
        method=method,
        elbo=estimate(elbo),
        best_elbo=estimate(best_elbo),
        approximation=estimate(evidence - best_elbo),
        amortisation=estimate(best_elbo - elbo),
        steps=int(found["steps"].max()),
        converged=bool(found["settled"].all()),
    )


@torch.enable_grad()
def best_posterior(given: Conditioned) -> tuple[DiagonalNormal, int, bool]:
    """q* = argmax L over diagonal Gaussians, for each x of a batch, from the encoder's q onwards.

    Every round of 50 steps takes the same draws, in pairs ±ε, so that rounds are compared without
    noise; a round that gains less than 0.01 nats ends the search at one learning rate, of two.

    Returns q*, the steps taken, and whether the last round gained less.

    Raises:
        ConfigurationError: q is not a diagonal Gaussian.
    """
    refit = Refit(given)
    mean = refit.q.mean
    noise = torch.randn(ROUND, DRAWS, *mean.shape, dtype=mean.dtype, device=mean.device)

    rounds, last, gain = 0, -math.inf, math.inf
    for rate in LEARNING_RATES:
        gain = math.inf
        while gain > TOLERANCE and rounds < MOST_ROUNDS:
            total = sum(refit.step(epsilon, rate).mean() for epsilon in noise)
            gain, last = float(total) / ROUND - last, float(total) / ROUND
            rounds += 1
    return refit.posterior().detach(), rounds * ROUND, gain <= TOLERANCE
