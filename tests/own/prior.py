"""A prior without parameters."""

import torch
from torch.distributions import Distribution, Independent, Laplace

import lowerbound as lb
from lowerbound.priors import Context, Prior


@lb.part
class SparsePrior(Prior):
    """p(z) = ∏ᵢ ½ exp(−|zᵢ|): most of a code's dimensions are near 0.

    Source: Barello, Charles & Pillow, Sparse-coding variational auto-encoders, 2018.
    """

    origin: torch.Tensor

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        self.register_buffer("origin", torch.zeros(latent_dim), persistent=False)

    def forward(self, context: Context = None) -> Distribution:
        batch = () if context is None else context.shape[:-1]
        return Independent(Laplace(self.origin.expand(*batch, -1), 1.0), 1)
