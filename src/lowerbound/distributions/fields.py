"""Distributions over the fields of a row: categories, and what is observed of several fields."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Size, Tensor
from torch.distributions import Categorical, Distribution, constraints

from lowerbound.distributions.base import Unvalidated, broadcast


class Nominal(Unvalidated):
    """P(k) = softmax(logits)ₖ of K categories without an order, by their numbers 0 … K − 1.

    ``logits`` are (*batch, K).  Categories have no mean; the likeliest one stands in its place.
    """

    support = constraints.nonnegative_integer

    def __init__(self, logits: Tensor) -> None:
        self.logits = logits
        super().__init__(logits.shape[:-1], validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        log_p = F.log_softmax(self.logits, -1)
        shape = broadcast(value.shape, log_p.shape[:-1])
        index = value.long().expand(shape).unsqueeze(-1)
        return log_p.expand(*shape, -1).gather(-1, index).squeeze(-1)

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        drawn = Categorical(logits=self.logits, validate_args=False).sample(sample_shape)
        return drawn.to(self.logits)

    @property
    def mean(self) -> Tensor:
        return self.logits.argmax(-1).to(self.logits)


class Joint(Unvalidated):
    """p(x) = ∏ᶠ pᶠ(xᶠ) over the observed elements of a row x, (*batch, columns).

    An element that is NaN is missing: it is summed, or integrated, out, and adds 0 to log p(x).

    Args:
        fields: independent distributions.
        columns: the numbers of the columns of each.
    """

    def __init__(self, fields: Sequence[Distribution], columns: Sequence[Sequence[int]]) -> None:
        self.fields, self.columns = fields, [list(group) for group in columns]
        size = sum(map(len, self.columns))
        super().__init__(fields[0].batch_shape, Size([size]), validate_args=False)

    def log_prob(self, value: Tensor) -> Tensor:
        return sum(terms.sum(-1) for terms in self._observed(value))  # type: ignore[return-value]

    def element_log_prob(self, value: Tensor) -> Tensor:
        """log p of each element of ``value``, (*batch, columns)."""
        return self._joined(self._observed(value))

    def _observed(self, value: Tensor) -> list[Tensor]:
        groups = zip(self.fields, self.columns, strict=True)
        return [_observed_log_prob(p, value[..., group]) for p, group in groups]

    def sample(self, sample_shape: Any = Size()) -> Tensor:
        return self._joined([p.sample(sample_shape) for p in self.fields])

    @property
    def mean(self) -> Tensor:
        """The mean of each field; of categories, the likeliest."""
        return self._joined([p.mean for p in self.fields])

    def _joined(self, values: list[Tensor]) -> Tensor:
        order = torch.tensor([column for group in self.columns for column in group])
        return torch.cat(values, -1)[..., order.argsort().to(values[0].device)]


def _observed_log_prob(p: Distribution, value: Tensor) -> Tensor:
    """log p of each element of ``value``, (*batch, columns); 0 of those that are NaN."""
    observed = ~value.isnan()
    # 0 lies in the support of every family, so that what is thrown away is finite.
    log_p = p.base_dist.log_prob(torch.where(observed, value, 0.0))  # type: ignore[attr-defined]
    return torch.where(observed, log_p, 0.0)


def element_log_probs(p: Distribution, value: Tensor) -> Tensor:
    """log p(xᵢ) of each element of ``value`` x under a ``p`` whose elements are independent."""
    if isinstance(p, Joint):
        return p.element_log_prob(value)
    return p.base_dist.log_prob(value)  # type: ignore[attr-defined]
