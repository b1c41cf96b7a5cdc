"""The latent space of a trained model: codes of data, and which dimensions matter."""

from __future__ import annotations

import torch
from torch import Tensor

from lowerbound.data import Dataset
from lowerbound.evaluation.bounds import Evaluation, prepared_batches
from lowerbound.vae import VAE


@torch.no_grad()
def embed(model: VAE, data: Dataset) -> Tensor:
    """Posterior means of all the data, (n, latent), on the CPU, a batch at a time."""
    device = next(model.parameters()).device
    return torch.cat(
        [model.posterior(x, c).mean.cpu() for x, c in prepared_batches(model, data, device)]
    )


def most_active(evaluation: Evaluation) -> list[int]:
    """Latent dimensions by KL (or, without one, by the variance of their mean), largest first."""
    score = evaluation.kl_per_dimension or evaluation.variance_per_dimension
    return sorted(range(len(score)), key=lambda i: -score[i])
