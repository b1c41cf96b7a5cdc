"""Weights as functions of training time t, in epochs (a float: 1.5 is the middle of the second)."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import pydantic
import torch

from lowerbound.parts import Finite, Positive, part

LARGEST = torch.finfo(torch.float32).max
Weight = Annotated[float, pydantic.Field(ge=0, le=LARGEST, allow_inf_nan=False)]


class Schedule(ABC):
    """A weight as a function of time."""

    @abstractmethod
    def __call__(self, t: float) -> float:
        """The weight at time t, in epochs."""


def value_at(weight: float | Schedule, t: float) -> float:
    """A weight at time t, in epochs: a number's own value, or its schedule's."""
    return weight(t) if isinstance(weight, Schedule) else weight


@part
@dataclass(frozen=True)
class Linear(Schedule):
    """β(t) = final · min(1, max(0, (t − start)/duration)): KL annealing, or warm-up.

    Args:
        start: epochs before β rises.
        duration: epochs of the rise, above 0.
        final: what β rises to.

    Source: Bowman et al., Generating sentences from a continuous space, 2016, arXiv 1511.06349.

    >>> [Linear(start=4, duration=8)(t) for t in (0, 4, 8, 12, 20)]
    [0.0, 0.0, 0.5, 1.0, 1.0]
    """

    start: Finite = 0.0
    duration: Positive = 10.0
    final: Weight = 1.0

    def __call__(self, t: float) -> float:
        return self.final * min(1.0, max(0.0, (t - self.start) / self.duration))


@part
@dataclass(frozen=True)
class Exponential(Schedule):
    """β(t) = final · (1 − e^(−t/duration)): a rise that slows down.

    Args:
        duration: epochs in which 1 − 1/e of the rise is done, above 0.
        final: what β nears.

    Source: Roberts et al. 2018, arXiv 1803.05428, with 1 − .99999^i at step i.

    >>> [round(Exponential(duration=5, final=0.2)(t), 4) for t in (0, 5, 50)]
    [0.0, 0.1264, 0.2]
    """

    duration: Positive = 10.0
    final: Weight = 1.0

    def __call__(self, t: float) -> float:
        return self.final * (1 - math.exp(-t / self.duration))


@part
@dataclass(frozen=True)
class Cyclical(Schedule):
    """β rises from 0 to ``final`` in the first ``ratio`` of each period, then stays.

    After training, at t = ∞, it is ``final``.

    Args:
        period: epochs of a cycle, above 0.
        ratio: the part of a cycle in which β rises, above 0 and at most 1.
        final: what β rises to.

    Source: Fu et al., Cyclical annealing schedule, 2019, arXiv 1903.10145.

    >>> [Cyclical(period=4, ratio=0.5)(t) for t in (0, 1, 2, 3, 4, 5)]
    [0.0, 0.5, 1.0, 1.0, 0.0, 0.5]
    """

    period: Positive = 5.0
    ratio: Annotated[Positive, pydantic.Field(le=1)] = 0.5
    final: Weight = 1.0

    def __call__(self, t: float) -> float:
        if math.isinf(t):
            return self.final
        return self.final * min((t % self.period) / (self.ratio * self.period), 1.0)
