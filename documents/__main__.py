"""``python -m documents``, which scripts/reproduce runs."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from lowerbound.cli.app import run
from lowerbound.cli.output import note, print_json
from lowerbound.errors import ConfigurationError

app = typer.Typer(
    pretty_exceptions_enable=False,
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"max_content_width": 110},
)


@app.command()
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
    from documents import systems as every

    if list_:
        rows = [
            {"id": system.id, "title": system.title, "document": system.document.title}
            for system in every.chosen(["all"])
        ]
        if json:
            print_json(rows)
        else:
            for row in rows:
                typer.echo(f"{row['id']:<4} {row['title']} ({row['document']})")
        return
    if not ids:
        raise ConfigurationError(
            "expected ids of systems, as in: scripts/reproduce D2; --list shows them"
        )
    systems = every.chosen(ids)
    out = out or Path("runs/reproduce-quick" if quick else "runs/reproduce")
    command = shlex.join(["scripts/reproduce", *sys.argv[1:]])
    page = every.reproduce(systems, out, quick=quick, seed=seed, command=command, announce=note)
    if json:
        wanted = {system.id for system in systems}
        found = [result for result in every.results(out) if result["id"] in wanted]
        print_json([row for result in found for row in result["rows"]])
    else:
        typer.echo(str(page))


if __name__ == "__main__":
    run(app, "scripts/reproduce")
