"""``data list`` and ``data get``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowerbound.cli.command import Group, register, show_help
from lowerbound.cli.options import Json, Quiet, known_data
from lowerbound.cli.output import progress, show

if TYPE_CHECKING:
    from lowerbound.data import Attempt

app = typer.Typer(
    cls=Group, invoke_without_command=True, help="List and fetch the known data sets."
)
Folder = Annotated[Path | None, typer.Option(help="Look for the files here too.")]


def list_(folder: Folder = None, quiet: Quiet = False, json: Json = False) -> None:
    """List the known data sets and where each can be found, without using the network.

    Examples:
        lowerbound data list
        lowerbound data list --folder ~/downloads --json
    """
    from lowerbound.data import known, status

    found = {name: status(name, folder=folder) for name in known()}
    lines = [
        line
        for name, attempts in found.items()
        for line in (name, *(f"  {attempt}" for attempt in attempts))
    ]
    show({name: _dicts(attempts) for name, attempts in found.items()}, "\n".join(lines), json)


def get(
    name: Annotated[
        str,
        typer.Argument(help="A name that lowerbound data list shows.", autocompletion=known_data),
    ],
    folder: Folder = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Fetch a known data set into the cache, and show what was tried for it.

    Examples:
        lowerbound data get mnist
        lowerbound data get fashion-mnist --folder ~/downloads
    """
    from lowerbound.data import get

    with progress("fetching"):
        fetched = get(name, folder=folder)
    path = None if fetched.path is None else str(fetched.path)
    lines = [*(f"  {attempt}" for attempt in fetched.attempts)]
    lines.append(f"{name}: {path or f'part of {fetched.attempts[0].place}'}")
    show({"path": path, "attempts": _dicts(fetched.attempts)}, "\n".join(lines), json)


register(app, list_, "list")
register(app, get)


@app.callback()
def _(ctx: typer.Context) -> None:
    show_help(ctx)


def _dicts(attempts: tuple[Attempt, ...]) -> list[dict[str, str]]:
    return [dataclasses.asdict(attempt) for attempt in attempts]
