"""The rows of the judgement: sound systems, and those with a fault."""

from __future__ import annotations

from functools import partial

import torch
from judged import (
    Judged,
    Loop,
    System,
    answers,
    by_loop,
    by_recipe,
    changed,
    clusters,
    counts,
    curved,
    digits,
    factors,
    gaps,
    mnist,
    people,
    pictures,
    positive,
    relabelled,
    unit,
    with_x,
)  # fmt: skip
from planted import copied, few, tested_on_known, with_classes, zeros

from lowerbound.divergences import standard_normal_kl_terms

black = pictures("digits", binary=True)
black28 = pictures("mnist", "fashion-mnist", binary=True)
table = factors(10, 3)
wide = factors(60, 5)
FAST = {"learning_rate": 5e-3}

SOUND = [
    System(name, kind, make)
    for kind, systems in {
        "grey images": {
            "digits": by_recipe(digits, (1797, 900), epochs=(20, 60), hidden=(64, 128)),
            "digits, 2 epochs": by_recipe(digits, (1797, 1797), epochs=(2, 4), hidden=32),
            "mnist": by_recipe(mnist, (4000, 3000), epochs=(8, 12), hidden=(256, 128)),
            "mnist, wide": by_recipe(mnist, (2000, 2500), epochs=5, hidden=512,
                                     latent_dim=(50, 30)),
            "mnist, Bernoulli": by_recipe(mnist, (4000, 5000), epochs=10, hidden=128,
                                          likelihood="Bernoulli", latent_dim=(10, 2)),
            "mnist, Gaussian": by_recipe(mnist, (3000, 2000), epochs=10, hidden=128,
                                         likelihood="Gaussian", latent_dim=(8, 16)),
            "digits, grey levels": by_recipe(digits, (1797, 1500), epochs=(20, 40), hidden=64,
                                             likelihood="DiscretisedLogistic", latent_dim=(6, 10)),
            "convolutional": by_recipe(mnist, (1000, 1500), "convolutional", hidden=256,
                                       epochs=(3, 2)),
        },
        "binary": {
            "digits": by_recipe(black, (1797, 1200), epochs=(60, 30), hidden=(64, 128), **FAST),
            "mnist": by_recipe(black28, (4000, 2500), epochs=(10, 15), hidden=256),
            "binarised mnist": by_recipe(mnist, (3000, 3000), epochs=8, hidden=200,
                                         likelihood="Bernoulli", transform="Binarise"),
            "answers": by_recipe(answers, (2000, 600), epochs=(30, 60), latent_dim=(5, 2)),
            "linear networks": by_recipe(black, (1797, 900), epochs=(20, 50), latent_dim=(4, 8),
                                         hidden=[]),
        },
        "tables of reals": {
            "factors": by_recipe(table, (2000, 500), epochs=(60, 80), hidden=64, latent_dim=(3, 5),
                                 **FAST),
            "factors, default": by_recipe(table, (4000, 1000), epochs=20),
            "factors, wide": by_recipe(wide, (3000, 800), epochs=(15, 40), hidden=128),
            "curved": by_recipe(curved(12), (3000, 1500), epochs=(40, 60), latent_dim=(2, 4),
                                hidden=(64, 32), **FAST),
            "clusters": by_recipe(clusters, (2000, 1200), epochs=(40, 20), latent_dim=(3, 8)),
            "large scale": by_recipe(factors(6, 2, scale=1e4), (2500, 700), epochs=30, hidden=32),
            "unit": by_recipe(unit, (2000, 900), epochs=(30, 60), hidden=64, latent_dim=(3, 1)),
            "positive": by_recipe(positive, (2000, 800), epochs=30, hidden=64, latent_dim=2),
            "gaps": by_recipe(gaps, (2000, 1000), epochs=30, hidden=64, latent_dim=(2, 5)),
        },
        "linear": {
            "20 epochs": by_recipe(factors(5, 2), (4000, 2000), "linear", latent_dim=2, epochs=20),
            "40 epochs": by_recipe(factors(5, 2), (4000, 2500), "linear", latent_dim=2,
                                   epochs=(40, 80)),
            "fast": by_recipe(wide, (2000, 1500), "linear", latent_dim=(5, 8), epochs=60,
                              learning_rate=1e-2),
            "mnist": by_recipe(mnist, (3000, 2000), "linear", latent_dim=(10, 20), epochs=(6, 12)),
        },
        "counts": {
            "few": by_recipe(counts(2.0), (2000, 900), epochs=(30, 60), hidden=64, latent_dim=3),
            "many": by_recipe(counts(200.0), (2000, 1200), epochs=(20, 60), hidden=64, **FAST),
            "Poisson": by_recipe(counts(5.0), (2000, 1500), epochs=40, hidden=64, latent_dim=(3, 6),
                                 likelihood="Poisson", **FAST),
            "overdispersed": by_recipe(counts(8.0, dispersion=2.0), (2500, 1200), epochs=40,
                                       latent_dim=4),
            "people": by_recipe(people, (2000, 1500), epochs=(15, 40)),
        },
        "heavy tails": {
            "Gaussian": by_recipe(factors(8, 2, tails=3.0), (2000, 1000), epochs=(30, 60),
                                  hidden=64),
            "Student t": by_recipe(factors(8, 2, tails=2.5), (2000, 1500), epochs=(30, 60),
                                   likelihood="StudentT", latent_dim=(2, 5), **FAST),
        },
        "small": {
            "150 rows": by_recipe(table, (190, 190), epochs=(40, 80), hidden=8, latent_dim=(2, 1)),
            "150 rows, wide": by_recipe(wide, (200, 250), epochs=20, hidden=32, latent_dim=2),
            "200 digits": by_recipe(digits, (240, 200), epochs=(20, 10), hidden=16),
        },
        "conditional": {
            "digits": by_recipe(black, (1797, 1000), epochs=30, conditional=True,
                                latent_dim=(4, 8)),
            "mnist": by_recipe(mnist, (3000, 4000), epochs=8, conditional=True, hidden=128),
            "clusters": by_recipe(clusters, (1500, 800), epochs=40, conditional=True, latent_dim=2,
                                  hidden=64),
        },
        "priors and posteriors": {
            "VampPrior": by_recipe(black, (1797, 1200), "vampprior", epochs=20),
            "mixture": by_recipe(black28, (2500, 2000), "mixture", epochs=10),
            "inverse flow": by_recipe(black, (1797, 1500), "iaf", epochs=10),
            "flow prior": by_recipe(table, (1500, 1000), "flow-prior", epochs=10),
            "full covariance": by_recipe(table, (1500, 1000), "full-covariance", epochs=20,
                                         latent_dim=3),
        },
        "objectives": {
            "IWAE": by_recipe(black, (1797, 1200), "iwae", epochs=8, objective__samples=5),
            "β": by_recipe(black, (1797, 1200), epochs=40, objective__beta=(2.0, 0.5)),
            "β = 0.2, table": by_recipe(table, (2000, 1200), epochs=40, hidden=64, latent_dim=3,
                                        objective__beta=(0.2, 2.0)),
            "warm-up": by_recipe(black, (1797, 1000), epochs=(30, 20), hidden=64,
                                 objective__beta={"part": "Linear", "duration": 10.0}),
            "free bits": by_recipe(mnist, (2500, 2000), epochs=8, hidden=128,
                                   objective__free_bits=(0.1, 0.5)),
            "autoencoder": by_recipe(digits, (1797, 1200), "autoencoder", epochs=(20, 40)),
        },
    }.items()
    for name, make in systems.items()
]  # fmt: skip


def roll(x: torch.Tensor) -> torch.Tensor:
    return x.roll((2, 1), (-1, -2))


def trained_on_shuffled_labels(judged: Judged) -> None:
    order = torch.randperm(len(judged.train), generator=torch.Generator().manual_seed(0))
    assert judged.train.labels is not None
    judged.train.labels.copy_(judged.train.labels[order])


images = by_recipe(black, (1797, 1500), epochs=25, hidden=64, **FAST)
greys = by_recipe(mnist, (3000, 2500), epochs=8, hidden=128)
reals = by_recipe(table, (2000, 1500), epochs=40, hidden=64, latent_dim=3, **FAST)
classes, unlike = (
    by_recipe(black, (1797, 1500), epochs=40, hidden=64, conditional=True, latent_dim=2, **FAST)
    for _ in range(2)
)
on_table = partial(by_loop, table, (2000, 1500), likelihood="Gaussian")
on_digits = partial(by_loop, black, (1797, 1500))
on_mnist = partial(by_loop, black28, (4000, 3000), latent=(8, 12))

LAB = Loop(draw=lambda h: h.exp())
LOG_SIGMA = Loop(draw=lambda h: h.exp(), kl=lambda m, h: standard_normal_kl_terms(m, 2 * h))
PRECISION = Loop(draw=lambda h: (-h / 2).exp(), kl=lambda m, h: standard_normal_kl_terms(m, -h))
ASSIGNMENT = Loop(draw=lambda h: 0.1 * h.exp())
SMALL = Loop(draw=lambda h: 0.1 * (h / 2).exp())
NONE = Loop(draw=lambda h: 0 * h)
HALF = Loop(kl=lambda m, h: m**2 + h.exp() - h / 2 - 0.5)
SIGMA = Loop(kl=lambda m, h: -0.5 * (1 + h / 2 - (h / 2).exp() - m**2))
NO_LOGARITHM = Loop(kl=lambda m, h: 0.5 * (h.exp() + m**2 - 1))
VARIANCE, WEIGHT, FORMULA = ("stated-variance",), ("kl-weight",), ("kl-formula",)

FAULTY = [
    System(name, kind, make, causes, words)
    for kind, causes, words, systems in (
        ("draws with exp(h), h = log σ²", VARIANCE, "exp(h) ε", {
            "table": on_table(LAB), "digits": on_digits(LAB), "mnist": on_mnist(LAB)}),
        ("h is log σ throughout", VARIANCE, "log σ² = 2h", {
            "table": on_table(LOG_SIGMA), "digits": on_digits(LOG_SIGMA),
            "mnist": on_mnist(LOG_SIGMA)}),
        ("noise of 0.1", VARIANCE, "0.1 exp", {
            "assignment, table": on_table(ASSIGNMENT), "assignment, digits": on_digits(ASSIGNMENT),
            "table": on_table(SMALL), "digits": on_digits(SMALL)}),
        ("σ ignored in sampling", VARIANCE, "no noise", {
            "table": on_table(NONE), "digits": on_digits(NONE), "mnist": on_mnist(NONE)}),
        ("misprinted KL", FORMULA, "", {
            "½ lost, table": on_table(HALF), "½ lost, digits": on_digits(HALF),
            "σ for σ², table": on_table(SIGMA), "σ for σ², digits": on_digits(SIGMA),
            "no logarithm": on_digits(NO_LOGARITHM)}),
        ("KL averaged over pixels", WEIGHT, "elements", {
            "table": on_table(Loop(weight="elements")),
            "digits": on_digits(Loop(weight="elements"))}),
        ("KL averaged over dimensions", WEIGHT, "latent dimensions", {
            "digits": on_digits(Loop(weight="dimensions"), latent=(4, 6)),
            "mnist": on_mnist(Loop(weight="dimensions"))}),
        ("KL without its ½", WEIGHT, "½", {
            "table": on_table(Loop(weight=2.0)), "digits": on_digits(Loop(weight=2.0)),
            "cosine": on_digits(Loop(weight=2.0, cosine=True))}),
        ("other weight of the KL", WEIGHT, "", {
            "3, table": on_table(Loop(weight=3.0)), "0.2, digits": on_digits(Loop(weight=0.2)),
            "0.3, mnist": on_mnist(Loop(weight=0.3))}),
        ("no KL", WEIGHT, "", {
            "table": on_table(Loop(weight=0.0)), "digits": on_digits(Loop(weight=0.0))}),
        ("KL of the wrong sign", WEIGHT, "sign", {
            "digits": on_digits(Loop(weight=-1.0)),
            "table": on_table(Loop(weight=-1.0))}),
        ("reconstruction of the wrong sign", ("reconstruction",), "", {
            "digits": on_digits(Loop(reconstruction=-1.0, steps=300)),
            "table": on_table(Loop(reconstruction=-1.0, steps=300))}),
        ("ReLU on the heads", ("clipped-heads",), "", {
            "digits": on_digits(Loop(clip=True)), "table": on_table(Loop(clip=True))}),
        ("collapse", ("collapsed-dimensions",), "weights the KL", {
            "σ² = D/2": by_recipe(mnist, (2000, 1500), epochs=4, hidden=64, likelihood="Gaussian",
                                  likelihood__sigma=20.0),
            "β = 100": by_recipe(black, (1797, 1200), epochs=10, hidden=64,
                                 objective__beta=100.0)}),
        ("σ far off", ("decoder-noise",), "", {
            "large, digits": by_recipe(digits, (1797, 1500), epochs=20, hidden=64,
                                       likelihood="Gaussian", likelihood__sigma=1.0),
            "small, table": by_recipe(table, (2000, 1500), epochs=40, hidden=64, latent_dim=3,
                                      likelihood="Gaussian", likelihood__sigma=0.05, **FAST),
            "large, table": by_recipe(table, (2000, 1500), epochs=40, hidden=64, latent_dim=3,
                                      likelihood="Gaussian", likelihood__sigma=1.0, **FAST)}),
        ("wrong likelihood", ("likelihood",), "", {
            "Gaussian on counts": by_recipe(counts(2.0), (2000, 1500), epochs=30, hidden=64,
                                            likelihood="Gaussian"),
            "Gaussian on grey levels": by_recipe(digits, (1797, 1500), epochs=15, hidden=64,
                                                 likelihood="Gaussian"),
            "Poisson, overdispersed": by_recipe(counts(8.0, dispersion=1.0), (2000, 1500),
                                                epochs=40, hidden=64, latent_dim=2,
                                                likelihood="Poisson"),
            "Gaussian on tails": by_recipe(factors(8, 2, tails=1.5), (2500, 2000), epochs=30,
                                           hidden=64, likelihood="Gaussian")}),
        ("other held-out data", ("other-data",), "", {
            "columns reversed": changed(reals, with_x(lambda x: x.flip(1))),
            "two columns swapped": changed(reals, with_x(
                lambda x: x[:, [1, 0, *range(2, x.shape[1])]])),
            "rows times 3": changed(reals, with_x(lambda x: 3 * x)),
            "shifted by one deviation": changed(reals, with_x(lambda x: x + x.std(0))),
            "inverted": changed(images, with_x(lambda x: 255 - x)),
            "moved by two pixels": changed(greys, with_x(roll)),
            "moved, digits": changed(images, with_x(roll)),
            "pixels shuffled": changed(greys, with_x(
                lambda x: x.flatten(1).flip(1).reshape(x.shape))),
            "transposed": changed(greys, with_x(lambda x: x.mT.contiguous())),
            "half as bright": changed(greys, with_x(lambda x: x // 2))}),
        ("other labels", ("labels",), "", {
            "moved by one": changed(classes, relabelled(lambda y: (y + 1) % 10)),
            "reversed": changed(classes, relabelled(lambda y: 9 - y)),
            "shuffled": changed(classes, relabelled(lambda y: y[torch.randperm(len(y))])),
            "shuffled in training": changed(unlike, trained_on_shuffled_labels)}),
        ("by heart", ("overfitting",), "", {
            "80 digits": by_recipe(black, (140, 160), epochs=400, hidden=128, **FAST),
            "100 rows": by_recipe(wide, (150, 160), epochs=400, hidden=256, latent_dim=20, **FAST),
            "200 of mnist": by_recipe(mnist, (300, 350), epochs=150, hidden=256, **FAST)}),
        ("undertrained", ("still-learning",), "", {
            "digits": by_recipe(digits, (900, 1200), epochs=2, hidden=64),
            "counts": by_recipe(counts(50.0), (1000, 1500), epochs=3, hidden=64),
            "linear": by_recipe(wide, (1000, 1500), "linear", epochs=4, latent_dim=5)}),
        ("h is a log precision throughout", VARIANCE, "log σ² = −h", {
            "table": on_table(PRECISION), "digits": on_digits(PRECISION)}),
        ("a column twice", ("duplicate-columns",), "x[0] and x[6]", {
            "in other units": by_recipe(copied, (900, 600), epochs=10, hidden=16)}),
        ("the labels as a column", ("label-columns",), "x[8]", {
            "of five classes": by_recipe(with_classes, (900, 600), epochs=10, hidden=16)}),
        ("few numbers in a column", ("few-values",), "x[6]", {
            "five": by_recipe(few, (900, 600), epochs=10, hidden=16)}),
        ("a number in many rows", ("inflated-values",), "x[6]", {
            "half are 0": by_recipe(zeros, (900, 600), epochs=10, hidden=16)}),
        ("rows that were trained on", ("repeated-rows",), "", {
            "a tenth": changed(reals, tested_on_known)}),
    )
    for name, make in systems.items()
]  # fmt: skip
