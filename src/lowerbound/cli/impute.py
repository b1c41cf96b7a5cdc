"""``impute``: the missing cells of a table."""

from __future__ import annotations

import logging
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowerbound.cli.options import Device, Folder, Json, Labels, Quiet, Seed
from lowerbound.cli.output import note, rereading, show, watched
from lowerbound.errors import ConfigurationError

if TYPE_CHECKING:
    from lowerbound.data.schema import Schema

MOSTLY, ENOUGH = 0.5, 20
"""The share of empty cells, of so many rows at least, from which words are doubted."""

log = logging.getLogger("lowerbound")


def impute(
    folder: Folder,
    data: Annotated[Path, typer.Option(help="The .csv, .tsv or .parquet file to fill in.")],
    out: Annotated[Path, typer.Option(help="The file to write, of the same format.")],
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
    from lowerbound import evaluation
    from lowerbound.data.reading import Reading, Stamp
    from lowerbound.data.rewriting import rewrite
    from lowerbound.files import write_atomic
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
    examples = run.other(str(data), labels)
    fields = run.fields or examples.schema
    if len(fields) != run.model.shape[0]:
        raise ConfigurationError("expected a run on a table, got one on other data")
    found = watched(
        "filling in",
        evaluation.impute,
        *(run.model, examples),
        draws=draws,
        samples=samples,
        seed=seed,
    )
    gaps = examples.x.isnan()
    header = run.description.source.header if run.is_described else None
    tables = [found.x] if found.draws is None else list(found.draws)
    reading = Reading(labels=labels, header=header, columns=examples.columns)
    content = rewrite(data, fields, gaps, tables, reading, numbered=draws > 0)
    stamp.check()
    write_atomic(out, content)
    note(f"wrote {out}")
    cells = {f.name: n for f, n in zip(fields, gaps.sum(0).tolist(), strict=True) if n}
    worth = found.effective_samples
    median = worth[~worth.isnan()].median().item() if cells else None
    told: dict[str, Any] = {"file": str(out), "cells": cells, "effective_samples": median}
    _doubt(fields, cells, len(gaps))
    show(told, _told(cells, int(gaps.any(1).sum()), len(gaps), median, samples), json)


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
