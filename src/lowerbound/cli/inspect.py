"""Commands on a finished run: ``report``, ``reconstruct``, ``sample``, ``embed``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from lowerbound.cli.output import checking, note, print_json, progress, show_notes
from lowerbound.errors import ConfigurationError

if TYPE_CHECKING:
    from lowerbound import VAE
    from lowerbound.data import Dataset
    from lowerbound.runs import Run

Folder = Annotated[Path, typer.Argument(help="The folder that `lowerbound train` made.")]
Split = Annotated[
    Literal["train", "validation", "test"], typer.Option(help="Which part of the run's data.")
]
Data = Annotated[
    str | None, typer.Option(help="Other data, all of which are used, instead of the run's.")
]
Labels = Annotated[
    str | None, typer.Option(help="With --data: the column or array of its class labels.")
]
Device = Annotated[str | None, typer.Option(help="cpu or cuda.")]
Seed = Annotated[int, typer.Option(help="Seed of all noise.")]


def report(
    run: Folder,
    device: Device = None,
    json: Annotated[bool, typer.Option(help="Print where it is as JSON.")] = False,
) -> None:
    """Write one page about a run: curves, reconstructions, samples, latent space, figures."""
    from lowerbound.report import write_report

    show_notes()
    with checking() as reading, progress("reporting", at_once=False) as advance:
        page = write_report(run, device=device, progress=advance, reading=reading)
    if json:
        print_json({"report": str(page)})
    else:
        typer.echo(str(page))


def reconstruct(
    run: Folder,
    out: Annotated[Path, typer.Option(help="A .png (images), .npy or .csv file to write.")],
    n: Annotated[int, typer.Option("-n", min=1, help="How many examples.")] = 20,
    split: Split = "test",
    data: Data = None,
    labels: Labels = None,
    device: Device = None,
) -> None:
    """Write reconstructions of the first n examples (for a .png, beside the originals)."""
    from lowerbound import plots, runs
    from lowerbound.cli.exports import value_range, write_examples

    show_notes()
    model = runs.load_model(run, device)
    examples = examples_of(run, model, split, data, labels).take(n)
    rebuilt = model.reconstruct(examples.x, examples.labels).cpu().numpy()
    original = examples.x.numpy()
    pairs = {"original": original, "reconstruction": rebuilt}
    write_examples(
        out,
        rebuilt,
        examples.columns,
        lambda: plots.reconstructions(pairs, value_range=value_range(original)),
    )
    note(f"wrote {out}")


def sample(
    run: Folder,
    out: Annotated[Path, typer.Option(help="A .png (images), .npy or .csv file to write.")],
    n: Annotated[int, typer.Option("-n", min=1, help="How many.")] = 64,
    label: Annotated[
        str | None,
        typer.Option(help="The class to draw, from a conditional model; else all in turn."),
    ] = None,
    mean: Annotated[bool, typer.Option(help="The decoder's mean at z ~ p(z), not a draw.")] = False,
    seed: Seed = 0,
    device: Device = None,
) -> None:
    """Write draws x ~ p(x|z), z ~ p(z)."""
    import torch

    from lowerbound import plots, runs
    from lowerbound.cli.exports import value_range, write_examples

    show_notes()
    model = runs.load_model(run, device)
    context = None
    if model.context is not None and label is None:
        context = torch.arange(n) % int(model.context.classes)  # type: ignore[arg-type]
    elif label is not None:
        context = torch.full((n,), _class_number(run, model, label))
    drawn = model.sample(n, context, seed=seed, mean=mean).cpu().numpy()
    described = _description(run)
    columns = None if described is None else described.columns
    write_examples(
        out, drawn, columns, lambda: plots.samples(drawn, value_range=value_range(drawn))
    )
    note(f"wrote {out}")


def embed(
    run: Folder,
    out: Annotated[Path, typer.Option(help="A .npy or .csv file to write.")],
    split: Split = "test",
    data: Data = None,
    labels: Labels = None,
    device: Device = None,
) -> None:
    """Write the posterior means of data, (n, latent); a .csv also gets the labels."""
    from lowerbound import evaluation, runs
    from lowerbound.cli.exports import write_codes

    show_notes()
    model = runs.load_model(run, device)
    examples = examples_of(run, model, split, data, labels)
    codes = evaluation.embed(model, examples).numpy()
    write_codes(out, codes, examples.labels, examples.classes)
    note(f"wrote {out}: {len(examples):,} × {model.latent_dim}")


def _description(folder: Path) -> Run | None:
    """What was trained on what, or None for a model that the library saved."""
    from lowerbound import runs

    return runs.read(folder) if (folder / runs.RUN_FILE).exists() else None


def _class_number(folder: Path, model: VAE, label: str) -> int:
    """The class called ``label``, by its name or its number."""
    if model.context is None:
        raise ConfigurationError("expected no --label, as this model is not conditional")
    described = _description(folder)
    named = None if described is None else described.classes
    names = named or [str(i) for i in range(model.context.classes)]  # type: ignore[arg-type]
    if label in names:
        return names.index(label)
    raise ConfigurationError(f"expected --label to be one of {', '.join(names)}, got {label!r}")


def examples_of(
    folder: Path,
    model: VAE,
    split: Literal["train", "validation", "test"],
    data: str | None,
    labels: str | None,
) -> Dataset:
    """The run's own split, or all of the data named instead.

    Raises:
        DataError: examples of another shape than the model's, among others.
    """
    from lowerbound import runs
    from lowerbound.data import read

    if labels is not None and data is None:
        raise ConfigurationError("expected --labels with --data, whose labels they are")
    if data is None:
        with checking() as reading:
            return runs.split_of(runs.read(folder), split, reading)
    run = _description(folder)
    if run is None:
        examples = read(data, labels=labels)
    else:
        examples = runs.other_data(run, data, labels, model.context is not None)
    runs.expect_shape(examples, model, data)
    return examples
