"""What ``evaluate`` finds of each example, and the .csv of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from lowerbound import VAE
    from lowerbound.data import Data
    from lowerbound.evaluation.walk import Progress
    from lowerbound.runs import Run
    from lowerbound.runs.cluster import Columns

BOUNDS = ("reconstruction", "kl", "elbo", "importance_weighted", "effective_samples")


def measured(
    run: Run,
    examples: Data,
    progress: Progress | None = None,
    which: Iterable[range] | None = None,
    *,
    samples: int,
    seed: int,
    costs: bool,
) -> Iterator[Columns]:
    """The bounds of each block, and of rows the sums of their columns, or also their ``costs``."""
    import torch

    from lowerbound.evaluation.bounds import bound_blocks
    from lowerbound.outliers import explains
    from lowerbound.outliers.columns import column_sums

    model = run.model
    for block, found in bound_blocks(model, examples, samples, seed, progress, which):
        if explains(model) and (costs or model.columns):
            each: list[Tensor] = []
            found["sums"] = column_sums(model, block, each.append if costs else None)
            if costs:
                found["costs"] = torch.cat(each)
        yield found


def bounds_alone(
    found: Iterable[Columns], sums: list[Tensor], write: Callable[[Columns], None] | None
) -> Iterator[Columns]:
    """The bounds of what is ``measured``: each block is written first, its ``sums`` kept."""
    for columns in found:
        if write is not None:
            write(columns)
        columns.pop("costs", None)
        if "sums" in columns:
            sums.append(columns.pop("sums"))
        yield columns


@contextmanager
def scores_file(model: VAE, out: Path) -> Iterator[Callable[[Columns], None]]:
    """The .csv: an example's number, its bounds, and of rows what each column costs."""
    from lowerbound.cli.exports import expect_file, table_file

    expect_file(out, (".csv",), "a table")
    names, done = model.columns or [f"x{i}" for i in range(model.shape[0])], 0
    with table_file(out) as write_table:

        def write(found: Columns) -> None:
            nonlocal done
            table: dict[str, Any] = {"example": range(done, done + len(found["mean"]))}
            table |= {name: found[name].double().numpy() for name in BOUNDS if name in found}
            if "costs" in found:
                for name, cost in zip(names, found["costs"].unbind(1), strict=True):
                    table[f"cost of {name}"] = cost.numpy() + 0.0
            write_table(table)
            done += len(found["mean"])

        yield write
