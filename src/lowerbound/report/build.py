"""A run → ``report/index.html``, its pictures, and ``report.json``."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

import lowerbound
from lowerbound import evaluation, plots
from lowerbound.data import Data
from lowerbound.evaluation import Evaluation
from lowerbound.evaluation.bounds import without
from lowerbound.evaluation.walk import Progress
from lowerbound.extras import needs
from lowerbound.files import write_atomic, write_json
from lowerbound.pages import data_uri, page_folder, render
from lowerbound.report.melodies import Heard
from lowerbound.report.outcome import Outcome
from lowerbound.report.sections import SECTIONS, sections
from lowerbound.report.tables import Table
from lowerbound.report.warnings import warnings
from lowerbound.runs import Run
from lowerbound.streams import Stream, seeded

REPORT_FOLDER = "report"
PAGE_FILE = "index.html"
MARGIN = 9  # pixels of white that are left beside a picture


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
    progress: Progress = lambda done, total: None,
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
    outcome = _outcome(run, data, labels, progress)
    out = page_folder(run.folder, REPORT_FOLDER, data)
    figures = outcome.evaluation.as_dict()
    with seeded(next(run.model.parameters()).device, 0, Stream.REPORT):
        drawn = _draw(out, outcome, progress)
        found = warnings(outcome)
    facts = _facts(run, outcome.history)
    judged = "" if data is None else f", on {Path(data).name}"
    values = {
        "run": dict(facts),
        "evaluation": figures,
        "history": outcome.history,
        "warnings": [finding.as_dict() for finding in found.findings],
        "pictures": [
            {"file": each["file"], "heading": s["heading"], "caption": s["caption"]}
            for s in drawn
            for each in s.get("pictures", ())
        ],
        "tables": [s for s in drawn if "rows" in s],
    }
    write_json(out / "report.json", values)
    words = {"what": outcome.noun, "samples": figures["samples"]}
    active = f"{figures['active_units']} of {figures['latent_dim']}"
    page = render(
        "report.html",
        title=f"{run.title}{judged}",
        lead=f"{outcome.data.summary() if data else run.description.data_summary}.",
        warnings=found,
        command=f"lowerbound diagnose {run.folder}",
        measures=_measures(figures),
        cards=[
            *_rows(CARDS, figures, words),
            {"name": "active units", "value": active, "unit": "latent dimensions"},
        ],
        figures=_rows(QUANTITIES, figures, words),
        active=active,
        sections=drawn,
        facts=facts,
        model=json.dumps(run.information["model"], indent=2),
        version=lowerbound.__version__,
    )
    write_atomic(out / PAGE_FILE, page.encode())
    return out / PAGE_FILE


def _outcome(run: Run, data: str | None, labels: str | None, progress: Progress) -> Outcome:
    """The run's model with what is known of it, evaluated if it was not yet."""
    examples = run.examples("test", data, labels)
    measured = evaluated(run, examples, data, progress)
    train = run.training_data(data)
    return Outcome(run.model, examples, measured, run.history, train, run.objective, run.metre)


def evaluated(run: Run, examples: Data, data: str | None, progress: Progress | None) -> Evaluation:
    """Figures of ``examples``, of the run's own ones (no other ``data``) those kept with it."""
    if data is None and run.evaluation is not None:
        return run.evaluation
    found = evaluation.evaluate(run.model, examples, progress=progress)
    if data is None:
        run.keep(found, seed=0)
    return found


def _draw(out: Path, outcome: Outcome, progress: Progress) -> list[dict[str, Any]]:
    """Write the pictures; return what the page says of each section, and what it shows."""
    drawn: list[dict[str, Any]] = []
    for done, shown in enumerate(sections(outcome), 1):
        section: dict[str, Any] = {
            "name": shown.name,
            "heading": shown.heading,
            "caption": shown.caption,
        }
        content = shown.content
        if isinstance(content, Heard):
            write_atomic(out / f"{shown.name}.wav", content.sound)
            section["sound"] = data_uri(content.sound, "audio/wav")
            content = content.figure
        if isinstance(content, Table):
            section |= {"header": content.header, "rows": content.rows}
        else:
            section["pictures"] = []
            for page, figure in enumerate(content if isinstance(content, list) else [content], 1):
                png, width, height = picture(figure)
                file = f"{shown.name}.png" if page == 1 else f"{shown.name}-{page}.png"
                write_atomic(out / file, png)
                made = {"file": file, "data": data_uri(png), "width": width, "height": height}
                section["pictures"].append(made)
        drawn.append(section)
        progress(done, done + 1)
    written = {each["file"] for section in drawn for each in section.get("pictures", ())}
    for name in {section.name for section in SECTIONS}:
        for old in {out / f"{name}.png", *out.glob(f"{name}-[0-9].png")}:
            if old.name not in written:
                old.unlink(missing_ok=True)  # of an earlier report
    return drawn


def picture(figure: Figure) -> tuple[bytes, int, int]:
    """A figure as a PNG without the white at its sides, and its size in a page's pixels.

    Of at most 256 colours, which makes it less than half as large, unless that would change an
    image that it shows.
    """
    Image, ImageChops = needs("PIL.Image", "plots"), needs("PIL.ImageChops", "plots")
    image = Image.open(io.BytesIO(plots.png_bytes(figure))).convert("RGB")
    inked = ImageChops.difference(image, Image.new("RGB", image.size, "white")).getbbox()
    left, right = (inked[0], inked[2]) if inked else (0, image.width)
    kept = image.crop((max(0, left - MARGIN), 0, min(image.width, right + MARGIN), image.height))
    if kept.getcolors(256) or not any(axes.images for axes in figure.axes):
        kept = kept.quantize(256, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    buffer = io.BytesIO()
    kept.save(buffer, "PNG", optimize=True, dpi=(plots.DPI, plots.DPI))
    width, height = (round(size * 96 / plots.DPI) for size in kept.size)
    return buffer.getvalue(), width, height


def _measures(figures: dict[str, Any]) -> str:
    """What the figures are means over, and bounds on."""
    left_out = figures["left_out"]
    less = f", {without(left_out)}; pictures and tables are without them too" if left_out else ""
    return (
        f"Means over {figures['examples']:,} held-out examples, ± one standard error of each"
        f"{less}. Bounds on the {figures['measures']}."
    )


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
