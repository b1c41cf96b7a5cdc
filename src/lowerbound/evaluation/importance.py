"""Importance weights as they come: their log-mean, their worth, and the bound for fewer of them."""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import torch
from torch import Tensor

FEW = 10


@dataclass(frozen=True)
class EffectiveSamples:
    """How many draws from the posterior itself the weights of an example are worth: Kish's n.

    One example's bound has a Monte-Carlo error of about √(1/n − 1/k) nats.  Where n is near 1, a
    single draw decides the bound, and more draws, or annealing, would raise it.

    Attributes:
        median: over examples, from 1 to k.
        below: the share of examples whose n is below ``limit``.
    """

    median: float
    below: float
    limit: int = FEW


def effective_samples(values: Tensor) -> EffectiveSamples:
    """The summary of n of each example, (n,)."""
    return EffectiveSamples(values.double().median().item(), (values < FEW).double().mean().item())


def effective_size(log_w: Tensor) -> Tensor:
    """(Σ w)² / Σ w² over the first dimension: Kish's effective sample size.

    >>> effective_size(torch.zeros(8)).round()
    tensor(8.)
    """
    return (2 * log_w.logsumexp(0) - (2 * log_w).logsumexp(0)).exp()


class WeightSums:
    """Running sums over log-weights, (chunk, batch) at a time; memory is that of one chunk.

    For each k in ``sizes``, the bound log (1/k) Σ w is averaged over the disjoint groups of k
    draws, which leaves it the expectation that k draws alone would give it.  Each k divides the
    next, so that the groups of one are made of the groups before.
    """

    def __init__(self, samples: int) -> None:
        self.samples, self.sizes = samples, group_sizes(samples)
        self._pending: list[Tensor | None] = [None] * len(self.sizes)
        self._totals: list[Tensor] = [torch.zeros(())] * len(self.sizes)
        self._squares = torch.tensor(-math.inf)

    def add(self, log_w: Tensor) -> None:
        """Count in more draws, (chunk, batch)."""
        self._squares = self._squares.to(log_w).logaddexp((2 * log_w).logsumexp(0))
        groups, size = log_w, 1
        for level, k in enumerate(self.sizes):
            ratio, size = k // size, k
            waiting = self._pending[level]
            rows = groups if waiting is None else torch.cat((waiting, groups))
            whole = len(rows) // ratio
            self._pending[level] = rows[whole * ratio :]
            groups = rows[: whole * ratio].unflatten(0, (whole, ratio)).logsumexp(1)
            bounds = (groups - math.log(k)).sum(0)
            self._totals[level] = self._totals[level].to(bounds) + bounds

    def curve(self) -> Tensor:
        """E log (1/k) Σ w for each k of ``sizes``, (batch, sizes); the last is of all draws."""
        groups = torch.tensor([self.samples // k for k in self.sizes])
        totals = torch.stack(self._totals, -1)
        return totals / groups.to(totals)

    def effective_size(self) -> Tensor:
        """Kish's effective sample size of all draws, (batch,), from 1 to their number."""
        log_sum = self.curve()[:, -1] + math.log(self.samples)
        return (2 * log_sum - self._squares).exp()


def group_sizes(samples: int) -> list[int]:
    """1 … ``samples``, each dividing the next: as many as its prime factors allow.

    >>> group_sizes(5000)
    [1, 2, 10, 20, 100, 200, 1000, 5000]
    >>> group_sizes(7)
    [1, 7]
    """
    factors, rest, factor = deque[int](), samples, 2
    while rest > 1:
        while rest % factor == 0:
            factors.append(factor)
            rest //= factor
        factor = factor + 1 if factor * factor <= rest else rest
    sizes = [1]
    while factors:
        # Small and large factors in turn, so that the sizes are spread evenly.
        sizes.append(sizes[-1] * (factors.popleft() if len(sizes) % 2 else factors.pop()))
    return sizes
