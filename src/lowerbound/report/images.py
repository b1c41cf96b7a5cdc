"""Pictures of images: rebuilt, generated, and beside the training images nearest to them."""

from __future__ import annotations

import torch
from matplotlib.figure import Figure
from torch import Tensor

from lowerbound import plots
from lowerbound.data import Dataset
from lowerbound.report.outcome import Outcome

SHOWN = 20
SAMPLES = 60
PER_CLASS = 12
CLASSES = 50
NEAREST = 10
COMPARED = 200
CHUNK = 2000


def reconstructions(outcome: Outcome) -> Figure:
    """The first test images."""
    some = outcome.data.take(SHOWN)
    labels = None
    if some.labels is not None:
        labels = [outcome.class_names[label] for label in some.labels.tolist()]
    return beside(outcome, some, labels)


def worst(outcome: Outcome) -> Figure:
    """The images of the lowest score."""
    data, scores, _ = outcome.worst(SHOWN)
    return beside(outcome, data, scores)


def beside(outcome: Outcome, data: Dataset, labels: list[str] | None) -> Figure:
    """Images and their reconstructions."""
    pairs = {"original": data.x.numpy(), "reconstruction": outcome.reconstructed(data).numpy()}
    return plots.reconstructions(pairs, labels=labels, value_range=outcome.value_range)


def samples(outcome: Outcome) -> Figure:
    """Images from the model."""
    images = outcome.sampled(SAMPLES, mean=True).numpy()
    return plots.image_grid(images, columns=12, value_range=outcome.value_range)


def class_samples(outcome: Outcome) -> Figure:
    """A row of images for each class."""
    names = outcome.class_names[:CLASSES]
    labels = torch.arange(len(names)).repeat_interleave(PER_CLASS)
    images = outcome.sampled(len(labels), labels, mean=True)
    grid = images.unflatten(0, (len(names), PER_CLASS)).numpy()
    return plots.image_grid(grid, row_labels=names, value_range=outcome.value_range)


def neighbours(outcome: Outcome) -> Figure:
    """The first samples, and of all training images the nearest to each."""
    assert outcome.train is not None
    drawn = outcome.sampled(SAMPLES, mean=True)[:NEAREST]
    index, distances = nearest(drawn, outcome.train.x)
    pairs = {"sample": drawn.numpy(), "nearest": outcome.train.x[index].numpy()}
    labels = [f"{distance / contrast(outcome):.3f}" for distance in distances.tolist()]
    return plots.reconstructions(pairs, labels=labels, value_range=outcome.value_range)


def closeness(outcome: Outcome) -> list[float]:
    """The median difference from the nearest training image.

    Of samples, of reconstructions of test images, and of these themselves.
    """
    assert outcome.train is not None
    test = outcome.data.take(COMPARED)
    of = (outcome.sampled(SAMPLES, mean=True), outcome.reconstructed(test), test.x)
    return [nearest(x, outcome.train.x)[1].median().item() / contrast(outcome) for x in of]


def contrast(outcome: Outcome) -> float:
    """From black to white."""
    low, high = outcome.value_range
    return high - low or 1.0


def nearest(images: Tensor, others: Tensor) -> tuple[Tensor, Tensor]:
    """For each image the index of the nearest other, and the root mean square difference."""
    flat = images.flatten(1).float()
    best = torch.full((len(flat),), torch.inf)
    index = torch.zeros(len(flat), dtype=torch.int64)
    for start in range(0, len(others), CHUNK):
        chunk = others[start : start + CHUNK].flatten(1).float()
        found = torch.cdist(flat, chunk)
        distance, place = found.min(1)
        nearer = distance < best
        best = torch.where(nearer, distance, best)
        index = torch.where(nearer, place + start, index)
    # The fast distances cancel digits: those that are reported are taken again.
    difference = (flat - others[index].flatten(1).float()).double()
    return index, difference.square().mean(1).sqrt()
