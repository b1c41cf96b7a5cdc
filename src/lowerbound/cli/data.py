"""``data list`` and ``data get``."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lowerbound.cli.options import Json
from lowerbound.cli.output import show

if TYPE_CHECKING:
    from lowerbound.data import Attempt

app = typer.Typer(no_args_is_help=True, help="List and fetch the known data sets.")
Folder = Annotated[Path | None, typer.Option(help="Look for the files here too.")]


@app.command("list")
def list_(
    folder: Folder = None,
    json: Json = False,
) -> None:
    """List the known data sets and where each can be found, without using the network."""
    from lowerbound.data import known, status

    found = {name: status(name, folder=folder) for name in known()}
    lines = [
        line
        for name, attempts in found.items()
        for line in (name, *(f"  {attempt}" for attempt in attempts))
    ]
    show({name: _dicts(attempts) for name, attempts in found.items()}, "\n".join(lines), json)


@app.command()
def get(
    name: Annotated[str, typer.Argument(help="digits, mnist or fashion-mnist.")],
    folder: Folder = None,
    json: Json = False,
) -> None:
    """Fetch a known data set into the cache, and show what was tried for it."""
    from lowerbound.data import get

    fetched = get(name, folder=folder)
    path = None if fetched.path is None else str(fetched.path)
    lines = [*(f"  {attempt}" for attempt in fetched.attempts)]
    lines.append(f"{name}: {path or 'embedded in scikit-learn'}")
    show({"path": path, "attempts": _dicts(fetched.attempts)}, "\n".join(lines), json)


def _dicts(attempts: tuple[Attempt, ...]) -> list[dict[str, str]]:
    return [dataclasses.asdict(attempt) for attempt in attempts]
