"""A7 and A8: denoising autoencoders, and how overcomplete ones are kept from copying."""

from __future__ import annotations

from functools import partial

import numpy as np
import torch
from sklearn.decomposition import PCA
from torch import Tensor

from documents.bench import PIXELS, SHAPE, Bench, dense, system
from lowerbound import plots
from lowerbound.corruptions import Corruption, GaussianNoise, Masking
from lowerbound.objectives import Reconstruction
from lowerbound.training import Training
from lowerbound.vae import VAE

SHOWN = 10
PER_PIXEL = "per pixel"
CODE, WIDE = 64, 1024
CORRUPTIONS: dict[str, Corruption] = {
    "Gaussian noise": GaussianNoise(0.5),
    "masking": Masking(0.5),
}
OBJECTIVES = {
    "plain": Reconstruction(),
    "sparse": Reconstruction(sparsity=0.3),
    "contractive": Reconstruction(contraction=0.3),
    "denoising": Reconstruction(GaussianNoise(0.5)),
}


def squared_error(x: Tensor, y: Tensor) -> float:
    """Mean over images and pixels of (x − y)²."""
    return (x - y).square().mean(dtype=torch.float64).item()


@torch.no_grad()
def restored(model: VAE, seen: Tensor) -> Tensor:
    """The decoder's mean for prepared, possibly corrupted, images."""
    return model.likelihood(model.posterior(seen).mean).mean


@system("A7", "Denoising autoencoder")
def a7(bench: Bench) -> None:
    clean = bench.data().test.x / 255
    for name, corruption in CORRUPTIONS.items():
        file = name.replace(" ", "-")
        model = bench.train(
            f"denoising-{file}",
            partial(dense, (512,), CODE),
            Reconstruction(corruption),
            Training(epochs=20, learning_rate=2e-3, schedule="cosine"),
        )
        torch.manual_seed(bench.seed)
        seen = corruption(clean)
        found, by_pca = restored(model, seen), pca_denoised(bench, corruption, seen)
        noisy, theirs = squared_error(seen, clean), squared_error(by_pca, clean)
        bench.row(f"squared error, {name}: as seen", noisy, PER_PIXEL)
        bench.row(f"squared error, {name}: PCA", theirs, PER_PIXEL)
        ours = squared_error(found, clean)
        bench.row(f"squared error, {name}: restored", ours, PER_PIXEL, goal=min(noisy, theirs))
        rows = {"clean": clean, "corrupted": seen, "PCA": by_pca, "restored": found}
        figure = plots.reconstructions(
            {row: x[:SHOWN].numpy() for row, x in rows.items()},
            value_range=(0, 1),
        )
        bench.picture(file, name.capitalize(), "Ten test images.", figure)


def pca_denoised(bench: Bench, corruption: Corruption, seen: Tensor) -> Tensor:
    """Projection on the leading components of clean images, as many as are best in training."""
    train = (bench.data().train.x / 255).flatten(1)
    pca = PCA(bench.few(200, 50), random_state=0).fit(train[:20_000].numpy())
    held = train[-2_000:]
    held_codes = pca.transform(corruption(held).numpy())

    def back(codes: np.ndarray, k: int) -> Tensor:
        return torch.from_numpy(codes[:, :k] @ pca.components_[:k] + pca.mean_)

    best = min(
        range(1, pca.n_components_ + 1, 3), key=lambda k: squared_error(back(held_codes, k), held)
    )
    codes = pca.transform(seen.flatten(1).numpy())
    return back(codes, best).clamp(0, 1).float().view(-1, *SHAPE)


@system("A8", "Overcomplete autoencoder: the copying solution, and how to prevent it")
def a8(bench: Bench) -> None:
    digits = bench.data().test.x / 255
    generator = torch.Generator().manual_seed(bench.seed)
    # Each digit with its pixels in one random order: the same grey levels, but no digit.
    scrambled = digits.flatten(1)[:, torch.randperm(PIXELS, generator=generator)].view_as(digits)
    pictured = torch.cat((digits[:5], scrambled[:5]))
    rows, copied = {"input": pictured.numpy()}, {}
    for name, objective in OBJECTIVES.items():
        model = bench.train(
            f"overcomplete-{name}",
            # 784-1024-784 with linear layers: the code is wider than the image.
            partial(dense, (), WIDE, sigma=1.0),
            objective,
            Training(epochs=10, learning_rate=1e-3, schedule="cosine"),
        )
        share, copied[name] = (explained(restored(model, x), x) for x in (digits, scrambled))
        bench.row(f"variance of digits explained, {name}", share, better="higher")
        bench.row(f"variance of scrambled digits explained, {name}", copied[name])
        rows[name] = restored(model, pictured).numpy()
    for name in ("sparse", "contractive", "denoising"):
        bench.row(f"scrambled: {name} − plain", copied[name] - copied["plain"], goal=0)
    figure = plots.reconstructions(rows, value_range=(0, 1))
    bench.picture("copying", "Who copies", "Test digits, and their pixels in random order.", figure)
    bench.note(
        "An autoencoder with a code wider than the image can copy: the plain one reproduces digits "
        "without error, and most of the scrambled digits, though it never saw their like. (It "
        "never learned to copy the pixels that are black in all digits.) A penalty or noise makes "
        "it pay for directions that digits do not use: it still reproduces digits, and nothing "
        "else."
    )


def explained(y: Tensor, x: Tensor) -> float:
    """1 − squared error over the variance of x about its mean image."""
    return 1 - squared_error(y, x) / squared_error(x.mean(0).expand_as(x), x)
