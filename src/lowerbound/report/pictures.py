"""The pictures of a report: a model and held-out data in, figures with captions out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure

from lowerbound import evaluation, plots
from lowerbound.data import Dataset
from lowerbound.evaluation.bounds import ACTIVE_VARIANCE
from lowerbound.priors import StandardNormal
from lowerbound.training import Record
from lowerbound.vae import VAE

RECONSTRUCTIONS = 20
SAMPLES = 60
DRAWS_PER_CLASS = 12
MANIFOLD_STEPS = 20
TRAVERSAL_STEPS = 11
TRAVERSED = 10


@dataclass(frozen=True)
class Picture:
    """A figure, the name of its file, its heading, and what it shows."""

    name: str
    heading: str
    caption: str
    figure: Figure


@dataclass(frozen=True)
class Subject:
    """What is pictured: a model in evaluation mode, its test data, and its figures on them."""

    model: VAE
    data: Dataset
    evaluation: dict[str, Any]
    history: list[Record]
    means: np.ndarray = field(repr=False)
    draws: np.ndarray = field(repr=False)

    @property
    def is_image(self) -> bool:
        return len(self.data.shape) == 3

    @property
    def unit(self) -> str:
        return f"nats per {'image' if self.is_image else 'row'}"

    @property
    def has_normal_prior(self) -> bool:
        """Whether p(z) = N(0, I), whatever the context: its circles and quantiles say something."""
        return isinstance(self.model.prior, StandardNormal)

    @property
    def kl(self) -> list[float] | None:
        """KL of each dimension, where it has one."""
        return self.evaluation["kl_per_dimension"]

    @property
    def score(self) -> list[float]:
        """What ranks the dimensions: their KL, or without one the variance of their mean."""
        return self.kl or self.evaluation["variance_per_dimension"]

    @property
    def ranked(self) -> list[int]:
        """Latent dimensions, the most active first."""
        return sorted(range(self.model.latent_dim), key=lambda i: -self.score[i])

    @property
    def value_range(self) -> tuple[float, float]:
        if self.data.kind in ("grey", "binary", "unit"):
            return 0.0, self.data.scale
        return float(self.data.x.min()), float(self.data.x.max())

    @property
    def label(self) -> int | None:
        """The class at which walks are decoded, in a conditional model."""
        return None if self.model.context is None else 0

    @property
    def at_label(self) -> str:
        """A clause for captions."""
        return "" if self.label is None else f" All are decoded as class {self.class_names[0]}."

    @property
    def class_names(self) -> list[str]:
        if self.data.labels is None:
            return []
        last = int(self.data.labels.max())
        return list(self.data.classes or map(str, range(last + 1)))

    @property
    def columns(self) -> list[str]:
        return list(self.data.columns or (f"x[{i}]" for i in range(self.data.shape[0])))

    def name_of(self, dimension: int) -> str:
        """A latent dimension with its score, for an axis."""
        score = self.score[dimension]
        return f"z[{dimension}], " + (
            f"KL {score:.2f} nats" if self.kl else f"variance of the mean {score:.2f}"
        )


def subject(model: VAE, data: Dataset, figures: dict[str, Any], history: list[Record]) -> Subject:
    """The subject, its data encoded as posterior means and as one draw from each posterior."""
    means, draws = (evaluation.embed(model, data, sample=s).numpy() for s in (False, True))
    return Subject(model, data, figures, history, means, draws)


def pictures(subject: Subject) -> Iterator[Picture]:
    """All the pictures that fit the subject.

    Walks along the quantiles of N(0, 1), and comparisons with it, are for models with that prior;
    the KL of each dimension for a posterior and a prior that factorise.
    """
    yield learning_curves(subject)
    yield reconstructions(subject) if subject.is_image else rebuilt_columns(subject)
    if not subject.is_image:
        yield generated_columns(subject)
    elif subject.model.context is None:
        yield samples(subject)
    else:
        yield class_samples(subject)
    if subject.model.latent_dim > 1:
        yield codes(subject)
    if subject.has_normal_prior:
        if subject.model.latent_dim > 1:
            yield aggregate_posterior(subject)
            if subject.is_image:
                yield manifold(subject)
        yield traversals(subject) if subject.is_image else table_traversals(subject)
    if subject.kl:
        yield kl_per_dimension(subject)
    if len(subject.evaluation["curve"] or ()) > 1:
        yield importance(subject)


def learning_curves(subject: Subject) -> Picture:
    history = [_without_copy(record) for record in subject.history]
    figure = plots.learning_curves(history, unit=subject.unit)
    caption = (
        "Each term of the objective after each epoch. Training figures are averages over the "
        "epoch, while the weights were changing; validation figures are taken at its end."
    )
    return Picture("curves", "Learning curves", caption, figure)


def _without_copy(record: Record) -> Record:
    """The record, less an objective that is the bound itself."""
    kept = dict(record)
    for split in ("train", "validation"):
        terms = record[split]
        if terms and terms["objective"] == terms.get("bound"):
            kept[split] = {name: value for name, value in terms.items() if name != "objective"}
    return kept


def reconstructions(subject: Subject) -> Picture:
    some = subject.data.take(RECONSTRUCTIONS)
    rebuilt = _reconstruct(subject.model, some)
    labels = None
    if some.labels is not None:
        labels = [subject.class_names[label] for label in some.labels.tolist()]
    figure = plots.reconstructions(
        {"original": some.x.numpy(), "reconstruction": rebuilt},
        labels=labels,
        value_range=subject.value_range,
    )
    caption = (
        f"The first {len(some)} test images, and below each the decoder's mean at the posterior's "
        "mean."
    )
    return Picture("reconstructions", "Reconstructions", caption, figure)


def rebuilt_columns(subject: Subject) -> Picture:
    some = subject.data.take(2000)
    figure = plots.scatter_reconstruction(
        some.x.float().numpy(), _reconstruct(subject.model, some), subject.columns
    )
    caption = "Test rows: each column as it is, and as the decoder's mean at the posterior's mean."
    return Picture("reconstructions", "Reconstructions", caption, figure)


def _reconstruct(model: VAE, data: Dataset) -> np.ndarray:
    return model.reconstruct(data.x, data.labels).cpu().numpy()


def samples(subject: Subject) -> Picture:
    images = subject.model.sample(SAMPLES, seed=0, mean=True).cpu().numpy()
    figure = plots.samples(images, columns=12, value_range=subject.value_range)
    caption = f"{SAMPLES} draws z ~ p(z) from the prior, each shown as the decoder's mean."
    return Picture("samples", "Samples", caption, figure)


def class_samples(subject: Subject) -> Picture:
    names = subject.class_names
    labels = torch.arange(len(names)).repeat_interleave(DRAWS_PER_CLASS)
    images = subject.model.sample(len(labels), labels, seed=0, mean=True).cpu()
    grid = images.unflatten(0, (len(names), DRAWS_PER_CLASS)).numpy()
    figure = plots.class_grid(grid, names, value_range=subject.value_range)
    caption = f"{DRAWS_PER_CLASS} draws z ~ p(z|c) for each class c, as the decoder's mean."
    return Picture("samples", "Samples of each class", caption, figure)


def generated_columns(subject: Subject) -> Picture:
    count = min(len(subject.data), 5000)
    labels = None
    if subject.model.context is not None and subject.data.labels is not None:
        labels = subject.data.labels[:count]
    drawn = subject.model.sample(count, labels, seed=0).cpu().numpy()
    figure = plots.marginals(subject.data.x.float().numpy(), drawn, subject.columns)
    caption = "Each column in the test data, and in rows x ~ p(x|z), z ~ p(z) from the model."
    return Picture("samples", "Samples", caption, figure)


def codes(subject: Subject) -> Picture:
    first, second = subject.ranked[:2]
    labels = None if subject.data.labels is None else subject.data.labels.numpy()
    figure = plots.latent_scatter(
        subject.means[:, [first, second]],
        labels,
        subject.class_names or None,
        x_name=subject.name_of(first),
        y_name=subject.name_of(second),
        prior=subject.has_normal_prior,
    )
    which = "The" if subject.model.latent_dim == 2 else "Its two most active dimensions: the"
    caption = f"{which} posterior's mean of each test example."
    return Picture("latent", "Latent space", caption, figure)


def aggregate_posterior(subject: Subject) -> Picture:
    first, second = subject.ranked[:2]
    figure = plots.latent_histogram(
        subject.draws[:, [first, second]],
        x_name=subject.name_of(first),
        y_name=subject.name_of(second),
    )
    caption = (
        "One draw z ~ q(z|x) for each test example. Where the prior is likely and no example is, "
        "samples are unlike the data."
    )
    return Picture("aggregate", "Aggregate posterior", caption, figure)


def manifold(subject: Subject) -> Picture:
    first, second = subject.ranked[:2]
    values = evaluation.normal_quantiles(MANIFOLD_STEPS, 0.02, 0.98)
    images = evaluation.manifold(subject.model, values, (first, second), subject.label).numpy()
    figure = plots.manifold(
        images,
        values.numpy(),
        values.numpy(),
        x_name=subject.name_of(first),
        y_name=subject.name_of(second),
        value_range=subject.value_range,
    )
    others = "" if subject.model.latent_dim == 2 else " The other dimensions are 0."
    caption = (
        f"The plane of the two most active dimensions, decoded at the prior's quantiles from 0.02 "
        f"to 0.98.{others}{subject.at_label}"
    )
    return Picture("manifold", "Decoded plane", caption, figure)


def traversals(subject: Subject) -> Picture:
    dimensions = subject.ranked[:TRAVERSED]
    values = evaluation.normal_quantiles(TRAVERSAL_STEPS, 0.02, 0.98)
    images = evaluation.traversals(subject.model, dimensions, values, subject.label)
    figure = plots.traversals(
        images.numpy(),
        values.numpy(),
        [f"z[{i}]" for i in dimensions],
        kl=np.array([subject.kl[i] for i in dimensions]) if subject.kl else None,
        value_range=subject.value_range,
    )
    caption = f"One dimension at a time, the others fixed.{subject.at_label}"
    return Picture("traversals", "Traversals", caption, figure)


def table_traversals(subject: Subject) -> Picture:
    dimensions = subject.ranked[:TRAVERSED]
    values = evaluation.normal_quantiles(TRAVERSAL_STEPS, 0.02, 0.98)
    rows = evaluation.traversals(subject.model, dimensions, values, subject.label)
    deviation = subject.data.x.float().std(0).numpy()
    figure = plots.profile_traversals(
        rows.numpy(),
        values.numpy(),
        [f"z[{i}]" for i in dimensions],
        subject.columns,
        np.where(deviation > 0, deviation, 1.0),
    )
    caption = (
        "One dimension at a time, the others fixed: the change of each column from the middle "
        f"step, in its standard deviations.{subject.at_label}"
    )
    return Picture("traversals", "Traversals", caption, figure)


def kl_per_dimension(subject: Subject) -> Picture:
    variance = np.array(subject.evaluation["variance_per_dimension"])
    figure = plots.kl_per_dimension(
        np.array(subject.evaluation["kl_per_dimension"]),
        active=variance > ACTIVE_VARIANCE,
        criterion=f"the variance of its mean > {ACTIVE_VARIANCE}",
        unit=subject.unit,
    )
    caption = (
        "Mean KL(q(z|x) ‖ p(z)) of each latent dimension over the test set. An inactive dimension "
        "says nothing about x."
    )
    return Picture("kl", "KL per dimension", caption, figure)


def importance(subject: Subject) -> Picture:
    points = subject.evaluation["curve"]
    name = "log (1/k) Σ w"
    figure = plots.curves(
        np.array([point["samples"] for point in points]),
        {name: np.array([point["bound"]["value"] for point in points])},
        errors={name: np.array([point["bound"]["standard_error"] for point in points])},
        xlabel="samples k",
        ylabel=subject.unit,
        title="Importance-weighted bound",
        logx=True,
    )
    worth = subject.evaluation["effective_samples"]
    caption = (
        "The bound on log p(x) from k draws z ~ q(z|x); k = 1 gives the ELBO. Where it still rises "
        f"at the right, log p(x) is higher. {points[-1]['samples']:,} draws are worth "
        f"{worth['median']:.1f} effective ones for the median example, and fewer than "
        f"{worth['limit']} for {worth['below']:.0%} of examples."
    )
    return Picture("importance", "Importance-weighted bound", caption, figure)
