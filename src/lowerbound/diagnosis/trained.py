"""What is diagnosed: a trained model, with its data, its history and its objective."""

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
from lowerbound.evaluation import prepared_batches
from lowerbound.objectives import Objective
from lowerbound.schedules import Schedule
from lowerbound.training import Record
from lowerbound.vae import VAE

T = TypeVar("T")

EXAMPLES = 2000
"""Examples of each split that most checks look at, drawn at random: standard errors are then at
most a forty-fifth of the spread between examples."""


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
    measured: dict[Any, Any] = field(default_factory=dict, repr=False)
    """What `once` keeps."""

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
        return "image" if len(self.test.shape) == 3 else "row"

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
        return next(prepared_batches(self.model, self.test.take(2), self.device))

    @property
    def is_autoencoder(self) -> bool:
        """Whether codes are points, so that there is no KL and no bound."""
        return not has_density(self.posterior)

    @property
    def won_last(self) -> float:
        """Nats of the objective that the last epoch won by the history: ∞ with one epoch."""
        objective = [epoch["train"]["objective"] for epoch in self.history[-2:]]
        if len(objective) == 2:
            return objective[1] - objective[0]
        return math.inf if objective else 0.0

    @property
    def epochs(self) -> float:
        """How many the model was trained for; ∞ where there is no history."""
        return float(self.history[-1]["epoch"]) if self.history else math.inf

    def beta(self, time: float) -> float:
        """The objective's weight of the KL at ``time`` in epochs; NaN where it has none."""
        beta = getattr(self.objective, "beta", math.nan)
        return float(beta(time) if isinstance(beta, Schedule) else beta)

    @property
    def last_beta(self) -> float:
        """The weight of the last epoch; NaN where it was still changing then."""
        last, before = self.beta(self.epochs), self.beta(self.epochs - 1)
        return last if last == before else math.nan

    def each(
        self,
        data: Dataset,
        of: Callable[[Tensor, Tensor | None], Sequence[Tensor | None]],
        dim: int = 0,
        copies: int = 1,
    ) -> list[Any]:
        """What ``of`` returns for prepared x and context, on the CPU.

        It is called a batch at a time, see `prepared_batches` for ``copies``, and what it returns
        is joined along ``dim``; None stays None.
        """
        batches = prepared_batches(self.model, data, self.device, copies)
        return [
            None if column[0] is None else torch.cat(column, dim).cpu()
            for column in zip(*(of(x, context) for x, context in batches), strict=True)
        ]


def once(measure: Callable[[TrainedModel], T]) -> Callable[[TrainedModel], T]:
    """A measurement that several checks share: made for the first of them, and kept."""

    @functools.wraps(measure)
    def kept(trained: TrainedModel) -> T:
        if measure not in trained.measured:
            trained.measured[measure] = measure(trained)
        return trained.measured[measure]

    return kept


def subset(data: Dataset, seed: int, most: int = EXAMPLES) -> Dataset:
    """At most so many of the data, at random: files are often in the order of their classes."""
    if len(data) <= most:
        return data
    order = torch.randperm(len(data), generator=torch.Generator().manual_seed(seed))
    return data.subset(order[:most])
