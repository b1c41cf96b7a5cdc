"""Telling data of another kind: a score of each example, and how rare it is among inliers.

A score is a function of what is measured of the examples and of training examples, `Measures`
both; higher is stranger, for all.  `SCORES` has them by the names that `detect` and the command
line take.
"""

from lowerbound.outliers.columns import ColumnScore, column_costs, column_scores, explains
from lowerbound.outliers.detection import Calibration, Detection, chosen, conformal, detect
from lowerbound.outliers.draws import disagreement, entropy, expected_likelihood, std, waic
from lowerbound.outliers.explanation import Costs, explain
from lowerbound.outliers.features import ecod, mahalanobis
from lowerbound.outliers.measures import Measures
from lowerbound.outliers.scores import SCORES, TRIVIAL, default
from lowerbound.outliers.separation import Interval, Separation, auroc, separation

__all__ = [
    "SCORES",
    "TRIVIAL",
    "Calibration",
    "ColumnScore",
    "Costs",
    "Detection",
    "Interval",
    "Measures",
    "Separation",
    "auroc",
    "chosen",
    "column_costs",
    "column_scores",
    "conformal",
    "default",
    "detect",
    "disagreement",
    "ecod",
    "entropy",
    "expected_likelihood",
    "explain",
    "explains",
    "mahalanobis",
    "separation",
    "std",
    "waic",
]
