"""A run's findings → ``diagnosis/index.html``, its pictures, and ``diagnosis.json``."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import NamedTuple

import lowerbound
from lowerbound import diagnosis, plots
from lowerbound.data import Dataset, known, load, read
from lowerbound.diagnosis import Finding, Severity
from lowerbound.errors import ConfigurationError, StorageError
from lowerbound.evaluation.walk import Progress
from lowerbound.files import write_atomic, write_json
from lowerbound.objectives import ELBO
from lowerbound.pages import data_uri, page_folder, render
from lowerbound.runs import Run

DIAGNOSIS_FOLDER = "diagnosis"
PAGE_FILE = "index.html"
SEVERITIES: dict[Severity, str] = {
    "fault": "figures are wrong, or the model fails",
    "warning": "it works worse than it could",
    "note": "worth knowing",
}


def write_diagnosis(
    folder: Path,
    *,
    data: str | None = None,
    labels: str | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: Progress = lambda done, total: None,
) -> tuple[Path, list[Finding], int]:
    """Diagnose the run, or the model that `fit` kept, in ``folder``.

    Returns the page's path, the findings, the worst first, and the number of checks.  ``data``
    names a data set in place of the one that the folder names, and ``labels`` the column or file of
    its labels: such a page has a folder of its own, named after the data.  Noise is seeded, so
    that the same run gives the same page.

    Raises:
        StorageError: the folder holds no finished run, or does not name its data.
        DataError: the run's data are no longer available, or have changed, or differ in shape from
            what the model takes.
    """
    run = Run.open(folder, device)
    model = run.model
    if labels is not None and data is None:
        raise ConfigurationError("expected --labels with --data, whose labels they are")
    judged = _of_run(run, data, labels) if run.is_described else _of_model(run, data, labels)
    run.expect_shape(judged.test, data or str(folder))
    checks = diagnosis.examine(
        model,
        judged.test,
        judged.train,
        run.history,
        run.objective or ELBO(),
        seed=seed,
        progress=progress,
    )
    findings = diagnosis.worst_first(checks)
    out = page_folder(folder, DIAGNOSIS_FOLDER, data)
    pictures = {finding.name: plots.png_bytes(finding.picture()) for finding in findings}
    for old in out.glob("*.png"):
        old.unlink()
    for name, png in pictures.items():
        write_atomic(out / f"{name}.png", png)
    found, made = ([each.as_dict() for each in some] for some in (findings, checks))
    write_json(out / "diagnosis.json", {"findings": found, "checks": made})
    counts = Counter(finding.severity for finding in findings)
    lead = f"{len(checks)} checks, and nothing found."
    if findings:
        lead = f"{len(checks)} checks. What is wrong, the worst first, and what to do about it."
    page = render(
        "diagnosis.html",
        title=judged.title,
        lead=lead,
        cards=[
            *({"name": f"{s}s", "value": counts[s], "unit": u} for s, u in SEVERITIES.items()),
            {"name": "checks", "value": len(checks), "unit": "with their figures below"},
        ],
        findings=findings,
        pictures={name: data_uri(png) for name, png in pictures.items()},
        checks=checks,
        examples=diagnosis.EXAMPLES,
        command=judged.command,
        version=lowerbound.__version__,
    )
    write_atomic(out / PAGE_FILE, page.encode())
    return out / PAGE_FILE, findings, len(checks)


class Judged(NamedTuple):
    """The data to diagnose a model on, and what its page says of them."""

    test: Dataset
    train: Dataset | None
    title: str
    command: str


def _of_run(run: Run, data: str | None, labels: str | None) -> Judged:
    """A run's own data; or ``data``, which are all held out."""
    if data == run.description.source.source:
        raise ConfigurationError(
            f"expected other data than the run's own, which are judged by their test split, got "
            f"{data}; leave --data out"
        )
    judged = "" if data is None else f", judged on {Path(data).name}"
    test, train = run.examples("test", data, labels), run.training_data(data)
    return Judged(test, train, f"Diagnosis of {run.title}{judged}", run.description.command)


def _of_model(run: Run, data: str | None, labels: str | None) -> Judged:
    """The known data that a model which `fit` kept names; or ``data``."""
    folder, trained = run.folder, run.information.get("data")
    name = str(trained.get("name")) if isinstance(trained, dict) else None
    if data is None and name not in known():
        raise StorageError(
            f"expected a run, or a model trained on a known data set ({', '.join(sorted(known()))}"
            f"), got {folder}, trained on {name or 'data it does not name'}; name its data with "
            "--data, or use lb.diagnose(model, data)"
        )
    source = data or str(name)
    splits = load(source, labels=labels)
    is_own = isinstance(trained, dict) and splits.train.fingerprint == trained.get("sha256")
    is_known = is_own or source in known()
    return Judged(
        splits.test if is_known else read(source, labels=labels),
        splits.train if is_own else None,
        f"Diagnosis of {folder.resolve().name} on {Path(source).name}",
        f"lowerbound diagnose {folder}",
    )
