"""What an encoder's outputs μ and h may have been trained as, and which of it they are at rest at.

An encoder that minimised E[−log p(x|z)] + β KL, with z = μ + σ(h) ε, is where no change of it
helps.  Read as anything else, it would move.  At a first look, by three directions for each latent
dimension: to scale μ, to shift it, and to shift h, the first two by a deviation of q.  For good, by
some more steps of training: the loss as stated wins by them, and the loss as the encoder was
trained with does not.  A model that is not trained to its end wins whatever it is read as.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.diagnosis.formulas import WRONG_KLS
from lowerbound.diagnosis.thresholds import (
    AT_REST,
    EXPLAINED,
    SETTLED,
    UNREST,
    WEIGHT_OFF,
    WIDE,
    WORSE,
    surely_above,
)
from lowerbound.diagnosis.trained import (
    EXAMPLES,
    TrainedModel,
    error_ratios,
    has_mean,
    once,
    subset,
)
from lowerbound.distributions import DiagonalNormal, as_diagonal
from lowerbound.divergences import kl
from lowerbound.evaluation import Estimate, estimate
from lowerbound.evaluation.walk import columns
from lowerbound.likelihoods.support import FAR
from lowerbound.priors import StandardNormal
from lowerbound.streams import Stream, seed_noise
from lowerbound.training import Training
from lowerbound.training.state import State
from lowerbound.vae import VAE, Conditioned

Loss = Callable[[VAE, Tensor, Tensor | None], Tensor]
"""Of a model, prepared x and context, for each example, (batch,)."""

PAIRS = 8
"""Pairs of noise ε, −ε for each example: a pair's odd terms cancel, which are most of the noise."""

FEW, FEW_PAIRS = 500, 2
"""Training examples, and pairs for each, that readings are ranked by."""

STEPS, BATCH, LEARNING_RATE = 100, 128, 1e-3
"""Of the training in `won`: enough to tell 3 nats that are won from 0.05, and a few seconds."""

TRIED = 5
"""The readings, those nearest to rest at the first look, that are trained."""

DRAWN: dict[str, Callable[[Tensor], Tensor]] = {
    "exp(½ h) ε": lambda h: (h / 2).exp(),
    "exp(h) ε": torch.exp,
    "0.1 exp(h) ε": lambda h: 0.1 * h.exp(),
    "0.1 exp(½ h) ε": lambda h: 0.1 * (h / 2).exp(),
    "exp(¼ h) ε": lambda h: (h / 4).exp(),
    "exp(−½ h) ε": lambda h: (-h / 2).exp(),
    "no noise": lambda h: 0 * h,
}
"""The noise that z may have been drawn with, and its deviation; first, as q states it."""

PAID: dict[str, Callable[[Tensor], Tensor]] = {
    "log σ² = h": lambda h: h,
    "log σ² = 2h": lambda h: 2 * h,
    "log σ² = −h": lambda h: -h,
}
"""The log-variance that the KL may have been computed for; first, as q states it."""

PRECISION = "exp(−½ h) ε", "log σ² = −h"
"""Of an h that is the logarithm of a precision in both."""


@dataclass(frozen=True)
class Reading:
    """z = μ + ``drawn``, and a KL of weight ``beta``: that of ``paid``, or of `WRONG_KLS`."""

    beta: float
    drawn: str = next(iter(DRAWN))
    paid: str = next(iter(PAID))

    @property
    def is_consistent(self) -> bool:
        """Whether z is drawn from the q whose KL is paid."""
        h = torch.linspace(-2, 2, 5)
        drawn, paid = DRAWN[self.drawn](h), PAID.get(self.paid)
        return paid is not None and torch.allclose(drawn, (paid(h) / 2).exp())

    def terms(
        self, given: Conditioned, mean: Tensor, h: Tensor, noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """E[−log p(x|z)] over ``noise`` and its negative, and the KL, (batch,) each."""
        z = mean + torch.stack((noise, -noise)) * DRAWN[self.drawn](h)
        if self.paid in PAID:
            paid = kl(DiagonalNormal(mean, PAID[self.paid](h)), given.p, z)
        else:
            paid = WRONG_KLS[self.paid](mean, h).sum(-1)
        return -given.log_likelihood(z).mean(0), paid

    def loss(self, model: VAE, x: Tensor, context: Tensor | None) -> Tensor:
        """E[−log p(x|z)] + β KL, (batch,), by one pair of draws."""
        given, mean, h = _outputs(model, x, context)
        likelihood, divergence = self.terms(given, mean, h, torch.randn_like(mean))
        return likelihood + self.beta * divergence


@dataclass(frozen=True)
class Derivatives:
    """Those of E[−log p(x|z)], and of the KL, for each example, (n, 3, latent)."""

    likelihood: Tensor
    divergence: Tensor

    def beta(self, direction: int) -> Estimate:
        """The weight with which both balance along one of the three directions."""
        loss, paid = (each[:, direction].sum(1) for each in (self.likelihood, self.divergence))
        below = paid.mean()
        value = (-loss.mean() / below).item()
        return Estimate(value, estimate(-(loss + value * paid) / below).standard_error)

    @property
    def nearest_beta(self) -> float:
        """The weight with which they balance best along all."""
        loss, paid = self.likelihood.mean(0), self.divergence.mean(0)
        return -((loss * paid).sum() / paid.square().sum()).item()

    def unrest(self, beta: float, by: int | slice = slice(None)) -> float:
        """½ Σ (derivative of the loss)², nats: what steps of 1 against it win where q is at rest.

        Along these directions, of which ``by`` chooses, the loss then has curvatures of about 1.
        """
        slopes = (self.likelihood + beta * self.divergence).mean(0)[by]
        return 0.5 * slopes.square().sum().item()


def derivatives(
    trained: TrainedModel, reading: Reading, most: int = EXAMPLES, pairs: int = PAIRS
) -> Derivatives:
    """Along μ → (1 + t σ/rms μ) μ, μ → μ + t σ and h → h + t, over ``most`` training examples."""
    assert trained.train is not None

    def of(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
        given, mean, h = _outputs(trained.model, x, context)
        total = mean.new_zeros(2, 3, *mean.shape)
        for _ in range(pairs):
            noise = torch.randn_like(mean)
            with torch.enable_grad():
                m, v = mean.clone().requires_grad_(), h.clone().requires_grad_()
                for i, term in enumerate(reading.terms(given, m, v, noise)):
                    by_m, by_v = torch.autograd.grad(term.sum(), (m, v), retain_graph=True)
                    by_m = by_m * (h / 2).exp()
                    total[i] += torch.stack((by_m * mean, by_m, by_v)) / pairs
        likelihood, divergence = total.movedim(2, 1)
        return {"likelihood": likelihood, "divergence": divergence, "mean": mean}

    seed_noise(trained.device, trained.seed, Stream.BALANCE)
    data = subset(trained.train, trained.seed, most)
    found = trained.columns(data, of)
    spread = found["mean"].double().square().mean(0).sqrt().clamp(min=1e-9)
    unit = torch.stack((spread, torch.ones_like(spread), torch.ones_like(spread)))
    return Derivatives(found["likelihood"].double() / unit, found["divergence"].double() / unit)


def _outputs(model: VAE, x: Tensor, context: Tensor | None) -> tuple[Conditioned, Tensor, Tensor]:
    """The model given x, and the means and log-variances of q."""
    given = model.given(x, context)
    q = as_diagonal(given.q)
    assert q is not None
    return given, q.mean, q.log_variance.expand_as(q.mean)


def won(trained: TrainedModel, loss: Loss) -> Tensor:
    """Nats that the loss of each training example wins by more training, (n,)."""
    assert trained.train is not None
    model, data = copy.deepcopy(trained.model), trained.train

    def measured() -> Tensor:
        seed_noise(trained.device, trained.seed, Stream.READINGS)

        def of(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
            return {"loss": loss(model, x, context)}

        return columns(model, data, of, trained.device, trained.seed)["loss"].double()

    before = measured()
    state = State(model.train(), Training())
    with torch.enable_grad():
        for _ in range(STEPS):
            rows = torch.randint(len(data), (BATCH,))
            some = data.subset(rows)
            x, context = model.prepare(some.x.to(trained.device), some.context)
            state.update(loss(model, x, context).mean(), LEARNING_RATE)
    model.eval()
    return before - measured()


@once
def stated(trained: TrainedModel) -> Derivatives:
    """If q is what it says it is, and the objective what it is said to be."""
    return derivatives(trained, Reading(trained.last_beta))


@once
def explanation(trained: TrainedModel) -> Reading | None:
    """What the encoder was trained as, where that is not what is stated.

    Of the readings nearest to rest, the one as which the loss wins least, if what it wins as stated
    surely exceeds a multiple of that, as in `EXPLAINED`.  A KL of the wrong sign leaves no state of
    rest: its variances show it, unless they are precisions.
    """
    wanted = trained.last_beta
    if is_wide(trained):
        precision = Reading(wanted, *PRECISION)
        unrest_by_h = derivatives(trained, precision).unrest(wanted, by=2)
        return precision if unrest_by_h < AT_REST else Reading(-wanted)
    if stated(trained).unrest(wanted) < UNREST:
        return None
    as_stated = won(trained, Reading(wanted).loss)
    if not surely_above(estimate(as_stated), UNREST):
        return None
    unrest = {r: derivatives(trained, r, FEW, FEW_PAIRS).unrest(wanted) for r in _others(trained)}
    beta = stated(trained).nearest_beta
    if math.isfinite(beta) and not 1 / WEIGHT_OFF < beta / wanted < WEIGHT_OFF:
        unrest[Reading(beta)] = stated(trained).unrest(beta)
    nearest = sorted(unrest, key=unrest.__getitem__)[:TRIED]
    wins = {reading: won(trained, reading.loss) for reading in nearest}
    reading = min(wins, key=lambda each: abs(wins[each].mean().item()))
    left = wins[reading] * wins[reading].mean().sign()  # a loss that rises is as little at rest
    explains = any(surely_above(estimate(as_stated - n * left), nats) for n, nats in EXPLAINED)
    return reading if explains else None


def is_wide(trained: TrainedModel) -> bool:
    """Whether q's variance is that of a KL of the wrong sign, and not of a wrong reconstruction.

    An encoder of data far from 1 in scale is wide at first, and for long.
    """
    assert trained.train is not None
    is_normal = isinstance(trained.model.prior, StandardNormal)
    if trained.steps < SETTLED or not is_normal or not has_mean(trained.train):
        return False
    x = trained.model.transform.noiseless(trained.train.x.to(trained.device)).double()
    is_scaled = x.square().mean(0).max().item() < FAR**2
    is_wide = bool((trained.codes.variance.double().median(0).values > WIDE).any())
    return is_scaled and is_wide and error_ratios(trained).median().item() < WORSE


def _others(trained: TrainedModel) -> list[Reading]:
    """Those that are not the stated one, of the same weight."""
    beta = trained.last_beta
    paid, precision = list(PAID)[:2], Reading(beta, *PRECISION)
    found = [*[Reading(beta, drawn, each) for drawn in DRAWN for each in paid][1:], precision]
    if isinstance(trained.model.prior, StandardNormal):
        found += [Reading(beta, paid=paid) for paid in WRONG_KLS]
    return found
