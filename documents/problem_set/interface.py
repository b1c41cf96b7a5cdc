"""The VAE problem set's interface: ``Encoder``, ``Decoder`` and ``VAE``, for images of 28×28.

A thin layer over the library's parts.  Code written to the problem set runs on it unchanged, and
`VAE.composition` is the same model as a `lowerbound.VAE`, with the same weights.

Two formulas of the problem set are misprinted.  Its KL, μ² + σ² − log σ − ½, is not 0 at μ = 0,
σ = 1, and its `r_loss` has the logarithm on the ground truth; `kl_loss` and `r_loss` are right.

Images x are tensors (batch, 1, 28, 28) in [0, 1]; losses are in nats, summed over pixels, latent
dimensions and the images of the batch.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

import lowerbound.vae
from lowerbound.divergences import standard_normal_kl_terms
from lowerbound.likelihoods import Bernoulli
from lowerbound.networks import Convolutional, Deconvolutional, GaussianHeads
from lowerbound.posteriors import DiagonalGaussian
from lowerbound.priors import StandardNormal
from lowerbound.transforms import Scale

SHAPE = (1, 28, 28)

Images = Float[Tensor, "batch 1 28 28"]
Codes = Float[Tensor, "batch lat"]


class Encoder(nn.Module):
    """Two convolutions (c1, c2 channels, kernel k, no padding) with ReLU, then ``mean``, ``std``.

    The maps shrink by k − 1 with each convolution, so both linear layers take c₂(28 − 2(k − 1))²
    features.

    >>> encoder = Encoder(c1=16, c2=32, lat=10, k=3)
    >>> encoder.mean
    Linear(in_features=18432, out_features=10, bias=True)
    """

    def __init__(self, c1: int, c2: int, lat: int, k: int) -> None:
        super().__init__()
        maps = Convolutional(SHAPE, (c1, c2), None, kernel_size=k, stride=1, padding=0)
        self.posterior = DiagonalGaussian(GaussianHeads(maps, math.prod(maps.maps), lat), lat)

    @property
    def mean(self) -> nn.Linear:
        """The linear layer that gives μ."""
        return self.posterior.network.mean  # type: ignore[return-value]

    @property
    def std(self) -> nn.Linear:
        """The linear layer that gives log σ."""
        return self.posterior.network.std  # type: ignore[return-value]

    def forward(self, x: Images) -> tuple[Codes, Codes]:
        """μ and σ = exp(std(h)) of q(z|x)."""
        q = self.posterior(x)
        return q.mean, q.stddev


class Decoder(nn.Module):
    """A linear layer to c2 maps with ReLU, then two transposed convolutions: ReLU, sigmoid."""

    def __init__(self, c1: int, c2: int, lat: int, k: int) -> None:
        super().__init__()
        maps = Deconvolutional(lat, (c2, c1), SHAPE, kernel_size=k, stride=1, padding=0)
        self.likelihood = Bernoulli(maps, SHAPE)

    def forward(self, z: Codes) -> Images:
        """The mean of p(x|z)."""
        return self.likelihood(z).mean


class VAE(nn.Module):
    """The problem set's VAE: `forward` stores ``loss`` and returns y, `backward` differentiates it.

    >>> vae = VAE(c1=16, c2=32, lat=10, k=3)
    >>> y = vae.forward(torch.rand(4, 1, 28, 28))
    >>> vae.backward()
    """

    loss: Tensor

    def __init__(self, c1: int, c2: int, lat: int, k: int) -> None:
        super().__init__()
        self.encoder = Encoder(c1, c2, lat, k)
        self.decoder = Decoder(c1, c2, lat, k)

    @property
    def composition(self) -> lowerbound.vae.VAE:
        """This model as a `lowerbound.VAE` on the same weights; it takes grey levels 0 to 255."""
        posterior, likelihood = self.encoder.posterior, self.decoder.likelihood
        prior = StandardNormal(posterior.latent_dim)
        return lowerbound.vae.VAE(prior, posterior, likelihood, Scale())

    def r_loss(self, x: Images, y: Images) -> Float[Tensor, ""]:
        """−Σ [x log y + (1 − x) log(1 − y)]: x the ground truth, y the reconstruction."""
        return F.binary_cross_entropy(y, x, reduction="sum")

    def kl_loss(self, mu: Codes, sigma: Codes) -> Float[Tensor, ""]:
        """KL(N(μ, σ²) ‖ N(0, 1)) = Σ [½ (μ² + σ² − 1) − log σ]."""
        return standard_normal_kl_terms(mu, 2 * sigma.log()).sum()

    def gaussian(self, mu: Codes, sigma: Codes) -> Codes:
        """z = μ + σ ε, ε ~ N(0, I): a draw from q(z|x) that has gradients to μ and σ."""
        return mu + sigma * torch.randn_like(sigma)

    def forward(self, x: Images) -> Images:
        """y, the reconstruction of x from a draw of z; ``loss`` is the negative ELBO."""
        mu, sigma = self.encoder(x)
        y = self.decoder(self.gaussian(mu, sigma))
        self.loss = self.r_loss(x, y) + self.kl_loss(mu, sigma)
        return y

    def backward(self) -> None:
        """Gradients of ``loss``."""
        self.loss.backward()
