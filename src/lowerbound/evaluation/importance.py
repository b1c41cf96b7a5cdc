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
        nothing = torch.tensor(-math.inf, dtype=torch.float64)
        self._pending = [(nothing, 0) for _ in self.sizes]
        self._totals = [torch.zeros((), dtype=torch.float64) for _ in self.sizes]
        self._squares = nothing

    def add(self, log_w: Tensor) -> None:
        """Count in more draws, (chunk, batch)."""
        groups, size = log_w.double(), 1
        self._squares = self._squares.to(log_w.device).logaddexp((2 * groups).logsumexp(0))
        for level, k in enumerate(self.sizes):
            groups, size = self._grouped(level, groups, k // size), k
            bounds = (groups - math.log(k)).sum(0)
            self._totals[level] = self._totals[level].to(bounds) + bounds

    def _grouped(self, level: int, rows: Tensor, size: int) -> Tensor:
        """log Σ over each whole group of ``size`` rows; what is left waits for more."""
        waiting, count = self._pending[level]
        waiting = waiting.to(rows).expand(rows.shape[1:])
        first, rest = rows.tensor_split([size - count])
        waiting, count = waiting.logaddexp(first.logsumexp(0)), count + len(first)
        if count < size:
            self._pending[level] = waiting, count
            return rows[:0]
        groups = len(rest) // size
        whole, left = rest.tensor_split([groups * size])
        self._pending[level] = left.logsumexp(0), len(left)
        return torch.cat((waiting.unsqueeze(0), whole.unflatten(0, (groups, size)).logsumexp(1)))

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
