"""Do the codes of data fill the prior?  Where they do not, samples are unlike the data."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from lowerbound.diagnosis.finding import SURE, Check, Finding, shown
from lowerbound.diagnosis.subject import Subject, encoded, subset
from lowerbound.evaluation import Estimate
from lowerbound.evaluation.bounds import estimate
from lowerbound.extras import needs

HOLES = 0.8
"""Share of the prior's mass outside of the codes' that makes a finding: four samples in five then
come from where the decoder has hardly been trained, or codes lie where no sample does.  Models of
MNIST whose samples look right are at 0.3 to 0.75, those whose samples do not at 0.85 and more."""

FITTED = 20_000
"""Most training examples whose codes the mixture is fitted to.  With 20 dimensions, a tenth of them
sees half of what these do."""

COMPONENTS = 10
"""Most Gaussians in the mixture that is fitted to the codes: one for each digit, say."""

CODES_PER_NUMBER = 4
"""Codes that the mixture is given for each of its numbers; with fewer it has fewer Gaussians."""

PRIOR_DRAWS = 10
"""Draws of the prior for each held-out code, so that their own noise is small."""


def holes(subject: Subject) -> Check:
    """A lower bound on the total variation between the aggregate posterior and the prior.

    ∫ max(0, p(z) − q(z)) dz, the share of the prior's mass that codes do not make up, is the
    largest difference Pr_p(A) − Pr_q(A) over sets A.  A mixture of Gaussians r(z) is fitted to
    codes z ~ q(z|x) of one part of the data; A is where r < p, and the difference is taken with
    other codes and draws of the prior.  So whatever the fit, it is 0 in expectation where q = p,
    and never above the truth, however few the data; fewer data only see less.  In the same way
    E_q[log r(z) − log p(z)] = KL(q(z) ‖ p(z)) − KL(q(z) ‖ r) is below the KL.
    """
    name, question = "holes", "Do the codes of data fill the prior?"
    codes, prior, log_p = _codes_and_prior(subject)
    if subject.known is None:
        half = len(codes) // 2
        fitted, codes = codes[:half], codes[half:]
    else:
        known = subset(subject.known, subject.seed, FITTED)
        fitted = encoded(subject.model, known, subject.device).draws.double()
    log_r = mixture(fitted, subject.seed)
    of_codes, of_prior = (log_r(z) - log_p(z) for z in (codes, prior))
    share = difference((of_prior < 0).double(), (of_codes < 0).double())
    divergence = estimate(of_codes)
    percent = f"{100 * max(0.0, share.value):.0f} %"
    answer = f"at least {percent} of the prior's mass is outside of the codes'"
    if subject.model.context is None:
        answer += f"; KL(q(z) ‖ p(z)) ≥ {shown(divergence)} nats"
    if share.value - SURE * share.standard_error <= HOLES:
        return Check(name, question, answer)

    def draw():
        from lowerbound import plots

        sets = {"codes": of_codes.numpy(), "prior": of_prior.numpy()}
        return plots.score_histograms(
            {"log q(z) − log p(z), as fitted to other codes": sets},
            xlabel="nats",
            title="Codes of held-out data, and draws of the prior",
        )

    remedy, code = _remedy(subject)
    finding = Finding(
        name,
        "note" if subject.is_autoencoder else "warning",
        f"The codes do not fill the prior: at least {percent} of its mass lies where too few "
        f"{subject.what}s are encoded. Samples will look bad or be all alike, however good the "
        "reconstructions are.",
        share.value,
        "of the prior's mass",
        remedy,
        code,
        draw,
        standard_error=share.standard_error,
        further={"aggregate kl at least": divergence.value}
        if subject.model.context is None
        else {},
    )
    return Check(name, question, answer, finding)


def _remedy(subject: Subject) -> tuple[str, str]:
    """What to do, in words and as code."""
    if subject.is_autoencoder:
        return (
            "Nothing brings an autoencoder's codes to the prior. To draw samples, take a VAE, or a "
            "distribution fitted to the codes.",
            "lb.VAE(…, posterior=lb.DiagonalGaussian(encoder, latent_dim))",
        )
    if subject.last_beta < 1:
        return (
            "Weigh the KL by 1: a smaller weight leaves holes.",
            "lb.fit(model, data, objective=lb.ELBO(beta=1.0))    # --set objective.beta=1",
        )
    return (
        "Take fewer latent dimensions, or a prior that is learned.",
        f"lowerbound train … --set latent_dim={max(1, subject.codes.mean.shape[1] // 2)}    "
        "# or --set prior=VampPrior",
    )


def _codes_and_prior(subject: Subject) -> tuple[Tensor, Tensor, Callable[[Tensor], Tensor]]:
    """Codes (n, latent), draws of the prior (PRIOR_DRAWS × n, latent), and log p(z).

    Where p(z|c) depends on c, the aggregate is over c too, and log p(z) is a mixture fitted to
    draws of its own.
    """
    labels = subject.test.labels
    features = subject.model.features(None if labels is None else labels.to(subject.device))
    p = subject.model.prior(features)
    n = len(subject.test)

    def draw() -> Tensor:
        z = p.sample((PRIOR_DRAWS,)) if p.batch_shape else p.sample((PRIOR_DRAWS * n,))
        return z.reshape(-1, z.shape[-1]).cpu().double()

    if subject.model.context is None:
        log_p = lambda z: p.log_prob(z.float().to(subject.device)).cpu().double()  # noqa: E731
    else:
        log_p = mixture(draw(), subject.seed)
    return subject.codes.draws.double(), draw(), log_p


def mixture(codes: Tensor, seed: int) -> Callable[[Tensor], Tensor]:
    """log r(z) of a mixture of Gaussians fitted to codes (n, latent), as a function of z."""
    GaussianMixture = needs("sklearn.mixture", "learn").GaussianMixture

    n, d = codes.shape
    numbers = d * (d + 3) // 2 + 1
    components = max(1, min(COMPONENTS, n // (CODES_PER_NUMBER * numbers)))
    fitted = GaussianMixture(components, reg_covar=1e-3, random_state=seed).fit(codes.numpy())
    return lambda z: torch.from_numpy(fitted.score_samples(z.numpy()))


def difference(first: Tensor, second: Tensor) -> Estimate:
    """The difference of two independent means."""
    a, b = estimate(first), estimate(second)
    return Estimate(a.value - b.value, math.hypot(a.standard_error, b.standard_error))
