"""How well a score tells outliers from inliers, where it is known which are which."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.errors import DataError
from lowerbound.streams import Stream, generator

TRUE_POSITIVES = 0.8


@dataclass(frozen=True)
class Interval:
    """A figure of the examples at hand, and where 95 % of its bootstrap samples lie.

    Attributes:
        value: of the examples at hand.
        low: the 2.5 % quantile of the bootstrap samples.
        high: the 97.5 % quantile.

    >>> f"{Interval(0.9, 0.85, 0.92)}"
    '0.900 (0.850–0.920)'
    """

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f}–{self.high:.3f})"


@dataclass(frozen=True)
class Separation:
    """Figures of a score, outliers being what is sought.

    Attributes:
        auroc: P(score of an outlier > that of an inlier) + ½ P(equal); ½ by chance.
        auprc: the average precision; by chance the share of outliers.
        fpr80: the share of inliers that are taken for outliers where 80 % of these are found.
    """

    auroc: Interval
    auprc: Interval
    fpr80: Interval


def auroc(inliers: Float[Tensor, " n"], outliers: Float[Tensor, " m"]) -> float:
    """P(score of an outlier > score of an inlier) + ½ P(equal): the area under the ROC curve.

    Args:
        inliers: the scores of the examples that belong, higher where they look stranger.
        outliers: the scores of those that do not.

    >>> auroc(torch.tensor([0.0, 1.0]), torch.tensor([1.0, 2.0]))
    0.875

    Raises:
        DataError: scores that are not finite, or none.
    """
    return separation(inliers, outliers, resamples=0).auroc.value


def separation(
    inliers: Float[Tensor, " n"],
    outliers: Float[Tensor, " m"],
    *,
    resamples: int = 200,
    seed: int = 0,
) -> Separation:
    """Figures of the scores of ``inliers`` and ``outliers``, with bootstrap intervals.

    Args:
        inliers: the scores of the examples that belong, higher where they look stranger.
        outliers: the scores of those that do not.
        resamples: bootstrap samples, each of as many inliers and outliers as there are; of none,
            intervals have no width.
        seed: of their choice.

    Raises:
        DataError: scores that are not finite, or none.
    """
    for scores in (inliers, outliers):
        if not len(scores) or not scores.isfinite().all():
            raise DataError(f"expected finite scores, got {scores}")
    scores, order = torch.cat((inliers, outliers)).sort(descending=True)
    is_outlier = (order >= len(inliers)).double()
    # The last of those of an equal score: thresholds lie between these.
    last = torch.cat((scores.diff() != 0, torch.ones(1, dtype=torch.bool)))
    noise = generator(seed, Stream.SUBSET)

    def figures(times: Tensor) -> tuple[float, float, float]:
        weights = times[order]
        true = (weights * is_outlier).cumsum(0)[last]
        false = (weights * (1 - is_outlier)).cumsum(0)[last]
        tpr, fpr = (torch.cat((true.new_zeros(1), n / n[-1])) for n in (true, false))
        precision = true / (true + false).clamp(min=1)
        found = torch.searchsorted(tpr, TRUE_POSITIVES - 1e-9)  # 4 of 5 are 80 %, to rounding
        return (
            torch.trapezoid(tpr, fpr).item(),
            (tpr.diff() * precision).sum().item(),
            fpr[found].item(),
        )

    def resampled() -> Tensor:
        """How many times each example is drawn."""
        drawn = (
            torch.randint(len(of), (len(of),), generator=noise).bincount(minlength=len(of))
            for of in (inliers, outliers)
        )
        return torch.cat(tuple(drawn)).double()

    whole = figures(torch.ones_like(is_outlier))
    each = np.array([figures(resampled()) for _ in range(resamples)] or [whole])
    low, high = np.quantile(each, (0.025, 0.975), axis=0).tolist()
    return Separation(*map(Interval, whole, low, high))
