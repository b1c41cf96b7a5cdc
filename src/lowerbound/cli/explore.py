"""``explore``: a run's latent space in the browser."""

from __future__ import annotations

from typing import Annotated

import typer

from lowerbound.cli.options import Data, Device, Folder, Json, Labels, Quiet
from lowerbound.cli.output import note, rereading, show, watched


def explore(
    folder: Folder,
    data: Data = None,
    labels: Labels = None,
    port: Annotated[
        int, typer.Option(min=0, max=65535, help="Where to serve the page; 0 takes any free port.")
    ] = 0,
    no_browser: Annotated[
        bool, typer.Option("--no-browser", help="Print the address, and open nothing.")
    ] = False,
    device: Device = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Open a page on a run: drag through its latent space and see what it decodes.

    The page is served to this machine alone, until Ctrl-C.

    Examples:
        lowerbound explore runs/first
        lowerbound explore models/mine --data mine.npy --port 8000 --no-browser
    """
    from lowerbound.explorer import Server, Space
    from lowerbound.runs import Run

    server = Server(port)
    run = Run.open(folder, device, rereading)
    space = watched("encoding", Space.open, run, data, labels)
    show({"url": server.url}, server.url, json)
    note("Ctrl-C ends it")
    server.run(space, browser=not no_browser)
