"""What cells of rows cost given the others of their row."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
from torch import Tensor

from lowerbound.data import Dataset
from lowerbound.distributions import element_log_probs, has_density
from lowerbound.evaluation.imputation import given_observed
from lowerbound.evaluation.walk import Progress, at_once, judging, prepared_batches
from lowerbound.likelihoods import Heterogeneous
from lowerbound.likelihoods.base import Likelihood
from lowerbound.streams import Stream
from lowerbound.vae import VAE

DRAWS = 100


def left_out_costs(
    model: VAE, data: Dataset, rows: Tensor, cells: Tensor, progress: Progress | None = None
) -> Tensor | None:
    """−log p(xⱼ|x₋ⱼ) = log p(x₋ⱼ) − log p(x) of each cell j of a row, nats, float64, (n,).

    An absurd cell moves the code of its row, at which others then look strange.  Here each is left
    out in turn: where it is the absurd one, what remains is likely.  Both terms are by importance
    weighting with draws of q(z|x₋ⱼ), log p(x) with those of all the cells of the row.

    None where the posterior has no density, or elements have no probability of their own.

    Args:
        model: of rows.
        data: the rows.
        rows: their numbers, in order, (n,).
        cells: those of the columns, (n,); none of them is missing.
        progress: called with the cells done and their number.
    """
    likelihood = model.likelihood
    separate = isinstance(likelihood, Likelihood | Heterogeneous)
    if not separate or getattr(likelihood, "sigma", None) == "optimal":
        return None
    left, whole = torch.empty(2, len(rows), dtype=torch.float64)
    size, first, done = at_once(model, DRAWS), 0, 0
    with judging(model, 0, Stream.EVALUATE) as device:
        for x, context in prepared_batches(model, data, device, 0):
            last = int(torch.searchsorted(rows, first + len(x)))
            while done < last:
                now = slice(done, min(done + size, last))
                at, cell = (rows[now] - first).to(device), cells[now].to(device)
                found = _two_terms(model, x[at], None if context is None else context[at], cell)
                if found is None:
                    return None
                left[now], whole[now] = found
                done = now.stop
                if progress:
                    progress(done, len(rows))
            first += len(x)
    return left - _means(whole, rows, len(data))[rows]


def _two_terms(
    model: VAE, x: Tensor, context: Tensor | None, cell: Tensor
) -> tuple[Tensor, Tensor] | None:
    """log p(x₋ⱼ) and log p(x) of prepared x, (n,) each, by the same draws of q(z|x₋ⱼ)."""
    cell = cell.unsqueeze(1)
    others = x.scatter(1, cell, torch.nan)
    given = given_observed(model, others, context)
    if not has_density(given.q):
        return None
    ratio = replace(given, log_likelihood=lambda z: z.new_zeros(z.shape[:-1])).draws(DRAWS)
    whole = torch.where(x.isnan(), given.x, x)
    terms = element_log_probs(model.likelihood(ratio.z, context), whole)
    own = terms.gather(-1, cell.expand(DRAWS, -1, 1)).squeeze(-1).double()
    log_w = ratio.log_w.double() + torch.where(others.isnan(), 0.0, terms).sum(-1).double()
    return log_w.logsumexp(0) - math.log(DRAWS), (log_w + own).logsumexp(0) - math.log(DRAWS)


def _means(log_p: Tensor, rows: Tensor, n: int) -> Tensor:
    """log of the mean of p over what each of the n rows has, (n,)."""
    lowest = torch.finfo(log_p.dtype).min
    most = log_p.new_full((n,), lowest).scatter_reduce(0, rows, log_p, "amax")
    zeros = torch.zeros_like(most)
    total = zeros.scatter_add(0, rows, (log_p - most[rows]).exp())
    return most + (total / zeros.scatter_add(0, rows, torch.ones_like(log_p))).log()
