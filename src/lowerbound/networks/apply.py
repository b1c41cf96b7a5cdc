"""Calling a network on tensors with any number of batch dimensions."""

from __future__ import annotations

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from lowerbound.errors import ShapeError

Context = Float[Tensor, "batch features"] | None
"""Features of what a conditional model is given; None in other models."""


def apply(
    network: nn.Module,
    x: Tensor,
    context: Tensor | None,
    shape: tuple[int, ...],
    batch_ndim: int = 1,
) -> Tensor:
    """The network's output for each example, reshaped to (*batch, *shape).

    Half-precision output, as autocast makes it, is returned in float32: log-densities need the
    digits.

    Args:
        network: called with rows, and with their context where there is one.
        x: (*batch, …).
        context: (batch, features), repeated to match; or None.
        shape: of what the network returns for one example.
        batch_ndim: the batch dimensions of x, which the network sees as one: codes z of shape
            (samples, batch, latent) go through as samples × batch rows.

    Raises:
        ShapeError: the network returned another number of elements.
    """
    batch = x.shape[:batch_ndim]
    rows = x if batch_ndim == 1 else x.reshape(-1, *x.shape[batch_ndim:])
    n = rows.shape[0]  # not len, which would fix it where a graph is made
    if context is None:
        output = network(rows)
    else:
        features = context.expand(*batch, context.shape[-1]).reshape(n, context.shape[-1])
        output = network(rows, features)
    if output.shape[:1] != (n,) or output[:1].numel() != min(n, 1) * math.prod(shape):
        raise ShapeError(
            f"expected {type(network).__name__} to return {math.prod(shape)} numbers per example "
            f"(shape {shape}), got {tuple(output.shape)} for {n} examples; "
            "change the size of its last layer"
        )
    if output.dtype in (torch.float16, torch.bfloat16):
        output = output.float()
    return output.reshape(*batch, *shape)
