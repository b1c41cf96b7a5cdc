"""Diagnosis: what is wrong with a model, with its number, its picture and what to do."""

from lowerbound.diagnosis.diagnose import CHECKS, diagnose, examine
from lowerbound.diagnosis.draws import diagnose_draws
from lowerbound.diagnosis.finding import Check, Finding, Severity, worst_first
from lowerbound.diagnosis.loss import diagnose_kl, diagnose_loss
from lowerbound.diagnosis.thresholds import FEWEST
from lowerbound.diagnosis.trained import EXAMPLES

__all__ = [
    "CHECKS",
    "EXAMPLES",
    "FEWEST",
    "Check",
    "Finding",
    "Severity",
    "diagnose",
    "diagnose_draws",
    "diagnose_kl",
    "diagnose_loss",
    "examine",
    "worst_first",
]
