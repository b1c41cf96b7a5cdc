"""Pictures of bounds: of each dimension, over the draws k, and of each example."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from lowerbound import plots
from lowerbound.evaluation.bounds import ACTIVE_VARIANCE
from lowerbound.plots.columns import FEW
from lowerbound.report.outcome import Outcome


def kl_per_dimension(outcome: Outcome) -> Figure:
    """Which dimensions are used."""
    return plots.kl_per_dimension(
        np.array(outcome.kl),
        active=np.array(outcome.evaluation.variance_per_dimension) > ACTIVE_VARIANCE,
        criterion=f"the variance of its mean > {ACTIVE_VARIANCE}",
        unit=outcome.unit,
    )


def importance(outcome: Outcome) -> Figure:
    """The importance-weighted bound over k."""
    name = "log (1/k) Σ w"
    curve = outcome.evaluation.curve or []
    return plots.curves(
        np.array([point.samples for point in curve]),
        {name: np.array([point.bound.value for point in curve])},
        errors={name: np.array([point.bound.standard_error for point in curve])},
        xlabel="samples k",
        ylabel=outcome.unit,
        logx=True,
    )


def scores(outcome: Outcome) -> Figure:
    """How good each example's bound is."""
    panels = {f"{outcome.score} of each example": finite_scores(outcome)}
    return plots.score_histograms(panels, xlabel=outcome.unit)


def finite_scores(outcome: Outcome) -> dict[str, np.ndarray]:
    """Those of test and training examples that are finite."""
    sets = {"test": outcome.scores, "training": outcome.train_scores}
    return {name: found[np.isfinite(found)] for name, found in sets.items() if found is not None}


def beyond(s: Outcome) -> str:
    """Where a histogram of scores puts the furthest; fewer scores are dots."""
    is_histogram = min(map(len, finite_scores(s).values())) >= FEW
    return "; the outermost bins hold all that lies beyond" if is_histogram else ""
