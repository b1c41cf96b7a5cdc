"""B3: the assignment's autoencoder, 784-128-64-10-64-128-784, and the VAE built from it."""

from __future__ import annotations

from functools import partial

import torch

from lowerbound import evaluation, plots
from lowerbound.divergences import full_gaussian_kl
from lowerbound.likelihoods import Bernoulli
from lowerbound.networks import MLP
from lowerbound.objectives import ELBO, Objective, Reconstruction
from lowerbound.posteriors import Deterministic, DiagonalGaussian
from lowerbound.priors import StandardNormal
from lowerbound.reproduce.bench import Bench
from lowerbound.reproduce.system import system
from lowerbound.training import Training
from lowerbound.transforms import Scale
from lowerbound.vae import VAE

PIXELS, HIDDEN, LATENT_DIM = 784, (128, 64), 10
UNIT = "nats per image"
DOCUMENTS = Training(epochs=20, batch_size=256)


def model(variational: bool) -> VAE:
    """The VAE, or the autoencoder with the same layers."""
    heads = 2 if variational else 1
    encoder = MLP(PIXELS, HIDDEN, heads * LATENT_DIM)
    posterior = DiagonalGaussian if variational else Deterministic
    return VAE(
        StandardNormal(LATENT_DIM),
        posterior(encoder, LATENT_DIM),
        Bernoulli(MLP(LATENT_DIM, HIDDEN[::-1], PIXELS), (1, 28, 28)),
        Scale(),
    )


@system("B3", "A deep autoencoder, and the VAE built from it")
def b3(bench: Bench) -> None:
    data = bench.data("mnist")
    generator = torch.Generator().manual_seed(bench.seed)
    some = data.test.subset(torch.randperm(len(data.test), generator=generator)[:10])
    pictured = {"original": some.x.numpy()}
    drawn = {}
    objectives: dict[str, Objective] = {"autoencoder": Reconstruction(), "VAE": ELBO()}
    for name, objective in objectives.items():
        trained, _ = bench.train(
            f"assignment-{name}",
            partial(model, name == "VAE"),
            data.train,
            objective,
            DOCUMENTS,
        )
        result = bench.evaluate(trained, data.test)
        bench.row(f"BCE, {name}", result.reconstruction, UNIT)
        if result.elbo is not None and result.importance_weighted is not None:
            bench.row(f"BCE + KL, {name}", result.elbo.scaled(-1), UNIT)
        codes = evaluation.embed(trained, data.test, sample=True).double()
        covariance = codes.T.cov()
        fitted = full_gaussian_kl(
            codes.mean(0),
            covariance,
            torch.zeros(LATENT_DIM).double(),
            torch.eye(LATENT_DIM).double(),
        )
        bench.row(
            f"KL of a Gaussian fitted to the codes from N(0, I), {name}", fitted.item(), "nats"
        )
        at_mean = evaluation.reconstruction_error(trained, data.test)
        bench.row(f"squared error at the mean code, {name}", at_mean, "per pixel")
        pictured[name] = trained.reconstruct(some.x).numpy()
        drawn[name] = trained.sample(20, seed=bench.seed, mean=True)
    figure = plots.reconstructions(pictured, value_range=(0, 255))
    bench.picture("reconstructions", "Reconstructions", "Ten random test images.", figure)
    figure = plots.image_grid(
        torch.cat([images.view(2, 10, 1, 28, 28) for images in drawn.values()]).numpy(),
        row_labels=["autoencoder", "", "VAE", ""],
        value_range=(0, 255),
        title="Decoded draws from N(0, I)",
    )
    bench.picture("samples", "Samples", "20 draws z ~ N(0, I) through each decoder.", figure)
    bench.note(
        "In which sense is the VAE better? Not in the loss that both have: from noisy codes its "
        "BCE is the higher one. From the mean code, as in the picture, its error on test images is "
        "the lower one: the noise in training is a regulariser. And it has what the autoencoder "
        "has not: a density of images (BCE + KL bounds −log p(x)), and codes that fill N(0, I), so "
        "that draws from it decode to digits. The autoencoder's codes lie anywhere, and N(0, I) "
        "misses them."
    )
