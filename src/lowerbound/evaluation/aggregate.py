"""The aggregate posterior q(z) = (1/n) Σᵢ q(z|xᵢ): its KL from the prior, and the KL in parts.

E KL(q(z|x) ‖ p(z)) = I(x; z) + KL(q(z) ‖ ∏ᵢ q(zᵢ)) + Σᵢ KL(q(zᵢ) ‖ p(zᵢ)): mutual information,
what the code tells of x; total correlation, how its dimensions depend; and the KL of each.

Sources: Hoffman & Johnson, ELBO surgery, 2016; Chen, Li, Grosse & Duvenaud, Isolating sources of
disentanglement in VAEs, 2018, arXiv 1802.04942.
"""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.distributions import DiagonalNormal, StandardNormal, as_diagonal
from lowerbound.distributions.base import LOG_2PI
from lowerbound.errors import ConfigurationError, ShapeError
from lowerbound.evaluation.estimates import Between, Estimate, Figures, estimate
from lowerbound.evaluation.walk import (
    Progress,
    expect_finite,
    held_out,
    judging,
    per_example,
    posteriors,
)
from lowerbound.streams import Stream, generator
from lowerbound.vae import VAE, Conditioned

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

    Args:
        mean: μ(x) of each example.
        log_variance: log σ²(x) of each example.
        seed: of the draws z.

    Returns:
        The two bounds, nats.

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
    noise = torch.randn(mean.shape, generator=generator(seed, Stream.AGGREGATE)).to(mean)
    z = mean + (0.5 * log_variance).exp() * noise
    log_p = -0.5 * (z**2 + LOG_2PI).sum(-1)
    log_all, log_others = log_mixtures(z, mean, log_variance)
    return Between(estimate(log_others - log_p), estimate(log_all - log_p))


def log_mixtures(z: Tensor, mean: Tensor, log_variance: Tensor) -> tuple[Tensor, Tensor]:
    """log of the mean of N(zᵢ; μⱼ, diag σⱼ²) over all j, and over j ≠ i; (n,) each."""
    q = DiagonalNormal(mean, log_variance)
    own, peaks, log_others = q.log_prob(z), q.log_prob(mean), []
    for start in range(0, len(z), ROWS):
        # No density is above its peak, except by the rounding of one much narrower than z is large.
        log_q = q.log_probs(z[start : start + ROWS]).minimum(peaks)
        log_q.diagonal(start).fill_(-math.inf)
        log_others.append(log_q.logsumexp(1))
    others, n = torch.cat(log_others), len(z)
    return others.logaddexp(own) - math.log(n), others - math.log(n - 1)


@torch.no_grad()
def gaussian_posteriors(model: VAE, data: Any) -> tuple[Tensor, Tensor]:
    """μ and log σ² of the ``model``'s q(z|x) for all the ``data``, (n, latent) each, on the CPU.

    Raises:
        ConfigurationError: the posterior is not a diagonal Gaussian.
    """
    batches = [gaussian_parameters(q) for q in posteriors(model, data)]
    mean, log_variance = (torch.cat(column).cpu() for column in zip(*batches, strict=True))
    expect_finite({"mean": mean, "log_variance": log_variance})
    return mean, log_variance


def gaussian_parameters(q: Distribution) -> tuple[Tensor, Tensor]:
    """μ and log σ² of a diagonal Gaussian."""
    normal = as_diagonal(q)
    if normal is None:
        raise ConfigurationError(f"expected a diagonal Gaussian posterior, got {type(q).__name__}")
    return normal.mean, normal.log_variance


@dataclass(frozen=True)
class KLParts(Figures):
    """E KL(q(z|x) ‖ p(z)) and its parts, nats, from one draw z of each example's posterior.

    q(z) is the mean over all x that there could be.  Of these n are at hand, so each part lies
    between two estimates, which hold in expectation and close as n grows: z is judged by the
    posteriors of the other examples, or by all, its own among them.  The mutual information cannot
    be shown to be more than log n.

    Attributes:
        examples: n.
        kl: E KL(q(z|x) ‖ p(z)).
        mutual_information: I(x; z), of the code and the data.
        aggregate: KL(q(z) ‖ p(z)) = kl − mutual_information.
        total_correlation: KL(q(z) ‖ ∏ᵢ q(zᵢ)).
        dimensions: Σᵢ KL(q(zᵢ) ‖ p(zᵢ)) = aggregate − total_correlation; None, as the next, for a
            prior other than N(0, I).
        per_dimension: its terms.
    """

    examples: int
    kl: Estimate
    mutual_information: Between
    aggregate: Between
    total_correlation: Between
    dimensions: Between | None
    per_dimension: list[Between] | None

    def __str__(self) -> str:
        rows = [
            ("  mutual information I(x; z)", self.mutual_information),
            ("  KL(q(z) ‖ p(z))", self.aggregate),
            ("    total correlation", self.total_correlation),
            ("    KL of each dimension, summed", self.dimensions),
        ]
        lines = [f"  {'KL(q(z|x) ‖ p(z)), one draw':<32}{self.kl:>12.2f} nats, of which"]
        for name, part in rows:
            if part is not None:
                lines.append(f"  {name:<32}{part.lower:>12.2f} to {part.upper:.2f} nats")
        return "\n".join(lines)


def decompose_kl(
    model: VAE,
    data: Any,
    *,
    leave_out: Collection[int] = (),
    seed: int = 0,
    progress: Progress | None = None,
) -> KLParts:
    """The parts of the KL over ``data``, all of whose posteriors make up q(z).

    Takes time in n² × latent dimensions, and memory in n.

    Args:
        model: its posterior must be a diagonal Gaussian, its prior the same for all examples.
        data: the examples.
        leave_out: numbers of examples, such as `Evaluation.left_out`, that are in no figure.
        seed: of the draws z.
        progress: called with the latent dimensions done and their number.

    Raises:
        ConfigurationError: the posterior is no diagonal Gaussian, the prior takes a context, or
            there are fewer than two examples.
    """
    data = model.expect(held_out(data, leave_out=leave_out))
    with judging(model, seed, Stream.DECOMPOSE) as device:
        context = None if data.context is None else data.context[:1].to(device)
        p = model.prior(model.features(context))
        if not isinstance(p, StandardNormal) and p.batch_shape:
            raise ConfigurationError(
                "expected one prior for all examples, got one that is given a context "
                f"({type(p).__name__}), on which it may depend: there is no one q(z) to compare "
                "with it"
            )
    found = per_example(
        model, data, _drawn, seed=seed, stream=Stream.DECOMPOSE, leave_out=leave_out
    )
    expect_finite(found, leave_out=leave_out)
    z, log_p, mean, log_variance = (column.double() for column in found.values())
    log_conditional = DiagonalNormal(mean, log_variance).log_prob(z)
    log_all, log_others = log_mixtures(z, mean, log_variance)
    marginals: list[tuple[Tensor, Tensor]] = []
    for i in range(z.shape[1]):
        column = slice(i, i + 1)
        marginals.append(log_mixtures(z[:, column], mean[:, column], log_variance[:, column]))
        if progress:
            progress(i + 1, z.shape[1])
    every_all, every_others = (torch.stack(logs) for logs in zip(*marginals, strict=True))
    kl, aggregate = log_conditional - log_p, _between(log_others - log_p, log_all - log_p)
    # Where the others show nothing, I(x; z) may be all of the KL.
    shown = log_others if aggregate.lower.value > 0 else log_p
    log_normal = -0.5 * (z.T**2 + LOG_2PI)
    terms = (every_others - log_normal, every_all - log_normal)
    standard = isinstance(p, StandardNormal)
    return KLParts(
        examples=len(z),
        kl=estimate(kl),
        mutual_information=_between(log_conditional - log_all, log_conditional - shown),
        aggregate=aggregate,
        total_correlation=_between(log_others - every_all.sum(0), log_all - every_others.sum(0)),
        dimensions=_between(*(term.sum(0) for term in terms)) if standard else None,
        per_dimension=[_between(*pair) for pair in zip(*terms, strict=True)] if standard else None,
    )


def _drawn(given: Conditioned) -> dict[str, Tensor]:
    """One draw z of each posterior, log p(z), μ and log σ²."""
    mean, log_variance = gaussian_parameters(given.q)
    z = given.q.sample()
    return {
        "z": z,
        "log_p": given.p.log_prob(z),
        "mean": mean,
        "log_variance": log_variance.expand_as(mean),
    }


def _between(lower: Tensor, upper: Tensor) -> Between:
    """The two estimates of a divergence, which is never below 0.

    Where their noise exceeds their distance they may come out crossed, and are put in order.
    """
    low, high = sorted((estimate(lower), estimate(upper)), key=lambda each: each.value)
    least = low if low.value > 0 else Estimate(0.0, 0.0)
    return Between(least, replace(high, value=max(high.value, 0.0)))
