"""D1–D5: homework 3, a Bernoulli VAE on MNIST, 784-512-K-512-784."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch

from documents.bench import NATS, Bench, Setting, cost, system
from lowerbound import plots
from lowerbound.corruptions import BernoulliDraw
from lowerbound.objectives import ELBO
from lowerbound.recipes import mlp
from lowerbound.training import Training
from lowerbound.vae import VAE

CODES = ((-2.0, 4.0), (-0.2, 0.4), (0.1, 0.1))
LATENT_DIMS = (1, 2, 3, 5, 10, 20, 50)
DOCUMENTS = Training(epochs=20, batch_size=128, learning_rate=1e-3)
FALLING = Training(epochs=20, learning_rate=5e-3, schedule="cosine", warmup_epochs=1, ema=0.999)
IN_20_EPOCHS = (FALLING, ELBO(samples=16))
# An encoder that sees binarised digits does not memorise the training set.
LONG = (
    replace(FALLING, epochs=250, batch_size=256),
    ELBO(samples=4, corruption=BernoulliDraw()),
)
DEEPER, FURTHER = (512, 512), replace(FALLING, batch_size=256, learning_rate=3e-3)
GOALS_OF_ANY = {8: (40, 112, 129.3765), 3: (60, 121, 139.69), 20: (60, 90, 103.56)}
"""By K: epochs, the goal with any layers, and what the document has with its own (A4, D1, D2)."""


def bernoulli_vae(bench: Bench, latent_dim: int, hidden: tuple[int, ...] = (512,)) -> VAE:
    """784-512-K-512-784, ReLU, grey levels as soft targets; or with other ``hidden`` layers."""
    return mlp(
        bench.data().train, latent_dim=latent_dim, hidden=hidden, likelihood="Bernoulli"
    ).model


def trained(
    bench: Bench,
    latent_dim: int,
    setting: str = "document",
    training: Training = DOCUMENTS,
    objective: ELBO = ELBO(),
) -> VAE:
    """The homework's VAE with K latent dimensions, trained as the document did by default."""
    name = f"homework3-{latent_dim}-{setting}"
    return bench.train(name, lambda: bernoulli_vae(bench, latent_dim), objective, training)


@system("D1", "Bernoulli VAE on MNIST, 3 latent dimensions")
def d1(bench: Bench) -> None:
    figures(bench, 3, (7.89, 131.80, 139.69), in_20=136, converged=130, stretch=121)


@system("D2", "Bernoulli VAE on MNIST, 20 latent dimensions")
def d2(bench: Bench) -> None:
    figures(bench, 20, (25.23, 78.33, 103.56), in_20=100, converged=97, stretch=90)
    for latent_dim, document in ((2, 807_700), (20, 835_384)):
        count = sum(p.numel() for p in bernoulli_vae(bench, latent_dim).parameters())
        bench.row(
            f"parameters, K = {latent_dim}",
            count,
            document=document,
            better="equal",
            setting="exact",
        )


def figures(
    bench: Bench,
    latent_dim: int,
    document: tuple[float, float, float],
    in_20: float,
    converged: float,
    stretch: float,
) -> None:
    """KL, reconstruction and sum in the document's setting; the sum in the better ones."""
    result = bench.evaluate(trained(bench, latent_dim))
    kl, reconstruction, total = document
    as_documented: Setting = "as the document trained it"
    # Either may fall at the other's cost: only the sum is judged.
    for name, measured, figure in (
        ("KL", result.kl, kl),
        ("reconstruction", result.reconstruction, reconstruction),
    ):
        bench.row(name, measured, NATS, document=figure, setting=as_documented, better="neither")
    bench.row("sum", cost(result), NATS, document=total, setting=as_documented)
    best = (("20", IN_20_EPOCHS, in_20), ("long", LONG, converged))
    for name, (training, objective), goal in best:
        found = cost(bench.evaluate(trained(bench, latent_dim, name, training, objective)))
        bench.row(
            f"sum, {training.epochs} epochs, {objective.samples} draws per image",
            found,
            NATS,
            document=total,
            goal=goal,
            stretch=stretch,
            setting="best",
        )
        if found.value > goal and not bench.quick:
            bench.note(
                f"The goal of {goal} is missed by {found.value - goal:.2f} nats. Twice the epochs "
                "were tried with K = 3 and do not help: what they win on training data is lost on "
                "test data. A clean input for the encoder is worse in a run of this length, as it "
                "memorises the training set; Gaussian noise on the input is worse than "
                "binarisation."
            )
    bench.note(
        "The best settings (learning rate 5e-3 falling by a cosine, warm-up, averaged weights, "
        "more draws of z per image, and for the long run digits binarised for the encoder) were "
        "chosen on 5,000 held-out training images; then all 60,000 were trained on."
    )


@system("D3", "Samples for chosen codes, K = 2")
def d3(bench: Bench) -> None:
    model = trained(bench, 2)
    with torch.no_grad():
        p = model.likelihood(torch.tensor(CODES))
        torch.manual_seed(bench.seed)
        drawn = p.sample((9,)).transpose(0, 1)
        grid = torch.cat((p.mean.unsqueeze(1), drawn), 1)
    figure = plots.image_grid(
        grid.numpy(),
        row_labels=[f"z = [{a:g}, {b:g}]" for a, b in CODES],
        column_labels=["mean", *(f"draw {i + 1}" for i in range(9))],
    )
    caption = (
        "The document's three codes, K = 2: the decoder's mean, and draws from Bernoulli(mean)."
    )
    bench.picture("codes", "Chosen codes", caption, figure)
    bench.note(
        "The code [−2, 4] lies 4.5 standard deviations from the prior's centre, where the decoder "
        "was hardly trained; the other two lie near the centre, where classes meet."
    )


@system("D4", "Originals and reconstructions; KL and reconstruction over K")
def d4(bench: Bench) -> None:
    models = {latent_dim: trained(bench, latent_dim) for latent_dim in LATENT_DIMS}
    bench.reconstructions({f"K = {dim}": models[dim] for dim in (2, 3, 20)})
    terms: dict[str, list[float]] = {"KL": [], "reconstruction": [], "sum": []}
    for latent_dim, model in models.items():
        result = bench.evaluate(model)
        figures = (result.kl, result.reconstruction, cost(result))
        for (name, values), figure in zip(terms.items(), figures, strict=True):
            values.append(bench.row(f"{name}, K = {latent_dim}", figure, NATS))
        bench.row(f"active units, K = {latent_dim}", result.active_units, better="higher")
    curves = plots.curves(
        np.array(LATENT_DIMS),
        {name: np.array(values) for name, values in terms.items()},
        xlabel="latent dimensions K",
        ylabel=NATS,
        logx=True,
    )
    bench.picture("over-k", "KL and reconstruction over K", "Test set, 20 epochs each.", curves)


@system("D5", "With other layers: 784-512-512-K-512-512-784")
def d5(bench: Bench) -> None:
    for latent_dim, (epochs, goal, document) in GOALS_OF_ANY.items():
        model = bench.train(
            f"homework3-{latent_dim}-deeper",
            partial(bernoulli_vae, bench, latent_dim, DEEPER),
            ELBO(corruption=BernoulliDraw()),
            replace(FURTHER, epochs=epochs),
        )
        result = bench.evaluate(model)
        bench.row(
            f"sum, K = {latent_dim}, {epochs} epochs",
            cost(result),
            NATS,
            document=document,
            goal=goal,
            setting="best",
        )
        bench.row(f"KL, K = {latent_dim}", result.kl, NATS, better="neither", setting="best")
    bench.note(
        "The goals are those for any layers of A4 (K = 8), D1 (K = 3) and D2 (K = 20). One draw of "
        "z per image, the encoder seeing binarised digits; learning rate 3e-3 falling by a cosine, "
        "averaged weights."
    )
