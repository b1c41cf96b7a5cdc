"""How far features of an example lie from those of training examples."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

Features = Float[Tensor, "n features"]
Reference = Float[Tensor, "m features"]
Scores = Float[Tensor, " n"]


def mahalanobis(features: Features, reference: Reference) -> Scores:
    """√((f − μ)ᵀ Σ⁻¹ (f − μ)), with mean and covariance of the reference's features.

    Directions in which these do not vary are left out.

    Args:
        features: of the examples.
        reference: of training examples, at least two.
    """
    centre, scale = reference.mean(0), reference.std(0)
    scale = torch.where(scale > 0, scale, 1.0)
    precision = torch.linalg.pinv(torch.atleast_2d(((reference - centre) / scale).T.cov()))
    distance = (features - centre) / scale
    return ((distance @ precision) * distance).sum(1).clamp(min=0).sqrt()


def ecod(features: Features, reference: Reference) -> Scores:
    """max over tails of −Σⱼ log P(tail of fⱼ), by the reference's empirical distributions.

    Tails are the left ones, the right ones, or for each feature the longer one, by its skewness.
    The probability of a tail counts the example itself in: (1 + #{reference beyond it})/(1 + m).

    Args:
        features: of the examples.
        reference: of training examples.

    Source: Li et al., ECOD: unsupervised outlier detection using empirical cumulative distribution
    functions, 2022, arXiv 2201.00382.
    """
    m = len(reference)
    ordered, sought = reference.T.contiguous().sort().values, features.T.contiguous()
    below = torch.searchsorted(ordered, sought, side="right").T
    above = m - torch.searchsorted(ordered, sought, side="left").T
    left, right = (-((1.0 + count) / (1 + m)).double().log() for count in (below, above))
    skewness = ((reference - reference.mean(0)) ** 3).mean(0)
    longer = torch.where(skewness < 0, left, right)
    return torch.stack([tails.sum(1) for tails in (left, right, longer)]).amax(0)
