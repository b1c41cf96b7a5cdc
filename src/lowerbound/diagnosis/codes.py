"""Do the codes say anything, and from the start?  Do they fill the prior, as samples need?"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.diagnosis import thresholds
from lowerbound.diagnosis.encoder import expect_as_stated, expect_settled
from lowerbound.diagnosis.families import gaussian
from lowerbound.diagnosis.finding import TABLE, Measured, NotChecked, fill
from lowerbound.diagnosis.likelihood import decoder_noise
from lowerbound.diagnosis.thresholds import surely_above
from lowerbound.diagnosis.trained import TrainedModel, halves, subset
from lowerbound.distributions import Autoregressive
from lowerbound.evaluation import Estimate, estimate
from lowerbound.evaluation.bounds import ACTIVE_VARIANCE
from lowerbound.extras import needs

FITTED = 20_000
"""Most training examples whose codes the mixture is fitted to.  With 20 dimensions, a tenth of them
sees half of what these do."""

COMPONENTS = 10
"""Most Gaussians in the mixture that is fitted to the codes: one for each digit, say."""

CODES_PER_NUMBER = 4
"""Codes that the mixture is given for each of its numbers; with fewer it has fewer Gaussians."""

PRIOR_DRAWS = 10
"""Draws of the prior for each held-out code, so that their own noise is small."""


def collapsed_dimensions(trained: TrainedModel) -> Measured:
    """Latent dimensions whose posterior mean hardly varies over the data.

    The criterion is that of `evaluate`, in units of the aggregate posterior, as a prior that is
    learned may be of any scale: the variance of E_q[z] over x is at most 0.01 of that of z (Burda,
    Grosse & Salakhutdinov 2015, arXiv 1509.00519).  It takes no more data as dimensions grow, and
    is far from both sides in practice: 10⁻⁴ where a dimension is unused, 0.1 to 1 where it is used.
    The codes of an autoencoder are points; there it is `CONSTANT` of the largest.
    """
    expect_as_stated(trained)
    q = trained.codes
    variance = q.mean.double().var(0)
    if trained.is_autoencoder:
        share, reference, whole = thresholds.CONSTANT, "the largest", variance.max()
    else:
        share, reference = ACTIVE_VARIANCE, "its own"
        whole = variance + q.variance.double().mean(0)
    active = variance > share * whole
    used, total = int(active.sum()), len(active)
    height, unit, answer = variance, "variance of the mean", "answer"
    values: dict[str, Any] = {}
    if q.kl_terms is not None:
        height, unit, answer = q.kl_terms.double().mean(0), trained.nats, "answer-with-kl"
        values["kl"] = trained.kl.value
    form = None if used == total else "some" if used else "all"
    if form and trained.is_autoencoder:
        form += "-of-an-autoencoder"
    elif form:
        values |= cause_of_collapse(trained)
        if not used and not values["cause"]:
            expect_settled(trained)
        form += "-for-a-cause" if used and values["cause"] else ""
    return Measured(
        form,
        answer,
        used=used,
        total=total,
        collapsed=total - used,
        whole="The only latent dimension has"
        if total == 1
        else f"All {total} latent dimensions have",
        active=active,
        criterion=f"the variance of its mean > {share:g} of {reference}",
        height=height,
        height_unit=unit,
        **values,
    )


def vanishing_kl(trained: TrainedModel) -> Measured:
    """Epochs at which the training KL was next to nothing, counted in the history."""
    epochs = [(e["epoch"], e["train"]["kl"]) for e in trained.history if "kl" in e["train"]]
    if not epochs:
        raise NotChecked("no-history")
    number, course = np.array(epochs, float).T
    low, form, cause = course < thresholds.VANISHED, None, {}
    first = int(number[low.argmax()])
    if low.mean() >= thresholds.VANISHED_SHARE:
        form, cause = "lost" if low[-1] else "recovered", cause_of_collapse(trained, first)
        if not cause["cause"]:
            expect_settled(trained)
    return Measured(
        form,
        vanished=thresholds.VANISHED,
        low=int(low.sum()),
        epochs=len(course),
        first=first,
        last=float(course[-1]),
        epoch=number,
        course=course,
        **cause,
    )


def cause_of_collapse(trained: TrainedModel, epoch: float = math.inf) -> dict[str, str]:
    """What makes codes too dear: the decoder's σ, or the objective's β, at ``epoch`` or in the end.

    Or what makes them needless: a decoder that is told all tokens before the one it predicts.

    With a code that says nothing, the encoder is the prior whatever the KL's weight is, so that
    `stated_weights` cannot tell it: the record of the run does.
    """
    beta, last = trained.beta(min(epoch, trained.epochs)), trained.beta(trained.epochs)
    noise = decoder_noise(trained) if gaussian(trained.likelihood) is not None else Measured()
    values = {"beta": max(beta, last), **noise.values}
    is_wide = noise.form is not None and values["excess"].value > 1
    if is_wide and values["weight"] > thresholds.NOISE_OFF**2:
        cause = "sigma-and-beta" if max(beta, last) > 1 else "sigma"
    elif max(beta, last) > 1:
        cause = "beta"
    elif isinstance(trained.likelihood, Autoregressive) and trained.steps >= thresholds.SETTLED:
        cause = "told-tokens"
    else:
        cause, values["beta"] = "rising-beta" if beta < last else "unknown", beta
    return {part: fill(text, values) for part, text in TABLE["cause"][cause].items()}


def holes(trained: TrainedModel) -> Measured:
    """A lower bound on the total variation between the aggregate posterior and the prior.

    ∫ max(0, p(z) − q(z)) dz, the share of the prior's mass that codes do not make up, is the
    largest difference Pr_p(A) − Pr_q(A) over sets A.  A mixture of Gaussians r(z) is fitted to
    codes z ~ q(z|x) of one part of the data; A is where r < p, and the difference is taken with
    other codes and draws of the prior.  So whatever the fit, it is 0 in expectation where q = p,
    and never above the truth, however few the data; fewer data only see less.  In the same way
    E_q[log r(z) − log p(z)] = KL(q(z) ‖ p(z)) − KL(q(z) ‖ r) is below the KL.
    """
    expect_as_stated(trained)
    held_out, prior, log_p = _codes_and_prior(trained)
    if trained.training is None:
        fitted, held_out = halves(held_out, trained.seed)
    else:
        fitted = trained.encoded(subset(trained.training, trained.seed, FITTED)).draws.double()
    log_r = mixture(fitted, trained.seed)
    of_codes, of_prior = (log_r(z) - log_p(z) for z in (held_out, prior))
    share = difference((of_prior < 0).double(), (of_codes < 0).double())
    form = None
    if surely_above(share, thresholds.HOLES) and trained.is_autoencoder:
        form = "of-an-autoencoder"
    elif surely_above(share, thresholds.HOLES):
        form = "small-beta" if trained.last_beta < 1 else "stiff-prior"
    exact = trained.model.context is None
    return Measured(
        form,
        "answer-with-kl" if exact else "answer",
        share=share,
        percent=max(0.0, share.value),
        half=max(1, trained.model.latent_dim // 2),
        log_ratios={"codes": of_codes, "prior": of_prior},
        **({"kl": estimate(of_codes)} if exact else {}),
    )


def _codes_and_prior(trained: TrainedModel) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """Codes (n, latent), draws of the prior (PRIOR_DRAWS × n, latent), and log p(z).

    Where p(z|c) depends on c, the aggregate is over c too, and log p(z) is a mixture fitted to
    draws of its own.
    """
    p = trained.model.prior(trained.model.features(trained.test.context))
    n = len(trained.test)

    def draw() -> Tensor:
        z = p.sample((PRIOR_DRAWS,)) if p.batch_shape else p.sample((PRIOR_DRAWS * n,))
        return z.reshape(-1, z.shape[-1]).cpu().double()

    def exact(z: Tensor) -> Tensor:
        return p.log_prob(z.to(trained.device, trained.codes.draws.dtype)).cpu().double()

    log_p = exact if trained.model.context is None else mixture(draw(), trained.seed)
    return trained.codes.draws.double(), draw(), log_p


def mixture(codes: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
    """log r(z) of a mixture of Gaussians fitted to codes (n, latent), as a function of z."""
    GaussianMixture = needs("sklearn.mixture", "learn").GaussianMixture

    n, d = codes.shape
    numbers = d * (d + 3) // 2 + 1
    components = max(1, min(COMPONENTS, n // (CODES_PER_NUMBER * numbers)))
    fitted = GaussianMixture(components, reg_covar=1e-3, random_state=seed % 2**32).fit(
        codes.numpy()
    )
    return lambda z: torch.from_numpy(fitted.score_samples(z.numpy()))


def difference(first: Tensor, second: Tensor) -> Estimate:
    """The difference of two independent means."""
    a, b = estimate(first), estimate(second)
    return Estimate(a.value - b.value, math.hypot(a.standard_error, b.standard_error))
