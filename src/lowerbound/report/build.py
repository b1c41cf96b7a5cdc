"""A run → ``report/index.html``, its pictures, and ``report.json``."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

import lowerbound
from lowerbound import evaluation, plots
from lowerbound.files import write_atomic, write_json
from lowerbound.pages import data_uri, render
from lowerbound.report.pictures import Outcome, outcome_of, pictures
from lowerbound.runs import Run

REPORT_FOLDER = "report"
PAGE_FILE = "index.html"


@dataclass(frozen=True)
class Quantity:
    """A row of the table of figures, and the key of its estimate in the evaluation."""

    key: str
    name: str
    meaning: str
    unit: str = "nats per {what}"
    digits: int = 2


QUANTITIES = (
    Quantity("elbo", "ELBO", "lower bound: −reconstruction − KL"),
    Quantity("kl", "KL", "KL(q(z|x) ‖ p(z)): what the code says about x"),
    Quantity("reconstruction", "reconstruction", "−log p(x|z), averaged over z ~ q(z|x)"),
    Quantity("importance_weighted", "importance-weighted, k = {samples}", "a tighter lower bound"),
    Quantity(
        "bits_per_dimension",
        "bits per dimension",
        "of the importance-weighted bound, in the data's own units",
        unit="bits",
        digits=4,
    ),
)
CARDS = QUANTITIES[:3]


def write_report(
    run: Run,
    *,
    data: str | None = None,
    labels: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Path:
    """Write the report of ``run`` into its folder; return the page's path.

    ``data`` names data to report on in place of the run's own test split, and ``labels`` the
    column or array of their labels: for a model without a run, or one whose data have moved.
    A run that was not evaluated yet is evaluated first.  Noise is seeded, so that the same run
    gives the same page.

    Raises:
        StorageError: the folder holds no finished run, nor a model with ``data``.
        DataError: the data are not to be found, have changed, or are not such as the model takes.
    """
    model, examples = run.model, run.examples("test", data, labels)
    measured = run.evaluation if data is None else None
    if measured is None:
        measured = evaluation.evaluate(model, examples, progress=progress)
        if data is None:
            run.keep(measured, seed=0)
    figures, history = measured.as_dict(), run.history
    out = run.folder / REPORT_FOLDER
    with torch.random.fork_rng():
        torch.manual_seed(0)
        drawn = _draw(out, outcome_of(model, examples, figures, history), progress)
    facts = _facts(run, history)
    judged = "" if data is None else f", on {Path(data).name}"
    listed = [
        {"file": f"{p['name']}.png", "heading": p["heading"], "caption": p["caption"]}
        for p in drawn
    ]
    values = {"run": dict(facts), "evaluation": figures, "history": history, "pictures": listed}
    write_json(out / "report.json", values)
    words = {"what": "image" if len(model.shape) == 3 else "row", "samples": figures["samples"]}
    active = f"{figures['active_units']} of {figures['latent_dim']}"
    page = render(
        "report.html",
        title=f"{run.title}{judged}",
        lead=f"{examples.summary() if data else run.description.data_summary}.",
        measures=f"{figures['examples']:,} held-out examples. Bounds on the {figures['measures']}.",
        cards=[
            *_rows(CARDS, figures, words),
            {"name": "active units", "value": active, "unit": "latent dimensions"},
        ],
        figures=_rows(QUANTITIES, figures, words),
        active=active,
        pictures=drawn,
        facts=facts,
        model=json.dumps(run.information["model"], indent=2),
        version=lowerbound.__version__,
    )
    write_atomic(out / PAGE_FILE, page.encode())
    return out / PAGE_FILE


def _draw(
    out: Path, outcome: Outcome, progress: Callable[[int, int], None]
) -> list[dict[str, str]]:
    """Write the pictures; return what the page says of each, and each as an address."""
    drawn = []
    for done, picture in enumerate(pictures(outcome), 1):
        png = plots.png_bytes(picture.figure)
        write_atomic(out / f"{picture.name}.png", png)
        words = {"heading": picture.heading, "caption": picture.caption}
        drawn.append({"name": picture.name, **words, "data": data_uri(png)})
        progress(done, done + 1)
    return drawn


def _rows(
    rows: tuple[Quantity, ...], figures: dict[str, Any], words: dict[str, Any]
) -> list[dict[str, str]]:
    """The figures that were measured, as text."""
    return [
        {
            "name": row.name.format(**words),
            "value": f"{figures[row.key]['value']:,.{row.digits}f}".replace("-", "−"),
            "error": f"± {figures[row.key]['standard_error']:.{row.digits}f}",
            "unit": row.unit.format(**words),
            "meaning": row.meaning,
        }
        for row in rows
        if figures[row.key] is not None
    ]


def _facts(run: Run, history: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """What was trained on what, by which command, as far as the folder says."""
    facts = []
    if run.is_described:
        description = run.description
        settings = ", ".join(f"{key} = {value}" for key, value in description.settings.items())
        facts = [
            ("command", description.command),
            ("data", description.data_summary),
            ("data SHA-256", str(description.fingerprints.get("train"))),
            ("recipe", description.recipe),
            ("settings changed", settings or "none"),
            ("started", description.started),
            ("seed", str(description.seed)),
        ]
    for name in ("objective", "training"):
        if name in run.information:
            facts.append((name, _described(run.information[name])))
    facts.append(("parameters", f"{sum(p.numel() for p in run.model.parameters()):,}"))
    if history:
        facts.append(("trained", f"{len(history)} epochs in {history[-1]['seconds']:.0f} s"))
    versions = run.description.versions if run.is_described else run.information["versions"]
    facts.append(("versions", ", ".join(f"{name} {value}" for name, value in versions.items())))
    return facts


def _described(value: Any) -> str:
    """A part's description as one line.

    >>> _described({"part": "ELBO", "beta": {"part": "Linear", "start": 0.0}, "samples": 1})
    'ELBO(beta=Linear(start=0.0), samples=1)'
    """
    if isinstance(value, dict):
        inner = ", ".join(f"{k}={_described(v)}" for k, v in value.items() if k != "part")
        return f"{value.get('part', '')}({inner})"
    return str(value)
