"""One page over all systems: the documents' figures beside ours, and the pictures."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from lowerbound.files import write_atomic
from lowerbound.pages import data_uri, render

PAGE_FILE, MARKDOWN_FILE = "index.html", "README.md"


def write_page(out: Path, results: list[dict[str, Any]]) -> Path:
    """Write ``out``/index.html, which holds the pictures, and README.md; return the former."""
    rows = [row for result in results if not _of_paper(result) for row in result["rows"]]
    papers = [row for result in results if _of_paper(result) for row in result["rows"]]
    documents, goals, stretches = (
        _met(row["met"][name] for row in rows if row["document"] is not None)
        for name in ("document", "goal", "stretch")
    )
    checks = _met(row["holds"] for row in rows if row["document"] is None)
    values = {
        "title": "Systems of the course documents and of papers",
        "lead": "Each on the data of its source, its figures beside those that it gives.",
        "cards": [
            {"name": "systems", "value": len(results), "unit": "reproduced"},
            {"name": "documents' figures met", "value": documents, "unit": "or beaten"},
            {"name": "goals met", "value": goals, "unit": f"stretch goals: {stretches}"},
            {"name": "checks passed", "value": checks, "unit": "of exact and expected answers"},
            {
                "name": "papers' figures met",
                "value": _met(row["holds"] for row in papers),
                "unit": "in a fraction of their epochs",
            },
        ],
        "systems": [_system(out, result) for result in results],
    }
    write_atomic(out / PAGE_FILE, render("reproduce.html", **values).encode())
    write_atomic(out / MARKDOWN_FILE, render("reproduce.md", **values).encode())
    return out / PAGE_FILE


def _of_paper(result: dict[str, Any]) -> bool:
    return bool(result["document"] == "Papers")


def _met(verdicts: Iterable[bool | None]) -> str:
    judged = [verdict for verdict in verdicts if verdict is not None]
    return f"{sum(judged)} of {len(judged)}" if judged else "none judged"


def _system(out: Path, result: dict[str, Any]) -> dict[str, Any]:
    pictures = [
        picture | {"data": data_uri((out / result["id"] / picture["file"]).read_bytes())}
        for picture in result["pictures"]
    ]
    return result | {"pictures": pictures, "rows": [shown(row) for row in result["rows"]]}


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
