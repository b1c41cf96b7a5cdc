"""What the quick checks of `diagnosis` find, for the top of a report."""

from __future__ import annotations

from dataclasses import dataclass

from lowerbound.diagnosis import CHECKS, FEWEST, Finding, examine, worst_first
from lowerbound.errors import ConfigurationError
from lowerbound.objectives import ELBO
from lowerbound.report.outcome import Outcome

SLOW = ("likelihood", "bound-gap")
"""Checks that train other models, or take a second and more."""


OF_TRAINING = "still-learning"
"""The check that needs no held-out examples."""


@dataclass(frozen=True)
class Warnings:
    """How many checks were made, what they found, and why most were not."""

    checks: int
    findings: list[Finding]
    refused: str = ""


def warnings(outcome: Outcome) -> Warnings:
    """The findings of the quick checks, the worst first."""
    objective = outcome.objective or ELBO()
    train, history = outcome.train, outcome.history
    told, refused = (train, history, objective), ""
    try:
        checks = examine(outcome.model, outcome.data, *told, leave_out=SLOW)
    except ConfigurationError as error:  # too few of them
        checks, refused = [], str(error)
        if train is not None and len(train) >= FEWEST:
            others = CHECKS.keys() - {OF_TRAINING}
            checks = examine(outcome.model, train, *told, leave_out=others)
    return Warnings(len(checks), worst_first(checks), refused)
