"""Every system of the course documents, on the documents' data, its figures beside theirs."""

from lowerbound.reproduce import assignment, homework3, lab11, problem_set, slides, uses
from lowerbound.reproduce.run import line, reproduce, results
from lowerbound.reproduce.system import DOCUMENTS, SYSTEMS, System, chosen, order

__all__ = [
    "DOCUMENTS",
    "SYSTEMS",
    "System",
    "assignment",
    "chosen",
    "homework3",
    "lab11",
    "line",
    "order",
    "problem_set",
    "reproduce",
    "results",
    "slides",
    "uses",
]
