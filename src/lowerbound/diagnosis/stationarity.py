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

NEAR = math.log(1.5)
"""How near the variances' β must come to the one wanted, in logarithms, for a reading to explain
the encoder."""

MEANS_NEAR = math.log(1.8)
"""The same for the means' β, which training settles later; less than a lost factor of 2."""


@dataclass(frozen=True)
class Weights:
    """β as the means and as the variances have it, and the ratio of the second to the first."""

    of_means: Estimate
    of_variances: Estimate
    ratio: Estimate


@dataclass(frozen=True)
class Reading:
    """What the encoder's second output h may have been used as: ``log_variance`` of h."""

    name: str
    log_variance: Callable[[Tensor], Tensor]


STATED = Reading("exp(½ h) ε", lambda h: h)
DRAWN = (
    STATED,
    Reading("exp(h) ε", lambda h: 2 * h),
    Reading("0.1 exp(h) ε", lambda h: 2 * (h + math.log(0.1))),
    Reading("exp(¼ h) ε", lambda h: h / 2),
    Reading("exp(−½ h) ε", lambda h: -h),
)
"""The noise that z may have been drawn with."""

PAID = (Reading("log σ² = h", lambda h: h), Reading("log σ² = 2h", lambda h: 2 * h))
"""The variance that the KL may have been paid for."""


def weights(subject: Subject, drawn: Reading = STATED, paid: Reading = PAID[0]) -> Weights | None:
    """β by both derivatives over the training data; None where q is no diagonal Gaussian."""
    assert subject.train is not None
    columns: list[list[Tensor]] = [[], [], [], []]
    for x, context in prepared_batches(subject.model, subject.train, subject.device):
        q = as_diagonal(subject.model.posterior(x, context))
        if q is None:
            return None
        terms = _derivatives(subject, q, x, context, drawn, paid)
        for column, term in zip(columns, terms, strict=True):
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
    subject: Subject,
    q: DiagonalNormal,
    x: Tensor,
    context: Tensor | None,
    drawn: Reading,
    paid: Reading,
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Of −log p(x|z) and of the KL, by the scale of the means and the shift of h: (batch,)."""
    mean, log_variance = q.mean.detach(), q.log_variance.expand_as(q.mean).detach()
    totals = [torch.zeros(len(x), device=x.device) for _ in range(4)]
    for _ in range(PAIRS):
        noise = torch.randn_like(mean)
        with torch.enable_grad():
            m, v = mean.clone().requires_grad_(), log_variance.clone().requires_grad_()
            z = m + torch.stack((noise, -noise)) * (0.5 * drawn.log_variance(v)).exp()
            loss = -subject.model.likelihood(z, context).log_prob(x).mean(0)
            divergence = kl(
                DiagonalNormal(m, paid.log_variance(v)), subject.model.prior(context), z
            )
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
class Explanation:
    """The draws and the KL under which both β come near to the one wanted, and those β."""

    drawn: Reading
    paid: Reading
    weights: Weights
    deviation: float
    """Of the draws, over the one that q states: the geometric mean over data and dimensions."""


def explained(subject: Subject, wanted: float) -> Explanation | None:
    """The reading of h that explains the encoder, that of the nearest β by the variances; None
    where none does, or h is what q says it is."""
    found = {}
    for drawn in DRAWN:
        for paid in PAID:
            both = weights(subject, drawn, paid)
            assert both is not None
            by_means, by_variances = (
                abs(math.log(beta.value / wanted)) if beta.value > 0 else math.inf
                for beta in (both.of_means, both.of_variances)
            )
            if by_variances < NEAR and by_means < MEANS_NEAR:
                found[by_variances] = drawn, paid, both
    if not found:
        return None
    drawn, paid, both = found[min(found)]
    if drawn is STATED and paid is PAID[0]:
        return None
    h = subject.codes.variance.double().log()
    ratio = (0.5 * (drawn.log_variance(h) - h)).mean().exp().item()
    return Explanation(drawn, paid, both, ratio)
