"""A1–A6: the slides' autoencoders and VAEs on MNIST, with 8 latent dimensions."""

from __future__ import annotations

import torch

from lowerbound import evaluation, plots
from lowerbound.data import Dataset
from lowerbound.errors import ConfigurationError
from lowerbound.likelihoods import Bernoulli
from lowerbound.networks import MLP
from lowerbound.objectives import ELBO, Reconstruction
from lowerbound.posteriors import Deterministic
from lowerbound.priors import ConditionalGaussian, StandardNormal
from lowerbound.recipes import mlp
from lowerbound.reproduce import homework3
from lowerbound.reproduce.bench import Bench
from lowerbound.reproduce.result import Setting
from lowerbound.reproduce.system import system
from lowerbound.training import Training
from lowerbound.transforms import Scale
from lowerbound.vae import VAE

PIXELS, LATENT_DIM, CLASSES = 784, 8, 10
SHALLOW, DEEP = (), (64, 32)
PER_PIXEL, PER_IMAGE = "nats per pixel", "nats per image"
PLAIN = Training(epochs=20, batch_size=128, learning_rate=1e-3)
BEST = Training(
    epochs=100, batch_size=256, learning_rate=5e-3, schedule="cosine", warmup_epochs=1, ema=0.999
)
UNITS = (
    "The slides set 784 × BCE + KL (A3, A4) beside the BCE of one pixel (A1, A2): 0.1477 per pixel "
    "is 115.8 per image. Both units are given here. No figure can be below 0.0581 per pixel, 45.53 "
    "per image: the entropy of the grey levels themselves."
)


def autoencoder(hidden: tuple[int, ...]) -> VAE:
    """784-hidden-8-hidden-784 with a linear code, and grey levels as soft targets."""
    encoder = MLP(PIXELS, hidden, LATENT_DIM)
    decoder = MLP(LATENT_DIM, hidden[::-1], PIXELS)
    return VAE(
        StandardNormal(LATENT_DIM),
        Deterministic(encoder, LATENT_DIM),
        Bernoulli(decoder, (1, 28, 28)),
        Scale(),
    )


def vae(data: Dataset, hidden: tuple[int, ...]) -> VAE:
    """The same with a mean and a log-variance for each code."""
    return mlp(data, LATENT_DIM, hidden, likelihood="Bernoulli").model


def conditional_vae(data: Dataset, hidden: tuple[int, ...]) -> VAE:
    """The same with the class given to encoder, decoder and prior."""
    given = mlp(data, LATENT_DIM, hidden, likelihood="Bernoulli", conditional=True).model
    prior = ConditionalGaussian(MLP(CLASSES, (), 2 * LATENT_DIM), LATENT_DIM)
    return VAE(prior, given.posterior, given.likelihood, given.transform, given.context)


@system("A1", "Autoencoder, not deep: 784-8-784")
def a1(bench: Bench) -> None:
    autoencoder_figures(bench, "a1", SHALLOW, document=0.1734, goal=0.165, stretch=0.162)


@system("A2", "Autoencoder, deep: 784-64-32-8-32-64-784")
def a2(bench: Bench) -> None:
    autoencoder_figures(bench, "a2", DEEP, document=0.1477, goal=0.127, stretch=0.122)


def autoencoder_figures(
    bench: Bench, name: str, hidden: tuple[int, ...], document: float, goal: float, stretch: float
) -> None:
    """The BCE on the test set, in both units and both settings."""
    data = bench.data("mnist")
    for setting, training in (("document", PLAIN), ("best", BEST)):
        model, _ = bench.train(
            f"slides-{name}-{setting}",
            lambda: autoencoder(hidden),
            data.train,
            Reconstruction(),
            training,
        )
        bce = bench.evaluate(model, data.test).reconstruction
        best = setting == "best"
        bench.row(
            f"BCE, {training.epochs} epochs",
            bce.scaled(1 / PIXELS),
            PER_PIXEL,
            document=document,
            goal=goal if best else None,
            stretch=stretch if best else None,
            setting="best" if best else "as the document trained it",
        )
        bench.row(
            f"BCE, {training.epochs} epochs",
            bce,
            PER_IMAGE,
            document=document * PIXELS,
            better="neither",
            setting="best" if best else "as the document trained it",
        )
    some = data.test.take(10)
    rows = {"original": some.x.numpy(), "reconstruction": model.reconstruct(some.x).numpy()}
    figure = plots.reconstructions(rows, value_range=(0, 255))
    bench.picture("reconstructions", "Reconstructions", "The first ten test images.", figure)
    bench.note(UNITS)


@system("A3", "VAE, not deep: 784-8-784")
def a3(bench: Bench) -> None:
    vae_figures(bench, "a3", SHALLOW, document=153.3227, goal=151.0, stretch=150.0)


@system("A4", "VAE, deep: 784-64-32-8-32-64-784")
def a4(bench: Bench) -> None:
    vae_figures(bench, "a4", DEEP, document=129.3765, goal=117, stretch=112)


def trained(bench: Bench, name: str, hidden: tuple[int, ...], best: bool) -> VAE:
    """One of the slides' VAEs, trained plainly or as well as we can."""
    train = bench.data("mnist").train
    model, _ = bench.train(
        f"slides-{name}-{'best' if best else 'document'}",
        lambda: vae(train, hidden),
        train,
        ELBO(samples=4 if best else 1),
        BEST if best else PLAIN,
    )
    return model


def vae_figures(
    bench: Bench, name: str, hidden: tuple[int, ...], document: float, goal: float, stretch: float
) -> None:
    """BCE + KL on the test set, in both units and both settings."""
    test = bench.data("mnist").test
    for best, training in ((False, PLAIN), (True, BEST)):
        model = trained(bench, name, hidden, best)
        result = bench.evaluate(model, test)
        assert result.elbo is not None
        assert result.kl is not None
        bench.row(
            f"BCE + KL, {training.epochs} epochs",
            result.elbo.scaled(-1),
            PER_IMAGE,
            document=document,
            goal=goal if best else None,
            stretch=stretch if best else None,
            setting="best" if best else "as the document trained it",
        )
        told: Setting = "best" if best else "as the document trained it"
        epochs = f"{training.epochs} epochs"
        bench.row(f"BCE, {epochs}", result.reconstruction, PER_IMAGE, setting=told)
        bench.row(f"KL, {epochs}", result.kl, PER_IMAGE, setting=told)
        bench.row(f"BCE + KL, {epochs}", result.elbo.scaled(-1 / PIXELS), PER_PIXEL, setting=told)
    some = test.take(10)
    rows = {"original": some.x.numpy(), "reconstruction": model.reconstruct(some.x).numpy()}
    figure = plots.reconstructions(rows, value_range=(0, 255))
    bench.picture("reconstructions", "Reconstructions", "The first ten test images.", figure)
    bench.note(UNITS)


@system("A5", "Generation: draw z, decode")
def a5(bench: Bench) -> None:
    model = trained(bench, "a4", DEEP, best=True)
    images = model.sample(60, seed=bench.seed, mean=True).numpy()
    figure = plots.samples(images, columns=12, value_range=(0, 255))
    bench.picture("samples", "Samples", "60 draws z ~ N(0, I) through A4's decoder.", figure)

    flat = homework3.trained(bench, 2, "document")
    ranges = {
        "document": (torch.linspace(-15, 15, 15), "from −15 to 15, the document's range"),
        "quantiles": (evaluation.normal_quantiles(15, 0.02, 0.98), "at the prior's quantiles"),
    }
    for name, (values, words) in ranges.items():
        figure = plots.manifold(
            evaluation.manifold(flat, values).numpy(),
            values.numpy(),
            values.numpy(),
            value_range=(0, 255),
            title=f"Two latent dimensions, {words}",
        )
        caption = f"A 15 × 15 grid over the codes of a VAE with two, {words}."
        bench.picture(f"grid-{name}", "Decoded grid", caption, figure)
    bench.note(
        "In the grid from −15 to 15 all but the middle cell lie more than two standard deviations "
        "from the prior's centre, where the decoder was hardly trained. The prior's quantiles show "
        "what draws look like."
    )


@system("A6", "Conditional VAE: choose the class to generate")
def a6(bench: Bench) -> None:
    data = bench.data("mnist")
    model, _ = bench.train(
        "slides-a6", lambda: conditional_vae(data.train, DEEP), data.train, ELBO(), PLAIN
    )
    twin = trained(bench, "a4", DEEP, best=False)
    plain, given = bench.evaluate(twin, data.test), bench.evaluate(model, data.test)
    results = {"unconditional": plain, "conditional": given}
    assert plain.elbo is not None
    assert given.elbo is not None
    for name, result in results.items():
        assert result.elbo is not None
        bench.row(f"BCE + KL, {name}", result.elbo.scaled(-1), PER_IMAGE)
        bench.row(f"BCE, {name}", result.reconstruction, PER_IMAGE)
    gain = plain.elbo.value - given.elbo.value
    bench.row("BCE + KL, conditional − unconditional", gain, PER_IMAGE, goal=0)
    gain = given.reconstruction.value - plain.reconstruction.value
    bench.row("BCE, conditional − unconditional", gain, PER_IMAGE, goal=0)

    draws = 12
    labels = torch.arange(CLASSES).repeat_interleave(draws)
    images = model.sample(len(labels), labels, seed=bench.seed, mean=True)
    figure = plots.class_grid(
        images.unflatten(0, (CLASSES, draws)).numpy(),
        [str(i) for i in range(CLASSES)],
        value_range=(0, 255),
    )
    bench.picture("classes", "Every class", "12 draws z ~ p(z|c) for each class c.", figure)
    fives = model.sample(24, torch.full((24,), 5), seed=bench.seed, mean=True).numpy()
    figure = plots.samples(fives, columns=12, value_range=(0, 255), title="Samples of class 5")
    bench.picture("fives", "One class", "24 draws of the document's example, 5.", figure)
    refusal = ""
    try:
        model.sample(1, torch.tensor([CLASSES]))
    except ConfigurationError as error:
        refusal = str(error)
    refused = float(bool(refusal))
    bench.row("a class that does not exist is refused", refused, "", goal=1, better="equal")
    bench.note(f"A class that does not exist is refused: “{refusal}”.")
