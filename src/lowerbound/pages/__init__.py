"""Pages from templates: HTML, self-contained and escaped, and Markdown."""

from __future__ import annotations

import base64
from typing import Any

import jinja2


def render(template: str, **values: Any) -> str:
    """The page that ``template`` makes of ``values``; a missing value is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("lowerbound.pages", "."),
        autoescape=template.endswith(".html"),
        undefined=jinja2.StrictUndefined,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = lambda text: text.replace("|", "\\|")
    return environment.get_template(template).render(values)


def data_uri(png: bytes) -> str:
    """A PNG as an address that holds it."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
