"""Pages over all systems: the documents' figures beside ours, and the pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from documents.bench.system import DOCUMENTS, Document
from lowerbound.files import write_atomic
from lowerbound.pages import data_uri, render

TEMPLATES = Path(__file__).parent
PAGE_FILE, MARKDOWN_FILE = "index.html", "README.md"


def write_pages(out: Path, results: list[dict[str, Any]]) -> Path:
    """Write ``out``/index.html, which holds the pictures, and return its path.

    And as Markdown ``out``/README.md, and a README.md in each document's folder.
    """
    parts = [
        _part(out, document, found)
        for letter, document in DOCUMENTS.items()
        if (found := [result for result in results if result["id"].startswith(letter)])
    ]
    values = {
        "title": "Systems of the course documents and of papers",
        "lead": "Each on the data of its source, its figures beside those that it gives.",
        "cards": _cards(results),
        "documents": parts,
        "misprints": (out / "misprints.md").exists(),
    }
    for part in parts:
        _write(out / part["folder"] / MARKDOWN_FILE, "document.md", part)
    _write(out / MARKDOWN_FILE, "index.md", values)
    return _write(out / PAGE_FILE, "index.html", values)


def _write(path: Path, template: str, values: dict[str, Any]) -> Path:
    write_atomic(path, render(template, TEMPLATES, **values).encode())
    return path


def _cards(results: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The numbers that sum up all results."""
    papers = [row for result in results if result["id"][0] == "P" for row in result["rows"]]
    rows = [row for result in results if result["id"][0] != "P" for row in result["rows"]]
    beside = [row["met"] for row in rows if row["document"] is not None]
    documents, goals, stretches = (
        _met(met[name] for met in beside) for name in ("document", "goal", "stretch")
    )
    checks = _met(row["holds"] for row in rows if row["document"] is None)
    return [
        {"name": "systems", "value": len(results), "unit": "reproduced"},
        {"name": "documents' figures met", "value": documents, "unit": "or beaten"},
        {"name": "goals met", "value": goals, "unit": f"stretch goals: {stretches}"},
        {"name": "checks passed", "value": checks, "unit": "of exact and expected answers"},
        {
            "name": "papers' figures met",
            "value": _met(row["holds"] for row in papers),
            "unit": "in a fraction of their epochs",
        },
    ]


def _met(verdicts: Iterable[bool | None]) -> str:
    judged = [verdict for verdict in verdicts if verdict is not None]
    return f"{sum(judged)} of {len(judged)}" if judged else "none judged"


def _part(out: Path, document: Document, results: list[dict[str, Any]]) -> dict[str, Any]:
    """A document's systems, and the code that lies beside their results, if it does."""
    folder = out / document.folder
    code = sorted(path.name for path in folder.glob("[!_]*.py"))
    systems = [_system(folder, result) for result in results]
    return {"folder": document.folder, "title": document.title, "code": code, "systems": systems}


def _system(folder: Path, result: dict[str, Any]) -> dict[str, Any]:
    pictures = [
        picture | {"data": data_uri((folder / result["id"] / picture["file"]).read_bytes())}
        for picture in result["pictures"]
    ]
    met = _met(row["holds"] for row in result["rows"])
    return result | {
        "pictures": pictures,
        "rows": [shown(row) for row in result["rows"]],
        "met": met,
    }


def shown(row: dict[str, Any]) -> dict[str, str]:
    """A row as text, its figures with the digits that fit their size."""
    digits = _digits(row["measured"])
    marks = {True: " ✓", False: " ✗", None: ""}
    targets = {
        name: "" if row[name] is None else _number(row[name], digits) + marks[met]
        for name, met in row["met"].items()
    }
    error = row["standard_error"]
    return {
        "quantity": row["quantity"],
        "setting": row["setting"],
        "unit": row["unit"],
        "measured": _number(row["measured"], digits),
        **targets,
        "error": "" if error is None else f" ± {error:.{digits}f}",
    }


def _digits(value: float) -> int:
    """Decimals worth showing.

    >>> [_digits(v) for v in (835384, 0, 103.56, 0.1734, 1e-7)]
    [0, 0, 2, 4, 4]
    """
    if value == int(value):
        return 0
    return 2 if abs(value) >= 1 else 4


def _number(value: float, digits: int) -> str:
    """A figure; very small ones in powers of ten."""
    if value and abs(value) < 1e-3:
        return f"{value:.1e}"
    return f"{value:,.{digits}f}".replace("-", "−")
