"""Means over examples with their standard errors, of which all results are made."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor

from lowerbound.notebooks import Printed

LARGE = 1e9


@dataclass(frozen=True)
class Estimate:
    """A mean over examples, ``value``, and its ``standard_error``, of the choice of examples.

    >>> f"{Estimate(-98.7654, 0.25):>8.2f} nats"
    '  -98.77 ± 0.25 nats'
    >>> f"{Estimate(-0.001, 0.002):.2f}, {Estimate(-2e30, 1e29):.2f}"
    '0.00 ± 0.00, -2.000e+30 ± 1.000e+29'
    """

    value: float
    standard_error: float

    def scaled(self, factor: float, offset: float = 0.0) -> Estimate:
        """factor × (this + offset)."""
        return Estimate(factor * (self.value + offset), abs(factor) * self.standard_error)

    def __format__(self, spec: str) -> str:
        width, _, digits = (spec or ".2f").rpartition(".")
        digits, value = "3e" if abs(self.value) >= LARGE else digits, self.value
        if digits.endswith("f"):
            value = round(value, int(digits[:-1])) + 0.0  # −0.00 is 0.00
        return f"{value:{width}.{digits}} ± {self.standard_error:.{digits}}"


@dataclass(frozen=True)
class Between:
    """What lies, in expectation, between two estimates, ``lower`` and ``upper``."""

    lower: Estimate
    upper: Estimate


@dataclass(frozen=True)
class Figures(Printed):
    """What results have in common."""

    def as_dict(self) -> dict[str, Any]:
        """For JSON, without the examples one by one."""
        return {k: v for k, v in asdict(self).items() if not isinstance(v, Tensor)}


def estimate(values: Tensor) -> Estimate:
    """The mean of ``values``, (n,), and its standard error."""
    values = values.double()
    return Estimate(values.mean().item(), values.std().item() / len(values) ** 0.5)
