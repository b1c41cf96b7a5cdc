"""``lowerbound export``: a run's model, taken elsewhere."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Annotated, Any

import typer

from lowerbound.cli.options import Data, Folder, Json, Labels, Quiet
from lowerbound.cli.output import progress, rereading, show
from lowerbound.errors import ConfigurationError


def export(
    folder: Folder,
    onnx: Annotated[
        Path | None,
        typer.Option(help="A new folder: encoder.onnx, decoder.onnx, score.onnx, model.json."),
    ] = None,
    hub: Annotated[
        Path | None,
        typer.Option(help="A new folder for a model hub: the model, and a card of its figures."),
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="A new folder: the explorer, as a page that any web server can show."),
    ] = None,
    points: Annotated[
        int | None,
        typer.Option(min=0, help="With --page: at most this many test examples; 0 for none."),
    ] = None,
    data: Data = None,
    labels: Labels = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write the model for use elsewhere: as ONNX, for a model hub, or as a page to explore it.

    ONNX files take data as they are kept, in batches of any size, and return codes, the parameters
    of p(x|z) and its mean in the data's units, and the terms of the ELBO.  They are written only if
    onnxruntime's numbers for test data agree with the library's to 10⁻⁵.

    A page is the explorer without Python behind it: the model runs in the browser.  It holds as
    many test examples as keep it below 20 MB; everyone who opens it can see them.

    A folder for a hub is loaded with lb.load, from the hub too: lb.load("hf://owner/name").

    Examples:
        lowerbound export runs/first --onnx digits-onnx
        lowerbound export runs/first --hub digits-vae
        lowerbound export runs/first --page digits-page
        lowerbound export models/mine --data mine.npy --onnx mine-onnx
    """
    from lowerbound.explorer.static_page import to_page
    from lowerbound.export import to_hub, to_onnx
    from lowerbound.runs import Run

    if onnx is None and hub is None and page is None:
        raise ConfigurationError("expected --onnx, --hub or --page and a FOLDER, got none")
    if points is not None and page is None:
        raise ConfigurationError("expected --points with --page, whose examples it limits")
    run = Run.open(folder, "cpu", rereading)
    written: dict[str, Any] = {}
    lines = []
    if onnx is not None:
        with progress("translating"):
            made = to_onnx(run.model, run.examples("test", data, labels), onnx)
        written["onnx"] = dataclasses.asdict(made) | {"folder": str(made.folder)}
        lines.append(str(made))
    if hub is not None:
        with progress("judging", at_once=False) as advance:
            to_hub(run, hub, data=data, labels=labels, progress=advance)
        written["hub"] = str(hub)
        lines.append(f"{hub}: say its licence in README.md before you publish it")
    if page is not None:
        with progress("writing the page") as advance:
            shown = to_page(run, page, data=data, labels=labels, most=points, progress=advance)
        written["page"] = dataclasses.asdict(shown) | {"folder": str(shown.folder)}
        lines.append(str(shown))
    show(written, "\n".join(lines), json)
