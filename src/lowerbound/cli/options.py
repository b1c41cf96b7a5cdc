"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

Folder = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder that `lowerbound train` made.")
]
Split = Annotated[
    Literal["train", "validation", "test"], typer.Option(help="Which part of the run's data.")
]
Data = Annotated[
    str | None, typer.Option(help="Other data, all of which are used, instead of the run's.")
]
Labels = Annotated[
    str | None, typer.Option(help="With --data: the column or array of its class labels.")
]
Device = Annotated[str | None, typer.Option(help="cpu or cuda; a GPU where there is one.")]
Seed = Annotated[int, typer.Option(help="Seed of all noise.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
