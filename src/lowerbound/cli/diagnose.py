"""``diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lowerbound.cli.inspect import Device, Labels, Seed
from lowerbound.cli.output import note, print_json, progress, show_notes


def diagnose(
    run: Annotated[Path, typer.Argument(help="The folder of a run, or of a model that fit kept.")],
    data: Annotated[
        str | None, typer.Option(help="Data to judge it on, in place of the run's own.")
    ] = None,
    labels: Labels = None,
    seed: Seed = 0,
    device: Device = None,
    json: Annotated[bool, typer.Option(help="Print the findings as JSON.")] = False,
) -> None:
    """Say what is wrong with a trained model: numbers, pictures and what to do, on one page."""
    from lowerbound.report import write_diagnosis

    show_notes()
    with progress("diagnosing") as advance:
        page, findings, checks = write_diagnosis(
            run, data=data, labels=labels, seed=seed, device=device, progress=advance
        )
    if json:
        print_json([finding.as_dict() for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"{finding}\n")
        found = f"{len(findings)} finding{'' if len(findings) == 1 else 's'}"
        typer.echo(f"{checks} check{'' if checks == 1 else 's'}, {found}")
    note(f"wrote {page}")
