"""A1–A6: the slides' autoencoders and VAEs on MNIST, with 8 latent dimensions."""

from __future__ import annotations

import torch

from documents.bench import NATS, PIXELS, Bench, Setting, cost, dense, system
from documents.homework3 import systems as homework3
from lowerbound import evaluation, plots
from lowerbound.errors import ConfigurationError
from lowerbound.networks import MLP
from lowerbound.objectives import ELBO, Reconstruction
from lowerbound.priors import ConditionalGaussian
from lowerbound.recipes import mlp
from lowerbound.training import Training
from lowerbound.vae import VAE

LATENT_DIM, CLASSES = 8, 10
SHALLOW, DEEP = (), (64, 32)
PER_PIXEL = "nats per pixel"
AS_DOCUMENTED: Setting = "as the document trained it"
PLAIN = Training(epochs=20, batch_size=128, learning_rate=1e-3)
BEST = Training(
    epochs=100, batch_size=256, learning_rate=5e-3, schedule="cosine", warmup_epochs=1, ema=0.999
)
SETTINGS: tuple[tuple[Setting, Training], ...] = ((AS_DOCUMENTED, PLAIN), ("best", BEST))
UNITS = (
    "The slides set 784 × BCE + KL (A3, A4) beside the BCE of one pixel (A1, A2): 0.1477 per pixel "
    "is 115.8 per image. Both units are given here. No figure can be below 0.0581 per pixel, 45.53 "
    "per image: the entropy of the grey levels themselves."
)


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
    for setting, training in SETTINGS:
        model = bench.train(
            f"slides-{name}-{'document' if setting == AS_DOCUMENTED else setting}",
            lambda: dense(hidden, LATENT_DIM),
            Reconstruction(),
            training,
        )
        bce, quantity = bench.evaluate(model).reconstruction, f"BCE, {training.epochs} epochs"
        bench.row(
            quantity,
            bce.scaled(1 / PIXELS),
            PER_PIXEL,
            document=document,
            goal=goal if setting == "best" else None,
            stretch=stretch if setting == "best" else None,
            setting=setting,
        )
        per_image = document * PIXELS
        bench.row(quantity, bce, NATS, document=per_image, better="neither", setting=setting)
    bench.reconstructions({"reconstruction": model})
    bench.note(UNITS)


@system("A3", "VAE, not deep: 784-8-784")
def a3(bench: Bench) -> None:
    vae_figures(bench, "a3", SHALLOW, document=153.3227, goal=151.0, stretch=150.0)


@system("A4", "VAE, deep: 784-64-32-8-32-64-784")
def a4(bench: Bench) -> None:
    vae_figures(bench, "a4", DEEP, document=129.3765, goal=117, stretch=112)


def vae(bench: Bench, hidden: tuple[int, ...], *, conditional: bool = False) -> VAE:
    """A mean and a log-variance for each code; ``conditional``, on the class."""
    train = bench.data().train
    settings = {"latent_dim": LATENT_DIM, "hidden": hidden, "conditional": conditional}
    return mlp(train, likelihood="Bernoulli", **settings).model


def trained(bench: Bench, name: str, hidden: tuple[int, ...], setting: Setting) -> VAE:
    """One of the slides' VAEs, trained plainly or as well as we can."""
    best = setting == "best"
    return bench.train(
        f"slides-{name}-{'best' if best else 'document'}",
        lambda: vae(bench, hidden),
        ELBO(samples=4 if best else 1),
        BEST if best else PLAIN,
    )


def vae_figures(
    bench: Bench, name: str, hidden: tuple[int, ...], document: float, goal: float, stretch: float
) -> None:
    """BCE + KL on the test set, in both units and both settings."""
    for setting, training in SETTINGS:
        model = trained(bench, name, hidden, setting)
        result, epochs = bench.evaluate(model), f"{training.epochs} epochs"
        bench.row(
            f"BCE + KL, {epochs}",
            cost(result),
            NATS,
            document=document,
            goal=goal if setting == "best" else None,
            stretch=stretch if setting == "best" else None,
            setting=setting,
        )
        bench.row(f"BCE, {epochs}", result.reconstruction, NATS, setting=setting)
        bench.row(f"KL, {epochs}", result.kl, NATS, setting=setting)
        per_pixel = cost(result).scaled(1 / PIXELS)
        bench.row(f"BCE + KL, {epochs}", per_pixel, PER_PIXEL, setting=setting)
    bench.reconstructions({"reconstruction": model})
    bench.note(UNITS)


@system("A5", "Generation: draw z, decode")
def a5(bench: Bench) -> None:
    model = trained(bench, "a4", DEEP, "best")
    images = model.sample(60, seed=bench.seed, mean=True).numpy()
    figure = plots.image_grid(images, columns=12, value_range=(0, 255))
    bench.picture("samples", "Samples", "60 draws z ~ N(0, I) through A4's decoder.", figure)

    flat = homework3.trained(bench, 2)
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
        )
        caption = f"A 15 × 15 grid over the codes of a VAE with two, {words}."
        bench.picture(f"grid-{name}", "Decoded grid", caption, figure)
    bench.note(
        "In the grid from −15 to 15 all but the middle cell lie more than two standard deviations "
        "from the prior's centre, where the decoder was hardly trained. The prior's quantiles show "
        "what draws look like."
    )


def conditional_vae(bench: Bench) -> VAE:
    """A4 with the class given to encoder, decoder and prior."""
    given = vae(bench, DEEP, conditional=True)
    prior = ConditionalGaussian(MLP(CLASSES, (), 2 * LATENT_DIM), LATENT_DIM)
    return VAE(prior, given.posterior, given.likelihood, given.transform, given.context)


@system("A6", "Conditional VAE: choose the class to generate")
def a6(bench: Bench) -> None:
    model = bench.train("slides-a6", lambda: conditional_vae(bench), ELBO(), PLAIN)
    plain, given = bench.evaluate(trained(bench, "a4", DEEP, AS_DOCUMENTED)), bench.evaluate(model)
    for name, result in (("unconditional", plain), ("conditional", given)):
        bench.row(f"BCE + KL, {name}", cost(result), NATS)
        bench.row(f"BCE, {name}", result.reconstruction, NATS)
    gain = cost(given).value - cost(plain).value
    bench.row("BCE + KL, conditional − unconditional", gain, NATS, goal=0)
    gain = given.reconstruction.value - plain.reconstruction.value
    bench.row("BCE, conditional − unconditional", gain, NATS, goal=0)

    draws = 12
    labels = torch.arange(CLASSES).repeat_interleave(draws)
    images = model.sample(len(labels), labels, seed=bench.seed, mean=True)
    figure = plots.image_grid(
        images.unflatten(0, (CLASSES, draws)).numpy(),
        row_labels=[str(i) for i in range(CLASSES)],
        value_range=(0, 255),
    )
    bench.picture("classes", "Every class", "12 draws z ~ p(z|c) for each class c.", figure)
    fives = model.sample(24, torch.full((24,), 5), seed=bench.seed, mean=True).numpy()
    figure = plots.image_grid(fives, columns=12, value_range=(0, 255))
    bench.picture("fives", "One class", "24 draws of the document's example, 5.", figure)
    refusal = ""
    try:
        model.sample(1, torch.tensor([CLASSES]))
    except ConfigurationError as error:
        refusal = str(error)
    refused = float(bool(refusal))
    bench.row("a class that does not exist is refused", refused, goal=1, better="equal")
    bench.note(f"A class that does not exist is refused: “{refusal}”.")
