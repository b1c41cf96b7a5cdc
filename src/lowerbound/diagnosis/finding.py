"""What a measurement, a check and a finding are, and what is said of them (``words.toml``)."""

from __future__ import annotations

import functools
import string
import tomllib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Literal, ParamSpec, get_args

from lowerbound.evaluation import Estimate
from lowerbound.notebooks import Printed

if TYPE_CHECKING:
    from matplotlib.figure import Figure

P = ParamSpec("P")
Severity = Literal["fault", "warning", "note"]

TABLE: dict[str, dict[str, Any]] = tomllib.loads(
    (files("lowerbound.diagnosis") / "words.toml").read_text(encoding="utf-8")
)


class _Formatter(string.Formatter):
    """Numbers with a true minus sign, in short if asked; estimates with their standard errors.

    Of two words, the first where the number is 1.
    """

    def format_field(self, value: Any, spec: str) -> str:
        if isinstance(value, str):
            return value
        if "|" in spec:
            return spec.split("|")[value != 1]
        if isinstance(value, Estimate):
            spec = f",.{spec or 2}f"
        elif spec == "short":
            spec = ",.0f" if abs(value) >= 100 else ".3g"
        return format(value, spec).replace("-", "−")


def fill(text: str, values: Mapping[str, Any]) -> str:
    """``text`` with its fields filled in.

    >>> fill("{elbo} nats, β = {beta:.3g}", {"elbo": Estimate(-103.7231, 0.252), "beta": 0.5})
    '−103.72 ± 0.25 nats, β = 0.5'
    >>> fill("{a:short} and {b:short} {b:lies|lie}", {"a": 5818.3, "b": 1})
    '5,818 and 1 lies'
    """
    return _Formatter().vformat(text, (), values)


def say(row: str, part: str, **values: Any) -> str:
    """One part of a row of the table, filled in."""
    return fill(TABLE[row][part], values)


@dataclass(frozen=True)
class Finding(Printed):
    """Something that is wrong, in plain words.

    Attributes:
        name: what it is called, such as ``"collapsed-dimensions"``.
        severity: ``"fault"``: figures are wrong, or the model does not work; ``"warning"``: it
            works worse than it could; ``"note"``: worth knowing.
        sentence: what is wrong, with its number.
        number: the figure that shows it, in ``unit``, and its ``standard_error`` where it has one.
        remedy: what to do, in words; ``code`` says it as a command or in Python.
        further: other figures by name.
        measured: all that was measured, from which its picture is drawn.
    """

    name: str
    severity: Severity
    sentence: str
    number: float
    standard_error: float | None
    unit: str
    remedy: str
    code: str
    further: Mapping[str, float]
    measured: Mapping[str, Any] = field(repr=False, compare=False)

    @property
    def heading(self) -> str:
        """Its name, for a heading."""
        return TABLE[self.name].get("heading", self.name.replace("-", " ").capitalize())

    @property
    def figure(self) -> str:
        """Its number with the standard error and the unit, as text."""
        error = "" if self.standard_error is None else f" ± {self.standard_error:.2g}"
        return f"{self.number:.4g}{error} {self.unit}".replace("-", "−")

    def picture(self) -> Figure:
        """What it looks like."""
        from lowerbound.plots.diagnosis import PICTURES

        return PICTURES[self.name](self.measured)

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without what the picture is drawn from."""
        return {name: value for name, value in vars(self).items() if name != "measured"}

    def __str__(self) -> str:
        return f"{self.severity}: {self.sentence}\n  {self.remedy}\n    {self.code}"


class Findings(Printed, list[Finding]):
    """A list that prints, and shows in a notebook, as its findings do."""

    def __str__(self) -> str:
        return "\n".join(map(str, self)) or "nothing found"


def listed(find: Callable[P, list[Finding]]) -> Callable[P, list[Finding]]:
    """``find``, what it returns made `Findings`."""

    @functools.wraps(find)
    def findings(*args: P.args, **kwargs: P.kwargs) -> list[Finding]:
        return Findings(find(*args, **kwargs))

    return findings


@dataclass(frozen=True)
class Check:
    """A question asked of a model, the answer with its figure, and the finding if it is a bad one.

    ``answer`` says why where the question could not be asked, and the check was not ``made``.
    """

    name: str
    question: str
    answer: str
    finding: Finding | None = None
    made: bool = True

    @property
    def verdict(self) -> str:
        """The finding's severity, or "✓", or nothing where nothing was looked for."""
        if self.finding:
            return self.finding.severity
        return "✓" if self.made else ""

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the finding."""
        ok = self.finding is None if self.made else None
        return {"name": self.name, "question": self.question, "answer": self.answer, "ok": ok}


def worst_first(checks: Iterable[Check]) -> list[Finding]:
    """What they found: faults, then warnings, then notes."""
    found = (check.finding for check in checks if check.finding)
    return sorted(found, key=lambda finding: get_args(Severity).index(finding.severity))


class Measured:
    """What was measured, by name: all that words have fields for and pictures show.

    ``form`` is that of the finding, one of those in ``words.toml``, "" if it has one only, and None
    if nothing is wrong; ``answer`` is the part of the words that answers the question.
    """

    def __init__(self, form: str | None = None, answer: str = "answer", **values: Any) -> None:
        self.form, self.answer, self.values = form, answer, values


class NotChecked(Exception):
    """Nothing can be measured, and why: a key of ``[not-checked]`` in ``words.toml``."""

    def __init__(self, reason: str, **values: Any) -> None:
        super().__init__(say("not-checked", reason, **values))


def check(name: str, measure: Callable[[], Measured], **common: Any) -> Check:
    """A measurement in words; ``common`` are values that any of them may mention."""
    row = TABLE[name]
    try:
        outcome = measure()
    except NotChecked as reason:
        return Check(name, row["question"], str(reason), made=False)
    values = common | outcome.values
    finding = None if outcome.form is None else found(name, outcome.form, **values)
    question, answer = (fill(row[part], values) for part in ("question", outcome.answer))
    return Check(name, question, answer, finding)


def found(name: str, form: str = "", **values: Any) -> Finding:
    """What is wrong, in the words that its name and form have in ``words.toml``."""
    row = TABLE[name] | TABLE[name].get(form, {})
    further = {label: values[key] for label, key in row.get("further", {}).items() if key in values}
    number = values[row["number"]]
    said = {part: fill(row[part], values) for part in ("sentence", "unit", "remedy", "code")}
    return Finding(
        name=name,
        severity=row["severity"],
        number=getattr(number, "value", number),
        standard_error=getattr(number, "standard_error", None),
        further={k: getattr(v, "value", v) for k, v in values.get("further", further).items()},
        measured=values,
        **said,
    )
