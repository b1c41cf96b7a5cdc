"""Pages from templates: HTML, self-contained and escaped, and Markdown."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from lowerbound.extras import needs

HERE = Path(__file__).parent


def render(template: str, home: Path = HERE, **values: Any) -> str:
    """The page that ``template`` makes of ``values``; a missing value is an error.

    The template lies in the folder ``home``, and may extend those of this package.
    """
    jinja2 = needs("jinja2", "report")
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([home, HERE]),
        autoescape=template.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = lambda text: text.replace("|", "\\|")
    environment.filters["time"] = spelled_out
    return environment.get_template(template).render(values)


def spelled_out(seconds: float) -> str:
    """A duration in the largest unit of which it has one.

    >>> spelled_out(7.26), spelled_out(100), spelled_out(5400)
    ('7.3 s', '1.7 min', '1.5 h')
    """
    for unit, size in (("h", 3600), ("min", 60)):
        if round(seconds, 1) >= size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.1f} s"


def data_uri(content: bytes, kind: str = "image/png") -> str:
    """A file, a PNG or of another kind, as an address that holds it."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def page_folder(run: Path, name: str, data: str | None) -> Path:
    """Where a page about a run goes; one about other data is kept beside the run's own.

    >>> page_folder(Path("runs/first"), "report", "more/rows.csv").name
    'report-rows.csv'
    """
    return run / (name if data is None else f"{name}-{Path(data).resolve().name}")
