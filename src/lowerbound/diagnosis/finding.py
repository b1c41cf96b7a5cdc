"""What a check says: an answer for everyone, and a finding where something is wrong."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from lowerbound.evaluation import Estimate

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Severity = Literal["fault", "warning", "note"]
"""``fault``: figures are wrong, or the model does not work; ``warning``: it works worse than it
could; ``note``: worth knowing."""

SURE = 3.0
"""Standard errors that a figure must lie beyond its threshold: by chance one in 700 does."""


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, in plain words.

    Attributes:
        name: what it is called, such as ``"collapsed-dimensions"``.
        severity: ``"fault"``, ``"warning"`` or ``"note"``.
        sentence: what is wrong, with its number.
        number: the figure that shows it, in ``unit``, and its ``standard_error`` where it has one.
        remedy: what to do, in words; ``code`` says it as a command or in Python.
        further: other figures by name.
    """

    name: str
    severity: Severity
    sentence: str
    number: float
    unit: str
    remedy: str
    code: str
    draw: Callable[[], Figure] = field(repr=False, compare=False)
    standard_error: float | None = None
    further: Mapping[str, float] = field(default_factory=dict)

    def picture(self) -> Figure:
        """What it looks like."""
        return self.draw()

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the picture."""
        names = ("name", "severity", "sentence", "number", "standard_error", "unit")
        return {name: getattr(self, name) for name in (*names, "remedy", "code")} | {
            "further": dict(self.further)
        }

    def __str__(self) -> str:
        return f"{self.severity}: {self.sentence}\n  {self.remedy}\n    {self.code}"


@dataclass(frozen=True)
class Check:
    """A question asked of a model, the answer with its figure, and the finding if it is a bad one.

    ``answer`` says why where the question could not be asked.
    """

    name: str
    question: str
    answer: str
    finding: Finding | None = None


def shown(estimate: Estimate, digits: int = 2) -> str:
    """An estimate with its standard error.

    >>> shown(Estimate(-103.7231, 0.252))
    '−103.72 ± 0.25'
    """
    value = f"{estimate.value:,.{digits}f}".replace("-", "−")
    return f"{value} ± {estimate.standard_error:.{digits}f}"
