"""The latent space of a trained model: codes of data, which dimensions matter, decoded walks.

Walks take quantiles of the prior's standard normal dimensions, and are in the data's units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lowerbound.data import as_dataset
from lowerbound.errors import ConfigurationError
from lowerbound.evaluation.bounds import Evaluation
from lowerbound.evaluation.walk import IMAGES_PER_BATCH, Progress, expect_finite, posteriors
from lowerbound.vae import VAE


@torch.no_grad()
def embed(
    model: VAE, data: Any, *, sample: bool = False, progress: Progress | None = None
) -> Tensor:
    """Posterior means of all the ``data``, (n, latent), on the CPU.

    Args:
        model: whose posterior is taken.
        data: the examples, whatever `data.as_dataset` takes; of `Splits` the test set.
        sample: one draw z ~ q(z|x) of each instead of the mean.
        progress: called with the examples done and their number.

    Raises:
        DataError: some example has no finite code.
    """
    data, codes, done = as_dataset(data, "test"), [], 0
    for q in posteriors(model, data):
        codes.append((q.sample() if sample else q.mean).cpu())
        done += len(codes[-1])
        if progress:
            progress(done, len(data))
    z = torch.cat(codes)
    expect_finite({"z": z}, "codes", first=data.first)
    return z


@torch.no_grad()
def reconstruct(
    model: VAE, data: Any, *, label: Any = None, progress: Progress | None = None
) -> Tensor:
    """The decoder's mean at each posterior's mean, in the data's units, (n, *shape), on the CPU.

    Args:
        model: whose posterior and likelihood are taken.
        data: the examples, as in `embed`.
        label: the class that all are decoded as, by number or name, which a conditional model
            takes; None for their own.
        progress: called with the examples done and their number.

    Raises:
        ConfigurationError: a label of no class, or for a model that is not conditional.
    """
    data, found, done = model.expect(as_dataset(data, "test")), [], 0
    for x, labels in data.batches(IMAGES_PER_BATCH):
        decoded_as = labels if label is None else _labels(model, label, len(x))
        found.append(model.decode(model.embed(x, labels), decoded_as).cpu())
        done += len(x)
        if progress:
            progress(done, len(data))
    return torch.cat(found)


@torch.no_grad()
def reconstruction_error(model: VAE, data: Any) -> float:
    """Mean of (x − y)² over what the ``data`` observe, y the ``model``'s reconstruction of x.

    Images and binary values are taken in [0, 1], others in the data's units.

    Raises:
        ConfigurationError: the data are, or have a column of, categories, which have no distance.
    """
    data = model.expect(as_dataset(data, "test")).to("cpu")
    for field in data.schema:
        if field.kind in ("categories", "tokens"):
            raise ConfigurationError(
                f"expected numbers, whose errors have squares, got {field.kind} in {field.name!r}"
            )
    total, count = 0.0, 0
    for x, labels in data.batches(IMAGES_PER_BATCH):
        observed = ~x.isnan()
        error = (model.reconstruct(x, labels).cpu() - x)[observed].double() / data.scale
        total, count = total + error.square().sum().item(), count + error.numel()
    return total / count


def most_active(evaluation: Evaluation) -> list[int]:
    """Latent dimensions by KL (or, without one, by the variance of their mean), largest first.

    The figures are those of an ``evaluation`` by `evaluate`.
    """
    score = evaluation.kl_per_dimension or evaluation.variance_per_dimension
    return sorted(range(len(score)), key=lambda i: -score[i])


def normal_quantiles(steps: int, low: float = 0.05, high: float = 0.95) -> Tensor:
    """Φ⁻¹ of ``steps`` even steps from ``low`` to ``high``.

    >>> normal_quantiles(3)
    tensor([-1.6449,  0.0000,  1.6449])
    """
    return torch.special.ndtri(torch.linspace(low, high, steps, dtype=torch.float64)).float()


def manifold(
    model: VAE,
    values: Tensor | tuple[Tensor, Tensor],
    dimensions: tuple[int, int] = (0, 1),
    label: Any = None,
    base: Tensor | None = None,
) -> Tensor:
    """Decoded means on a grid over two dimensions: (rows, columns, *shape), on the CPU.

    Args:
        model: whose decoder is taken.
        values: (steps,) that both dimensions take, or those of each.
        dimensions: columns follow the first and rows the second, both upwards in value.
        label: the class of all, by number or name, which a conditional model takes, or their
            covariates, a mapping from names or (1, C).
        base: (latent,), where the other dimensions are; None for 0.

    Raises:
        ConfigurationError: the model has no such dimensions, or is given a label that it does not
            take.
    """
    _check(model, dimensions)
    across, up = (values, values) if isinstance(values, Tensor) else values
    z = _base(model, base).repeat(len(up), len(across), 1)
    z[..., dimensions[0]] = across
    z[..., dimensions[1]] = up.unsqueeze(1)
    return _decode(model, z, label)


def traversals(
    model: VAE,
    dimensions: Sequence[int],
    values: Tensor,
    label: Any = None,
    base: Tensor | None = None,
) -> Tensor:
    """Decoded means along one dimension at a time: (dimensions, steps, *shape), on the CPU.

    Args:
        model: whose decoder is taken.
        dimensions: those that are walked along.
        values: (steps,) that each takes, or (dimensions, steps).
        label: the class of all, by number or name, which a conditional model takes, or their
            covariates, a mapping from names or (1, C).
        base: (latent,), where the other dimensions are; None for 0.

    Raises:
        ConfigurationError: the model has no such dimensions, or is given a label that it does not
            take.
    """
    _check(model, dimensions)
    z = _base(model, base).repeat(len(dimensions), values.shape[-1], 1)
    for row, dimension in enumerate(dimensions):
        z[row, :, dimension] = values if values.ndim == 1 else values[row]
    return _decode(model, z, label)


def _base(model: VAE, base: Tensor | None) -> Tensor:
    return torch.zeros(model.latent_dim) if base is None else base


def _check(model: VAE, dimensions: Sequence[int]) -> None:
    if len(set(dimensions)) < len(dimensions) or not set(dimensions) <= {*range(model.latent_dim)}:
        raise ConfigurationError(
            f"expected different dimensions from 0 to {model.latent_dim - 1}, got {dimensions}"
        )


@torch.no_grad()
def _decode(model: VAE, z: Tensor, label: int | str | None) -> Tensor:
    rows = z.flatten(0, 1)
    return model.decode(rows, _labels(model, label, len(rows))).cpu().unflatten(0, z.shape[:2])


def _labels(model: VAE, label: Any, n: int) -> Any:
    """The one label of n codes; refused where it would be of no effect."""
    if label is not None and model.context is None:
        raise ConfigurationError(
            f"expected no label, as this model is not conditional, got {label!r}; leave it out"
        )
    if label is None or isinstance(label, Mapping):
        return label
    of_rows = isinstance(label, Tensor) and label.ndim == 2
    return label.expand(n, -1) if of_rows else [label] * n
