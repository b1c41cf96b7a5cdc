"""Objectives: per-example terms in nats, to be maximised.

An objective is called with a model, prepared x (and context), and the time in epochs, and reads its
`Terms` from draws z ~ q(z|x).
"""

from lowerbound.objectives.bounds import (
    ELBO,
    IWAE,
    TCVAE,
    InfoVAE,
    Objective,
    Reconstruction,
    Renyi,
    Terms,
    aggregate_log_densities,
)
from lowerbound.objectives.trimmed import Trimmed

__all__ = [
    "ELBO",
    "IWAE",
    "TCVAE",
    "InfoVAE",
    "Objective",
    "Reconstruction",
    "Renyi",
    "Terms",
    "Trimmed",
    "aggregate_log_densities",
]
