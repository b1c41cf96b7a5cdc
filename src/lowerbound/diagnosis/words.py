"""What is said, read from ``words.toml``, with its fields filled in."""

from __future__ import annotations

import string
import tomllib
from collections.abc import Mapping
from importlib.resources import files
from typing import Any

from lowerbound.evaluation import Estimate

TABLE: dict[str, dict[str, Any]] = tomllib.loads(
    (files("lowerbound.diagnosis") / "words.toml").read_text(encoding="utf-8")
)


class _Formatter(string.Formatter):
    """Numbers with a true minus sign, in short if asked; estimates with their standard errors."""

    def format_field(self, value: Any, spec: str) -> str:
        if isinstance(value, str):
            return value
        if isinstance(value, Estimate):
            digits = spec or "2"
            text = f"{value.value:,.{digits}f} ± {value.standard_error:.{digits}f}"
        elif spec == "short":
            text = f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
        else:
            text = format(value, spec)
        return text.replace("-", "−")


def fill(text: str, values: Mapping[str, Any]) -> str:
    """``text`` with its fields filled in.

    >>> fill("{elbo} nats, β = {beta:.3g}", {"elbo": Estimate(-103.7231, 0.252), "beta": 0.5})
    '−103.72 ± 0.25 nats, β = 0.5'
    >>> fill("{a:short}, {b:short}", {"a": 5818.3, "b": 20.21})
    '5,818, 20.2'
    """
    return _Formatter().vformat(text, (), values)


def say(row: str, part: str, **values: Any) -> str:
    """One part of a row of the table, filled in."""
    return fill(TABLE[row][part], values)
