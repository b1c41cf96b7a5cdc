"""Do the codes of data fill the prior?  Where they do not, samples are unlike the data."""

from __future__ import annotations

import math

import numpy as np
import torch
from torch import Tensor

from lowerbound.diagnosis.finding import SURE, Check, Finding, shown
from lowerbound.diagnosis.subject import Subject, encoded, facts
from lowerbound.evaluation import Estimate
from lowerbound.evaluation.bounds import estimate

EDGE = 0.05
"""A draw of the prior is in a hole where the codes' density is below that of all but this share of
the codes themselves.  Where codes and prior agree, this share of the draws is."""

HOLES = 0.5
"""Share of the prior's draws in holes that makes a finding: every other sample is then decoded from
where the decoder has hardly been trained.  Models of MNIST with Bernoulli pixels are below 0.2."""

COMPONENTS = 10
"""Most Gaussians in the mixture that is fitted to the codes: one for each digit, say."""

CODES_PER_NUMBER = 4
"""Codes that the mixture is given for each of its numbers; with fewer it has fewer Gaussians."""

PRIOR_DRAWS = 10
"""Draws of the prior for each held-out code, so that their own noise is small."""


def holes(subject: Subject) -> Check:
    """The share of prior draws that land where hardly any code lies, and a bound on the KL.

    A mixture of Gaussians r(z) is fitted to codes z ~ q(z|x) of one part of the data, and judges
    other codes and draws of the prior, neither of which it has seen.  So whatever the fit, the
    share is `EDGE` where q(z) = p(z), however few the data; fewer data only see less.  And since
    E_q[log r(z) − log p(z)] = KL(q(z) ‖ p(z)) − KL(q(z) ‖ r), its held-out mean is below the KL of
    the aggregate posterior to the prior.
    """
    name, question = "holes", "Do the codes of data fill the prior?"
    codes, prior, log_prior = _codes_and_prior(subject)
    if subject.train is None:
        half = len(codes) // 2
        fitted, codes, log_prior = codes[:half], codes[half:], log_prior[half:]
    else:
        fitted = encoded(subject.model, subject.train, subject.device).draws.double()
    score = mixture(fitted, subject.seed)
    of_codes, of_prior = score(codes), score(prior)
    share = share_below(of_codes, of_prior)
    unconditional = subject.model.context is None
    divergence = estimate(of_codes - log_prior) if unconditional else None
    answer = f"{100 * share.value:.0f} % of the prior's draws are where hardly any code is"
    if divergence is not None:
        answer += f"; KL(q(z) ‖ p(z)) ≥ {shown(divergence)} nats"
    if share.value - SURE * share.standard_error <= HOLES:
        return Check(name, question, answer)

    def draw():
        from lowerbound import plots

        return plots.score_histograms(
            {"the codes' own log-density": {"codes": of_codes.numpy(), "prior": of_prior.numpy()}},
            xlabel="nats",
            title="Codes of held-out data, and draws of the prior, under the codes' distribution",
        )

    finding = Finding(
        name,
        "warning",
        f"{100 * share.value:.0f} % of the draws from the prior land where hardly any "
        f"{subject.what} is encoded ({100 * EDGE:.0f} % would, if codes and prior agreed): those "
        "samples will look bad, however good the reconstructions are.",
        share.value,
        "of the prior's draws",
        "Weigh the KL by 1 (a smaller weight leaves holes), take fewer latent dimensions, or draw "
        "from a distribution fitted to the codes.",
        "lb.fit(model, data, objective=lb.ELBO(beta=1.0))",
        draw,
        standard_error=share.standard_error,
        further=facts(**{"aggregate kl at least": divergence and divergence.value}),
    )
    return Check(name, question, answer, finding)


def _codes_and_prior(subject: Subject) -> tuple[Tensor, Tensor, Tensor]:
    """Codes (n, latent), draws of the prior (PRIOR_DRAWS × n, latent), and log p at the codes."""
    labels = subject.test.labels
    labels = None if labels is None else labels.to(subject.device)
    features = subject.model.features(labels)
    p = subject.model.prior(features)
    n = len(subject.test)
    drawn = p.sample((PRIOR_DRAWS,)) if p.batch_shape else p.sample((PRIOR_DRAWS * n,))
    codes = subject.codes.draws
    log_prior = p.log_prob(codes.to(subject.device))
    return codes.double(), drawn.reshape(-1, codes.shape[1]).cpu().double(), log_prior.cpu()


def mixture(codes: Tensor, seed: int):
    """log r(z) of a mixture of Gaussians fitted to codes (n, latent), as a function of z."""
    from sklearn.mixture import GaussianMixture

    n, d = codes.shape
    numbers = d * (d + 3) // 2 + 1
    components = max(1, min(COMPONENTS, n // (CODES_PER_NUMBER * numbers)))
    fitted = GaussianMixture(components, reg_covar=1e-3, random_state=seed).fit(codes.numpy())
    return lambda z: torch.from_numpy(fitted.score_samples(z.numpy()))


def share_below(codes: Tensor, prior: Tensor) -> Estimate:
    """The share of the prior's scores below the `EDGE` quantile of the codes' scores.

    Its standard error has the noise of both: of the share itself, and of the quantile, to which the
    share s answers by about s (1 − s)/(`EDGE` (1 − `EDGE`)), as in a shift of a logistic density.
    """
    edge = np.quantile(codes.numpy(), EDGE)
    share = float((prior.numpy() < edge).mean())
    spread, of_edge = share * (1 - share), EDGE * (1 - EDGE)
    return Estimate(share, math.sqrt(spread / len(prior) + spread**2 / of_edge / len(codes)))
