"""All checks of a model on its data."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import partial

from torch import Tensor

from lowerbound.context import Known, Labels
from lowerbound.data import Dataset, from_arrays
from lowerbound.diagnosis.bounds import bound_gap, importance_samples, overfitting, still_learning
from lowerbound.diagnosis.codes import collapsed_dimensions, holes, vanishing_kl
from lowerbound.diagnosis.columns import few_values, heavy_tails, ignored_columns, inflated_values
from lowerbound.diagnosis.copies import duplicate_columns, label_columns, repeated_rows
from lowerbound.diagnosis.encoder import clipped_heads, kl_formula, kl_weight, stated_variance
from lowerbound.diagnosis.finding import Check, Finding, Measured, check, listed
from lowerbound.diagnosis.held_out import far_rows, labels, other_data
from lowerbound.diagnosis.likelihood import decoder_noise, likelihood_fit, reconstruction
from lowerbound.diagnosis.shapes import runs
from lowerbound.diagnosis.thresholds import FEWEST
from lowerbound.diagnosis.trained import TrainedModel
from lowerbound.errors import ConfigurationError, ShapeError
from lowerbound.evaluation.walk import Progress, judging
from lowerbound.objectives import ELBO, Objective
from lowerbound.streams import Stream, seed_noise
from lowerbound.training import Record
from lowerbound.vae import VAE

CHECKS: dict[str, Callable[[TrainedModel], Measured]] = {
    "shapes": runs,
    "other-data": other_data,
    "repeated-rows": repeated_rows,
    "labels": labels,
    "label-columns": label_columns,
    "duplicate-columns": duplicate_columns,
    "few-values": few_values,
    "inflated-values": inflated_values,
    "heavy-tails": heavy_tails,
    "collapsed-dimensions": collapsed_dimensions,
    "vanishing-kl": vanishing_kl,
    "holes": holes,
    "decoder-noise": decoder_noise,
    "likelihood": likelihood_fit,
    "reconstruction": reconstruction,
    "ignored-columns": ignored_columns,
    "clipped-heads": clipped_heads,
    "kl-weight": kl_weight,
    "stated-variance": stated_variance,
    "kl-formula": kl_formula,
    "bound-gap": bound_gap,
    "importance-samples": importance_samples,
    "overfitting": overfitting,
    "still-learning": still_learning,
    "far-rows": far_rows,
}

OF_CODES = (
    "shapes",
    "other-data",
    "repeated-rows",
    "label-columns",
    "duplicate-columns",
    "reconstruction",
    "collapsed-dimensions",
    "vanishing-kl",
    "holes",
    "far-rows",
)
"""All that an autoencoder has an answer to: it has no bound, its σ weights nothing, and its codes
are points."""


@listed
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

    Most checks draw 2,000 examples of each data set.  The model and torch's generators are left as
    they were.

    Args:
        model: any, trained or not.
        data: examples that it was not trained on, at least 20.
        train: what it was trained on; without it the encoder, overfitting and other likelihoods
            are not looked into.
        history: what `fit` returned.
        objective: what `fit` was given.
        seed: of the examples drawn and of all noise.

    Raises:
        ConfigurationError: fewer than 20 examples, or none of the labels that the model takes.
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
    leave_out: Collection[str] = (),
    progress: Progress = lambda done, total: None,
) -> list[Check]:
    """Every check that `diagnose` makes, with its answer, those that found nothing too.

    Not those that ``leave_out`` names.
    """
    test = _taken(model, data, "held-out")
    known = None if train is None else _taken(model, train, "training")
    if known is not None and known.classes is not None and model.takes_labels:
        test = Labels(known.classes).expect(test)  # also of a context that knows no names
    with judging(model, seed, Stream.DIAGNOSE) as device:
        trained = TrainedModel(model, test, known, history, objective, device, seed)
        checks = [checked("shapes", trained)]
        if checks[0].finding:
            return checks
        every = OF_CODES if trained.is_autoencoder else tuple(CHECKS)
        chosen = [name for name in every[1:] if name not in leave_out]
        for name in chosen:
            seed_noise(device, seed, Stream.DIAGNOSE, every.index(name))
            checks.append(checked(name, trained))
            progress(len(checks), 1 + len(chosen))
    return checks


def checked(name: str, trained: TrainedModel) -> Check:
    """One check of a model."""
    measure = partial(CHECKS[name], trained)
    return check(name, measure, example=trained.example, nats=trained.nats)


def _taken(model: VAE, data: Dataset | Tensor, which: str) -> Dataset:
    """The data as the model takes them; others are no finding, but the user's mistake."""
    if len(data) < FEWEST:
        raise ConfigurationError(
            f"expected at least {FEWEST} {which} examples to diagnose a model, got {len(data)}"
        )
    taken = model.by_name(data if isinstance(data, Dataset) else from_arrays(data))
    if taken.shape != tuple(model.shape):
        raise ShapeError(
            f"expected {which} examples of shape {tuple(model.shape)}, as the model was trained "
            f"on, got {taken.summary()}"
        )
    if taken.context is None or isinstance(model.context, Known):
        model.features(taken.context)
    return taken
