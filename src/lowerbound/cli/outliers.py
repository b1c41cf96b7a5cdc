"""``outliers``: which examples are of another kind."""

from __future__ import annotations

from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowerbound.cli.options import (
    Device,
    Folder,
    Force,
    Json,
    Quiet,
    Ray,
    Seed,
    expect_new,
    new_file,
)
from lowerbound.cli.output import note, progress, rereading, show, watched
from lowerbound.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor

    from lowerbound import VAE
    from lowerbound.data import Data, Dataset
    from lowerbound.outliers import Detection
    from lowerbound.runs import Run

PICTURED, LISTED = 20, 5
YES = ("1", "true", "yes", "outlier", "anomaly")


def outliers(
    folder: Folder,
    data: Annotated[str, typer.Option(help="The examples to judge, all of them.")],
    out: Annotated[
        Path,
        typer.Option(
            callback=new_file, help="A .csv file to write: each example's scores and p-values."
        ),
    ],
    score: Annotated[
        list[str] | None,
        typer.Option(help="A score, such as regret or lpath_ecod; several may be given, or all."),
    ] = None,
    rate: Annotated[
        float | None,
        typer.Option(
            help="The share of examples that belong which may be flagged; 0.01 if there are 99 "
            "inliers to show it, or else the lowest that they can."
        ),
    ] = None,
    labels: Annotated[
        str | None,
        typer.Option(help="The column or array of --data that tells which are outliers, by 1."),
    ] = None,
    outlier: Annotated[
        list[str] | None,
        typer.Option(help="With --labels: a class of outliers; several may be given."),
    ] = None,
    inliers: Annotated[
        str | None,
        typer.Option(help="Held-out examples that belong, instead of the run's test data."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Draws z ~ q(z|x) for each example.")] = 100,
    ray: Ray = None,
    seed: Seed = 0,
    device: Device = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Score examples by how strange they are to a trained model, and flag outliers.

    p is the share of held-out examples that are as strange; of examples that belong, no more than
    --rate have one that low.  Beside the .csv goes a picture of the strangest, of images and
    melodies; of rows, the columns that cost most nats are printed.

    Examples:
        lowerbound outliers runs/first --data new.npy --out scores.csv
        lowerbound outliers runs/people --data new.csv --out scores.csv --rate 0.05
        lowerbound outliers runs/people --data new.csv --out s.csv --labels is_odd
    """
    from lowerbound.cli.blocks import compared, each_block, on_processors, scores
    from lowerbound.cli.exports import expect_file
    from lowerbound.outliers import chosen, detect, explains
    from lowerbound.runs import Run
    from lowerbound.runs.cluster import absolute

    expect_file(out, (".csv",), "a table")
    run = Run.open(folder, on_processors(device, ray), rereading)
    if _is_seen(run.model):
        expect_new(out.with_suffix(".png"), force=force)
    names = chosen(run.model, score or ())
    examples = run.streamed("test", data, labels)
    which = None if labels is None else _outliers(run, examples, labels, outlier or [])
    if outlier and which is None:
        raise ConfigurationError("expected --labels with --outlier, one of whose classes it is")
    belong, train = compared(run, examples, inliers)
    how: Any = {"samples": samples, "seed": seed}
    asked = {"names": names, "inliers": inliers and absolute(inliers), **how}
    with progress("scoring") as advance:
        sharing = each_block(ray, scores, run, examples, advance, (data, labels, "test"), **asked)
        with sharing if ray else nullcontext() as blocks:
            found = detect(
                *(run.model, examples, belong, train),
                scores=names,
                outlier=which,
                rate=rate,
                progress=advance,
                found=blocks,
                **how,
            )
    _write(out, found)
    numbers = found.strangest(PICTURED)
    if _is_seen(run.model):
        _picture(run, examples.subset(numbers), numbers, out.with_suffix(".png"))
    told = _strangest(run, examples, found, train or belong)
    lines = [
        str(found),
        f"strangest by {names[0]}{' (nats above the usual)' * explains(run.model)}",
    ]
    lines += [f"  {row['example']:>7}   p = {row['p']:<8.2g} {row['why']}".rstrip() for row in told]
    show(
        {"file": str(out), "seed": seed, **found.as_dict(), "strangest": told},
        "\n".join(lines),
        json,
    )


def _outliers(run: Run, examples: Data, labels: str, classes: list[str]) -> Tensor | None:
    """Which examples are outliers; None where labels are a conditional model's classes."""
    import torch

    if run.model.takes_labels and not classes:
        return None
    names = examples.classes or ()
    if not classes:
        classes = [name for name in names if name.lower() in YES]
        if len(names) > 2 or len(classes) != 1:
            raise ConfigurationError(
                f"expected labels 0 and 1 in {labels!r}, 1 of outliers, got {', '.join(names):.80};"
                " name the outliers' class with --outlier"
            )
    if unknown := [name for name in classes if name not in names]:
        raise ConfigurationError(
            f"expected a class of {labels!r} as --outlier, got {unknown[0]!r}; known: "
            f"{', '.join(names):.200}"
        )
    assert examples.labels is not None
    return torch.isin(examples.labels, torch.tensor([names.index(name) for name in classes]))


def _write(out: Path, found: Detection) -> None:
    """The .csv: an example's number, its scores, and their p-values."""
    from lowerbound.cli.exports import ROWS, table_file

    examples = len(next(iter(found.scores.values())))
    with table_file(out) as write:
        for start in range(0, examples, ROWS):
            table: dict[str, Any] = {"example": range(start, min(start + ROWS, examples))}
            for name, scores in found.scores.items():
                both = {name: scores, f"{name}_p": found.p_values[name]}
                table |= {key: each[start : start + ROWS].numpy() for key, each in both.items()}
            write(table)
    note(f"wrote {out}: {examples:,} examples, numbered from 0")


def _is_seen(model: VAE) -> bool:
    """Whether it is of images or melodies, a picture of which is written beside the .csv."""
    from lowerbound.cli.exports import is_melodic

    return is_melodic(model) or len(model.shape) == 3


def _picture(run: Run, strangest: Dataset, numbers: Tensor, target: Path) -> None:
    """The strangest, by their numbers, and what the model makes of them."""
    from lowerbound.cli.exports import write_examples

    model = run.model
    rebuilt = model.reconstruct(strangest).cpu().numpy()
    pairs = {"strangest": strangest.x.numpy(), "rebuilt": rebuilt}
    titles = [f"{number:,}" for number in numbers.tolist()]
    write_examples(target, rebuilt, model, pairs, metre=run.metre, titles=titles)
    note(f"wrote {target}: the {len(titles)} strangest, by their numbers")


def _strangest(run: Run, examples: Data, found: Detection, train: Data) -> list[dict[str, Any]]:
    """The strangest examples, and of rows the columns that cost most."""
    from lowerbound.outliers import explain, explains

    numbers = found.strangest(LISTED)
    first = next(iter(found.scores))
    p = found.p_values[first][numbers]
    rows = [
        {"example": i, "p": value, "why": ""}
        for i, value in zip(numbers.tolist(), p.tolist(), strict=True)
    ]
    if explains(run.model):
        why = watched("explaining", explain, run.model, examples.subset(numbers), train)
        for row, costs in zip(rows, why, strict=True):
            row["why"] = str(costs)
    return rows
