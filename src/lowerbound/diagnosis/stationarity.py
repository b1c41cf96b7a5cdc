"""What was the encoder trained to minimise?  Read off the trained model.

Where the encoder minimises E_q[−log p(x|z)] + β KL(q(z|x) ‖ p(z)) over its parameters, the
derivative is 0 along any direction in which they can move.  Two of them every encoder has: to scale
its means, μ → (1 + t) μ, and to shift its log-variances, log σ² → log σ² + t.  So along each

    β = −(d/dt E[−log p(x|z)]) / (d/dt KL),

both derivatives averaged over the training data.  An objective with a weighted KL gives the same β
twice.  Where the two disagree, the variance that q states is not the one it was trained with.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.diagnosis.subject import Subject, as_diagonal
from lowerbound.distributions import DiagonalNormal
from lowerbound.divergences import kl
from lowerbound.evaluation import Estimate
from lowerbound.evaluation.bounds import estimate, prepared_batches

PAIRS = 8
"""Pairs of noise ε, −ε for each example: a pair's odd terms cancel, which are most of the noise."""


@dataclass(frozen=True)
class Weights:
    """β as the means and as the variances have it, and the ratio of the second to the first."""

    of_means: Estimate
    of_variances: Estimate
    ratio: Estimate


def weights(subject: Subject) -> Weights | None:
    """β by both derivatives over the training data; None where q is no diagonal Gaussian."""
    assert subject.train is not None
    columns: list[list[Tensor]] = [[], [], [], []]
    for x, context in prepared_batches(subject.model, subject.train, subject.device):
        q = as_diagonal(subject.model.posterior(x, context))
        if q is None:
            return None
        for column, term in zip(columns, _derivatives(subject, q, x, context), strict=True):
            column.append(term.double().cpu())
    loss_by_mean, kl_by_mean, loss_by_variance, kl_by_variance = map(torch.cat, columns)
    by_mean, residual_mean = _ratio(loss_by_mean, kl_by_mean)
    by_variance, residual_variance = _ratio(loss_by_variance, kl_by_variance)
    quotient = by_variance.value / by_mean.value
    relative = residual_variance / by_variance.value - residual_mean / by_mean.value
    return Weights(
        by_mean,
        by_variance,
        Estimate(quotient, abs(quotient) * estimate(relative).standard_error),
    )


def _derivatives(
    subject: Subject, q: DiagonalNormal, x: Tensor, context: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of −log p(x|z) and of the KL, by the scale of the means and the shift of log σ²: (batch,)."""
    mean, log_variance = q.mean.detach(), q.log_variance.expand_as(q.mean).detach()
    totals = [torch.zeros(len(x), device=x.device) for _ in range(4)]
    for _ in range(PAIRS):
        noise = torch.randn_like(mean)
        with torch.enable_grad():
            m, v = mean.clone().requires_grad_(), log_variance.clone().requires_grad_()
            z = m + torch.stack((noise, -noise)) * (0.5 * v).exp()
            loss = -subject.model.likelihood(z, context).log_prob(x).mean(0)
            divergence = kl(DiagonalNormal(m, v), subject.model.prior(context), z)
            gradients = [
                *torch.autograd.grad(loss.sum(), (m, v), retain_graph=True),
                *torch.autograd.grad(divergence.sum(), (m, v)),
            ]
        loss_m, loss_v, kl_m, kl_v = gradients
        terms = ((loss_m * mean), (kl_m * mean), loss_v, kl_v)
        for total, term in zip(totals, terms, strict=True):
            total += term.sum(1) / PAIRS
    return tuple(totals)  # type: ignore[return-value]


def _ratio(loss: Tensor, divergence: Tensor) -> tuple[Estimate, Tensor]:
    """−mean(loss)/mean(divergence) with its standard error, and what each example adds to it."""
    below = divergence.mean()
    value = (-loss.mean() / below).item()
    residual = -(loss + value * divergence) / below
    return Estimate(value, estimate(residual).standard_error), residual


@dataclass(frozen=True)
class Reading:
    """Another meaning of the numbers h that are taken for log σ²."""

    name: str
    log_variance: Callable[[Tensor], Tensor]


READINGS = (
    Reading("log σ, not log σ²", lambda h: 2 * h),
    Reading("the log of σ⁴: it was doubled once too often", lambda h: h / 2),
    Reading("σ², not its logarithm", lambda h: h.clamp(min=1e-12).log()),
    Reading("σ, not log σ²", lambda h: 2 * h.clamp(min=1e-12).log()),
    Reading("−log σ², the log of the precision", lambda h: -h),
    Reading(
        "not what was drawn with: the noise was 0.1 exp(h) ε", lambda h: 2 * (h + math.log(0.1))
    ),
)


def gains(subject: Subject, beta: float) -> dict[str, Estimate]:
    """How much E log p(x|z) − β KL rises over the training data under each other reading of h."""
    assert subject.train is not None
    rises: dict[str, list[Tensor]] = {reading.name: [] for reading in READINGS}
    for x, context in prepared_batches(subject.model, subject.train, subject.device):
        q = as_diagonal(subject.model.posterior(x, context))
        assert q is not None
        noise = torch.randn(2 * PAIRS, *q.mean.shape, device=x.device)
        stated = _value(subject, q, noise, x, context, beta)
        for reading in READINGS:
            other = DiagonalNormal(q.mean, reading.log_variance(q.log_variance))
            value = _value(subject, other, noise, x, context, beta)
            rises[reading.name].append((value - stated).cpu())
    return {name: estimate(torch.cat(rise)) for name, rise in rises.items()}


def _value(
    subject: Subject,
    q: DiagonalNormal,
    noise: Tensor,
    x: Tensor,
    context: Tensor | None,
    beta: float,
) -> Tensor:
    """E_q log p(x|z) − β KL of each example, at this noise."""
    z = q.mean + noise * q.stddev
    log_likelihood = subject.model.likelihood(z, context).log_prob(x).mean(0)
    return log_likelihood - beta * kl(q, subject.model.prior(context), z)
