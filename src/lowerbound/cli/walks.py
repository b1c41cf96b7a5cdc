"""Commands that go through the latent space: ``interpolate`` and ``vary``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lowerbound.cli.options import Device, Folder, Force, Json, Out, Quiet
from lowerbound.cli.output import rereading, wrote
from lowerbound.errors import ConfigurationError, DataError

if TYPE_CHECKING:
    from torch import Tensor

    from lowerbound.runs import Run

LEARNT_FROM = 5000
EXAMPLE = "A file, whose first example is taken, or a test example's number."


def interpolate(
    folder: Folder,
    first: Annotated[str, typer.Argument(metavar="A", help=EXAMPLE)],
    last: Annotated[str, typer.Argument(metavar="B", help="The same.")],
    out: Out,
    steps: Annotated[int, typer.Option(min=2, help="How many, A and B included.")] = 8,
    device: Device = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write what lies between A and B: the decoder's mean along the arc between their codes.

    A conditional model decodes all as A's class.

    Examples:
        lowerbound interpolate runs/m a.mid b.mid --out blend.wav
        lowerbound interpolate runs/first 3 17 --steps 12 --out strip.png
    """
    from lowerbound.cli.exports import expect_examples
    from lowerbound.plots.style import coordinate
    from lowerbound.runs import Run
    from lowerbound.walks import slerp

    run = Run.open(folder, device, rereading)
    expect_examples(out, run.model)
    (a, label), (b, _) = code_of(run, first), code_of(run, last)
    titles = [coordinate(i / (steps - 1)) for i in range(steps)]
    _write(run, out, slerp(a, b, steps), label, titles, json)


def vary(
    folder: Folder,
    example: Annotated[str, typer.Argument(metavar="EXAMPLE", help=EXAMPLE)],
    out: Out,
    along: Annotated[
        Literal["density", "interval", "diatonic", "syncopation", "eighth-syncopation"],
        typer.Option(help="The attribute that is varied."),
    ] = "density",
    steps: Annotated[int, typer.Option(min=2, help="How many, from less to more.")] = 5,
    reach: Annotated[
        float, typer.Option(min=0, help="How far, as a multiple of the attribute's vector.")
    ] = 1.0,
    device: Device = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write a melody with less and with more of an attribute: its code moved along a vector.

    The vector leads from the mean code of the quarter of the training melodies with the least of
    the attribute to that of the quarter with the most.

    Examples:
        lowerbound vary runs/m a.mid --along density --out denser.mid
        lowerbound vary runs/m 12 --along syncopation --reach 2 --out off-beat.wav
    """
    import torch

    from lowerbound import evaluation
    from lowerbound.cli.exports import expect_examples, is_melodic
    from lowerbound.music.attributes import ATTRIBUTES, direction
    from lowerbound.plots.style import coordinate
    from lowerbound.runs import Run
    from lowerbound.streams import Stream, generator

    run = Run.open(folder, device, rereading)
    if not is_melodic(run.model):
        raise ConfigurationError(
            "expected a run on melodies, whose attributes are known, got one on other data; "
            "lowerbound interpolate goes from one example to another"
        )
    expect_examples(out, run.model)
    code, label = code_of(run, example)
    train = run.data("train")
    chosen = torch.randperm(len(train), generator=generator(0, Stream.SUBSET))[:LEARNT_FROM]
    some = train.subset(chosen)
    codes = evaluation.embed(run.model, some).numpy()
    towards = torch.from_numpy(direction(codes, ATTRIBUTES[along](some.x.numpy()))).to(code)
    by = torch.linspace(-reach, reach, steps).to(code)
    titles = [coordinate(value) for value in by.tolist()]
    _write(run, out, code + by[:, None] * towards, label, titles, json)


def code_of(run: Run, which: str) -> tuple[Tensor, Tensor | None]:
    """The posterior's mean, (latent,), of a test example by its number or of a file's first one.

    And its class, (1,), or covariates, (1, C), for a conditional model.

    Raises:
        DataError: the file cannot be read, or there is no such example.
    """
    if which.isascii() and which.isdigit():
        data = run.data("test")
        if int(which) >= len(data):
            raise DataError(
                f"expected a file, or the number of a test example from 0 to {len(data) - 1:,}, "
                f"got {which}"
            )
        example = data.subset([int(which)])
    else:
        example = run.other(which).take(1)
    label = None if run.model.context is None else example.context
    return run.model.embed(example)[0], label


def _write(
    run: Run, out: Path, codes: Tensor, label: Tensor | None, titles: list[str], json: bool
) -> None:
    """Decode codes and write what they stand for, one after the other."""
    import torch

    from lowerbound.cli.exports import write_examples

    with torch.no_grad():
        labels = None if label is None else label.expand(len(codes), *label.shape[1:])
        values = run.model.decode(codes, labels).cpu().numpy()
    write_examples(
        *(out, values, run.model, {"": values}), metre=run.metre, titles=titles, fields=run.fields
    )
    wrote(out, json, values.shape)
