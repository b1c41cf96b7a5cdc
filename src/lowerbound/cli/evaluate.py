"""``evaluate`` and ``rates``: figures of trained models."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowerbound.cli.inspect import Data, Device, Folder, Labels, Seed, Split, examples_of
from lowerbound.cli.output import checking, note, print_json, progress, show_notes
from lowerbound.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor

    from lowerbound import VAE
    from lowerbound.data import Dataset


def evaluate(
    run: Folder,
    samples: Annotated[int, typer.Option(help="k of the importance-weighted bound.")] = 100,
    first: Annotated[
        int | None, typer.Option(min=2, help="Only the first so many examples, for all measures.")
    ] = None,
    ais: Annotated[
        int | None,
        typer.Option(min=1, help="Also log p(x) by annealed importance sampling in so many steps."),
    ] = None,
    chains: Annotated[
        int, typer.Option(min=1, help="Chains of --ais and --bracket for each example.")
    ] = 16,
    bracket: Annotated[
        int | None,
        typer.Option(min=2, help="Also bound the error of --ais, on so many x of the model's own."),
    ] = None,
    gap: Annotated[
        bool, typer.Option(help="Also what the ELBO loses: to the family of q, to the encoder.")
    ] = False,
    decompose: Annotated[
        bool, typer.Option(help="Also the KL's parts: mutual information, total correlation, …")
    ] = False,
    split: Split = "test",
    data: Data = None,
    labels: Labels = None,
    seed: Seed = 0,
    device: Device = None,
    json: Annotated[bool, typer.Option(help="Print the figures as JSON.")] = False,
) -> None:
    """Measure a trained model on held-out data, in nats per example with standard errors.

    --ais and --gap take minutes for a hundred images: choose these with --first.
    """
    from lowerbound import evaluation, runs

    if bracket is not None and ais is None:
        raise ConfigurationError("expected --bracket with --ais, whose error it bounds")
    show_notes()
    model = runs.load_model(run, device)
    examples = examples_of(run, model, split, data, labels)
    if first is not None:
        examples = examples.take(first)
    _check_posterior(model, examples, ais, gap, decompose)
    with progress("evaluating") as advance:
        measured = evaluation.evaluate(
            model, examples, samples=samples, seed=seed, progress=advance
        )
    if data is None and split == "test" and first is None:
        runs.keep_evaluation(run, measured, seed)
    results: dict[str, Any] = {}
    if ais is not None:
        annealing: dict[str, Any] = {"steps": ais, "chains": chains, "seed": seed}
        with progress("annealing") as advance:
            results["annealed"] = evaluation.anneal(model, examples, **annealing, progress=advance)
    if bracket is not None:
        own = None if model.context is None else _labels(examples, bracket)
        with progress("annealing both ways") as advance:
            results["bracket"] = evaluation.bracket(
                model, bracket, own, **annealing, progress=advance
            )
    if gap:
        with progress("seeking the best q") as advance:
            results["gaps"] = evaluation.gaps(
                model,
                examples,
                samples=samples,
                annealed=results["annealed"].log_evidence if "annealed" in results else None,
                seed=seed,
                progress=advance,
            )
    if decompose:
        with progress("decomposing the KL") as advance:
            results["kl_parts"] = evaluation.decompose_kl(
                model, examples, seed=seed, progress=advance
            )
    if json:
        parts = {name: result.as_dict() for name, result in results.items()}
        print_json({"data": data or split, "seed": seed, **measured.as_dict(), **parts})
    else:
        typer.echo("\n".join(map(str, (measured, *results.values()))))


def _check_posterior(
    model: VAE, examples: Dataset, ais: int | None, gap: bool, decompose: bool
) -> None:
    """Refuse before any work what would be refused after minutes of it."""
    from lowerbound.distributions import Delta, DiagonalNormal

    labels = None if examples.labels is None else examples.labels[:1]
    q = model.encode(examples.x[:1], labels)
    for option, asked in (("--gap", gap), ("--decompose", decompose)):
        if asked and not isinstance(q, DiagonalNormal):
            raise ConfigurationError(
                f"expected a DiagonalGaussian posterior for {option}, got "
                f"{type(model.posterior).__name__}; leave {option} out"
            )
    if ais is not None and isinstance(q, Delta):
        raise ConfigurationError(
            "expected a posterior with a density for --ais, got a deterministic one; leave it out"
        )


def _labels(examples: Dataset, n: int) -> Tensor:
    """A label for each of n x of a conditional model's own: those of the data, in turn."""
    assert examples.labels is not None
    return examples.labels.repeat(-(-n // len(examples)))[:n]


def rates(
    runs_: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Runs of one recipe on the same data.")
    ],
    out: Annotated[
        Path | None, typer.Option(help="A .png to write: distortion against rate.")
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Draws z ~ q(z|x) for each example.")] = 10,
    split: Split = "test",
    seed: Seed = 0,
    device: Device = None,
    json: Annotated[bool, typer.Option(help="Print the figures as JSON.")] = False,
) -> None:
    """Set runs that were trained with several β side by side: what codes cost and leave unsaid.

    Train them with --set objective.beta=0.5, 1, 2, ….
    """
    from lowerbound import evaluation, plots, runs
    from lowerbound.files import write_atomic

    if out is not None and out.suffix != ".png":
        raise ConfigurationError(f"expected --out to end in .png, got {out}")
    show_notes()
    models = {run.name: runs.load_model(run, device) for run in runs_}
    if len(models) < len(runs_):
        raise ConfigurationError("expected runs in folders of different names")
    described = [runs.read(run) for run in runs_]
    with checking() as reading:
        data = runs.split_of(described[0], split, reading)
    for run in described[1:]:
        if run.fingerprints.get(split) != described[0].fingerprints.get(split):
            raise ConfigurationError(
                f"expected runs on the same {split} data, got {run.data_summary} and "
                f"{described[0].data_summary}"
            )
    with progress("evaluating") as advance:
        places = evaluation.rate_distortion(
            models, data, samples=samples, seed=seed, progress=advance
        )
    if out is not None:
        figure = plots.rate_distortion(
            [place.rate.value for place in places],
            [place.distortion.value for place in places],
            [place.name for place in places],
        )
        write_atomic(out, plots.png_bytes(figure))
        note(f"wrote {out}")
    if json:
        print_json([dataclasses.asdict(place) for place in places])
        return
    typer.echo(f"{'':<24}{'rate (KL)':>18}{'distortion':>20}{'ELBO':>20}")
    for place in places:
        cells = (place.rate, place.distortion, place.elbo)
        figures = "".join(f"{c.value:>12.2f} ± {c.standard_error:<5.2f}" for c in cells)
        typer.echo(f"{place.name:<24}{figures}".rstrip())
