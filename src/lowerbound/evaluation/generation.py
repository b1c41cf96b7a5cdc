"""Decoded walks through the latent space.  All return means, in the data's units, on the CPU.

The steps are quantiles of the prior's standard normal dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lowerbound.vae import VAE


def normal_quantiles(steps: int, low: float = 0.05, high: float = 0.95) -> Tensor:
    """Φ⁻¹ of ``steps`` even steps from ``low`` to ``high``.

    >>> normal_quantiles(3)
    tensor([-1.6449,  0.0000,  1.6449])
    """
    return torch.special.ndtri(torch.linspace(low, high, steps, dtype=torch.float64)).float()


def manifold(
    model: VAE, values: Tensor, dimensions: tuple[int, int] = (0, 1), label: int | None = None
) -> Tensor:
    """A grid over two dimensions, others 0: (rows, columns, *shape).

    Columns follow the first of ``dimensions`` and rows the second, both upwards in value.
    """
    n = len(values)
    z = torch.zeros(n, n, model.latent_dim)
    z[..., dimensions[0]] = values
    z[..., dimensions[1]] = values.unsqueeze(1)
    return _decode(model, z, label)


def traversals(
    model: VAE,
    dimensions: Sequence[int],
    values: Tensor,
    label: int | None = None,
) -> Tensor:
    """One dimension at a time, the others 0: (dimensions, steps, *shape)."""
    z = torch.zeros(len(dimensions), len(values), model.latent_dim)
    for row, dimension in enumerate(dimensions):
        z[row, :, dimension] = values
    return _decode(model, z, label)


@torch.no_grad()
def _decode(model: VAE, z: Tensor, label: int | None) -> Tensor:
    rows = z.flatten(0, 1)
    context = None if label is None else torch.full((len(rows),), label)
    return model.decode(rows, context).cpu().unflatten(0, z.shape[:2])
