"""``diagnose``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lowerbound.cli.options import Device, Json, Labels, Quiet, Seed
from lowerbound.cli.output import note, progress, show
from lowerbound.errors import count


def diagnose(
    run: Annotated[Path, typer.Argument(help="The folder of a run, or of a model that fit saved.")],
    data: Annotated[
        str | None, typer.Option(help="Other data to judge it on, instead of the run's.")
    ] = None,
    labels: Labels = None,
    seed: Seed = 0,
    device: Device = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Say what is wrong with a trained model: numbers, pictures and what to do, on one page.

    Examples:
        lowerbound diagnose runs/first
        lowerbound diagnose models/mine --data mine.npy --json
    """
    from lowerbound.report import write_diagnosis

    with progress("diagnosing") as advance:
        page, findings, checks = write_diagnosis(
            run, data=data, labels=labels, seed=seed, device=device, progress=advance
        )
    counts = f"{count(checks, 'check')}, {count(len(findings), 'finding')}"
    text = "\n\n".join(map(str, [*findings, counts]))
    show([finding.as_dict() for finding in findings], text, json)
    note(f"wrote {page}")
