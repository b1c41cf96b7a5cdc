"""Pages about a run, self-contained, with their pictures and numbers: its report, its diagnosis."""

from lowerbound.extras import needs

needs("matplotlib", "report")
needs("jinja2", "report")

from lowerbound.report.build import write_report
from lowerbound.report.diagnosis import write_diagnosis

__all__ = ["write_diagnosis", "write_report"]
