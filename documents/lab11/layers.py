"""Layers of one's own, and the lab's VAE: 784-512-32, 32-512-784 with squared error."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from documents.bench import PIXELS, SHAPE, dense
from lowerbound.likelihoods import Gaussian, Sigma
from lowerbound.parts import Size, part
from lowerbound.posteriors import DiagonalGaussian
from lowerbound.priors import StandardNormal
from lowerbound.transforms import Scale
from lowerbound.vae import VAE

HIDDEN, LATENT_DIM = 512, 32
# 784 (MSE + KL/784) = ‖x − y‖² + KL, and −log N(x; y, σ²) = ‖x − y‖²/(2σ²) + constant.
DIVIDED = math.sqrt(1 / 2)
# MSE + KL = ‖x − y‖²/784 + KL.
UNDIVIDED = math.sqrt(PIXELS / 2)


@part
class Dense(nn.Module):
    """y = xW + b with Glorot-normal W and b = 0: a dense layer of one's own.

    Source: Glorot & Bengio, Understanding the difficulty of training deep feedforward neural
    networks, 2010.
    """

    def __init__(self, in_features: Size, out_features: Size) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        self.bias = nn.Parameter(torch.zeros(out_features))
        nn.init.xavier_normal_(self.weight)

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.bias


@part
class DenseNetwork(nn.Module):
    """Two layers of one's own with a ReLU between them."""

    def __init__(self, in_features: Size, hidden: Size, out_features: Size) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            Dense(in_features, hidden), nn.ReLU(), Dense(hidden, out_features)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x.flatten(1))


def gaussian_vae(sigma: Sigma) -> VAE:
    """With a linear output, whose squared error is a Gaussian's."""
    return dense((HIDDEN,), LATENT_DIM, variational=True, sigma=sigma)


def of_own_layers(sigma: Sigma) -> VAE:
    """The same of layers of one's own."""
    encoder = DenseNetwork(PIXELS, HIDDEN, 2 * LATENT_DIM)
    decoder = DenseNetwork(LATENT_DIM, HIDDEN, PIXELS)
    return VAE(
        StandardNormal(LATENT_DIM),
        DiagonalGaussian(encoder, LATENT_DIM),
        Gaussian(decoder, SHAPE, sigma),
        Scale(),
    )
