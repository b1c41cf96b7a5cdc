"""B3: the assignment's autoencoder, 784-128-64-10-64-128-784, and the VAE built from it."""

from __future__ import annotations

from functools import partial

import torch

from documents.bench import NATS, Bench, cost, dense, system
from lowerbound import evaluation, plots
from lowerbound.divergences import full_gaussian_kl
from lowerbound.objectives import ELBO, Objective, Reconstruction
from lowerbound.training import Training

HIDDEN, LATENT_DIM = (128, 64), 10
DOCUMENTS = Training(epochs=20, batch_size=256)
OBJECTIVES: dict[str, Objective] = {"autoencoder": Reconstruction(), "VAE": ELBO()}


@system("B3", "A deep autoencoder, and the VAE built from it")
def b3(bench: Bench) -> None:
    test = bench.data().test
    models = {}
    for name, objective in OBJECTIVES.items():
        variational = name == "VAE"
        model = models[name] = bench.train(
            f"assignment-{name}",
            partial(dense, HIDDEN, LATENT_DIM, variational=variational),
            objective,
            DOCUMENTS,
        )
        result = bench.evaluate(model)
        bench.row(f"BCE, {name}", result.reconstruction, NATS)
        if variational:
            bench.row(f"BCE + KL, {name}", cost(result), NATS)
        codes = evaluation.embed(model, test, sample=True).double()
        origin, one = torch.zeros(LATENT_DIM).double(), torch.eye(LATENT_DIM).double()
        fitted = full_gaussian_kl(codes.mean(0), codes.T.cov(), origin, one).item()
        bench.row(f"KL of a Gaussian fitted to the codes from N(0, I), {name}", fitted, "nats")
        at_mean = evaluation.reconstruction_error(model, test)
        bench.row(f"squared error at the mean code, {name}", at_mean, "per pixel")
    generator = torch.Generator().manual_seed(bench.seed)
    some = test.subset(torch.randperm(len(test), generator=generator)[:10])
    bench.reconstructions(models, images=some, caption="Ten random test images.")
    drawn = [model.sample(20, seed=bench.seed, mean=True) for model in models.values()]
    figure = plots.image_grid(
        torch.cat(drawn).view(4, 10, 1, 28, 28).numpy(),
        row_labels=["autoencoder", "", "VAE", ""],
        value_range=(0, 255),
    )
    bench.picture("samples", "Samples", "20 draws z ~ N(0, I) through each decoder.", figure)
    bench.note(
        "In what sense is the VAE better? Not in the loss that both share: decoded from noisy "
        "codes, its BCE is higher. Decoded from the mean code, as in the picture, its error on "
        "test images is lower: noise in training acts as a regulariser. And it has what the "
        "autoencoder lacks: a density of images (BCE + KL bounds −log p(x)), and codes that fill "
        "N(0, I), so that draws from it decode to digits. The autoencoder's codes lie anywhere, "
        "and N(0, I) misses them."
    )
