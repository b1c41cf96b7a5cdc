"""A12: outliers by every score, those of draws of a decoder's weights among them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import safetensors.torch
import sklearn.datasets
import torch
from torch import Tensor

from documents.bench import Bench, dense, system
from documents.bench.result import Better
from lowerbound import outliers, plots, recipes, storage
from lowerbound.data import Dataset, from_arrays
from lowerbound.evaluation import Estimate
from lowerbound.files import write_atomic
from lowerbound.outliers import TRIVIAL, Interval, Measures, Separation
from lowerbound.outliers.scores import OF_DRAWS, score
from lowerbound.training import SGHMC, Training
from lowerbound.vae import VAE
from lowerbound.weight_draws import WeightDraws

CLOTHES, DIGITS = "Fashion", "MNIST"
HIDDEN, LATENT_DIM = (512,), 20
HELD_OUT = (8, 9)
SIDE, QUICK_SIDE = 5000, 40
SAMPLES, OF_EACH_DRAW = 50, 10
BURN_IN, DRAWS = 60, 100
TRAINING = Training(epochs=30, batch_size=128, learning_rate=1e-3)
OF_TABLES = Training(epochs=300, batch_size=32, learning_rate=3e-3)
FIGURES = {"auroc": "AUROC", "auprc": "AUPRC", "fpr80": "FPR at 80 % TPR"}
TO_MNIST, TO_FASHION = f"{CLOTHES} → {DIGITS}", f"{DIGITS} → {CLOTHES}"
TO_HELD_OUT = f"{CLOTHES} → its classes held out"
PUBLISHED = {
    TO_MNIST: {
        "disagreement": (0.904, 0.891, 0.117),
        "importance_weighted": (0.557, 0.564, 0.703),
        "typicality": (0.482, 0.502, 0.833),
        "waic": (0.541, 0.548, 0.798),
    },
    TO_HELD_OUT: {
        "disagreement": (0.693, 0.680, 0.540),
        "importance_weighted": (0.565, 0.577, 0.683),
    },
}
"""AUROC, AUPRC and FPR80 by Daxberger & Hernández-Lobato 2019, arXiv 1912.05651."""
PROPOSED = "disagreement"
"""By that paper; its figures of the others are what it compares with, and are not judged here."""
GOALS = {(TO_MNIST, PROPOSED): 0.98}
OF_THE_BEST = {TO_MNIST: 0.996, TO_FASHION: 0.99, TO_HELD_OUT: 0.72}
SHOWN = 20


@dataclass(frozen=True)
class Kind:
    """A model's own kind of data, held-out examples of it, and the outliers, by the pair's name."""

    name: str
    make: Callable[[], VAE]
    training: Training
    train: Dataset
    inliers: Dataset
    others: Mapping[str, Dataset]


@system("A12", "Outliers: draws of the decoder's weights, and every score beside them")
def a12(bench: Bench) -> None:
    for kind in (*images(bench), *tables(bench)):
        models = trained(bench, kind)
        mixing(bench, kind.name)
        inside = scored(bench, kind, models, "inliers", kind.inliers)
        for pair, others in kind.others.items():
            outside = scored(bench, kind, models, pair, others)
            told = {
                name: outliers.separation(inside[name], outside[name], seed=bench.seed)
                for name in inside
            }
            rows(bench, pair, told, kind.others)
            if pair == TO_MNIST:
                pictures(bench, kind, inside, outside)
    bench.note(
        f"Each model is one of 784-{HIDDEN[0]}-{LATENT_DIM} with a Bernoulli likelihood, or of a "
        f"table; all scores are of the same one. On each side are {bench.few(SIDE, QUICK_SIDE):,} "
        "images that were not trained on, and of tables all such rows. ± is half the interval of "
        "95 % of bootstrap samples over 1.96. An AUROC below ½ says that outliers look more "
        "familiar than inliers. R̂ is 1 where a chain's halves agree: the chains are still on "
        "their way, so their draws are fewer and closer than the posterior's."
    )
    bench.note(
        "The document is Daxberger & Hernández-Lobato 2019, its first variant, and for a single "
        "model its likelihood, typicality and WAIC. Only the score that it proposes is judged by "
        "its figures. It does not say which two classes it held out; here they are "
        f"{HELD_OUT[0]} (bags) and {HELD_OUT[1]} (ankle boots)."
    )


def trained(bench: Bench, kind: Kind) -> dict[str, VAE]:
    """The model with one set of weights, by its name, and the one with draws of its decoder's."""
    single = f"outliers-{kind.name}"
    start = bench.train(single, kind.make, training=kind.training, data=kind.train)
    sampler = SGHMC(burn_in=bench.few(BURN_IN, 1))
    training = replace(kind.training, epochs=BURN_IN + DRAWS, sampler=sampler)
    drawn = bench.train(
        f"{single}-drawn", lambda: copy.deepcopy(start), training=training, data=kind.train
    )
    return {single: start, f"{single}-drawn": drawn}


def mixing(bench: Bench, name: str) -> None:
    """Rows of how well the chain of weights is mixed, which training kept with them."""
    kept = storage.read_information(bench.models / f"outliers-{name}-drawn")
    if told := kept.get("weight_draws"):  # of a few draws nothing is known
        bench.row(f"{name}: R̂ of log-likelihoods", told["r_hat"], better="neither")
        bench.row(f"{name}: {told['draws']} draws are worth", told["ess"], better="neither")


def images(bench: Bench) -> list[Kind]:
    """Clothes, digits, and clothes without two of their classes."""
    clothes, digits = bench.data("fashion-mnist"), bench.data("mnist")
    n = bench.few(SIDE, QUICK_SIDE)
    last = clothes.test.subset(torch.arange(len(clothes.test) - n, len(clothes.test)))
    known, unknown = ~held_out(clothes.train), held_out(clothes.train)
    inliers = clothes.test.subset(~held_out(clothes.test)).take(n)

    def make() -> VAE:
        return dense(HIDDEN, LATENT_DIM, variational=True)

    return [
        Kind(
            *("clothes", make, TRAINING, clothes.train, clothes.test.take(n)),
            {
                TO_MNIST: digits.test.take(n),
                f"{CLOTHES} → mirrored": replace(last, x=last.x.flip(3)),
                f"{CLOTHES} → upside down": replace(last, x=last.x.flip(2)),
            },
        ),
        Kind(
            *("digits", make, TRAINING, digits.train, digits.test.take(n)),
            {TO_FASHION: clothes.test.take(n)},
        ),
        Kind(
            *("eight-classes", make, TRAINING, clothes.train.subset(known), inliers),
            {TO_HELD_OUT: clothes.train.subset(unknown).take(n)},
        ),
    ]


def held_out(data: Dataset) -> Tensor:
    """Which examples are of the classes that are held out."""
    assert data.labels is not None
    return torch.isin(data.labels, torch.tensor(HELD_OUT))


def tables(bench: Bench) -> list[Kind]:
    """Benign and malignant tumours; wines of two cultivars and of a third."""
    return [
        table(bench, "tumours", sklearn.datasets.load_breast_cancer(), 0, "benign → malignant"),
        table(bench, "wines", sklearn.datasets.load_wine(), 2, "wine → its third class"),
    ]


def table(bench: Bench, name: str, found: sklearn.utils.Bunch, outlier: int, pair: str) -> Kind:
    """Rows of one class are outliers; the model is trained on half of the others."""
    order = torch.randperm(len(found.data), generator=torch.Generator().manual_seed(bench.seed))
    x, strange = found.data[order], torch.from_numpy(found.target[order] == outlier)
    rows = from_arrays(x, columns=[str(column) for column in found.feature_names], name=name)
    inliers = rows.subset(~strange)
    half = len(inliers) // 2
    train, rest = inliers.take(half), inliers.subset(torch.arange(half, len(inliers)))

    def make() -> VAE:
        return recipes.mlp(train, latent_dim=4, hidden=(32,)).model

    return Kind(name, make, OF_TABLES, train, rest, {pair: rows.subset(strange)})


def scored(
    bench: Bench, kind: Kind, models: Mapping[str, VAE], name: str, data: Dataset
) -> dict[str, Tensor]:
    """Every score of the ``data``, those of draws by the model that has them."""
    single, drawn = (
        scored_by(bench, folder, model, kind.train, name, data) for folder, model in models.items()
    )
    return single | drawn


def scored_by(
    bench: Bench, folder: str, model: VAE, known: Dataset, name: str, data: Dataset
) -> dict[str, Tensor]:
    """What a model scores, kept beside it, so that a stopped run goes on."""
    home = bench.models / folder
    weights = storage.read_information(home)["weights"]["sha256"]
    key = f"{weights} {known.fingerprint} {data.fingerprint} {bench.seed}"
    path = home / f"scores-{name.replace(' ', '-')}.safetensors"
    if isinstance(model.likelihood, WeightDraws):
        names, samples = list(OF_DRAWS), OF_EACH_DRAW
    else:
        names, samples = outliers.chosen(model, ["all"]), SAMPLES
    if bench.quick:
        names, samples = [each for each in names if each != "regret"], 2
    train = known.take(bench.few(SIDE, QUICK_SIDE))
    x, reference = (Measures(model, each, samples, bench.seed) for each in (data, train))
    found = read(path, key)
    if new := [each for each in names if each not in found]:
        found |= {each: score(each, x, reference) for each in new}
        write_atomic(path, safetensors.torch.save(found, {"key": key}))
    return {each: found[each] for each in names}


def read(path: Path, key: str) -> dict[str, Tensor]:
    """What was kept there under this ``key``."""
    if not path.exists():
        return {}
    with safetensors.safe_open(path, framework="pt") as file:
        if (file.metadata() or {}).get("key") != key:
            return {}
        return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118


def rows(
    bench: Bench, pair: str, told: dict[str, Separation], others: Mapping[str, Dataset]
) -> None:
    """A row for each score and figure; of pairs that no paper has, the AUROC alone."""
    published = PUBLISHED.get(pair, {})
    for figure, unit in FIGURES.items():
        if figure != "auroc" and not published:
            continue
        better: Better = "lower" if figure == "fpr80" else "higher"
        for name, separation in told.items():
            bench.row(
                f"{pair}: {name}",
                estimate(getattr(separation, figure)),
                unit,
                document=published[name][list(FIGURES).index(figure)]
                if name in published
                else None,
                goal=GOALS.get((pair, name)) if figure == "auroc" else None,
                better=better if name == PROPOSED else "neither",
            )
    best = max(set(told) - set(TRIVIAL), key=lambda name: told[name].auroc.value)
    bench.row(
        f"{pair}: the best of a model, {best}",
        estimate(told[best].auroc),
        "AUROC",
        goal=OF_THE_BEST.get(pair),
        better="higher",
    )


def estimate(interval: Interval) -> Estimate:
    """A figure, and the standard error that its bootstrap interval has."""
    return Estimate(interval.value, (interval.high - interval.low) / (2 * 1.96))


def pictures(
    bench: Bench, kind: Kind, inside: dict[str, Tensor], outside: dict[str, Tensor]
) -> None:
    """Scores of both sides, and the strangest of the model's own kind."""
    shown = [name for name in ("importance_weighted", "excess", "std") if name in inside]
    figure = plots.score_histograms(
        {name: {CLOTHES: inside[name].numpy(), DIGITS: outside[name].numpy()} for name in shown},
        xlabel="nats",
    )
    caption = "Test images under a model of clothes; outliers should lie to the right."
    bench.picture("scores", "Scores", caption, figure)
    strangest = inside["excess"].argsort(descending=True)[:SHOWN]
    figure = plots.image_grid(kind.inliers.x[strangest].numpy(), value_range=(0, 255))
    caption = f"The {SHOWN} test images of clothes of the highest excess, strangest first."
    bench.picture("strangest", "The strangest clothes", caption, figure)
