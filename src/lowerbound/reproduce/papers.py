"""P1–P2: the protocols of papers, at a budget of hours on two cores."""

from __future__ import annotations

from dataclasses import replace

from lowerbound import recipes
from lowerbound.data import Dataset
from lowerbound.evaluation import evaluate
from lowerbound.objectives import ELBO, IWAE
from lowerbound.reproduce.bench import Bench
from lowerbound.reproduce.system import system
from lowerbound.training import Training
from lowerbound.vae import VAE

SAMPLES = 5000
FALLING = Training(
    batch_size=100, learning_rate=2e-3, schedule="cosine", warmup_epochs=1, ema=0.999
)
ONE = replace(FALLING, epochs=250)
FIVE = replace(FALLING, epochs=100)
FIFTY = replace(FALLING, epochs=40, learning_rate=1e-3)


def one_layer(data: Dataset) -> VAE:
    """784-200-200-50, tanh, digits binarised afresh at each use."""
    return recipes.iwae(data).model


@system("P1", "Importance-weighted autoencoders: one layer, k = 1")
def p1(bench: Bench) -> None:
    train = bench.data("mnist").train
    model, _ = bench.train("iwae-1", lambda: one_layer(train), train, ELBO(), ONE)
    figures(bench, model, paper=86.76)


@system("P2", "Importance-weighted autoencoders: one layer, k = 50")
def p2(bench: Bench) -> None:
    train = bench.data("mnist").train
    five, dreg = IWAE(5, gradient="dreg"), IWAE(50, gradient="dreg")
    start, _ = bench.train("iwae-5", lambda: one_layer(train), train, five, FIVE)
    model, _ = bench.train("iwae-50", lambda: start, train, dreg, FIFTY)
    figures(bench, model, paper=84.78)
    bench.note(
        f"Trained with k = 5 for {FIVE.epochs} epochs, then with k = 50 for {FIFTY.epochs}, both "
        "with the doubly-reparameterised gradient; the paper trained with k = 50 from the start, "
        "for 3,280 epochs."
    )


def figures(bench: Bench, model: VAE, paper: float) -> None:
    """−log p(x) by 5,000 importance samples, and what else the paper tells."""
    test = bench.data("mnist").test
    judged = evaluate(model, test, samples=bench.few(SAMPLES, 50), seed=bench.seed)
    assert judged.importance_weighted is not None
    assert judged.elbo is not None
    unit = "nats per image"
    bench.row(
        f"−log p(x), {judged.samples:,} samples",
        judged.importance_weighted.scaled(-1),
        unit,
        goal=paper,
        setting="best",
    )
    bench.row("−ELBO", judged.elbo.scaled(-1), unit, setting="best")
    bench.row("active units", judged.active_units, "", better="neither", setting="best")
