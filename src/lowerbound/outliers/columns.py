"""What each column of a table costs."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lowerbound.data import Data
from lowerbound.data.moments import Moments
from lowerbound.distributions import Joint, element_log_probs
from lowerbound.errors import ConfigurationError
from lowerbound.evaluation.estimates import Estimate
from lowerbound.evaluation.walk import blocks, columns, held_out, judging, prepared_batches
from lowerbound.likelihoods import Heterogeneous
from lowerbound.likelihoods.base import Likelihood
from lowerbound.streams import Stream, generator
from lowerbound.vae import VAE
from lowerbound.weight_draws import WeightDraws

REFERENCE = 5000


@dataclass(frozen=True)
class ColumnScore:
    """What a column of a table costs.

    Attributes:
        name: of the column.
        observed: how many rows have it.
        cost: −log p(xᵢ|z = E[z|x]) over these, nats, in the units of the column; None of fewer
            than two.
        sigma: of a continuous one, the root mean square of the standard deviation of p(xᵢ|z), in
            the same units; None of others, and where it is not finite.
    """

    name: str
    observed: int
    cost: Estimate | None
    sigma: float | None


def column_scores(model: VAE, data: Any) -> list[ColumnScore]:
    """What each column of the ``data`` costs a ``model`` of rows, and the σ that it has there.

    Raises:
        ConfigurationError: a model of other things than rows.
    """
    if not explains(model):
        raise ConfigurationError(
            f"expected a model of rows, got one of examples of shape {model.shape} or of sequences"
        )
    data = model.expect(held_out(data, least=1))
    return scored(model, [column_sums(model, block) for block in blocks(model, data)])


def column_sums(model: VAE, data: Data, each: Callable[[Tensor], None] | None = None) -> Tensor:
    """Sums over the rows of a block of data, (7, D), which make `scored`.

    ``each`` is called with the `column_costs` of some rows, (n, D), in the order of the data.
    """
    finite, seen, lost, variance = Moments(), *torch.zeros(3, *model.shape, dtype=torch.float64)
    with judging(model, 0, Stream.EVALUATE) as device:
        for x, context in prepared_batches(model, data, device, 0):
            costs, here = _costs(model, x, context).cpu(), ~x.isnan().cpu()
            if each is not None:
                each(costs)
            sound = costs.isfinite()
            finite.add(costs.masked_fill(~(here & sound), math.nan))
            seen += here.sum(0)
            lost += costs.masked_fill(~here | sound, 0.0).sum(0)
            variance += _variances(model, x, context).sum(0).cpu()
    rows = torch.full_like(lost, len(data))
    return torch.stack((finite.n, finite.mean, finite.squares, seen, lost, variance, rows))


def scored(model: VAE, sums: Sequence[Tensor]) -> list[ColumnScore]:
    """The `column_scores` of data, each block of which has its `column_sums`."""
    finite, slopes = Moments(), model.transform.log_slopes(model.shape)
    every = torch.stack([*sums])
    for moments in every[:, :3]:
        finite.join(*moments)
    seen, lost, variance, rows = every[:, 3:].sum(0)
    values = finite.mean - slopes + lost
    errors = (finite.variance() / seen).sqrt() + lost.abs()
    sigmas = (variance / rows).sqrt() / slopes.exp()
    names = model.columns or tuple(f"x{i}" for i in range(model.shape[0]))
    return [
        ColumnScore(
            name,
            int(n),
            Estimate(value, error) if n > 1 else None,
            sigma if math.isfinite(sigma) else None,
        )
        for name, n, value, error, sigma in zip(
            names, *(each.tolist() for each in (seen, values, errors, sigmas)), strict=True
        )
    ]


def _variances(model: VAE, x: Tensor, context: Tensor | None) -> Tensor:
    """Var(xᵢ|z = E[z|x]) of the continuous elements of prepared x, NaN of others, (n, D)."""
    likelihood: Any = model.likelihood
    variance = torch.full_like(x, math.nan, dtype=torch.float64)
    if isinstance(likelihood, WeightDraws):
        return variance
    p = likelihood(model.posterior(x, context).mean, context)
    fields = (p.fields, p.columns) if isinstance(p, Joint) else ([p], [slice(None)])
    families = getattr(likelihood, "families", [likelihood])
    for family, field, group in zip(families, *fields, strict=True):
        if getattr(family, "support", None) == "continuous":
            variance[:, group] = field.variance.double()
    return variance


def column_costs(model: VAE, data: Any) -> Tensor:
    """−log p(xᵢ|z = E[z|x]) of each element xᵢ, nats, float64, (n, *shape).

    What is missing costs 0.

    Args:
        model: one whose likelihood gives every element a probability of its own, as all do but
            those of sequences; with draws of its weights, their mean probability.
        data: the examples; of `Splits` the test set.
    """

    def measure(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
        return {"costs": _costs(model, x, context)}

    with judging(model, 0, Stream.EVALUATE) as device:
        return columns(model, held_out(data, least=1), measure, device, 0)["costs"]


def _costs(model: VAE, x: Tensor, context: Tensor | None) -> Tensor:
    """Those of a batch of prepared x."""
    likelihood, z = model.likelihood, model.posterior(x, context).mean

    def log_probs(module: nn.Module) -> Tensor:
        return element_log_probs(module(z, context), x).double()

    if not isinstance(likelihood, WeightDraws):
        return -log_probs(likelihood)
    each = torch.cat(list(likelihood.each(log_probs, x.numel() * likelihood.numbers)))
    return math.log(len(each)) - each.logsumexp(0)


def explains(model: VAE) -> bool:
    """Whether `explain` can tell why an example is strange to the ``model``: it is of rows."""
    likelihood = model.likelihood
    if isinstance(likelihood, WeightDraws):
        likelihood = likelihood.module
    return len(model.shape) == 1 and isinstance(likelihood, Likelihood | Heterogeneous)


def some_of(train: Data) -> Data:
    """As many training examples as others are compared with, chosen at random."""
    if len(train) <= REFERENCE:
        return train
    chosen = torch.randperm(len(train), generator=generator(0, Stream.SUBSET))[:REFERENCE]
    return train.subset(chosen.sort().values)
