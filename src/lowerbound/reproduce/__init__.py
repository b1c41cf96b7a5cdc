"""Every system of the course documents, on the documents' data, its figures beside theirs."""

from lowerbound.reproduce import (
    assignment,
    autoencoders,
    homework3,
    lab11,
    linear_models,
    papers,
    problem_set,
    slides,
    theory,
    uses,
)
from lowerbound.reproduce.run import line, reproduce, results
from lowerbound.reproduce.system import DOCUMENTS, SYSTEMS, System, chosen, order

__all__ = [
    "DOCUMENTS",
    "SYSTEMS",
    "System",
    "assignment",
    "autoencoders",
    "chosen",
    "homework3",
    "lab11",
    "line",
    "linear_models",
    "order",
    "papers",
    "problem_set",
    "reproduce",
    "results",
    "slides",
    "theory",
    "uses",
]
