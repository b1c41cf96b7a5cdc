"""What a system measured: rows of figures, pictures, and notes."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal, TypedDict

Better = Literal["lower", "higher", "equal", "neither"]
Setting = Literal["as the document trained it", "best", "exact", "ours"]


class Targets(TypedDict, total=False):
    """What a figure is judged by: see `Row`."""

    document: float | None
    goal: float | None
    stretch: float | None
    better: Better
    setting: Setting


@dataclass(frozen=True)
class Row:
    """One figure.

    Attributes:
        quantity: what was measured, in words.
        unit: its unit.
        measured: the figure.
        standard_error: over examples; None for what has no sampling error.
        document: the document's figure, in the same unit; None where it gives none.
        goal: what it should reach, or, without a document's figure, what it must be if the
            mathematics is right; None where there is neither.
        stretch: what it could reach.
        better: which side of the others is the good one; "equal" for counts that must agree, and
            "neither" for figures that stand beside the document's without being judged.
        setting: how the system was trained.
    """

    quantity: str
    unit: str
    measured: float
    standard_error: float | None = None
    document: float | None = None
    goal: float | None = None
    stretch: float | None = None
    better: Better = "lower"
    setting: Setting = "ours"

    @property
    def holds(self) -> bool | None:
        """Whether the goal, or else the document's figure, is met; None where there is neither."""
        return self.meets(self.document if self.goal is None else self.goal)

    def meets(self, target: float | None) -> bool | None:
        """Whether the figure is at least as good as ``target``; None where that is no question."""
        if target is None or self.better == "neither":
            return None
        if self.better == "equal":
            return self.measured == target
        return self.measured <= target if self.better == "lower" else self.measured >= target


@dataclass(frozen=True)
class Picture:
    """A picture: its file in the result's folder, and what it shows."""

    file: str
    heading: str
    caption: str


@dataclass
class Result:
    """All that one system gave."""

    id: str
    title: str
    document: str
    quick: bool = False
    rows: list[Row] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    training_seconds: float = 0.0

    def as_dict(self) -> dict[str, Any]:
        """For JSON: each row carries the system's id, and whether it holds."""
        values = asdict(self) | {"training_seconds": round(self.training_seconds, 1)}
        return values | {"rows": [self._row(row) for row in self.rows]}

    def _row(self, row: Row) -> dict[str, Any]:
        """A smoke run's figures are not judged."""
        targets = {"document": row.document, "goal": row.goal, "stretch": row.stretch}
        met = {name: None if self.quick else row.meets(value) for name, value in targets.items()}
        holds = None if self.quick else row.holds
        verdicts = {"holds": holds, "met": met, "quick": self.quick}
        return {"id": self.id, **asdict(row), **verdicts}
