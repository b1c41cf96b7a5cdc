"""How well a score tells outliers from inliers, where it is known which are which."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from lowerbound.errors import DataError
from lowerbound.streams import Stream, generator

TRUE_POSITIVES = 0.8
ELEMENTS = 2**20


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

    def figures(times: Tensor) -> Tensor:
        """AUROC, AUPRC and FPR80, (…, 3), of examples that count so many ``times``, (…, n)."""
        weights = times[:, order]
        true = (weights * is_outlier).cumsum(1)[:, last]
        false = (weights * (1 - is_outlier)).cumsum(1)[:, last]
        tpr, fpr = (F.pad(n / n[:, -1:], (1, 0)) for n in (true, false))
        precision = true / (true + false).clamp(min=1)
        # 4 of 5 are 80 %, to rounding.
        found = torch.searchsorted(tpr, tpr.new_full((len(tpr), 1), TRUE_POSITIVES - 1e-9))
        areas = (torch.trapezoid(tpr, fpr), (tpr.diff() * precision).sum(1))
        return torch.stack((*areas, fpr.gather(1, found)[:, 0]), 1)

    def resampled(n: int) -> Tensor:
        """How many times each example is drawn, in ``n`` bootstrap samples."""
        return torch.cat([_counts(n, len(of), noise) for of in (inliers, outliers)], 1)

    whole = figures(torch.ones(1, len(scores), dtype=torch.float64))
    size = max(1, ELEMENTS // len(scores))
    sizes = [min(size, resamples - done) for done in range(0, resamples, size)]
    each = torch.cat([figures(resampled(n)) for n in sizes] or [whole])
    low, high = each.quantile(torch.tensor([0.025, 0.975], dtype=torch.float64), 0).tolist()
    return Separation(*map(Interval, whole[0].tolist(), low, high))


def _counts(resamples: int, n: int, noise: torch.Generator) -> Tensor:
    """How many times each of ``n`` is drawn in as many draws, (resamples, n)."""
    drawn = torch.randint(n, (resamples, n), generator=noise)
    ones = torch.ones(resamples, n, dtype=torch.float64)
    return torch.zeros_like(ones).scatter_add_(1, drawn, ones)
