"""All checks of a model on its data."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lowerbound.data import Dataset, from_arrays
from lowerbound.diagnosis import bounds, collapse, encoder, holes, likelihood, noise, shapes
from lowerbound.diagnosis.finding import Check, Finding
from lowerbound.diagnosis.subject import Subject
from lowerbound.errors import ConfigurationError
from lowerbound.evaluation.bounds import judging
from lowerbound.objectives import ELBO, Objective
from lowerbound.training import Record
from lowerbound.vae import VAE

FEWEST = 20
"""Held-out examples below which no standard error can be relied on."""

OF_A_BOUND: tuple[Callable[[Subject], Check], ...] = (
    noise.decoder_noise,
    likelihood.likelihood_fit,
    encoder.clipped_heads,
    encoder.kl_weight,
    encoder.stated_variance,
    bounds.bound_gap,
    bounds.importance_samples,
    bounds.overfitting,
)
"""Checks that an autoencoder has no answer to: it has no bound, its σ weighs nothing, and its codes
are points."""

OF_ANY: tuple[Callable[[Subject], Check], ...] = (
    collapse.collapsed_dimensions,
    collapse.vanishing_kl,
    holes.holes,
)


def diagnose(
    model: VAE,
    data: Dataset | Tensor,
    train: Dataset | Tensor | None = None,
    history: Sequence[Record] = (),
    objective: Objective = ELBO(),
    *,
    seed: int = 0,
) -> list[Finding]:
    """What is wrong with ``model``, judged on held-out ``data``; an empty list if nothing is.

    ``train`` is what the model was trained on, ``history`` what `fit` returned and ``objective``
    what it was given.  Without the training data the encoder, overfitting and other likelihoods are
    not looked into.  Most checks draw 2,000 examples of each.  The model and torch's generators
    are left as they were.

    Raises:
        ConfigurationError: fewer than 20 examples.
        ShapeError: the model takes another shape of x.
    """
    checks = examine(model, data, train, history, objective, seed=seed)
    return [check.finding for check in checks if check.finding]


def examine(
    model: VAE,
    data: Dataset | Tensor,
    train: Dataset | Tensor | None = None,
    history: Sequence[Record] = (),
    objective: Objective = ELBO(),
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[Check]:
    """Every check that `diagnose` makes, with its answer, those that found nothing too."""
    test = _dataset(data, "held-out")
    known = None if train is None else _dataset(train, "training")
    with judging(model, seed) as device:
        first = shapes.runs(model, test, device)
        if first.finding:
            return [first]
        subject = Subject(model, test, known, history, objective, device, seed)
        chosen = OF_ANY if subject.is_autoencoder else (*OF_ANY, *OF_A_BOUND)
        checks = [first]
        for check in chosen:
            torch.manual_seed(seed)
            checks.append(check(subject))
            progress(len(checks), len(chosen) + 1)
    return checks


def _dataset(data: Dataset | Tensor, which: str) -> Dataset:
    if len(data) < FEWEST:
        raise ConfigurationError(
            f"expected at least {FEWEST} {which} examples to diagnose a model, got {len(data)}"
        )
    return data if isinstance(data, Dataset) else from_arrays(data)
