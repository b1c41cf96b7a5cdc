"""``serve``: a run's model over HTTP."""

from __future__ import annotations

import signal
from pathlib import Path
from typing import Annotated

import typer

from lowerbound.cli.options import Device, Folder, Json, Quiet


def serve(
    folder: Folder,
    host: Annotated[
        str, typer.Option(help="Where to listen; beyond this machine only with a token.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0 takes any free port.")] = 8000,
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file with the token that requests must carry; or LOWERBOUND_TOKEN."),
    ] = None,
    max_bytes: Annotated[int, typer.Option(min=1, help="Largest body of a request.")] = 2**24,
    max_rows: Annotated[
        int, typer.Option(min=1, help="Most rows of a request, and of a batch.")
    ] = 1000,
    max_seconds: Annotated[float, typer.Option(min=0.1, help="Longest time for a request.")] = 60.0,
    max_requests: Annotated[int, typer.Option(min=1, help="Most requests at a time.")] = 64,
    device: Device = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Answer programs over HTTP: embed, reconstruct, decode, sample and score.

    Bodies are JSON or .npy; /openapi.json describes the calls, and /metadata the model. Requests
    that wait together are answered by one call of the model. Ctrl-C stops it, after requests that
    have begun are answered.

    Examples:
        lowerbound serve runs/first
        lowerbound serve runs/people --port 0 --json
        lowerbound serve runs/first --host 0.0.0.0 --token-file token
    """
    from lowerbound.cli.output import note, progress, rereading, show
    from lowerbound.ports import listen, url
    from lowerbound.runs import Run
    from lowerbound.service.calls import Calls
    from lowerbound.service.http.app import Service, application
    from lowerbound.service.http.guard import LOOPBACK, Guard, is_loopback, token_for
    from lowerbound.service.http.limits import Limited, Limits
    from lowerbound.service.http.server import serve

    token, limits = (
        token_for(host, token_file),
        Limits(max_bytes, max_rows, max_seconds, max_requests),
    )
    run = Run.open(folder, device, rereading)
    with listen(host, port) as at:
        with progress("scoring held-out examples", at_once=False) as advance:
            calls = Calls(run, advance)
            calls.calibration, calls.covariates  # noqa: B018
        service = Service(calls, limits)
        hosts = {*LOOPBACK, host} if is_loopback(host) else None
        app = Guard(Limited(application(service), limits), hosts, token, free=("/health",))
        where = url(host, at)
        show({"url": where, "port": at.getsockname()[1]}, f"serving {run.title} at {where}", json)
        note("Ctrl-C ends it")
        try:
            by = serve(app, at, limits)
        finally:
            service.close()
    note("stopped, once what had begun was answered")
    if by == signal.SIGINT:
        raise SystemExit(130)
