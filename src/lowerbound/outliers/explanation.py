"""Why a row of a table is strange: the columns that cost most given the others."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from lowerbound.data import Dataset, as_dataset
from lowerbound.data.assembly import in_memory
from lowerbound.evaluation.walk import Progress, held_out, onwards
from lowerbound.likelihoods.support import decoded_elements
from lowerbound.outliers.cells import DRAWS, left_out_costs
from lowerbound.outliers.columns import column_costs, some_of
from lowerbound.streams import Stream, generator
from lowerbound.vae import VAE

LARGE = 1e6
ALL, SPARE = 50, 5
"""Columns that are all judged by the others, and of more those beyond what is asked for: of the
highest cost, and of the furthest from their median."""
USUAL, DECODED = (20, 200), 2**28
"""Training rows that tell what is usual of a column: the fewest, and the most if few elements are
decoded for it."""


@dataclass(frozen=True)
class Costs:
    """The columns that make an example strange, the costliest first.

    Attributes:
        columns: their names.
        values: what the example has there, in the data's units; of categories their names.
        nats: what each costs given the others, −log p(xᵢ|x₋ᵢ), or where that is not known
            −log p(xᵢ|z = E[z|x]), above the median of the same in training.  Printed are the first,
            and others that are above it.
    """

    columns: tuple[str, ...]
    values: tuple[Any, ...]
    nats: tuple[float, ...]

    def __str__(self) -> str:
        found = list(zip(self.columns, self.values, self.nats, strict=True))
        strange = found[:1] + [each for each in found[1:] if each[-1] > 0]
        return ", ".join(
            f"{name} = {_shown(value)} ({nats:{'+z.1f' if abs(nats) < LARGE else '+.2e'}})"
            for name, value, nats in strange
        )


def explain(
    model: VAE, data: Any, train: Any, most: int = 3, *, progress: Progress | None = None
) -> list[Costs]:
    """The columns of each row that cost most nats, given its others, above their usual cost.

    Args:
        model: of a table, as in `column_costs`.
        data: the rows.
        train: training examples, of which up to 5,000 are taken.
        most: columns of each row; there are fewer where most are missing.
        progress: called with the cells done, of the rows and of training, and their number.
    """
    data = in_memory(model.by_name(held_out(data, least=1)))
    reference = in_memory(model.by_name(some_of(as_dataset(train))))
    costs = column_costs(model, reference).masked_fill(reference.x.isnan(), math.nan)
    above = (column_costs(model, data) - _median(costs)).nan_to_num(math.inf)
    above = above.masked_fill(data.x.isnan(), -math.inf)
    suspects = _suspects(above, data.x, reference.x, most + SPARE)
    above = _given_others(model, data, reference, above, suspects, progress)
    names = data.columns or tuple(f"x{i}" for i in range(above.shape[1]))
    if data.columns is None:
        table = dict(zip(names, data.x.T.tolist(), strict=True))
    else:
        table = data.table(data.x)
    found = []
    for row, (nats, which) in enumerate(zip(*above.topk(min(most, above.shape[1])), strict=True)):
        there = nats > -math.inf
        chosen = tuple(names[i] for i in which[there].tolist())
        values = tuple(table[name][row] for name in chosen)
        found.append(Costs(chosen, values, tuple(nats[there].tolist())))
    return found


def _suspects(above: Tensor, x: Tensor, reference: Tensor, some: int) -> Tensor:
    """Which cells of each row may be what makes it strange, (n, D).

    The cost ``above`` the usual one may be low of an absurd cell, which its row's code follows.
    """
    columns = x.shape[1]
    middle = _median(reference.double())
    spread = _median((reference - middle).abs())
    chosen = torch.zeros_like(above, dtype=torch.bool)
    for strange in (above, ((x - middle).abs() / spread).nan_to_num(0.0, math.inf)):
        highest = strange.topk(columns if columns <= ALL else min(some, columns)).indices
        chosen.scatter_(1, highest, torch.ones_like(highest, dtype=torch.bool))
    return chosen & (above > -math.inf)


def _given_others(
    model: VAE,
    data: Dataset,
    reference: Dataset,
    above: Tensor,
    suspects: Tensor,
    progress: Progress | None,
) -> Tensor:
    """``above`` of the cells that are ``suspects`` given the others, −∞ of the rest, (n, D).

    Both a cell and what is usual of its column, the median over some reference rows, cost
    −log p(xⱼ|x₋ⱼ).  Where that is not known, ``above`` as it is.
    """
    rows, cells = suspects.nonzero(as_tuple=True)
    sample, known, compared = _usual_cells(model, reference, cells.unique())
    total = len(rows) + len(known)
    alone = left_out_costs(model, data, rows, cells, onwards(progress, 0, total))
    usual = left_out_costs(model, sample, known, compared, onwards(progress, len(rows), total))
    if alone is None or usual is None:
        return above
    table = torch.full(sample.x.shape, math.nan, dtype=torch.float64)
    base = _median(table.index_put((known, compared), usual))
    found = (alone - base[cells]).nan_to_num(0.0, math.inf, -math.inf)
    return torch.full_like(above, -math.inf).index_put((rows, cells), found)


def _usual_cells(model: VAE, reference: Dataset, some: Tensor) -> tuple[Dataset, Tensor, Tensor]:
    """Some ``reference`` rows, and the rows and columns of their cells of the columns ``some``."""
    decoded = max(1, len(some)) * DRAWS * decoded_elements(model.likelihood)
    least, most = USUAL
    order = torch.randperm(len(reference), generator=generator(0, Stream.SUBSET))
    seen = ~reference.x[order][:, some].isnan()
    taken = seen & (seen.cumsum(0) <= min(most, max(least, DECODED // decoded)))
    rows, which = taken.nonzero(as_tuple=True)
    kept, rows = rows.unique(return_inverse=True)
    return reference.subset(order[kept] if len(kept) else order[:1]), rows, some[which]


def _median(costs: Tensor) -> Tensor:
    """That of each column over what is not NaN, 0 of none, (D,)."""
    middle = costs.nanmedian(0).values
    return torch.where(middle.isnan(), 0.0, middle)


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
