"""Pictures of the latent space: where the data lie, and what is decoded along it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from lowerbound import evaluation, plots
from lowerbound.report.outcome import Outcome

PAIRED = 4
MARGINALS = 12
MANIFOLD_STEPS = 20
TRAVERSAL_STEPS = 11
TRAVERSED = 10
CLASSES = 20
ENDS = 0.02, 0.98


def plane(outcome: Outcome) -> Figure:
    """Two dimensions, which are the whole space."""
    first, second = outcome.ranked[:2]
    return plots.latent_scatter(
        outcome.means[:, [first, second]],
        outcome.labels,
        outcome.class_names or None,
        x_name=outcome.named(first),
        y_name=outcome.named(second),
        prior=behind(outcome, np.eye(2)[[first, second]]),
    )


def components(outcome: Outcome) -> Figure:
    """The plane that holds most of the codes' variance.

    Its axes are orthonormal and run through 0, so that N(0, I) is N(0, I) in it too.
    """
    axes, shares = principal_components(outcome.means)
    x_name, y_name = (
        f"component {i}, {share:.0%} of variance" for i, share in enumerate(shares, 1)
    )
    return plots.latent_scatter(
        outcome.means @ axes.T,
        outcome.labels,
        outcome.class_names or None,
        x_name=x_name,
        y_name=y_name,
        prior=behind(outcome, axes),
    )


def principal_components(means: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The two directions (2, latent) along which codes vary most, and their shares of variance."""
    centred = means.astype(np.float64) - means.mean(0, dtype=np.float64)
    variances, directions = np.linalg.eigh(centred.T @ centred)
    total = max(variances.sum(), np.finfo(float).tiny)
    return directions[:, :-3:-1].T, variances[:-3:-1] / total


def pairs(outcome: Outcome) -> Figure:
    """The most active dimensions, each against each."""
    dimensions = outcome.ranked[:PAIRED]
    names = [outcome.named(i) for i in dimensions]
    prior = behind(outcome, np.eye(outcome.latent_dim)[dimensions])
    return plots.latent_pairs(outcome.means[:, dimensions], names, outcome.labels, prior=prior)


def behind(outcome: Outcome, axes: np.ndarray) -> bool | np.ndarray:
    """What is drawn behind codes that are projected on ``axes`` (k, latent)."""
    prior = outcome.prior
    return prior if isinstance(prior, bool) else prior @ axes.T


def aggregate_plane(outcome: Outcome) -> Figure:
    """Draws from the aggregate posterior in a space of two dimensions."""
    first, second = outcome.ranked[:2]
    x_name, y_name = outcome.named(first), outcome.named(second)
    return plots.latent_histogram(outcome.draws[:, [first, second]], x_name=x_name, y_name=y_name)


def aggregate_marginals(outcome: Outcome) -> Figure:
    """Draws from the aggregate posterior in each of the most active dimensions."""
    dimensions = outcome.ranked[:MARGINALS]
    names = [f"z[{i}]" for i in dimensions]
    return plots.latent_marginals(outcome.draws[:, dimensions], names)


def steps(outcome: Outcome, dimension: int, count: int) -> torch.Tensor:
    """Where a walk along a dimension steps: at quantiles of N(0, 1), else of the codes."""
    if outcome.has_normal_prior:
        return evaluation.normal_quantiles(count, *ENDS)
    levels = np.linspace(*ENDS, count)
    return torch.from_numpy(np.quantile(outcome.means[:, dimension].astype(np.float64), levels))


def base(outcome: Outcome) -> torch.Tensor:
    """What the other dimensions are on a walk: 0 under N(0, I), else the codes' medians."""
    if outcome.has_normal_prior:
        return torch.zeros(outcome.latent_dim, dtype=torch.float64)
    return torch.from_numpy(np.median(outcome.means.astype(np.float64), axis=0))


def manifold(outcome: Outcome) -> Figure:
    """The plane of a space of two dimensions, decoded."""
    first, second = outcome.ranked[:2]
    across, up = (steps(outcome, i, MANIFOLD_STEPS) for i in (first, second))
    return plots.manifold(
        evaluation.manifold(outcome.model, (across, up), (first, second), outcome.of_all).numpy(),
        across.numpy(),
        up.numpy(),
        x_name=outcome.named(first),
        y_name=outcome.named(second),
        value_range=outcome.value_range,
    )


def traversals(outcome: Outcome) -> Figure:
    """A walk along each of the most active dimensions."""
    dimensions = outcome.ranked[:TRAVERSED]
    names = [outcome.named(i) if outcome.is_image else f"z[{i}]" for i in dimensions]
    return walks(outcome, names, dimensions, [outcome.of_all])


def class_traversals(outcome: Outcome) -> Figure:
    """A walk along the most active dimension in each class."""
    names = outcome.class_names[:CLASSES]
    return walks(outcome, names, outcome.ranked[:1], list(range(len(names))))


def walks(
    outcome: Outcome, names: list[str], dimensions: list[int], labels: Sequence[Any]
) -> Figure:
    """A row of images, or a panel of columns, for each dimension in each class."""
    values = torch.stack([steps(outcome, i, TRAVERSAL_STEPS) for i in dimensions])
    at = base(outcome)
    decoded = np.concatenate(
        [evaluation.traversals(outcome.model, dimensions, values, label, at) for label in labels]
    )
    levels = [f"{level:.0%}" for level in np.linspace(*ENDS, TRAVERSAL_STEPS)]
    if outcome.is_image:
        return plots.image_grid(
            decoded, row_labels=names, column_labels=levels, value_range=outcome.value_range
        )
    deviation = np.nanstd(outcome.data.x.double().numpy(), axis=0)
    scale = np.where(deviation > 0, deviation, 1.0)
    return plots.profile_traversals(decoded, levels, names, outcome.columns, scale)
