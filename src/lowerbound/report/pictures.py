"""The pictures of a report: a model and held-out data in, figures with captions out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

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
ROWS = 2000
SAMPLES = 60
DRAWS_PER_CLASS = 12
MANIFOLD_STEPS = 20
TRAVERSAL_STEPS = 11
TRAVERSED = 10


@dataclass(frozen=True)
class Outcome:
    """What a run came to: a model in evaluation mode, its test data, and its figures on them."""

    model: VAE
    data: Dataset
    evaluation: dict[str, Any]
    history: list[Record]
    means: np.ndarray = field(repr=False)
    draws: np.ndarray = field(repr=False)

    @property
    def is_image(self) -> bool:
        """Whether examples are images, not rows of a table."""
        return len(self.data.shape) == 3

    @property
    def has_plane(self) -> bool:
        """Whether two latent dimensions span one."""
        return self.model.latent_dim > 1

    @property
    def has_normal_prior(self) -> bool:
        """Whether p(z) = N(0, I), whatever the context: its circles and quantiles say something."""
        return isinstance(self.model.prior, StandardNormal)

    @property
    def kl(self) -> list[float] | None:
        """KL of each dimension, where posterior and prior factorise."""
        return self.evaluation["kl_per_dimension"]

    @property
    def variance(self) -> list[float]:
        """Variance of the posterior's mean in each dimension."""
        return self.evaluation["variance_per_dimension"]

    @property
    def curve(self) -> list[dict[str, Any]]:
        """The importance-weighted bound over the number of samples."""
        return self.evaluation["curve"] or []

    @property
    def unit(self) -> str:
        """The unit of the figures."""
        return f"nats per {'image' if self.is_image else 'row'}"

    @property
    def ranked(self) -> list[int]:
        """Latent dimensions, the most active first: by their KL, or the variance of their mean."""
        score = self.kl or self.variance
        return sorted(range(self.model.latent_dim), key=lambda i: -score[i])

    @property
    def axes(self) -> dict[str, Any]:
        """The names of the two most active dimensions, as arguments of a plot."""
        names = (
            f"z[{i}], KL {self.kl[i]:.2f} nats"
            if self.kl
            else f"z[{i}], variance of the mean {self.variance[i]:.2f}"
            for i in self.ranked[:2]
        )
        return dict(zip(("x_name", "y_name"), names, strict=True))

    @property
    def value_range(self) -> tuple[float, float]:
        """The values drawn as black and white."""
        if self.data.kind in ("grey", "binary", "unit"):
            return 0.0, self.data.scale
        return float(self.data.x.min()), float(self.data.x.max())

    @property
    def label(self) -> int | None:
        """The class at which walks are decoded, in a conditional model."""
        return None if self.model.context is None else 0

    @property
    def class_names(self) -> list[str]:
        """The classes' names, or their numbers; none without labels."""
        if self.data.labels is None:
            return []
        last = int(self.data.labels.max())
        return list(self.data.classes or map(str, range(last + 1)))

    @property
    def columns(self) -> list[str]:
        """The names of a table's columns."""
        return list(self.data.columns or (f"x[{i}]" for i in range(self.data.shape[0])))

    @property
    def words(self) -> dict[str, Any]:
        """What captions are filled in with."""
        plane = self.model.latent_dim == 2
        return {
            "shown": min(RECONSTRUCTIONS, len(self.data)),
            "which": "The" if plane else "Its two most active dimensions: the",
            "others": "" if plane else " The other dimensions are 0.",
            "at": f" All are decoded as class {self.class_names[0]}." if self.label == 0 else "",
            "most": self.curve[-1]["samples"] if self.curve else 0,
            **(self.evaluation["effective_samples"] or {}),
        }


def outcome_of(
    model: VAE, data: Dataset, figures: dict[str, Any], history: list[Record]
) -> Outcome:
    """The outcome, its data encoded as posterior means and as one draw from each posterior."""
    means, draws = (evaluation.embed(model, data, sample=s).numpy() for s in (False, True))
    return Outcome(model, data, figures, history, means, draws)


def reconstructions(outcome: Outcome) -> Figure:
    some = outcome.data.take(RECONSTRUCTIONS)
    labels = None
    if some.labels is not None:
        labels = [outcome.class_names[label] for label in some.labels.tolist()]
    pairs = {"original": some.x.numpy(), "reconstruction": reconstructed(outcome.model, some)}
    return plots.reconstructions(pairs, labels=labels, value_range=outcome.value_range)


def reconstructed_columns(outcome: Outcome) -> Figure:
    some = outcome.data.take(ROWS)
    return plots.scatter_reconstruction(
        some.x.float().numpy(), reconstructed(outcome.model, some), outcome.columns
    )


def reconstructed(model: VAE, data: Dataset) -> np.ndarray:
    return model.reconstruct(data.x, data.labels).cpu().numpy()


def samples(outcome: Outcome) -> Figure:
    images = outcome.model.sample(SAMPLES, seed=0, mean=True).cpu().numpy()
    return plots.samples(images, columns=12, value_range=outcome.value_range)


def class_samples(outcome: Outcome) -> Figure:
    names = outcome.class_names
    labels = torch.arange(len(names)).repeat_interleave(DRAWS_PER_CLASS)
    images = outcome.model.sample(len(labels), labels, seed=0, mean=True).cpu()
    grid = images.unflatten(0, (len(names), DRAWS_PER_CLASS)).numpy()
    return plots.class_grid(grid, names, value_range=outcome.value_range)


def sampled_columns(outcome: Outcome) -> Figure:
    count = min(len(outcome.data), 5000)
    labels = None
    if outcome.label is not None and outcome.data.labels is not None:
        labels = outcome.data.labels[:count]
    drawn = outcome.model.sample(count, labels, seed=0).cpu().numpy()
    return plots.marginals(outcome.data.x.float().numpy(), drawn, outcome.columns)


def codes(outcome: Outcome) -> Figure:
    labels = None if outcome.data.labels is None else outcome.data.labels.numpy()
    return plots.latent_scatter(
        outcome.means[:, outcome.ranked[:2]],
        labels,
        outcome.class_names or None,
        prior=outcome.has_normal_prior,
        **outcome.axes,
    )


def aggregate_posterior(outcome: Outcome) -> Figure:
    return plots.latent_histogram(outcome.draws[:, outcome.ranked[:2]], **outcome.axes)


def manifold(outcome: Outcome) -> Figure:
    first, second = outcome.ranked[:2]
    values = quantiles(MANIFOLD_STEPS)
    images = evaluation.manifold(outcome.model, values, (first, second), outcome.label).numpy()
    steps = values.numpy()
    return plots.manifold(images, steps, steps, value_range=outcome.value_range, **outcome.axes)


def traversals(outcome: Outcome) -> Figure:
    """One row of images, or one panel of columns, for each of the most active dimensions."""
    dimensions = outcome.ranked[:TRAVERSED]
    values = quantiles(TRAVERSAL_STEPS)
    decoded = evaluation.traversals(outcome.model, dimensions, values, outcome.label).numpy()
    names = [f"z[{i}]" for i in dimensions]
    if outcome.is_image:
        kl = np.array([outcome.kl[i] for i in dimensions]) if outcome.kl else None
        return plots.traversals(
            decoded, values.numpy(), names, kl=kl, value_range=outcome.value_range
        )
    deviation = outcome.data.x.float().std(0).numpy()
    scale = np.where(deviation > 0, deviation, 1.0)
    return plots.profile_traversals(decoded, values.numpy(), names, outcome.columns, scale)


def quantiles(steps: int) -> torch.Tensor:
    """Where walks through N(0, I) step."""
    return evaluation.normal_quantiles(steps, 0.02, 0.98)


def kl_per_dimension(outcome: Outcome) -> Figure:
    return plots.kl_per_dimension(
        np.array(outcome.kl),
        active=np.array(outcome.variance) > ACTIVE_VARIANCE,
        criterion=f"the variance of its mean > {ACTIVE_VARIANCE}",
        unit=outcome.unit,
    )


def importance(outcome: Outcome) -> Figure:
    name = "log (1/k) Σ w"
    bounds = [point["bound"] for point in outcome.curve]
    return plots.curves(
        np.array([point["samples"] for point in outcome.curve]),
        {name: np.array([bound["value"] for bound in bounds])},
        errors={name: np.array([bound["standard_error"] for bound in bounds])},
        xlabel="samples k",
        ylabel=outcome.unit,
        logx=True,
    )


@dataclass(frozen=True)
class Picture:
    """A figure, the name of its file, its heading, and what it shows."""

    name: str
    heading: str
    caption: str
    figure: Figure


class Section(NamedTuple):
    """A row of the report: its file's name, its heading, which subjects it fits, and its picture.

    Captions are filled in with the outcome's words.
    """

    name: str
    heading: str
    fits: Callable[[Outcome], Any]
    draw: Callable[[Outcome], Figure]
    caption: str


# Walks along the quantiles of N(0, 1), and comparisons with it, are for models with that prior.
SECTIONS = (
    Section(
        "curves",
        "Learning curves",
        lambda s: s.history,
        lambda s: plots.learning_curves(s.history, unit=s.unit),
        "Each term of the objective after each epoch. Training figures are averages over the "
        "epoch, while the weights were changing; validation figures are taken at its end.",
    ),
    Section(
        "reconstructions",
        "Reconstructions",
        lambda s: s.is_image,
        reconstructions,
        "The first {shown} test images, and below each the decoder's mean at the posterior's mean.",
    ),
    Section(
        "reconstructions",
        "Reconstructions",
        lambda s: not s.is_image,
        reconstructed_columns,
        "Test rows: each column as it is, and as the decoder's mean at the posterior's mean.",
    ),
    Section(
        "samples",
        "Samples",
        lambda s: s.is_image and s.label is None,
        samples,
        f"{SAMPLES} draws z ~ p(z) from the prior, each shown as the decoder's mean.",
    ),
    Section(
        "samples",
        "Samples of each class",
        lambda s: s.is_image and s.label is not None,
        class_samples,
        f"{DRAWS_PER_CLASS} draws z ~ p(z|c) for each class c, as the decoder's mean.",
    ),
    Section(
        "samples",
        "Samples",
        lambda s: not s.is_image,
        sampled_columns,
        "Each column in the test data, and in rows x ~ p(x|z), z ~ p(z) from the model.",
    ),
    Section(
        "latent",
        "Latent space",
        lambda s: s.has_plane,
        codes,
        "{which} posterior's mean of each test example.",
    ),
    Section(
        "aggregate",
        "Aggregate posterior",
        lambda s: s.has_normal_prior and s.has_plane,
        aggregate_posterior,
        "One draw z ~ q(z|x) for each test example. Where the prior is likely and no example is, "
        "samples are unlike the data.",
    ),
    Section(
        "manifold",
        "Decoded plane",
        lambda s: s.has_normal_prior and s.has_plane and s.is_image,
        manifold,
        "The plane of the two most active dimensions, decoded at the prior's quantiles from 0.02 "
        "to 0.98.{others}{at}",
    ),
    Section(
        "traversals",
        "Traversals",
        lambda s: s.has_normal_prior and s.is_image,
        traversals,
        "One dimension at a time, the others fixed.{at}",
    ),
    Section(
        "traversals",
        "Traversals",
        lambda s: s.has_normal_prior and not s.is_image,
        traversals,
        "One dimension at a time, the others fixed: the change of each column from the middle "
        "step, in its standard deviations.{at}",
    ),
    Section(
        "kl",
        "KL per dimension",
        lambda s: s.kl,
        kl_per_dimension,
        "Mean KL(q(z|x) ‖ p(z)) of each latent dimension over the test set. An inactive dimension "
        "says nothing about x.",
    ),
    Section(
        "importance",
        "Importance-weighted bound",
        lambda s: len(s.curve) > 1,
        importance,
        "The bound on log p(x) from k draws z ~ q(z|x); k = 1 gives the ELBO. Where it still rises "
        "at the right, log p(x) is higher. {most:,} draws are worth {median:.1f} effective ones "
        "for the median example, and fewer than {limit} for {below:.0%} of examples.",
    ),
)


def pictures(outcome: Outcome) -> Iterator[Picture]:
    """All the pictures that fit the outcome, in the page's order."""
    for name, heading, fits, draw, caption in SECTIONS:
        if fits(outcome):
            yield Picture(name, heading, caption.format(**outcome.words), draw(outcome))
