"""Codes of the data and their importance weights, which most checks are made from."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.data import Dataset
from lowerbound.diagnosis.trained import TrainedModel, once, subset
from lowerbound.divergences import kl_terms
from lowerbound.evaluation import Estimate, estimate

WEIGHTED, SAMPLES = 500, 100
"""Held-out examples, and draws of z for each, whose importance weights are looked at: log w varies
far less between examples once their ELBO is subtracted."""

MOMENT_DRAWS = 100
"""Draws for the variance of a q(z|x) that knows none, such as a flow; off by a seventh."""


@dataclass(frozen=True)
class Codes:
    """q(z|x) of some data, (n, latent), and draws from it; on the CPU.

    ``kl_terms`` is KL(q(z|x) ‖ p(z)) of each dimension where q and p factorise, and ``log_ratio``
    log q(z|x) − log p(z) at the draws, (n,).
    """

    mean: Tensor
    variance: Tensor
    draws: Tensor
    log_ratio: Tensor | None = None
    kl_terms: Tensor | None = None
    context: Tensor | None = None

    @property
    def kl(self) -> Tensor:
        """KL(q(z|x) ‖ p(z)) of each example, (n,), at its draw where there is no formula."""
        each = self.log_ratio if self.kl_terms is None else self.kl_terms.sum(1)
        assert each is not None
        return each

    def redraw(self, rows: Tensor | slice) -> tuple[Tensor, Tensor | None]:
        """z with the mean and the variance of some rows, and their context."""
        mean = self.mean[rows]
        z = mean + self.variance[rows].sqrt() * torch.randn_like(mean)
        return z, None if self.context is None else self.context[rows]


@once
def codes(trained: TrainedModel) -> Codes:
    """Codes of the held-out data."""
    return encoded(trained, trained.test)


def encoded(trained: TrainedModel, data: Dataset) -> Codes:
    """The codes of all the data."""

    def of(x: Tensor, context: Tensor | None) -> list[Tensor | None]:
        q, p = trained.model.posterior(x, context), trained.model.prior(context)
        moments = (q.mean.expand(len(x), -1), variance_of(q).expand(len(x), -1))
        z, terms = q.sample().expand(len(x), -1), kl_terms(q, p)
        terms = None if terms is None else terms.expand(len(x), -1)
        log_ratio = None if trained.is_autoencoder else q.log_prob(z) - p.log_prob(z)
        return [*moments, z, log_ratio, terms, context]

    return Codes(*trained.each(data, of))


def variance_of(q: Distribution) -> Tensor:
    """Var z, z ~ q(z|x), from draws where there is no formula."""
    try:
        return q.variance
    except NotImplementedError:
        return q.sample((MOMENT_DRAWS,)).var(0)


def kl(trained: TrainedModel) -> Estimate:
    """KL(q(z|x) ‖ p(z)) of the held-out data."""
    return estimate(codes(trained).kl)


@once
def held_out_log_weights(trained: TrainedModel) -> Tensor:
    """log w of held-out data, (SAMPLES, n)."""
    return log_weights(trained, subset(trained.held_out, trained.seed, WEIGHTED), SAMPLES)


def log_weights(trained: TrainedModel, data: Dataset, samples: int) -> Tensor:
    """log w = log p(x|z) + log p(z) − log q(z|x), z ~ q(z|x), of all the data: (samples, n)."""

    def of(x: Tensor, context: Tensor | None) -> list[Tensor]:
        return [trained.model.draws(x, samples, context).log_w]

    return trained.each(data, of, dim=1, copies=samples)[0].double()


def importance_weighted(log_w: Tensor) -> Tensor:
    """log (1/k) Σ w for each example, (n,), of log w (k, n)."""
    return log_w.logsumexp(0) - math.log(len(log_w))
