"""``data list`` and ``data get``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowerbound.cli.output import print_json, show_notes

if TYPE_CHECKING:
    from lowerbound.data import Attempt

app = typer.Typer(no_args_is_help=True, help="List and fetch the known data sets.")
Folder = Annotated[Path | None, typer.Option(help="Look for the files here too.")]


@app.command("list")
def list_(
    folder: Folder = None,
    json: Annotated[bool, typer.Option(help="Print them as JSON.")] = False,
) -> None:
    """List the known data sets and where each is to be had, without using the network."""
    from lowerbound.data import known, status

    found = {name: status(name, folder=folder) for name in known()}
    if json:
        print_json({name: _dicts(attempts) for name, attempts in found.items()})
        return
    for name, attempts in found.items():
        typer.echo(name)
        for attempt in attempts:
            typer.echo(f"  {attempt}")


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="digits, mnist or fashion-mnist.")],
    folder: Folder = None,
    json: Annotated[bool, typer.Option(help="Print what was tried as JSON.")] = False,
) -> None:
    """Fetch a known data set into the cache, and show what was tried for it."""
    from lowerbound.data import get

    show_notes()
    fetched = get(name, folder=folder)
    if json:
        path = None if fetched.path is None else str(fetched.path)
        print_json({"path": path, "attempts": _dicts(fetched.attempts)})
        return
    for attempt in fetched.attempts:
        typer.echo(f"  {attempt}")
    typer.echo(f"{name}: {fetched.path or 'embedded in scikit-learn'}")


def _dicts(attempts: tuple[Attempt, ...]) -> list[dict[str, str]]:
    return [dataclasses.asdict(attempt) for attempt in attempts]
