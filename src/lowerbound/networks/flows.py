"""Invertible networks, of zuko's masked autoregressive layers."""

from __future__ import annotations

from typing import Literal

import torch
from torch import nn

from lowerbound.parts import Size

Univariate = Literal["affine", "spline"]


def autoregressive_flow(
    dimensions: Size,
    transforms: Size,
    hidden: tuple[Size, ...],
    univariate: Univariate = "affine",
    *,
    coupling: bool = False,
    context_dim: int = 0,
) -> nn.Module:
    """A module from features, (*batch, context_dim) or None, to a transform of vectors.

    Each of ``transforms`` layers takes yᵢ to gᵢ(yᵢ; y₁, …, yᵢ₋₁, features), in turn forwards and
    backwards through the dimensions; g is affine, or a monotonic rational-quadratic spline.  Its
    Jacobian is triangular.  The transform is one pass through masked networks, its inverse as many
    as there are dimensions.

    Args:
        dimensions: of the vectors.
        transforms: layers.
        hidden: widths of the layers of each one's masked network.
        univariate: g: ``"affine"`` or ``"spline"``.
        coupling: the second half depends on the first alone, so that the inverse is 2 passes.
        context_dim: width of the features, 0 for none.

    Sources: Papamakarios, Pavlakou & Murray, Masked autoregressive flow, 2017, arXiv 1705.07057;
    splines: Durkan et al., Neural spline flows, 2019, arXiv 1906.04032; coupling: Dinh et al. 2016,
    arXiv 1605.08803.
    """
    from zuko.flows import MAF, NSF

    # Its masks compare all pairs of dimensions: they count where allocations are limited.
    torch.empty((dimensions, dimensions), dtype=torch.float64, device="meta")
    build = MAF if univariate == "affine" else NSF
    flow = build(
        dimensions,
        context_dim,
        transforms=transforms,
        hidden_features=hidden,
        activation=nn.ELU,
        passes=2 if coupling else None,
    )
    return flow.transform
