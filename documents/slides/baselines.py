"""Scores of single examples that need no model, which a model has to beat."""

from __future__ import annotations

import zlib

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data import Dataset

Scores = Float[Tensor, " n"]


def mean_level(data: Dataset) -> Scores:
    """The mean pixel, in [0, 1]: a score that knows nothing but brightness."""
    return (data.x.float() / data.scale).flatten(1).mean(1)


def compressed_size(data: Dataset) -> Scores:
    """Bytes of each example's values after deflate (zlib, level 9): how complex it is."""
    rows = data.x.flatten(1).numpy()
    return torch.tensor([len(zlib.compress(row.tobytes(), 9)) for row in rows]).float()
