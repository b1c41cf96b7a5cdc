"""Models to judge a diagnosis by: sound ones, and ones with a fault of which the cause is known.

Each system comes twice, with other data, sizes and seeds: the first half is for choosing
thresholds, the second for looking at once they are chosen.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import lowerbound as lb
from lowerbound.data import Dataset, Splits, from_arrays, split
from lowerbound.recipes import prepare
from lowerbound.training import Record

Source = Callable[[int, int], Dataset]

DIVERGED = 1e4
"""Nats of a loss beyond which anyone would stop a training."""


@dataclass
class Judged:
    """A model with its data, its objective, and how it is trained; ``fit`` returns a history."""

    model: lb.VAE
    train: Dataset
    test: Dataset
    fit: Callable[[], Sequence[Record]]
    objective: Any = field(default_factory=lb.ELBO)


@dataclass(frozen=True)
class System:
    """A row: what it is, and what should be said of it, any of ``causes`` in ``words``."""

    name: str
    kind: str
    make: Callable[[int], Judged]
    causes: tuple[str, ...] = ()
    words: str = ""


# Data: n rows by a seed.


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng([13, seed])


def factors(d: int, k: int, noise: float = 0.5, scale: float = 1.0, tails: float = 0.0) -> Source:
    """x = scale (zW + noise ε), ε normal, or of Student's t with so many degrees."""

    def draw(n: int, seed: int) -> Dataset:
        r = rng(seed)
        z, weights = r.standard_normal((n, k)), r.standard_normal((k, d))
        e = r.standard_t(tails, (n, d)) if tails else r.standard_normal((n, d))
        return from_arrays(scale * (z @ weights + noise * e) + scale)

    return draw


def curved(d: int) -> Source:
    """x = tanh(zV)W + 0.1 ε, z in the plane."""

    def draw(n: int, seed: int) -> Dataset:
        r = rng(seed)
        h = np.tanh(r.standard_normal((n, 2)) @ r.standard_normal((2, 16)))
        return from_arrays(h @ r.standard_normal((16, d)) / 4 + 0.1 * r.standard_normal((n, d)))

    return draw


def clusters(n: int, seed: int) -> Dataset:
    r = rng(seed)
    classes = r.integers(5, size=n)
    centres = 3 * r.standard_normal((5, 8))
    return from_arrays(centres[classes] + r.standard_normal((n, 8)), classes)


def counts(mean: float, spread: float = 0.5, dispersion: float = 0.0) -> Source:
    def draw(n: int, seed: int) -> Dataset:
        r = rng(seed)
        rate = mean * np.exp(spread * r.standard_normal((n, 3)) @ r.standard_normal((3, 12)) / 2)
        if dispersion:
            rate = rate * r.gamma(dispersion, 1 / dispersion, rate.shape)
        return from_arrays(r.poisson(rate).astype(float))

    return draw


def people(n: int, seed: int) -> Dataset:
    """Whole numbers of four scales, one with a heavy tail."""
    r = rng(seed)
    age = r.integers(17, 90, n)
    gain = np.where(r.random(n) < 0.9, 0, r.lognormal(8, 1, n).round())
    income = r.normal(0, 1, n) + age / 40 > 1.5
    return from_arrays(np.c_[age, gain, r.integers(1, 99, n), income].astype(int))


def unit(n: int, seed: int) -> Dataset:
    x = factors(10, 3)(n, seed).x.double().numpy()
    return from_arrays(1 / (1 + np.exp(-x)))


def positive(n: int, seed: int) -> Dataset:
    return from_arrays(np.exp(factors(8, 2)(n, seed).x.double().numpy() / 2))


def answers(n: int, seed: int) -> Dataset:
    """Yes and no."""
    x = factors(30, 3, noise=1.0)(n, seed).x.numpy()
    return from_arrays((x > 1).astype(int))


def gaps(n: int, seed: int) -> Dataset:
    """A tenth is missing."""
    x = factors(8, 2)(n, seed).x.double().numpy()
    x[rng(seed + 1).random(x.shape) < 0.1] = np.nan
    return from_arrays(x, missing=True)


@functools.cache
def images(name: str) -> Dataset:
    data = lb.data.load(name)
    return data.train


def pictures(*names: str, binary: bool = False) -> Source:
    """Images, of one data set in the first half and of the other in the second."""

    def draw(n: int, seed: int) -> Dataset:
        whole = images(names[seed % len(names)])
        chosen = whole.subset(torch.from_numpy(rng(seed).permutation(len(whole))[:n]))
        if not binary:
            return chosen
        x = ((chosen.x > 100) * 255).to(torch.uint8)
        return Dataset(x, chosen.labels, classes=chosen.classes)

    return draw


digits = pictures("digits")
mnist = pictures("mnist", "fashion-mnist")


SEEDS = 0, 3
"""Of the data of each half; the second is odd, for the other of two data sets."""


def divided(source: Source, sizes: tuple[int, int], half: int) -> Splits:
    n, seed = sizes[half], SEEDS[half]
    return split(source(n, seed), test=max(40, n // 5), seed=seed)


# Models that recipes make.


def by_recipe(
    source: Source, sizes: tuple[int, int], recipe: str = "mlp", /, **settings: Any
) -> Callable[[int], Judged]:
    """The settings may be pairs, one for each half."""

    @functools.cache
    def make(half: int) -> Judged:
        parts = divided(source, sizes, half)
        chosen = {k: v[half] if isinstance(v, tuple) else v for k, v in settings.items()}
        chosen = {k.replace("__", "."): v for k, v in chosen.items()}
        torch.manual_seed(half + 3)
        made = prepare(recipe, parts.train, {"epochs": 30, "seed": half} | chosen)

        @functools.cache
        def fit() -> Sequence[Record]:
            return lb.fit(
                made.model, parts.train, parts.validation, made.objective, made.training,
                callbacks=[],
            )  # fmt: skip

        return Judged(made.model, parts.train, parts.test, fit, made.objective)

    return make


def changed(
    make: Callable[[int], Judged], change: Callable[[Judged], None]
) -> Callable[[int], Judged]:
    """The same, trained once for all that are made of it, something of it changed."""

    def made(half: int) -> Judged:
        judged = dataclasses.replace(make(half))
        change(judged)
        return judged

    return made


def tested_on(change: Callable[[Dataset], Dataset]) -> Callable[[Judged], None]:
    def apply(judged: Judged) -> None:
        judged.test = change(judged.test)

    return apply


def with_x(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Judged], None]:
    """Other held-out x."""
    return tested_on(lambda d: Dataset(change(d.x), d.labels, classes=d.classes, schema=d.schema))


def relabelled(change: Callable[[torch.Tensor], torch.Tensor]) -> Callable[[Judged], None]:
    """Other labels in the held-out data."""

    def apply(data: Dataset) -> Dataset:
        assert data.labels is not None
        return Dataset(data.x, change(data.labels), classes=data.classes)

    return tested_on(apply)


# Models that users train by a loop of their own.


@dataclass(frozen=True)
class Loop:
    """A loss: what z is drawn with and what is paid, by the encoder's means and h, and weights."""

    draw: Callable[[torch.Tensor], torch.Tensor] = lambda h: (h / 2).exp()
    kl: Callable[[torch.Tensor, torch.Tensor], torch.Tensor] = (
        lb.divergences.standard_normal_kl_terms
    )
    weight: float | str = 1.0
    """Of the KL; "elements" for 1/D, "pixels" for D, "dimensions" for 1/latent."""
    reconstruction: float = 1.0
    clip: bool = False
    steps: int = 1200
    rate: float = 3e-3
    cosine: bool = False


def by_loop(
    source: Source,
    sizes: tuple[int, int],
    loop: Loop,
    likelihood: str = "Bernoulli",
    latent: tuple[int, int] = (3, 6),
    hidden: tuple[int, int] = (64, 128),
    **settings: Any,
) -> Callable[[int], Judged]:
    def make(half: int) -> Judged:
        parts = divided(source, sizes, half)
        torch.manual_seed(half + 5)
        given = {"hidden": hidden[half], "latent_dim": latent[half], "likelihood": likelihood}
        model = prepare("mlp", parts.train, given | settings).model
        if loop.clip:
            network = model.posterior.network
            model.posterior.network = torch.nn.Sequential(network, torch.nn.ReLU())

        def fit() -> Sequence[Record]:
            train(model, parts.train, loop, half)
            return ()

        return Judged(model, parts.train, parts.test, fit)

    return make


def train(model: lb.VAE, data: Dataset, loop: Loop, seed: int) -> None:
    torch.manual_seed(seed)
    d, latent = math.prod(model.shape), model.latent_dim
    named = {"elements": 1 / d, "pixels": d, "dimensions": 1 / latent}
    weight = named[loop.weight] if isinstance(loop.weight, str) else loop.weight
    optimizer = torch.optim.Adam(model.parameters(), loop.rate)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, loop.steps)
    for _ in range(loop.steps):
        x, _ = model.prepare(data.x[torch.randint(len(data), (128,))])
        mean, h = model.posterior.network(x).chunk(2, -1)
        z = mean + loop.draw(h) * torch.randn_like(mean)
        fit = model.likelihood(z).log_prob(x)
        loss = weight * loop.kl(mean, h).sum(1) - loop.reconstruction * fit
        if loss.mean().abs() > DIVERGED:
            break
        optimizer.zero_grad()
        loss.mean().backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1e4)
        optimizer.step()
        if loop.cosine:
            schedule.step()
