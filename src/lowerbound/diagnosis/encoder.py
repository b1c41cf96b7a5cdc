"""What was the encoder trained to minimise, and can its outputs take any value?

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
from itertools import product

import torch
from torch import Tensor

from lowerbound.diagnosis import thresholds
from lowerbound.diagnosis.finding import Measured, NotChecked
from lowerbound.diagnosis.formulas import cause_of, near
from lowerbound.diagnosis.thresholds import surely_above
from lowerbound.diagnosis.trained import TrainedModel, once
from lowerbound.distributions import DiagonalNormal, as_diagonal
from lowerbound.divergences import kl as divergence
from lowerbound.evaluation import Estimate, columns, estimate
from lowerbound.objectives import ELBO

PAIRS = 8
"""Pairs of noise ε, −ε for each example: a pair's odd terms cancel, which are most of the noise."""

DRAWN: dict[str, Callable[[Tensor], Tensor]] = {
    "exp(½ h) ε": lambda h: h,
    "exp(h) ε": lambda h: 2 * h,
    "0.1 exp(h) ε": lambda h: 2 * (h + math.log(0.1)),
    "exp(¼ h) ε": lambda h: h / 2,
    "exp(−½ h) ε": lambda h: -h,
}
"""The noise that z may have been drawn with, and its log-variance, by the encoder's second output
h; first, as q states it."""

PAID: dict[str, Callable[[Tensor], Tensor]] = {
    "log σ² = h": lambda h: h,
    "log σ² = 2h": lambda h: 2 * h,
}
"""The log-variance that the KL may have been computed for; first, as q states it."""

Reading = tuple[str, str]
"""What h may have been: a key of `DRAWN` and one of `PAID`."""

READINGS: list[Reading] = list(product(DRAWN, PAID))


@dataclass(frozen=True)
class Weights:
    """β as the means and as the variances have it, and the ratio of the second to the first."""

    of_means: Estimate
    of_variances: Estimate
    ratio: Estimate

    @property
    def bars(self) -> dict[str, float]:
        """Both, by what they were read off."""
        return {"means": self.of_means.value, "variances": self.of_variances.value}

    def explain(self, wanted: float) -> bool:
        """Whether both are as near to the weight wanted as those of an explanation are."""
        means, variances = math.log(thresholds.MEANS_NEAR), math.log(thresholds.VARIANCES_NEAR)
        return near(self.of_means.value, wanted, means) and near(
            self.of_variances.value, wanted, variances
        )

    def are_another(self, wanted: float) -> bool:
        """Whether both are surely off the one wanted, to the same side, and not from each other.

        An encoder that is not at rest yet has two that differ.
        """
        sides = {_side(each, wanted) for each in (self.of_means, self.of_variances)}
        alike = min(self.bars.values()) > 0 and not _side(self.ratio, 1.0)
        return len(sides) == 1 and 0 not in sides and alike


def kl_weight(trained: TrainedModel) -> Measured:
    """β as it can be read off the encoder's variances, where its means agree.

    The variances are sharper.  Where the two disagree, `stated_variance` says why.
    """
    found, wanted = _readable_weights(trained), trained.last_beta
    beta, form, answer, reason = found.of_variances, None, "answer", ""
    if found.are_another(wanted):
        if explained(trained, wanted):
            answer = "explained"
        else:
            elements, latent = math.prod(trained.model.shape), trained.model.latent_dim
            close = thresholds.WEIGHT_CLOSE
            form, reason = "", cause_of(beta.value / wanted, elements, latent, tolerance=close)
    return Measured(
        form,
        answer,
        by_variances=beta,
        by_means=found.of_means,
        wanted=wanted,
        digits=max(3, 3 - math.floor(math.log10(wanted))),
        reason=reason,
        readings={"as stated": found.bars},
    )


def stated_variance(trained: TrainedModel) -> Measured:
    """Whether q's variance is the one it was trained with, and else what its numbers mean.

    Asked where β by the variances is off.  That by the means alone tells little: where q is narrow,
    means that are a thousandth too large change it by their own size.
    """
    found, wanted = _readable_weights(trained), trained.last_beta
    if not _side(found.of_variances, wanted):
        return Measured(ratio=found.ratio)
    explanation = explained(trained, wanted)
    if explanation is None:
        return Measured(None, "unexplained", ratio=found.ratio)
    (drawn, paid), better = explanation
    h = trained.codes.variance.double().log()
    return Measured(
        "",
        ratio=found.ratio,
        drawn=drawn,
        paid=paid,
        deviation=(0.5 * (DRAWN[drawn](h) - h)).mean().exp().item(),
        by_means=found.of_means,
        by_variances=found.of_variances,
        read_by_means=better.of_means,
        read_by_variances=better.of_variances,
        wanted=wanted,
        readings={"as stated": found.bars, f"μ + {drawn}, {paid}": better.bars},
    )


def clipped_heads(trained: TrainedModel) -> Measured:
    """Means or log-variances of which many are exactly 0 and none is on one side of it."""
    heads = {"mean": trained.codes.mean, "log σ²": trained.codes.variance.log()}
    shares = {}
    for head, outputs in heads.items():
        one_sided = bool((outputs >= 0).all() or (outputs <= 0).all())
        shares[head] = (outputs == 0).double().mean().item() if one_sided else 0.0
    clipped = [head for head, share in shares.items() if share > thresholds.CLIPPED]
    return Measured(
        "" if clipped else None,
        mean=heads["mean"].min().item(),
        log_variance=heads["log σ²"].min().item(),
        mean_clipped=shares["mean"],
        variance_clipped=shares["log σ²"],
        worst=max(shares.values()),
        heads=" and ".join(clipped),
        outputs=heads,
    )


def _readable_weights(trained: TrainedModel) -> Weights:
    """The weights as stated.

    Raises:
        NotChecked: they cannot be read off the encoder.
    """
    objective = trained.objective
    plain = isinstance(objective, ELBO) and not objective.free_bits and not objective.corruption
    if not plain or not 0 < trained.last_beta < math.inf:
        raise NotChecked("other-objective")
    if trained.train is None:
        raise NotChecked("no-training-data")
    nats = trained.kl.value
    if nats <= thresholds.VANISHED:
        raise NotChecked("no-information", kl=nats)
    if trained.won_last > thresholds.LEARNING * nats:
        raise NotChecked("still-learning")
    if as_diagonal(trained.posterior) is None:
        raise NotChecked("no-diagonal")
    return stated_weights(trained)


def _side(beta: Estimate, wanted: float) -> int:
    """1 where a weight is surely off, above what is wanted, −1 where below, and else 0."""
    off = thresholds.WEIGHT_OFF
    return surely_above(beta, wanted * off) - surely_above(beta.scaled(-1), -wanted / off)


@once
def stated_weights(trained: TrainedModel) -> Weights:
    """β if q is what it says it is."""
    return weights(trained, READINGS[0])


def explained(trained: TrainedModel, wanted: float) -> tuple[Reading, Weights] | None:
    """The reading of h that explains the encoder, that of the nearest β by the variances.

    None where none does, or h is what q says it is.
    """
    found = [(reading, weights(trained, reading)) for reading in READINGS]
    nearest = min(
        (each for each in found if each[1].explain(wanted)),
        key=lambda each: abs(math.log(each[1].of_variances.value / wanted)),
        default=None,
    )
    return None if nearest is None or nearest[0] == READINGS[0] else nearest


def weights(trained: TrainedModel, reading: Reading) -> Weights:
    """β by both derivatives over the training data."""
    assert trained.train is not None
    drawn, paid = DRAWN[reading[0]], PAID[reading[1]]

    def derivatives(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
        """Of −log p(x|z) and the KL by the means' scale, then by h's shift: (batch, 4)."""
        given = trained.model.given(x, context)
        q = as_diagonal(given.q)
        assert q is not None
        mean, h = q.mean.detach(), q.log_variance.expand_as(q.mean).detach()
        total = torch.zeros(4, len(x)).to(mean)
        for _ in range(PAIRS):
            noise = torch.randn_like(mean)
            with torch.enable_grad():
                m, v = mean.clone().requires_grad_(), h.clone().requires_grad_()
                z = m + torch.stack((noise, -noise)) * (0.5 * drawn(v)).exp()
                loss = -given.log_likelihood(z).mean(0)
                paid_for = divergence(DiagonalNormal(m, paid(v)), given.p, z)
                by_m, by_v = torch.autograd.grad(loss.sum(), (m, v), retain_graph=True)
                kl_by_m, kl_by_v = torch.autograd.grad(paid_for.sum(), (m, v))
            total += torch.stack((by_m * mean, kl_by_m * mean, by_v, kl_by_v)).sum(-1) / PAIRS
        return {"derivatives": total.T}

    found = columns(trained.model, trained.train, derivatives, trained.device, trained.seed)
    loss_m, kl_m, loss_v, kl_v = found["derivatives"].double().T
    by_mean, residual_mean = _ratio(loss_m, kl_m)
    by_variance, residual_variance = _ratio(loss_v, kl_v)
    quotient = by_variance.value / by_mean.value
    relative = residual_variance / by_variance.value - residual_mean / by_mean.value
    error = abs(quotient) * estimate(relative).standard_error
    return Weights(by_mean, by_variance, Estimate(quotient, error))


def _ratio(loss: Tensor, divergence: Tensor) -> tuple[Estimate, Tensor]:
    """−mean(loss)/mean(divergence) with its standard error, and what each example adds to it."""
    below = divergence.mean()
    value = (-loss.mean() / below).item()
    residual = -(loss + value * divergence) / below
    return Estimate(value, estimate(residual).standard_error), residual
