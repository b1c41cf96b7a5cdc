"""A9: a linear autoencoder is PCA; a linear VAE is probabilistic PCA.  On scikit-learn's digits."""

from __future__ import annotations

import math

import numpy as np
import torch
from scipy.linalg import subspace_angles
from torch import Tensor

from documents.bench import NATS, Bench, dense, system
from lowerbound import plots
from lowerbound.data import Dataset
from lowerbound.likelihoods import Sigma
from lowerbound.objectives import ELBO, Reconstruction
from lowerbound.training import Training
from lowerbound.transforms import Identity
from lowerbound.vae import VAE

LATENT_DIM, ACTIVE = 4, 2
SETTINGS = Training(
    epochs=3000, batch_size=240, learning_rate=1e-2, schedule="cosine", warmup_epochs=5, ema=0.99
)


def trained(bench: Bench, name: str, x: Dataset, sigma: Sigma, *, variational: bool = True) -> VAE:
    """One linear layer each way."""
    return bench.train(
        name,
        lambda: dense(
            (),
            LATENT_DIM,
            variational=variational,
            sigma=sigma,
            shape=x.shape,
            transform=Identity(),
        ),
        ELBO(samples=8) if variational else Reconstruction(),
        SETTINGS,
        x,
    )


def weights(model: VAE) -> Tensor:
    """The decoder's W, (columns, latent)."""
    return model.likelihood.network.layers[0].weight.detach().double()  # type: ignore


def eigen(x: Tensor) -> tuple[Tensor, Tensor]:
    """Eigenvalues and eigenvectors of the covariance of x, the largest first."""
    centred = (x - x.mean(0)).double()
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(x))
    return values.flip(0), vectors.flip(1)


def ppca_log_likelihood(eigenvalues: Tensor, k: int) -> float:
    """The maximum of probabilistic PCA's mean log p(x) with k components, nats.

    Source: Tipping & Bishop, Probabilistic principal component analysis, 1999.
    """
    d, noise = len(eigenvalues), eigenvalues[k:].mean()
    logs = eigenvalues[:k].log().sum() + (d - k) * noise.log()
    return (-0.5 * (d * math.log(2 * math.pi) + logs + d)).item()


@torch.no_grad()
def exact_elbo(model: VAE, x: Tensor, sigma: float) -> tuple[float, Tensor]:
    """The mean ELBO of a linear decoder, in closed form, and the KL of each dimension."""
    q, W = model.encode(x), weights(model)
    mean, variance = q.mean.double(), q.variance.double()
    bias = model.likelihood.network.layers[0].bias.double()  # type: ignore
    error = (x - mean @ W.T - bias).square().sum(1) + variance @ W.square().sum(0)
    log_p = -0.5 * (error / sigma**2 + x.shape[1] * math.log(2 * math.pi * sigma**2))
    kl = 0.5 * (mean.square() + variance - variance.log() - 1)
    return (log_p - kl.sum(1)).mean().item(), kl.mean(0)


@system("A9", "Linear autoencoder and PCA; linear VAE and probabilistic PCA")
def a9(bench: Bench) -> None:
    pixels = bench.data("digits").train.x.flatten(1).float() / 255
    varying = pixels[:, pixels.std(0) > 0.02]
    x = Dataset((varying - varying.mean(0)) / varying.std(), name="digits' pixels that vary")
    values, vectors = eigen(x.x)

    def angle(model: VAE) -> float:
        """The largest principal angle between the columns of W and PCA's components."""
        return subspace_angles(weights(model).numpy(), vectors[:, :LATENT_DIM].numpy()).max()

    model = trained(bench, "linear-autoencoder", x, 1.0, variational=False)
    bench.row("largest principal angle, autoencoder and PCA", angle(model), "rad", goal=0.01)

    model = trained(bench, "linear-vae", x, "learned")
    elbo, _ = exact_elbo(model, x.x, model.likelihood.log_sigma.exp().item())  # type: ignore
    best = ppca_log_likelihood(values, LATENT_DIM)
    bench.row("probabilistic PCA, maximum log-likelihood", best, NATS, better="higher")
    bench.row("linear VAE, exact ELBO", elbo, NATS, better="higher")
    bench.exact("|difference|", abs(best - elbo), NATS, goal=1e-3)
    directions = torch.nn.functional.normalize(weights(model), dim=0)
    overlap = (directions.T @ directions - torch.eye(LATENT_DIM)).abs().max().item()
    bench.row("largest cosine between two columns of W", overlap, goal=0.02)
    bench.row("largest principal angle, linear VAE and PCA", angle(model), "rad", goal=0.01)

    noise = float((values[ACTIVE - 1] * values[ACTIVE]).sqrt())
    sigma = math.sqrt(noise)
    _, kl = exact_elbo(trained(bench, "linear-vae-fixed", x, sigma), x.x, sigma)
    found = kl.sort(descending=True).values
    theory = (0.5 * (values[:LATENT_DIM] / noise).log()).clamp(min=0)
    bench.row(
        f"active dimensions with λ₂ > σ² > λ₃, of {LATENT_DIM}",
        int((found > 0.01).sum()),
        goal=ACTIVE,
        better="equal",
    )
    error = (found - theory).abs().max().item()
    bench.exact("largest |KL − ½ log(λᵢ/σ²)|", error, "nats", goal=0.01)
    figure = plots.curves(
        np.arange(1, LATENT_DIM + 1),
        {"found": found.numpy(), "½ log(λᵢ/σ²)": theory.numpy()},
        xlabel="dimension, by KL",
        ylabel=NATS,
    )
    caption = (
        "A dimension collapses where its eigenvalue is below the noise, fixed at σ² = √(λ₂ λ₃)."
    )
    bench.picture("collapse", "Collapse, where theory says", caption, figure)
    bench.note(
        "The autoencoder finds PCA's subspace but no particular basis of it; the VAE, whose q is "
        "uncorrelated, finds the principal directions themselves, and its ELBO is the exact "
        "log-likelihood of probabilistic PCA."
    )
