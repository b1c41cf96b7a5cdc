"""What is diagnosed: a model, its data, and what all checks share of the two."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.distributions import Distribution, Independent, Normal

from lowerbound.data import Dataset
from lowerbound.distributions import Delta, DiagonalNormal, kl_terms
from lowerbound.errors import ConfigurationError
from lowerbound.evaluation import Estimate
from lowerbound.evaluation.bounds import (
    ELEMENTS_PER_CHUNK,
    decoded_elements,
    estimate,
    prepared_batches,
)
from lowerbound.objectives import Objective
from lowerbound.schedules import Schedule
from lowerbound.training import Record
from lowerbound.vae import VAE

if TYPE_CHECKING:
    from lowerbound.diagnosis.noise import Noise
    from lowerbound.diagnosis.stationarity import Weights

EXAMPLES = 2000
"""Examples of each split that most checks look at, drawn at random: standard errors are then at
most a forty-fifth of the spread between examples."""

COMPARED = 10_000
"""Examples of each split whose bounds are compared.  The spread between examples, 24 nats for MNIST
and up to 48 with few dimensions, is most of the error of the difference."""

COMPARED_SAMPLES = 10
"""Most draws of z per example there; fewer where there are many examples."""

WEIGHED, SAMPLES = 500, 100
"""Held-out examples, and draws of z for each, whose importance weights are looked at: log w varies
far less between examples once their ELBO is subtracted."""

MOMENT_DRAWS = 100
"""Draws for the variance of a q(z|x) that knows none, such as a flow; off by a seventh."""

VANISHED = 0.1
"""Nats of KL below which a whole code says nothing: it tells at most e^0.1 = 1.1 examples apart."""


LEARNING = 0.1
"""Share of the KL that the last epoch of a training may win before its encoder is taken to be at
rest.  Models of MNIST that were trained for 20 epochs won 0.004 to 0.08, one of 2 epochs 0.5."""


@dataclass(frozen=True)
class Codes:
    """q(z|x) of some data, all (n, latent), on the CPU; ``kl`` only where q and p factorise."""

    mean: Tensor
    variance: Tensor
    draws: Tensor
    kl: Tensor | None


@dataclass(frozen=True)
class Subject:
    """A model in evaluation mode, all held-out data, and where there are any its training data."""

    model: VAE
    held_out: Dataset
    known: Dataset | None
    history: Sequence[Record]
    objective: Objective
    device: torch.device
    seed: int

    @cached_property
    def test(self) -> Dataset:
        """The held-out examples that are looked at."""
        return subset(self.held_out, self.seed)

    @cached_property
    def train(self) -> Dataset | None:
        """The training examples that are looked at."""
        return None if self.known is None else subset(self.known, self.seed)

    @property
    def what(self) -> str:
        """What one x is called."""
        return "image" if len(self.test.shape) == 3 else "row"

    @property
    def unit(self) -> str:
        return f"nats per {self.what}"

    @cached_property
    def is_autoencoder(self) -> bool:
        """Whether codes are points, so that there is no KL and no bound."""
        x, context = next(prepared_batches(self.model, self.test.take(2), self.device))
        return isinstance(self.model.posterior(x, context), Delta)

    @cached_property
    def codes(self) -> Codes:
        """Codes of the held-out data."""
        return encoded(self.model, self.test, self.device)

    @cached_property
    def log_weights(self) -> Tensor:
        """log w of held-out data, (SAMPLES, n)."""
        data = subset(self.held_out, self.seed, WEIGHED)
        return log_weights(self.model, data, SAMPLES, self.device)

    def elbo(self, data: Dataset) -> Tensor:
        """The ELBO of each example of a split, (n,), from few draws."""
        data = subset(data, self.seed, COMPARED)
        samples = min(COMPARED_SAMPLES, max(1, COMPARED // len(data)))
        return log_weights(self.model, data, samples, self.device).mean(0)

    @property
    def was_learning(self) -> bool:
        """Whether, by the history, the last epoch still won a `LEARNING` share of the KL."""
        if not self.history:
            return False
        objective = [epoch["train"]["objective"] for epoch in self.history[-2:]]
        won = objective[-1] - objective[0] if len(objective) == 2 else math.inf
        return won > LEARNING * self.kl.value

    @cached_property
    def weights(self) -> Weights | None:
        """The KL's weight as the encoder has it; None where q(z|x) is no diagonal Gaussian."""
        from lowerbound.diagnosis.stationarity import weights

        return weights(self)

    @cached_property
    def noise(self) -> Noise | None:
        """The decoder's σ beside its errors; None where p(x|z) is no Gaussian."""
        from lowerbound.diagnosis.noise import noise

        return noise(self)

    @cached_property
    def kl(self) -> Estimate:
        """KL(q(z|x) ‖ p(z)) of the held-out data."""
        if self.codes.kl is not None:
            return estimate(self.codes.kl.sum(1))
        return estimate(self.log_ratios)

    @property
    def codes_say_something(self) -> bool:
        """Whether the KL is enough to tell examples apart."""
        return self.kl.value > VANISHED

    @property
    def epochs(self) -> float:
        """How many the model was trained for; ∞ where there is no history."""
        return float(self.history[-1]["epoch"]) if self.history else math.inf

    def beta(self, time: float) -> float:
        """The weight that the objective gives the KL at ``time`` in epochs; NaN where it has none,
        or never settles."""
        beta = getattr(self.objective, "beta", math.nan)
        return float(beta(time) if isinstance(beta, Schedule) else beta)

    @property
    def last_beta(self) -> float:
        """The weight of the last epoch; NaN where it was still changing then."""
        last, before = self.beta(self.epochs), self.beta(self.epochs - 1)
        return last if last == before else math.nan

    @cached_property
    def log_ratios(self) -> Tensor:
        """log q(z|x) − log p(z) at one z ~ q(z|x) of each held-out example, (n,)."""
        ratios = []
        for x, context in prepared_batches(self.model, self.test, self.device):
            q, p = self.model.posterior(x, context), self.model.prior(context)
            z = q.sample()
            ratios.append((q.log_prob(z) - p.log_prob(z)).cpu())
        return torch.cat(ratios)


def subset(data: Dataset, seed: int, most: int = EXAMPLES) -> Dataset:
    """At most so many of the data, at random: files are often in the order of their classes."""
    if len(data) <= most:
        return data
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return data.subset(order[:most])


def encoded(model: VAE, data: Dataset, device: torch.device) -> Codes:
    """The codes of all the data."""
    columns: list[list[Tensor]] = [[], [], [], []]
    for x, context in prepared_batches(model, data, device):
        q, p = model.posterior(x, context), model.prior(context)
        diagonal = as_diagonal(q)
        kl = _kl_terms(diagonal, p)
        values = (q.mean, variance_of(q), q.sample(), kl)
        for column, value in zip(columns, values, strict=True):
            if value is not None:
                column.append(value.expand(len(x), -1).cpu())
    mean, variance, draws = (torch.cat(column) for column in columns[:3])
    return Codes(mean, variance, draws, torch.cat(columns[3]) if columns[3] else None)


def variance_of(q: Distribution) -> Tensor:
    """Var z, z ~ q(z|x), from draws where there is no formula."""
    try:
        return q.variance
    except NotImplementedError:
        return q.sample((MOMENT_DRAWS,)).var(0)


def as_diagonal(q: Distribution) -> DiagonalNormal | None:
    """q as a diagonal Gaussian in log-variances, if that is what it is."""
    if isinstance(q, DiagonalNormal):
        return q
    if (
        isinstance(q, Independent)
        and isinstance(q.base_dist, Normal)
        and q.reinterpreted_batch_ndims == 1
    ):
        return DiagonalNormal(q.base_dist.loc, 2 * q.base_dist.scale.log())
    return None


def _kl_terms(q: DiagonalNormal | None, p: Distribution) -> Tensor | None:
    if q is None:
        return None
    try:
        return kl_terms(q, p)
    except ConfigurationError:
        return None


def log_weights(model: VAE, data: Dataset, samples: int, device: torch.device) -> Tensor:
    """log w = log p(x|z) + log p(z) − log q(z|x), z ~ q(z|x), of all the data: (samples, n)."""
    columns = []
    for x, context in prepared_batches(model, data, device):
        q, p = model.posterior(x, context), model.prior(context)
        rows = []
        size = max(1, ELEMENTS_PER_CHUNK // (len(x) * decoded_elements(model)))
        for start in range(0, samples, size):
            z = q.sample((min(size, samples - start),))
            log_likelihood = model.likelihood(z, context).log_prob(x)
            rows.append(log_likelihood + p.log_prob(z) - q.log_prob(z))
        columns.append(torch.cat(rows).cpu())
    return torch.cat(columns, 1).double()


def importance_weighted(log_w: Tensor) -> Tensor:
    """log (1/k) Σ w for each example, (n,), of log w (k, n)."""
    return log_w.logsumexp(0) - math.log(len(log_w))


def facts(**values: Any) -> dict[str, float]:
    """Figures for `Finding.further`."""
    return {name: float(value) for name, value in values.items() if value is not None}
