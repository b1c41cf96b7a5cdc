"""Running systems: each into its document's folder, with pages over all."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

import lowerbound
from documents.bench.bench import Bench
from documents.bench.page import shown, write_pages
from documents.bench.result import Result
from documents.bench.system import SYSTEMS, System, order
from lowerbound.errors import StorageError
from lowerbound.files import read_json, write_json

RESULT_FILE = "result.json"
FORMAT = 2


def reproduce(
    systems: Sequence[System],
    out: Path,
    *,
    quick: bool = False,
    seed: int = 0,
    command: str = "",
    announce: Callable[[str], None] = lambda line: None,
) -> Path:
    """Run ``systems``; write ``out``/DOCUMENT/ID/result.json, pictures, and pages over all.

    Models are kept in ``out``/models: a run that was stopped goes on where it was, and systems that
    share a model train it once.  Returns the path of the page over all documents.
    """
    if any(out.glob(f"*/*/{RESULT_FILE}")):
        results(out)  # refuses those of another version before any work
    for system in systems:
        _refuse_to_mix(_folder(out, system) / RESULT_FILE, quick=quick)
    models = out / "models" / "-".join([*["quick"] * quick, *[f"seed-{seed}"] * (seed > 0)])
    for system in systems:
        announce(f"{system.id}: {system.title}" + (" (smoke run)" if quick else ""))
        started = time.perf_counter()
        folder = _folder(out, system)
        result = Result(system.id, system.title, system.document.title, quick)
        with torch.random.fork_rng():
            system.run(Bench(folder, models, result, quick=quick, seed=seed))
        values: dict[str, Any] = result.as_dict() | {
            "format": FORMAT,
            "seed": seed,
            "seconds": round(time.perf_counter() - started, 1),
            "cores": os.cpu_count(),
            "command": command,
            "versions": {
                "lowerbound": lowerbound.__version__,
                "torch": torch.__version__,
                "python": platform.python_version(),
            },
        }
        write_json(folder / RESULT_FILE, values)
        for row in values["rows"]:
            announce(f"  {line(row)}")
        page = write_pages(out, results(out))
    return page


def _folder(out: Path, system: System) -> Path:
    return out / system.document.folder / system.id


def _refuse_to_mix(path: Path, *, quick: bool) -> None:
    """A smoke run does not replace the figures of a full one."""
    if quick and path.exists() and not read_json(path, "a result")["quick"]:
        raise StorageError(
            f"expected a folder without full results for a smoke run, got {path}; choose another "
            "--out"
        )


def results(out: Path) -> list[dict[str, Any]]:
    """All results in ``out``, in the documents' order."""
    found = []
    for id in sorted(SYSTEMS, key=order):
        path = _folder(out, SYSTEMS[id]) / RESULT_FILE
        if path.exists():
            result = read_json(path, "a result")
            if result.get("format") != FORMAT:
                raise StorageError(
                    f"{path}: made by another version of lowerbound; choose another --out, or "
                    "remove it"
                )
            found.append(result)
    if not found:
        raise StorageError(f"expected results in {out}, got none")
    return found


def line(row: dict[str, Any]) -> str:
    """A row for people.

    >>> line({"quantity": "KL", "unit": "nats", "measured": 7.5, "document": 7.89, "goal": None,
    ...       "met": {"document": True, "goal": None}, "setting": "best", "standard_error": 0.02})
    'KL (best): 7.50 ± 0.02 nats; document 7.89 ✓'
    """
    cells = shown(row)
    figure = f"{cells['measured']}{cells['error']} {row['unit']}".strip()
    targets = "".join(f"; {name} {cells[name]}" for name in row["met"] if cells[name])
    return f"{row['quantity']} ({row['setting']}): {figure}{targets}"
