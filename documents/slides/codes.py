"""What codes are good for: clustering, classification, and PCA's codes to compare with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from jaxtyping import Float, Int
from sklearn.cluster import KMeans
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score
from sklearn.mixture import GaussianMixture
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from torch import Tensor

from lowerbound.evaluation import Estimate

NEIGHBOURS = 5
STARTS = 5


@dataclass(frozen=True)
class Clustering:
    """Clusters found in codes, and how they agree with classes that they never saw.

    Attributes:
        assignment: (n,) the cluster of each example.
        centres: (clusters, dimensions) the mean code of each.
        adjusted_rand: agreement on pairs: 1 for the classes themselves, 0 expected by chance.
        mutual_information: of clusters and classes, normalised by the mean of their entropies.
    """

    assignment: Tensor
    centres: Tensor
    adjusted_rand: float
    mutual_information: float


def cluster(
    codes: Float[Tensor, "n dimensions"],
    labels: Int[Tensor, " n"],
    clusters: int,
    *,
    method: Literal["k-means", "mixture"] = "k-means",
    seed: int = 0,
) -> Clustering:
    """Clusters by k-means, or by a mixture of Gaussians with full covariances.

    Sources of the scores: Hubert & Arabie, Comparing partitions, 1985; Strehl & Ghosh, Cluster
    ensembles, 2002.
    """
    if method == "k-means":
        found = KMeans(clusters, n_init=STARTS, random_state=seed)
    else:
        found = GaussianMixture(clusters, n_init=STARTS, reg_covar=1e-4, random_state=seed)
    assignment = torch.as_tensor(found.fit_predict(codes)).long()
    centres = found.cluster_centers_ if method == "k-means" else found.means_
    return Clustering(
        assignment,
        torch.as_tensor(centres).float(),
        float(adjusted_rand_score(labels, assignment)),
        float(normalized_mutual_info_score(labels, assignment)),
    )


def accuracy(
    train: Float[Tensor, "n dimensions"],
    train_labels: Int[Tensor, " n"],
    test: Float[Tensor, "m dimensions"],
    test_labels: Int[Tensor, " m"],
    *,
    classifier: Literal["nearest", "linear"] = "nearest",
) -> Estimate:
    """Share of ``test`` classified rightly from its codes by a classifier fitted to ``train``.

    ``"nearest"`` takes the majority of the 5 nearest neighbours; ``"linear"`` is logistic
    regression on standardised codes.
    """
    if classifier == "nearest":
        fitted = KNeighborsClassifier(NEIGHBOURS, algorithm="brute")
    else:
        fitted = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    share = float(fitted.fit(train, train_labels).score(test, test_labels))
    return Estimate(share, (share * (1 - share) / len(test)) ** 0.5)


def principal_codes(
    fitted: Float[Tensor, "n features"], *others: Float[Tensor, "_ features"], dimensions: int
) -> list[Tensor]:
    """The principal components of ``others``, (rows, dimensions) each, by PCA of ``fitted``."""
    pca = PCA(dimensions, svd_solver="covariance_eigh").fit(fitted)
    return [torch.as_tensor(pca.transform(x)).float() for x in others]
