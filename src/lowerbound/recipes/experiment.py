"""What a recipe returns, and what of it follows from the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from torch import nn

from lowerbound import likelihoods
from lowerbound.data import Dataset
from lowerbound.errors import ConfigurationError
from lowerbound.networks import LogCounts
from lowerbound.objectives import Objective
from lowerbound.training import Training
from lowerbound.transforms import (
    Binarise,
    Binary,
    Counts,
    Dequantise,
    Identity,
    Scale,
    Transform,
    standardise,
)
from lowerbound.vae import VAE

LikelihoodName = Literal[
    "auto",
    "Bernoulli",
    "ContinuousBernoulli",
    "Gaussian",
    "StudentT",
    "Categorical",
    "DiscretisedLogistic",
    "LogisticMixture",
    "BetaBinomial",
    "Poisson",
    "NegativeBinomial",
    "ZeroInflatedNegativeBinomial",
]
Sigma = float | Literal["learned", "optimal"]


@dataclass(frozen=True)
class Experiment:
    """A model, what it maximises, and how it is trained."""

    model: VAE
    objective: Objective
    training: Training


@dataclass(frozen=True)
class Observation:
    """How x is observed: a likelihood, and the transform that brings data to its support."""

    name: str
    transform: Transform
    shape: tuple[int, ...]
    sigma: Sigma

    @property
    def outputs(self) -> int:
        """Numbers that the decoder network must return for one x."""
        return math.prod(self.shape) * getattr(likelihoods, self.name).numbers

    @property
    def maps(self) -> tuple[int, int, int]:
        """The same, as the shape of maps for images (C, H, W)."""
        _, height, width = self.shape
        return self.outputs // (height * width), height, width

    def encoder(self, network: nn.Module) -> nn.Module:
        """The encoder network as it takes x: counts by their logarithms."""
        return LogCounts(network) if isinstance(self.transform, Counts) else network

    def likelihood(self, network: nn.Module) -> nn.Module:
        """The likelihood whose parameters ``network`` returns."""
        if self.name == "Gaussian":
            return likelihoods.Gaussian(network, self.shape, self.sigma)
        return getattr(likelihoods, self.name)(network, self.shape)


def observe(
    data: Dataset,
    likelihood: LikelihoodName = "auto",
    sigma: Sigma = "learned",
    binarise: bool = False,
) -> Observation:
    """The likelihood that fits the kind of values in ``data``, or the one asked for.

    ========  =====================================================================
    binary    Bernoulli
    grey      continuous Bernoulli, on dequantised levels
    unit      continuous Bernoulli
    real      Gaussian with learned σ, on standardised values
    counts    negative binomial
    ========  =====================================================================

    ``binarise`` draws b ~ Bernoulli(x) afresh at each use, for values in [0, 1] and grey levels.

    Raises:
        ConfigurationError: the likelihood asked for cannot be had on such data.
    """
    kind = "binary" if binarise else data.kind
    if likelihood == "auto":
        fitting = {
            "binary": "Bernoulli",
            "grey": "ContinuousBernoulli",
            "unit": "ContinuousBernoulli",
            "counts": "NegativeBinomial",
        }
        likelihood = fitting.get(kind, "Gaussian")  # type: ignore[assignment]
    if binarise and data.kind not in ("binary", "grey", "unit"):
        raise ConfigurationError(
            f"expected binary, grey or unit values to binarise, got {data.kind} ones in {data.name}"
        )
    wanted = _kinds(likelihood)
    if kind not in wanted:
        raise ConfigurationError(
            f"expected data that are {' or '.join(wanted)} for the {likelihood} likelihood, got "
            f"{kind} values in {data.name}; the mlp recipe with likelihood=auto fits them"
        )
    return Observation(likelihood, _transform(data, likelihood, kind), data.shape, sigma)


def _kinds(likelihood: str) -> tuple[str, ...]:
    """The kinds of values that a likelihood takes, bare or after its transform."""
    support = getattr(likelihoods, likelihood).support
    if likelihood == "ContinuousBernoulli":
        return ("grey", "unit")
    return {
        "binary": ("binary", "grey", "unit"),
        "grey": ("grey",),
        "counts": ("counts", "grey"),
        "continuous": ("grey", "unit", "real", "counts"),
    }[support]


def _transform(data: Dataset, likelihood: str, kind: str) -> Transform:
    support = getattr(likelihoods, likelihood).support
    if kind == "binary":
        return Binary(data.scale) if data.kind == "binary" else Binarise(data.scale)
    if support == "counts":
        return Counts()
    if kind == "grey":
        return Dequantise(256) if support == "continuous" else Scale()
    return Identity() if kind == "unit" else standardise(data.x)
