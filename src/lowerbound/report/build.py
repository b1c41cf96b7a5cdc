"""A run → ``report/index.html``, its pictures, and ``report.json``."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

import lowerbound
from lowerbound import evaluation, plots
from lowerbound.files import write_atomic, write_json
from lowerbound.pages import data_uri, render
from lowerbound.report.pictures import Picture, pictures, subject
from lowerbound.runs import Run, RunDescription

REPORT_FOLDER = "report"
PAGE_FILE = "index.html"


def write_report(
    run: Run, *, progress: Callable[[int, int], None] = lambda done, total: None
) -> Path:
    """Write the report of ``run`` into its folder; return the page's path.

    A run that was not evaluated yet is evaluated first.  Noise is seeded, so that the same run
    gives the same page.

    Raises:
        StorageError: the folder holds no finished run.
        DataError: the run's data are not to be found any more, or have changed.
    """
    description, model, data = run.description, run.model, run.data("test")
    measured = run.evaluation
    if measured is None:
        measured = evaluation.evaluate(model, data, progress=progress)
        run.keep(measured, seed=0)
    figures, history = measured.as_dict(), run.history
    out = run.folder / REPORT_FOLDER
    drawn = []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for done, picture in enumerate(pictures(subject(model, data, figures, history)), 1):
            png = plots.png_bytes(picture.figure)
            write_atomic(out / f"{picture.name}.png", png)
            drawn.append((picture, png))
            progress(done, done + 1)
    facts = _facts(run, description, history)
    write_json(
        out / "report.json",
        {
            "run": dict(facts),
            "evaluation": figures,
            "history": history,
            "pictures": [
                {"file": f"{p.name}.png", "heading": p.heading, "caption": p.caption}
                for p, _ in drawn
            ],
        },
    )
    write_atomic(out / PAGE_FILE, _page(run, figures, drawn, facts).encode())
    return out / PAGE_FILE


def _page(
    run: Run,
    figures: dict[str, Any],
    drawn: list[tuple[Picture, bytes]],
    facts: list[tuple[str, str]],
) -> str:
    what = "image" if len(run.model.shape) == 3 else "row"
    return render(
        "report.html",
        title=run.description.title,
        lead=f"{run.description.data_summary}.",
        measures=f"{figures['examples']:,} held-out examples. Bounds on the {figures['measures']}.",
        cards=_cards(figures, what),
        figures=_figures(figures, what),
        pictures=[
            {
                "name": picture.name,
                "heading": picture.heading,
                "caption": picture.caption,
                "data": data_uri(png),
            }
            for picture, png in drawn
        ],
        facts=facts,
        model=json.dumps(run.information["model"], indent=2),
        version=lowerbound.__version__,
    )


def _figures(figures: dict[str, Any], what: str) -> list[dict[str, str]]:
    """The rows of the table of figures."""
    nats = f"nats per {what}"
    rows = [
        ("ELBO", "elbo", nats, "lower bound: −reconstruction − KL"),
        ("KL", "kl", nats, "KL(q(z|x) ‖ p(z)): what the code says about x"),
        ("reconstruction", "reconstruction", nats, "−log p(x|z), averaged over z ~ q(z|x)"),
        (
            f"importance-weighted, k = {figures['samples']}",
            "importance_weighted",
            nats,
            "a tighter lower bound",
        ),
        (
            "bits per dimension",
            "bits_per_dimension",
            "bits",
            "of the importance-weighted bound, in the data's own units",
        ),
    ]
    table = []
    for name, key, unit, meaning in rows:
        estimate = figures[key]
        if estimate is not None:
            digits = 4 if unit == "bits" else 2
            table.append(
                {
                    "name": name,
                    "value": _number(estimate["value"], digits),
                    "error": f"± {estimate['standard_error']:.{digits}f}",
                    "unit": unit,
                    "meaning": meaning,
                }
            )
    active = f"{figures['active_units']} of {figures['latent_dim']}"
    table.append(
        {
            "name": "active units",
            "value": active,
            "error": "",
            "unit": "dimensions",
            "meaning": "whose posterior mean varies by more than 0.01",
        }
    )
    return table


def _cards(figures: dict[str, Any], what: str) -> list[dict[str, str]]:
    """The numbers that matter most."""
    names = {"elbo": "ELBO", "kl": "KL", "reconstruction": "reconstruction"}
    cards = [
        {"name": name, "value": _number(figures[key]["value"], 2), "unit": f"nats per {what}"}
        for key, name in names.items()
        if figures[key] is not None
    ]
    active = f"{figures['active_units']} of {figures['latent_dim']}"
    return [*cards, {"name": "active units", "value": active, "unit": "latent dimensions"}]


def _number(value: float, digits: int) -> str:
    return f"{value:,.{digits}f}".replace("-", "−")


def _facts(
    run: Run, description: RunDescription, history: list[dict[str, Any]]
) -> list[tuple[str, str]]:
    """What was trained on what, by which command."""
    information = run.information
    settings = ", ".join(f"{key} = {value}" for key, value in description.settings.items())
    return [
        ("command", description.command),
        ("data", description.data_summary),
        ("data SHA-256", str(description.fingerprints.get("train"))),
        ("recipe", description.recipe),
        ("settings changed", settings or "none"),
        ("objective", _described(information["objective"])),
        ("training", _described(information["training"])),
        ("parameters", f"{sum(p.numel() for p in run.model.parameters()):,}"),
        ("trained", f"{len(history)} epochs in {history[-1]['seconds']:.0f} s"),
        ("started", description.started),
        ("seed", str(description.seed)),
        ("versions", ", ".join(f"{name} {value}" for name, value in description.versions.items())),
    ]


def _described(value: Any) -> str:
    """A part's description as one line.

    >>> _described({"part": "ELBO", "beta": {"part": "Linear", "start": 0.0}, "samples": 1})
    'ELBO(beta=Linear(start=0.0), samples=1)'
    """
    if isinstance(value, dict):
        inner = ", ".join(f"{k}={_described(v)}" for k, v in value.items() if k != "part")
        return f"{value['part']}({inner})"
    return str(value)
