"""Scores by how draws θ₁ … θ_M of a model's weights differ about an example.

Each is a function of log p(x|θ_m), (M, n), nats, and higher where x is stranger, (n,).

Source: Daxberger & Hernández-Lobato, Bayesian variational autoencoders for unsupervised
out-of-distribution detection, 2019, arXiv 1912.05651.
"""

from __future__ import annotations

import math

from jaxtyping import Float
from torch import Tensor

Draws = Float[Tensor, "M n"]
Scores = Float[Tensor, " n"]


def expected_likelihood(log_likelihoods: Draws) -> Scores:
    """−log (1/M) Σ p(x|θ_m) from ``log_likelihoods``: the cost by the posterior predictive.

    It fails as a single model's likelihood does: simple x are cheap, whatever they are.
    """
    return math.log(len(log_likelihoods)) - log_likelihoods.logsumexp(0)


def waic(log_likelihoods: Draws) -> Scores:
    """Var log p(x|θ) − E log p(x|θ) of the ``log_likelihoods``: their variance, and the cost.

    It adds nats to their squares, and the larger of the two decides.

    Source: Choi, Jang & Alemi, WAIC, but why?, 2018, arXiv 1810.01392.
    """
    return log_likelihoods.var(0) - log_likelihoods.mean(0)


def disagreement(log_likelihoods: Draws) -> Scores:
    """−1/Σ w²: minus the number of draws that x agrees with, −M to −1.

    w = softmax log p(x|θ_m), of the ``log_likelihoods``.

    An x that a few weights explain far better than all others is strange.
    """
    return -1 / log_likelihoods.softmax(0).square().sum(0)


def entropy(log_likelihoods: Draws) -> Scores:
    """Σ w log w: minus the entropy of the weights, −log M to 0.

    w = softmax log p(x|θ_m), of the ``log_likelihoods``.

    As `disagreement`, with less weight on the largest.

    Source: Glazunov & Zarras, Do Bayesian variational autoencoders know what they don't know?,
    2022.
    """
    w = log_likelihoods.softmax(0)
    return w.xlogy(w).sum(0)


def std(log_likelihoods: Draws) -> Scores:
    """The standard deviation of the ``log_likelihoods`` over draws, nats.

    It does not end where one draw has all the weight, as `disagreement` and `entropy` do.

    Source: as of `entropy`.
    """
    return log_likelihoods.std(0)
