"""The latent space of a trained model: codes of data, and which dimensions matter."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.data import Dataset
from lowerbound.evaluation.bounds import Evaluation
from lowerbound.evaluation.walk import IMAGES_PER_BATCH, posteriors
from lowerbound.vae import VAE


@torch.no_grad()
def embed(model: VAE, data: Dataset, *, sample: bool = False) -> Tensor:
    """Posterior means of all the data, or one draw z ~ q(z|x) each; (n, latent), on the CPU."""
    codes = (q.sample() if sample else q.mean for q in posteriors(model, data))
    return torch.cat([z.cpu() for z in codes])


@torch.no_grad()
def reconstruction_error(model: VAE, data: Dataset) -> float:
    """Mean of (x − y)² over images and pixels, x in [0, 1], y decoded at the posterior's mean."""
    total = 0.0
    for start in range(0, len(data), IMAGES_PER_BATCH):
        rows = slice(start, start + IMAGES_PER_BATCH)
        x, labels = data.x[rows], None if data.labels is None else data.labels[rows]
        error = (model.reconstruct(x, labels).cpu() - x) / data.scale
        total += error.square().sum(dtype=torch.float64).item()
    return total / data.x.numel()


def most_active(evaluation: Evaluation) -> list[int]:
    """Latent dimensions by KL (or, without one, by the variance of their mean), largest first."""
    score = evaluation.kl_per_dimension or evaluation.variance_per_dimension
    return sorted(range(len(score)), key=lambda i: -score[i])
