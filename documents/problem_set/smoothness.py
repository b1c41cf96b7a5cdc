"""Whether images change in step with their codes."""

from __future__ import annotations

import torch
from jaxtyping import Float
from scipy import stats
from torch import Tensor


def distance_agreement(codes: Float[Tensor, "n latent"], images: Float[Tensor, "n ..."]) -> float:
    """Spearman's rank correlation between the distances of codes and those of their images.

    Over all pairs, by Euclidean distance; 1 where codes further apart have images further apart.

    >>> z = torch.linspace(-2, 2, 7).unsqueeze(1)
    >>> round(distance_agreement(z, 3 * z), 6)
    1.0
    """
    between_codes, between_images = _distances(codes), _distances(images)
    return float(stats.spearmanr(between_codes, between_images).statistic)


def _distances(points: Tensor) -> Tensor:
    """Of all pairs, relative to the largest; rounded, so that the equal ones of a grid are ties."""
    distances = torch.pdist(points.flatten(1).double())
    return (distances / distances.max()).round(decimals=6)
