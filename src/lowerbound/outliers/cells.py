"""What a cell of a row costs given the others."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lowerbound.distributions import element_log_probs, has_density
from lowerbound.evaluation.imputation import given_observed
from lowerbound.likelihoods import Heterogeneous
from lowerbound.likelihoods.base import Likelihood
from lowerbound.vae import VAE

DRAWS, TOGETHER = 100, 64


def left_out_costs(model: VAE, x: Tensor, context: Tensor | None, cells: Tensor) -> Tensor | None:
    """−log p(xⱼ|x₋ⱼ) = log p(x₋ⱼ) − log p(x) of some ``cells`` j of prepared x, nats, (n, C).

    An absurd cell moves the code of its row, at which others then look strange.  Here each is left
    out in turn: where it is the absurd one, what remains is likely.  Both terms are by importance
    weighting with draws of q(z|x₋ⱼ), log p(x) with those of all the cells.

    None where the posterior has no density, or elements have no probability of their own.
    """
    likelihood = model.likelihood
    separate = isinstance(likelihood, Likelihood | Heterogeneous)
    if not separate or getattr(likelihood, "sigma", None) == "optimal":
        return None
    found = []
    for rows in torch.arange(len(x), device=x.device).split(max(1, TOGETHER // cells.shape[1])):
        j = cells[rows].flatten().unsqueeze(1)
        each = rows.repeat_interleave(cells.shape[1])
        whole, c = x[each], None if context is None else context[each]
        given = given_observed(model, whole.scatter(1, j, torch.nan), c)
        if not has_density(given.q):
            return None
        d = given.draws(DRAWS)
        own = element_log_probs(likelihood(d.z, c), whole).gather(-1, j.expand(DRAWS, -1, 1))
        log_w = d.log_w.double()
        left, all_of_x = log_w.logsumexp(0), (log_w + own.squeeze(-1)).logsumexp(0)
        left, all_of_x = (each.view(len(rows), -1) for each in (left, all_of_x))
        mean = all_of_x.logsumexp(1, keepdim=True) - math.log(cells.shape[1])
        found.append(left - mean)
    return torch.cat(found)
