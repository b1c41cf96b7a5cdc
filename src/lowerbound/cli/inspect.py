"""Commands on a finished run: ``report``, ``reconstruct``, ``sample``, ``embed``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from lowerbound.cli.options import (
    Data,
    Device,
    Folder,
    Force,
    Json,
    Labels,
    Out,
    Quiet,
    Ray,
    Seed,
    Split,
    new_file,
)
from lowerbound.cli.output import note, progress, rereading, show, watched, wrote
from lowerbound.errors import count

if TYPE_CHECKING:
    from torch import Tensor

BESIDE, ENOUGH = 1000, 200
"""Rows that are drawn for a picture, and below which it is said that they are few."""


def report(
    folder: Folder,
    data: Data = None,
    labels: Labels = None,
    device: Device = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write one page about a run: curves, reconstructions, samples, latent space, figures.

    A model that the library saved, or whose data have moved, is reported on with --data.

    Examples:
        lowerbound report runs/first
        lowerbound report models/mine --data mine.npy
    """
    from lowerbound.report import write_report
    from lowerbound.runs import Run

    with progress("reporting", at_once=False) as advance:
        run = Run.open(folder, device, rereading)
        page = write_report(run, data=data, labels=labels, progress=advance)
    show({"report": str(page)}, str(page), json)


def reconstruct(
    folder: Folder,
    out: Out,
    n: Annotated[int, typer.Option("-n", min=1, help="How many examples.")] = 20,
    label: Annotated[
        str | None, typer.Option(help="The class to decode all as, by a conditional model.")
    ] = None,
    split: Split = "test",
    data: Data = None,
    labels: Labels = None,
    device: Device = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write reconstructions of the first n examples; .png, .mid and .wav have the originals too.

    Examples:
        lowerbound reconstruct runs/first --out rebuilt.png
        lowerbound reconstruct runs/conditional --label 5 --out fives.png
        lowerbound reconstruct runs/first --split train -n 100 --out rebuilt.npy
    """
    from lowerbound import evaluation
    from lowerbound.cli.exports import expect_examples, write_examples
    from lowerbound.runs import Run

    run = Run.open(folder, device, rereading)
    model = run.model
    expect_examples(out, model)
    examples = run.streamed(split, data, labels).take(n)
    rebuilt = watched(
        "reconstructing", evaluation.reconstruct, model, examples, label=label
    ).numpy()
    pairs = {"original": examples.x.numpy(), "reconstruction": rebuilt}
    write_examples(out, rebuilt, model, pairs, metre=run.metre, fields=run.fields)
    wrote(out, json, rebuilt.shape)


def sample(
    folder: Folder,
    out: Out,
    n: Annotated[
        int | None,
        typer.Option(
            "-n", min=1, help="How many: by default 64, 8 melodies, or 1,000 rows for a picture."
        ),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option(help="The class to draw, from a conditional model; else all in turn."),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE,…",
            help="The covariates of all, of a model that is given some; else those of training "
            "rows, drawn at random.",
        ),
    ] = None,
    given_from: Annotated[
        str | None, typer.Option(help="A file of covariates, those of a row for each, in turn.")
    ] = None,
    mean: Annotated[
        bool, typer.Option("--mean", help="The decoder's mean at z, not a draw.")
    ] = False,
    near: Annotated[
        str | None,
        typer.Option(
            help="Draw z around the code of a file's first example, or of a test "
            "example by its number."
        ),
    ] = None,
    spread: Annotated[
        float, typer.Option(min=0, help="With --near: the standard deviation of z around it.")
    ] = 0.3,
    seed: Seed = 0,
    device: Device = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write draws x ~ p(x|z), z ~ p(z); a .csv also gets what they are drawn given.

    Of a table, a .png shows how its columns are distributed in test rows and in what is drawn.

    Examples:
        lowerbound sample runs/first --mean --out samples.png
        lowerbound sample runs/conditional --label 5 -n 1000 --seed 1 --out fives.npy
        lowerbound sample runs/people --given sex=female,age=40 --out women.csv
        lowerbound sample runs/m --near a.mid --spread 0.3 -n 8 --out variations.mid
    """
    from lowerbound import walks
    from lowerbound.cli.exports import expect_examples, is_melodic, write_examples
    from lowerbound.cli.walks import code_of
    from lowerbound.runs import Run
    from lowerbound.runs.given import columns_beside, context_of

    run = Run.open(folder, device, rereading)
    expect_examples(out, run.model, beside=True)
    is_beside = out.suffix == ".png" and len(run.model.shape) == 1 and not is_melodic(run.model)
    if n is None and given_from is None:
        n = 8 if is_melodic(run.model) else BESIDE if is_beside else 64
    drawing: Any = {"seed": seed, "mean": mean}
    context = context_of(run, n, label, given or (), given_from, seed)
    n = n or len(cast("Tensor", context))
    if near is None:
        drawn = watched("drawing", run.model.sample, n, context, **drawing).cpu().numpy()
    else:
        code, own = code_of(run, near)
        chosen = own if not (label or given) or context is None else context[:1]
        context = None if chosen is None else chosen.expand(n, *chosen.shape[1:])
        drawn = walks.near(run.model, code, n, spread, chosen, **drawing).cpu().numpy()
    more: dict[str, Any] = {}
    if is_beside:
        from lowerbound import plots
        from lowerbound.report.tables import beside

        plots.save(beside(run.data("test"), drawn), out)
        if n < ENOUGH:
            note(f"{count(n, 'row')} cannot show how columns are distributed; try -n {BESIDE}")
    else:
        more = columns_beside(run, context)
        write_examples(out, drawn, run.model, metre=run.metre, fields=run.fields, more=more)
    columns = len(more) if out.suffix == ".csv" else 0
    wrote(out, json, (*drawn.shape[:-1], drawn.shape[-1] + columns))


def embed(
    folder: Folder,
    out: Annotated[Path, typer.Option(callback=new_file, help="A .npy or .csv file to write.")],
    split: Split = "test",
    data: Data = None,
    labels: Labels = None,
    ray: Ray = None,
    device: Device = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Write the posterior means of data, (n, latent); a .csv also gets the labels.

    Examples:
        lowerbound embed runs/first --out codes.npy
        lowerbound embed runs/first --data more.csv --labels city --out codes.csv
        lowerbound embed runs/first --data big.npy --out z.npy --ray head:6379
    """
    from lowerbound.cli.blocks import codes, each_block, on_processors
    from lowerbound.cli.exports import codes_file, expect_file
    from lowerbound.data.labels import label_column
    from lowerbound.runs import Run

    expect_file(out, (".npy", ".csv"), "codes")
    run = Run.open(folder, on_processors(device, ray), rereading)
    examples = run.streamed(split, data, labels)
    label, done = label_column(examples.labels_from), 0
    with (
        progress("embedding") as advance,
        each_block(ray, codes, run, examples, advance, (data, labels, split)) as found,
        codes_file(out, examples.classes, label, len(examples)) as write,
    ):
        for columns in found:
            z, end = columns["z"], done + len(columns["z"])
            write(z.numpy(), None if examples.labels is None else examples.labels[done:end])
            done = end
    wrote(out, json, (len(examples), run.model.latent_dim))
