"""The report: a run as one self-contained page, its pictures, and their numbers."""

from lowerbound.report.build import write_report

__all__ = ["write_report"]
