"""``evaluate`` and ``rates``: figures of trained models."""

from __future__ import annotations

import dataclasses
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lowerbound.cli.options import (
    Data,
    Device,
    Folder,
    Force,
    Json,
    Labels,
    Quiet,
    Ray,
    Seed,
    Split,
    new_file,
)
from lowerbound.cli.output import note, progress, rereading, show, watched
from lowerbound.errors import ConfigurationError

if TYPE_CHECKING:
    from torch import Tensor

    from lowerbound import VAE
    from lowerbound.data import Data as Examples
    from lowerbound.evaluation import Rate
    from lowerbound.outliers import ColumnScore


BRACKET = 20
LINES, NAME = 40, 30


def evaluate(
    folder: Folder,
    samples: Annotated[int, typer.Option(min=1, help="k of the importance-weighted bound.")] = 100,
    first: Annotated[
        int | None,
        typer.Option(min=2, help="Only the first examples, this many, for all measures."),
    ] = None,
    ais: Annotated[
        int | None,
        typer.Option(
            min=1, help="Also log p(x) by annealed importance sampling in this many steps."
        ),
    ] = None,
    chains: Annotated[
        int, typer.Option(min=1, help="Chains of --ais and --bracket for each example.")
    ] = 16,
    bracket: Annotated[
        int | None,
        typer.Option(
            min=2,
            help=f"With --ais: bound its error on this many x drawn by the model. [{BRACKET}]",
        ),
    ] = None,
    gap: Annotated[
        bool,
        typer.Option(
            "--gap", help="Also what the ELBO loses to the family of q and to the encoder."
        ),
    ] = False,
    decompose: Annotated[
        bool,
        typer.Option(
            "--decompose", help="Also the KL's parts: mutual information, total correlation, …"
        ),
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(callback=new_file, help="A .csv file to write: each example's own figures."),
    ] = None,
    split: Split = "test",
    data: Data = None,
    labels: Labels = None,
    ray: Ray = None,
    seed: Seed = 0,
    device: Device = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Measure a trained model on held-out data, in nats per example with standard errors.

    ± is over the choice of examples.  All bounds are lower ones, and blind to modes of p(z|x) that
    q(z|x) misses; what --ais prints for x drawn by the model shows whether there are any.

    For rows it also prints the bound, what each column costs, and its σ, in the columns' own units.

    --out gets the bounds of each example, and for rows what each column costs, −log p(xᵢ|z) at the
    posterior's mean: all in nats, in the model's units.

    --ais and --gap take minutes for a hundred images: take fewer with --first.

    Examples:
        lowerbound evaluate runs/first
        lowerbound evaluate runs/first --data more.csv --labels city --json
        lowerbound evaluate runs/people --data more.csv --out scores.csv
        lowerbound evaluate runs/first --first 50 --ais 1000 --bracket 50 --gap
    """
    import torch

    from lowerbound import evaluation
    from lowerbound.cli.blocks import each_block, on_processors
    from lowerbound.cli.scores import bounds_alone, measured, scores_file
    from lowerbound.outliers.columns import scored
    from lowerbound.runs import Run

    if bracket is not None and ais is None:
        raise ConfigurationError("expected --bracket with --ais, whose error it bounds")
    if ray is not None and first is not None:
        raise ConfigurationError("expected --ray without --first: so few need no cluster")
    run = Run.open(folder, on_processors(device, ray), rereading)
    model, examples = run.model, run.streamed(split, data, labels)
    if first is not None:
        examples = examples.take(first)
    _check_posterior(model, examples, ais, gap, decompose)
    how: Any = {"samples": samples, "seed": seed, "costs": out is not None}
    sums: list[Tensor] = []
    with (
        progress("evaluating") as advance,
        each_block(ray, measured, run, examples, advance, (data, labels, split), **how) as found,
        nullcontext() if out is None else scores_file(model, out) as write,
    ):
        bounds = bounds_alone(found, sums, write)
        figures = evaluation.evaluate(model, examples, samples=samples, found=bounds)
    if out is not None:
        note(f"wrote {out}: {len(examples):,} examples, numbered from 0")
    scores = scored(model, sums) if sums and model.columns else []
    if data is None and split == "test" and first is None:
        run.keep(figures, seed)
    same: dict[str, Any] = {"leave_out": figures.left_out, "seed": seed}
    more: dict[str, Any] = {}
    if ais is not None:
        annealing = {"steps": ais, "chains": chains}
        more["annealed"] = watched(
            "annealing", evaluation.anneal, model, examples, **annealing, **same
        )
        n, own = bracket or BRACKET, None
        if model.context is not None and examples.context is not None:
            own = examples.context[torch.arange(n) * len(examples) // n]
        more["bracket"] = watched(
            "annealing both ways", evaluation.bracket, model, n, own, seed=seed, **annealing
        )
    if gap:
        annealed = more["annealed"].log_evidence if "annealed" in more else None
        seeking = {"samples": samples, "annealed": annealed, **same}
        more["gaps"] = watched("seeking the best q", evaluation.gaps, model, examples, **seeking)
    if decompose:
        more["kl_parts"] = watched(
            "decomposing the KL", evaluation.decompose_kl, model, examples, **same
        )
    parts: dict[str, Any] = {name: result.as_dict() for name, result in more.items()}
    told = list(map(str, (figures, *more.values())))
    if scores:
        parts["columns"] = [dataclasses.asdict(score) for score in scores]
        told.append(_columns(scores))
    show(
        {"data": data or split, "seed": seed, **figures.as_dict(), **parts},
        "\n".join(told),
        json,
    )


def _columns(scores: list[ColumnScore]) -> str:
    """A line for each column, of the first few."""
    shown = scores[:LINES]
    width = max(len("column"), *(len(score.name[:NAME]) for score in shown))
    lines = [
        "each column in its own units, −log p(xᵢ|z) at the posterior's mean, and σ of p(xᵢ|z)",
        f"  {'column':<{width}}{'nats':>18}{'σ':>12}",
    ]
    for score in shown:
        cost = "" if score.cost is None else f"{score.cost:.2f}"
        sigma = "" if score.sigma is None else f"{score.sigma:.4g}"
        lines.append(f"  {score.name[:NAME]:<{width}}{cost:>18}{sigma:>12}".rstrip())
    if len(scores) > LINES:
        lines.append(f"  and {len(scores) - LINES:,} more, which --json has")
    return "\n".join(lines)


def _check_posterior(
    model: VAE, examples: Examples, ais: int | None, gap: bool, decompose: bool
) -> None:
    """Refuse before any work what would be refused after minutes of it."""
    from lowerbound.distributions import as_diagonal, has_density

    q = model.encode(examples.take(1))
    for option, asked in (("--gap", gap), ("--decompose", decompose)):
        if asked and as_diagonal(q) is None:
            raise ConfigurationError(
                f"expected a DiagonalGaussian posterior for {option}, got "
                f"{type(model.posterior).__name__}; leave {option} out"
            )
    if ais is not None and not has_density(q):
        raise ConfigurationError(
            "expected a posterior with a density for --ais, got a deterministic one; leave it out"
        )


def rates(
    folders: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Runs of one recipe on the same data.")
    ],
    out: Annotated[
        Path | None,
        typer.Option(callback=new_file, help="A .png to write: distortion against rate."),
    ] = None,
    samples: Annotated[int, typer.Option(min=1, help="Draws z ~ q(z|x) for each example.")] = 10,
    split: Split = "test",
    seed: Seed = 0,
    device: Device = None,
    force: Force = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Compare runs trained with several β: what their codes cost, and what they leave unsaid.

    Train them with --objective.beta 0.5, 1, 2, ….

    Examples:
        lowerbound rates runs/beta-0.5 runs/beta-1 runs/beta-2 --out rates.png
    """
    from lowerbound import evaluation
    from lowerbound.runs import Run

    if out is not None and out.suffix != ".png":
        raise ConfigurationError(f"expected --out to end in .png, got {str(out)!r}")
    runs = [Run.open(folder, device, rereading) for folder in folders]
    models = {run.folder.name: run.model for run in runs}
    if len(models) < len(runs):
        raise ConfigurationError("expected runs in folders of different names")
    first, *others = (run.description for run in runs)
    data = runs[0].data(split)
    for other in others:
        if other.fingerprints.get(split) != data.fingerprint:
            raise ConfigurationError(
                f"expected runs on the same {split} data, got {other.data_summary} and "
                f"{first.data_summary}"
            )
    places = watched(
        "evaluating", evaluation.rate_distortion, models, data, samples=samples, seed=seed
    )
    if out is not None:
        from lowerbound import plots

        plane = ([p.rate.value for p in places], [p.distortion.value for p in places])
        plots.save(plots.rate_distortion(*plane, [p.name for p in places]), out)
        note(f"wrote {out}")
    show([dataclasses.asdict(place) for place in places], _table(places), json)


def _table(places: list[Rate]) -> str:
    lines = [f"{'':<24}{'rate (KL)':>18}{'distortion':>20}{'ELBO':>20}"]
    for place in places:
        cells = (place.rate, place.distortion, place.elbo)
        figures = "".join(f"{c.value:>z12.2f} ± {c.standard_error:<5.2f}" for c in cells)
        lines.append(f"{place.name:<24}{figures}".rstrip())
    return "\n".join(lines)
