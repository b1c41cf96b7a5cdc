"""Diagnosis: what is wrong with a model, with its number, its picture and what to do."""

from lowerbound.diagnosis.diagnose import diagnose, examine
from lowerbound.diagnosis.finding import Check, Finding

__all__ = ["Check", "Finding", "diagnose", "examine"]
