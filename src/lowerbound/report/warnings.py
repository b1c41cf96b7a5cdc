"""What the quick checks of `diagnosis` find, for the top of a report."""

from __future__ import annotations

from dataclasses import dataclass

from lowerbound.diagnosis import Finding, examine, worst_first
from lowerbound.errors import ConfigurationError
from lowerbound.objectives import ELBO
from lowerbound.report.outcome import Outcome

SLOW = ("likelihood", "bound-gap")
"""Checks that train other models, or take a second and more."""


@dataclass(frozen=True)
class Warnings:
    """How many checks were made, what they found, and why there are none."""

    checks: int
    findings: list[Finding]
    refused: str = ""


def warnings(outcome: Outcome) -> Warnings:
    """The findings of the quick checks, the worst first."""
    objective = outcome.objective or ELBO()
    train, history = outcome.train, outcome.history
    try:
        checks = examine(outcome.model, outcome.data, train, history, objective, leave_out=SLOW)
    except ConfigurationError as error:
        return Warnings(0, [], str(error))
    return Warnings(len(checks), worst_first(checks))
