"""``impute``: the missing cells of a table."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowerbound.cli.options import Device, Folder, Force, Json, Labels, Quiet, Seed, new_file
from lowerbound.cli.output import note, progress, rereading, show
from lowerbound.errors import ConfigurationError
from lowerbound.logs import log

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema

MOSTLY, ENOUGH = 0.5, 20
"""The share of empty cells, of so many rows at least, from which words are doubted."""


def impute(
    folder: Folder,
    data: Annotated[Path, typer.Option(help="The .csv, .tsv or .parquet file to fill in.")],
    out: Annotated[
        Path, typer.Option(callback=new_file, help="The file to write, of the same format.")
    ],
    draws: Annotated[
        int,
        typer.Option(
            min=0,
            help="Write so many tables below each other, numbered by a first column, whose cells "
            "are drawn: their spread shows what is not known.",
        ),
    ] = 0,
    samples: Annotated[int, typer.Option(min=1, help="Draws z ~ q(z|x) for each row.")] = 1000,
    labels: Labels = None,
    seed: Seed = 0,
    device: Device = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Fill in the missing cells of a table, given what else is in their rows.

    A number becomes its mean given the others, a category the likeliest one; all else stays as it
    is written.

    Examples:
        lowerbound impute runs/p --data people.csv --out whole.csv
        lowerbound impute runs/p --data people.csv --out draws.csv --draws 10
    """
    import torch

    from lowerbound.data.filled import Filled
    from lowerbound.data.reading import Reading, Stamp
    from lowerbound.data.rewriting import rewrite
    from lowerbound.evaluation.imputation import imputed
    from lowerbound.files import replacing
    from lowerbound.runs import Run

    if out.suffix.lower() != data.suffix.lower() or out.is_dir():
        raise ConfigurationError(
            f"expected --out to be a {data.suffix or '.csv'} file, as --data is, got {str(out)!r}"
        )
    if out.resolve() == data.resolve():
        raise ConfigurationError(
            f"expected --out to be another file than --data, got {str(out)!r} for both; "
            "choose another name"
        )
    stamp = Stamp.of(data)
    run = Run.open(folder, device, rereading)
    examples = run.streamed("test", str(data), labels)
    fields = run.fields or examples.schema
    if len(fields) != run.model.shape[0]:
        raise ConfigurationError("expected a run on a table, got one on other data")
    filled, worth = Filled(draws or 1), [torch.zeros(0).double()]
    with progress("filling in") as advance:
        parts = imputed([run.model], examples, draws, samples, seed, advance)
        for block, found in parts:
            filled.add(block.x.isnan(), [found.x] if found.draws is None else list(found.draws))
            worth.append(found.effective_samples[~found.effective_samples.isnan()])
    header = run.description.source.header if run.is_described else None
    reading = Reading(labels=labels, header=header, columns=examples.columns)
    with progress("writing"), replacing(out) as file:
        rewrite(data, file, fields, filled, reading, numbered=draws > 0)
        stamp.check()
    note(f"wrote {out}")
    cells = {f.name: n for f, n in zip(fields, filled.cells.tolist(), strict=True) if n}
    median = torch.cat(worth).median().item() if cells else None
    told: dict[str, Any] = {"file": str(out), "cells": cells, "effective_samples": median}
    _doubt(fields, cells, filled.rows)
    show(told, _told(cells, filled.holed, filled.rows, median, samples), json)


def _doubt(fields: Schema, cells: dict[str, int], rows: int) -> None:
    """Warn of words that were filled in where most rows have none."""
    from lowerbound.data.columns import quoted

    mostly = [f.name for f in fields if f.categories and cells.get(f.name, 0) > MOSTLY * rows]
    if mostly and rows >= ENOUGH:
        log.warning(
            "most cells of %s were empty, and now hold guesses; where an empty cell says that "
            "there is nothing to say, train with --kind %s, which leaves it empty",
            quoted(mostly),
            shlex.quote(f"{mostly[0]}=ignore"),
        )


def _told(cells: dict[str, int], rows: int, of: int, median: float | None, samples: int) -> str:
    if median is None:
        return f"nothing is missing in {of:,} rows"
    each = ", ".join(f"{name} {n:,}" for name, n in cells.items())
    return (
        f"{sum(cells.values()):,} cells in {rows:,} of {of:,} rows: {each}\n"
        f"effective samples, median: {median:.1f} of {samples:,}"
    )
