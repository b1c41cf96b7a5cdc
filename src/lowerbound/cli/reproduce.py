"""``reproduce``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from lowerbound.cli.output import note, print_json, show_notes
from lowerbound.errors import ConfigurationError


def reproduce(
    ids: Annotated[list[str] | None, typer.Argument(help="Ids that --list shows, or all.")] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the systems.")] = False,
    quick: Annotated[bool, typer.Option(help="A smoke run on a subset.")] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Where results, pictures and models go. [runs/reproduce, or with --quick "
            "runs/reproduce-quick]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(min=0, help="Seed of everything random.")] = 0,
    json: Annotated[bool, typer.Option(help="Print the rows as JSON.")] = False,
) -> None:
    """Train and measure systems of the course documents and of papers, beside their figures."""
    from lowerbound import reproduce as package

    show_notes()
    if list_:
        systems = package.chosen(["all"])
        if json:
            print_json([{"id": s.id, "title": s.title, "document": s.document} for s in systems])
        else:
            for system in systems:
                typer.echo(f"{system.id:<4} {system.title} ({system.document})")
        return
    if not ids:
        raise ConfigurationError(
            "expected ids of systems, as in: lowerbound reproduce D2; --list shows them"
        )
    out = out or Path("runs/reproduce-quick" if quick else "runs/reproduce")
    command = shlex.join(["lowerbound", *sys.argv[1:]])
    page = package.reproduce(
        package.chosen(ids), out, quick=quick, seed=seed, command=command, announce=note
    )
    if json:
        wanted = {system.id for system in package.chosen(ids)}
        found = [result for result in package.results(out) if result["id"] in wanted]
        print_json([row for result in found for row in result["rows"]])
    else:
        typer.echo(str(page))
