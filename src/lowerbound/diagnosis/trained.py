"""What is diagnosed: a trained model with its data, history, objective and codes."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.data import Dataset
from lowerbound.distributions import has_density
from lowerbound.distributions.base import variance_of
from lowerbound.divergences import kl_terms
from lowerbound.evaluation import Estimate, estimate
from lowerbound.evaluation.walk import IMAGES_PER_BATCH, columns, prepared_batches
from lowerbound.objectives import Objective
from lowerbound.schedules import Schedule
from lowerbound.streams import Stream, generator
from lowerbound.training import Record
from lowerbound.vae import VAE

T = TypeVar("T")
Measure = Callable[[Tensor, Tensor | None], dict[str, Tensor]]

EXAMPLES = 2000
"""Examples of each split that most checks look at, drawn at random: standard errors are then at
most a forty-fifth of the spread between examples."""

WEIGHTED, SAMPLES = 500, 100
"""Held-out examples, and draws of z for each, whose importance weights are looked at: log w varies
far less between examples once their ELBO is subtracted."""

MOMENT_DRAWS = 100
"""Draws for the variance of a q(z|x) that knows none, such as a flow; off by a seventh."""


@dataclass(frozen=True)
class Codes:
    """q(z|x) of some data, (n, latent), and draws from it; on the CPU.

    ``kl`` is KL(q(z|x) ‖ p(z)) of each example, (n,), at its draw where there is no formula, and
    ``kl_terms`` that of each dimension, where q and p factorise.
    """

    mean: Tensor
    variance: Tensor
    draws: Tensor
    kl: Tensor | None = None
    kl_terms: Tensor | None = None
    context: Tensor | None = None


@dataclass(frozen=True, eq=False)
class TrainedModel:
    """A model in evaluation mode, held-out data, and where they are known its training data."""

    model: VAE
    held_out: Dataset
    training: Dataset | None
    history: Sequence[Record]
    objective: Objective
    device: torch.device
    seed: int
    kept: dict[Any, Any] = field(default_factory=dict, repr=False)
    """Of `once`."""

    @cached_property
    def test(self) -> Dataset:
        """The held-out examples that most checks look at."""
        return subset(self.held_out, self.seed)

    @cached_property
    def train(self) -> Dataset | None:
        """The training examples that they look at."""
        return None if self.training is None else subset(self.training, self.seed)

    @property
    def example(self) -> str:
        """What one x is called."""
        if len(self.test.shape) == 3:
            return "image"
        return "sequence" if self.test.kind == "tokens" else "row"

    @property
    def nats(self) -> str:
        """The unit of its bounds."""
        return f"nats per {self.example}"

    @cached_property
    def posterior(self) -> Distribution:
        """q(z|x) of two examples, which shows what kind of distribution it is."""
        return self.model.posterior(*self._two)

    @cached_property
    def likelihood(self) -> Distribution:
        """p(x|z) at the means of ``posterior``, likewise."""
        return self.model.likelihood(self.posterior.mean, self._two[1])

    @cached_property
    def _two(self) -> tuple[Tensor, Tensor | None]:
        return next(prepared_batches(self.model, self.test.take(2), self.device, self.seed))

    @property
    def is_autoencoder(self) -> bool:
        """Whether codes are points, so that there is no KL and no bound."""
        return not has_density(self.posterior)

    @property
    def epochs(self) -> float:
        """How many the model was trained for; ∞ where there is no history."""
        return float(self.history[-1]["epoch"]) if self.history else math.inf

    @property
    def steps(self) -> float:
        """How many it was trained for; ∞ where there is no history, or one that does not say."""
        return self.history[-1].get("step", math.inf) if self.history else math.inf

    def beta(self, time: float) -> float:
        """The objective's weight of the KL at ``time`` in epochs; NaN where it has none."""
        beta = getattr(self.objective, "beta", math.nan)
        return float(beta(time) if isinstance(beta, Schedule) else beta)

    @property
    def last_beta(self) -> float:
        """The weight of the last epoch; NaN where it was still changing then."""
        last, before = self.beta(self.epochs), self.beta(self.epochs - 1)
        return last if last == before else math.nan

    @cached_property
    def codes(self) -> Codes:
        """Codes of the held-out data."""
        return self.encoded(self.test)

    @property
    def kl(self) -> Estimate:
        """KL(q(z|x) ‖ p(z)) of the held-out data."""
        assert self.codes.kl is not None
        return estimate(self.codes.kl)

    def encoded(self, data: Dataset) -> Codes:
        """The codes of all the data."""

        def of(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
            q, p = self.model.posterior(x, context), self.model.prior(context)
            every = {"mean": q.mean, "variance": variance_of(q, MOMENT_DRAWS), "draws": q.sample()}
            every |= {"kl_terms": kl_terms(q, p), "context": context}
            found = {k: v.expand(len(x), -1) for k, v in every.items() if v is not None}
            if "kl_terms" in found:
                found["kl"] = found["kl_terms"].sum(1)
            elif not self.is_autoencoder:
                found["kl"] = q.log_prob(found["draws"]) - p.log_prob(found["draws"])
            return found

        return Codes(**self.columns(data, of))

    @cached_property
    def held_out_log_weights(self) -> Tensor:
        """log w of held-out data, (SAMPLES, n)."""
        return self.log_weights(subset(self.held_out, self.seed, WEIGHTED), SAMPLES)

    def columns(self, data: Dataset, measure: Measure, copies: int = 1) -> dict[str, Tensor]:
        """What ``measure`` finds of prepared x and context, as `evaluation.walk.columns` has it."""
        return columns(self.model, data, measure, self.device, self.seed, copies)

    def log_weights(self, data: Dataset, samples: int) -> Tensor:
        """log w = log p(x|z) + log p(z) − log q(z|x), z ~ q(z|x), of all the data: (samples, n)."""

        def of(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
            return {"log_w": self.model.draws(x, samples, context).log_w.T}

        return self.columns(data, of, samples)["log_w"].T.double()


def once(measure: Callable[[TrainedModel], T]) -> Callable[[TrainedModel], T]:
    """A measurement that several checks share: made for the first of them, and kept."""

    @functools.wraps(measure)
    def kept(trained: TrainedModel) -> T:
        if measure not in trained.kept:
            trained.kept[measure] = measure(trained)
        return trained.kept[measure]

    return kept


def has_mean(data: Dataset) -> bool:
    """Whether x has a mean in each of its elements, known in each example."""
    return data.kind not in ("categories", "tokens", "mixed") and data.observed is None


@once
def error_ratios(trained: TrainedModel) -> Tensor:
    """E (x − x̂)² over Var x for each element that varies in training data, x̂ the reconstruction."""
    assert trained.train is not None
    variance = trained.train.x.flatten(1).double().var(0, correction=0)
    errors = [
        (trained.model.reconstruct(*batch) - batch.x).flatten(1).cpu()
        for batch in trained.train.batches(IMAGES_PER_BATCH, device=trained.device)
    ]
    used = variance > 0
    return torch.cat(errors).double().square().mean(0)[used] / variance[used]


def subset(data: Dataset, seed: int, most: int = EXAMPLES) -> Dataset:
    """At most so many of the data, at random: files are often in the order of their classes."""
    if len(data) <= most:
        return data
    order = torch.randperm(len(data), generator=generator(seed, Stream.SUBSET))
    return data.subset(order[:most])


def halves(x: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Two halves of the rows of x, drawn at random for the same reason."""
    order = torch.randperm(len(x), generator=generator(seed, Stream.SUBSET))
    first, second = x[order].tensor_split([len(x) // 2])
    return first, second
