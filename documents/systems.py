"""All systems: each document's register when they are imported."""

from documents import assignment, homework3, lab11, papers, problem_set, slides
from documents.bench.run import reproduce, results
from documents.bench.system import DOCUMENTS, SYSTEMS, System, chosen

__all__ = [
    "DOCUMENTS",
    "SYSTEMS",
    "System",
    "assignment",
    "chosen",
    "homework3",
    "lab11",
    "papers",
    "problem_set",
    "reproduce",
    "results",
    "slides",
]
