"""A11: what density models are for: clustering, dimension reduction, outlier detection."""

from __future__ import annotations

from typing import Literal

import numpy as np
import torch
from torch import Tensor

from documents.bench import NATS, Bench, system
from documents.homework3 import systems as homework3
from documents.problem_set import systems as problem_set
from documents.slides.codes import Clustering, accuracy, cluster, principal_codes
from lowerbound import evaluation, outliers, plots
from lowerbound.data import Dataset
from lowerbound.vae import VAE

LATENT_DIM, CLASSES = 20, 10
FITTED = 10_000  # training images that classifiers are fitted to
MEMBERS = 11
SETS = {"digits": "mnist", "clothes": problem_set.DATA}
COST, CORRECTED = "−ELBO", "−ELBO above the grey levels' entropy"
CLUSTERINGS: tuple[tuple[Literal["k-means", "mixture"], str], ...] = (
    *(("k-means", name) for name in ("VAE", "PCA", "pixels")),
    *(("mixture", name) for name in ("VAE", "PCA")),
)
CLASSIFIERS: dict[Literal["nearest", "linear"], str] = {
    "nearest": "5 nearest neighbours",
    "linear": "logistic regression",
}


@system("A11", "What density models are for: clustering, dimension reduction, outliers")
def a11(bench: Bench) -> None:
    clustering(bench)
    classification(bench)
    separate(bench)


def pixels(data: Dataset) -> Tensor:
    """Grey levels in [0, 1], (n, pixels)."""
    return (data.x.float() / data.scale).flatten(1)


def labels(data: Dataset) -> Tensor:
    assert data.labels is not None
    return data.labels


def clustering(bench: Bench) -> None:
    """k-means and a mixture of Gaussians on three sorts of codes, against the digits."""
    splits = bench.data()
    test, model = splits.test, homework3.trained(bench, LATENT_DIM)
    (components,) = principal_codes(pixels(splits.train), pixels(test), dimensions=LATENT_DIM)
    embedded = evaluation.embed(model, test)
    sorts = {"VAE": embedded, "PCA": components, "pixels": pixels(test)}

    for method, name in CLUSTERINGS:
        found = cluster(sorts[name], labels(test), CLASSES, method=method, seed=bench.seed)
        quantity = f"{method} on {name}"
        bench.row(f"{quantity}: adjusted Rand index", found.adjusted_rand, better="higher")
        information = found.mutual_information
        bench.row(f"{quantity}: mutual information", information, "of 1", better="higher")
        if (method, name) == ("mixture", "VAE"):
            cluster_picture(bench, model, found)
    bench.note(
        "Clusters never saw a label. Both indices are 1 when they are the ten digits; by chance "
        f"the Rand index is 0. VAE and PCA codes have {LATENT_DIM} dimensions each. k-means looks "
        "for round clusters of equal size, which digits form in neither space; a mixture of "
        "Gaussians follows their shapes."
    )


def cluster_picture(bench: Bench, model: VAE, found: Clustering) -> None:
    """Each cluster's decoded centre and some of its members, named by its commonest digit."""
    test = bench.data().test
    with torch.no_grad():
        centres = model.decode(found.centres)
    rows, captions = [], []
    for index, (digit, share) in enumerate(commonest(found, labels(test))):
        members = test.x[found.assignment == index][:MEMBERS].float()
        missing = torch.full((MEMBERS - len(members), *test.shape), 255.0)
        rows.append(torch.cat((centres[index : index + 1], members, missing)))
        captions.append((digit, f"{100 * share:.0f} % are {digit}"))
    order = sorted(range(len(rows)), key=lambda i: captions[i])
    figure = plots.image_grid(
        torch.stack([rows[i] for i in order]).numpy(),
        row_labels=[captions[i][1] for i in order],
        column_labels=["centre", *(str(i + 1) for i in range(MEMBERS))],
        value_range=(0, 255),
    )
    caption = "A mixture of ten Gaussians on the codes of the test set; its first members."
    bench.picture("clusters", "Clusters", caption, figure)


def commonest(found: Clustering, labels: Tensor) -> list[tuple[int, float]]:
    """For each cluster its commonest label, and that label's share."""
    pairs = []
    for index in range(len(found.centres)):
        counts = torch.bincount(labels[found.assignment == index], minlength=CLASSES)
        pairs.append((int(counts.argmax()), (counts.max() / counts.sum().clamp(min=1)).item()))
    return pairs


def classification(bench: Bench) -> None:
    """Test accuracy from K numbers per image: a VAE's, or PCA's."""
    splits = bench.data()
    train, test = splits.train.take(FITTED), splits.test
    dims = homework3.LATENT_DIMS
    pca_train, pca_test = principal_codes(
        pixels(splits.train), pixels(train), pixels(test), dimensions=max(dims)
    )
    shares: dict[str, list[evaluation.Estimate]] = {}
    for dimensions in dims:
        model = homework3.trained(bench, dimensions)
        sorts = {
            "VAE": (evaluation.embed(model, train), evaluation.embed(model, test)),
            "PCA": (pca_train[:, :dimensions], pca_test[:, :dimensions]),
        }
        for code, (fitted, judged) in sorts.items():
            for classifier, name in CLASSIFIERS.items():
                found = accuracy(fitted, labels(train), judged, labels(test), classifier=classifier)
                shares.setdefault(f"{code}, {name}", []).append(found)
                if dimensions in (2, LATENT_DIM):
                    quantity = f"accuracy, {name}, {code}, K = {dimensions}"
                    bench.row(quantity, found, better="higher")
    figure = plots.curves(
        np.array(dims),
        {name: np.array([share.value for share in row]) for name, row in shares.items()},
        errors={
            name: np.array([share.standard_error for share in row]) for name, row in shares.items()
        },
        xlabel="dimensions K",
        ylabel="test accuracy",
        logx=True,
    )
    caption = f"Classifiers fitted to the codes of {len(train):,} training images."
    bench.picture("classification", "Classification from codes", caption, figure)
    bench.note(
        "With few dimensions the VAE's codes tell the digits apart far better than PCA's, which "
        "are the best linear codes by squared error; with 20 dimensions the two come close."
    )


def separate(bench: Bench) -> None:
    """Digits against clothes, with a model of the one and with a model of the other."""
    by_digits = scored(bench, homework3.trained(bench, LATENT_DIM))
    by_clothes = scored(bench, problem_set.trained(bench))
    separation(bench, "trained on digits", by_digits["digits"], by_digits["clothes"])
    separation(bench, "trained on clothes", by_clothes["clothes"], by_clothes["digits"])
    figure = plots.score_histograms(
        {
            f"Trained on {kind}: {cost}": {name: found[name][cost].numpy() for name in SETS}
            for kind, found in (("digits", by_digits), ("clothes", by_clothes))
            for cost in (COST, CORRECTED)
        },
        xlabel=NATS,
        logx=True,
    )
    caption = "Test images of MNIST and Fashion-MNIST; an outlier should cost more."
    bench.picture("outliers", "Outliers", caption, figure)
    bench.note(
        "A model of digits finds clothes by their cost, −ELBO. A model of clothes does not find "
        "digits that way: they cost less than clothes do, so the AUROC is below ½. Under a "
        "Bernoulli likelihood the cost of grey levels starts from their own entropy, and dark, "
        "nearly binary digits have little of it. The cost above that entropy is what the model "
        "failed to explain, and it finds both. Brightness and compressed size need no model and "
        "separate these two sets as well (clothes are brighter and more complex), so an AUROC near "
        "1 on them says little about a model."
    )


def scored(bench: Bench, model: VAE) -> dict[str, dict[str, Tensor]]:
    """All scores of the test images of each set."""
    return {name: all_scores(bench, model, bench.data(data).test) for name, data in SETS.items()}


def all_scores(bench: Bench, model: VAE, data: Dataset) -> dict[str, Tensor]:
    """Costs by the model, one of them corrected, and two scores that need no model."""
    found = outliers.Measures(model, data, samples=10, seed=bench.seed)
    return {
        COST: found.cost("elbo"),
        "−importance-weighted bound": found.cost("importance_weighted"),
        CORRECTED: found.cost("elbo") - found.floor,
        "mean pixel": found.level,
        "compressed size": found.size,
    }


def separation(
    bench: Bench, setting: str, inside: dict[str, Tensor], outside: dict[str, Tensor]
) -> None:
    """A row for each score."""
    for score in inside:
        area = outliers.auroc(inside[score], outside[score])
        bench.row(f"outliers, {setting}: {score}", area, "AUROC", better="higher")
