"""A run's findings → ``diagnosis/index.html``, its pictures, and ``diagnosis.json``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import lowerbound
from lowerbound import diagnosis, plots, runs, storage
from lowerbound.data import Dataset, known, load
from lowerbound.diagnosis import Check, Finding
from lowerbound.errors import StorageError
from lowerbound.files import write_atomic, write_json
from lowerbound.objectives import Objective
from lowerbound.pages import data_uri, render
from lowerbound.parts import build
from lowerbound.training import read_history

DIAGNOSIS_FOLDER = "diagnosis"
PAGE_FILE = "index.html"
ORDER = ("fault", "warning", "note")


def write_diagnosis(
    folder: Path,
    *,
    data: str | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> tuple[Path, list[Finding], int]:
    """Diagnose the run, or the model that `fit` kept, in ``folder``; return the page's path, the
    findings, the worst first, and the number of checks.

    ``data`` names a data set in place of the one that the folder tells.  Noise is seeded, so that
    the same run gives the same page.

    Raises:
        StorageError: the folder holds no finished run, or does not tell its data.
        DataError: the run's data cannot be had any more, or have changed.
    """
    model = runs.load_model(folder, device)
    asked = _asked(folder, data)
    checks = diagnosis.examine(
        model,
        asked.test,
        asked.train,
        read_history(folder),
        _objective(folder),
        seed=seed,
        progress=progress,
    )
    findings = [check.finding for check in checks if check.finding]
    findings.sort(key=lambda finding: ORDER.index(finding.severity))
    out = folder / DIAGNOSIS_FOLDER
    for old in out.glob("*.png"):
        old.unlink()
    pictures = {}
    for finding in findings:
        pictures[finding.name] = plots.png_bytes(finding.picture())
        write_atomic(out / f"{finding.name}.png", pictures[finding.name])
    write_json(
        out / "diagnosis.json",
        {
            "findings": [finding.as_dict() for finding in findings],
            "checks": [
                {"name": c.name, "question": c.question, "answer": c.answer, "ok": not c.finding}
                for c in checks
            ],
        },
    )
    page = render(
        "diagnosis.html",
        title=asked.title,
        lead=_lead(findings, checks),
        cards=_cards(findings, checks),
        findings=[
            {
                **finding.as_dict(),
                "heading": _heading(finding),
                "figure": _figure(finding),
                "data": data_uri(pictures[finding.name]),
            }
            for finding in findings
        ],
        checks=[
            {"question": c.question, "answer": c.answer, "verdict": _verdict(c)} for c in checks
        ],
        examples=diagnosis.EXAMPLES,
        command=asked.command,
        version=lowerbound.__version__,
    )
    write_atomic(out / PAGE_FILE, page.encode())
    return out / PAGE_FILE, findings, len(checks)


@dataclass(frozen=True)
class Asked:
    """The data to diagnose a model on, and what its page says of them."""

    test: Dataset
    train: Dataset | None
    title: str
    command: str


def _asked(folder: Path, data: str | None) -> Asked:
    """The data of a run, or of a model that `fit` kept.

    Data that are not those the model was trained on are all held out.
    """
    if (folder / runs.RUN_FILE).exists():
        run = runs.read(folder)
        title = f"Diagnosis of {run.recipe} on {Path(run.source.source).name}"
        if data is not None:
            conditional = storage.read_information(folder)["model"]["context"] is not None
            test = runs.other_data(run, data, None, conditional)
        else:
            test = runs.split_of(run, "test")
        train = None if run.source.on_disk else runs.split_of(run, "train")
        return Asked(test, train, title, run.command)
    trained = storage.read_information(folder).get("data")
    if not isinstance(trained, dict):
        raise StorageError(
            f"expected a run, or a model that fit kept, got {folder}, which does not tell what it "
            "was trained on; use lb.diagnose(model, data)"
        )
    source = data or str(trained.get("name"))
    if data is None and source not in known():
        raise StorageError(
            f"expected a known data set ({', '.join(sorted(known()))}), got {folder}, trained on "
            f"{source}; name its file or folder with --data, or use lb.diagnose(model, data)"
        )
    splits = load(source)
    same = splits.train.fingerprint == trained.get("sha256")
    return Asked(
        splits.test,
        splits.train if same else None,
        f"Diagnosis of {folder.resolve().name} on {Path(source).name}",
        f"lowerbound diagnose {folder}",
    )


def _objective(folder: Path) -> Objective:
    """What the run maximised."""
    described = storage.read_information(folder).get("objective")
    objective = build(described)
    if not isinstance(objective, Objective):
        raise StorageError(
            f"{folder / storage.MODEL_FILE}: expected an objective, got {described!r}"
        )
    return objective


def _lead(findings: list[Finding], checks: list[Check]) -> str:
    if not findings:
        return f"{len(checks)} checks, and nothing found."
    return f"{len(checks)} checks. What is wrong, the worst first, and what to do about it."


def _cards(findings: list[Finding], checks: list[Check]) -> list[dict[str, Any]]:
    meanings = {
        "fault": "figures are wrong, or the model fails",
        "warning": "it works worse than it could",
        "note": "worth knowing",
    }
    counts = {severity: sum(f.severity == severity for f in findings) for severity in ORDER}
    cards = [
        {"name": f"{severity}s", "value": counts[severity], "unit": meanings[severity]}
        for severity in ORDER
    ]
    return [*cards, {"name": "checks", "value": len(checks), "unit": "with their figures below"}]


def _heading(finding: Finding) -> str:
    return finding.name.replace("-", " ").capitalize().replace("kl", "KL").replace("Kl", "KL")


def _figure(finding: Finding) -> str:
    """The number as text."""
    value = f"{finding.number:.4g}".replace("-", "−")
    error = "" if finding.standard_error is None else f" ± {finding.standard_error:.2g}"
    return f"{value}{error} {finding.unit}"


def _verdict(check: Check) -> str:
    if check.finding:
        return check.finding.severity
    return "" if check.answer.startswith("not checked") else "✓"
