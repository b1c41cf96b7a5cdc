"""What a recipe returns, and what of it follows from the data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

from torch import nn

from lowerbound import likelihoods
from lowerbound.data import TrainingSet
from lowerbound.errors import ConfigurationError
from lowerbound.networks import LogCounts
from lowerbound.objectives import Objective
from lowerbound.parts import Size
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
Degrees = float | Literal["learned"]
LIKELIHOOD_SETTINGS = {
    "sigma": ("Gaussian", "sigma"),
    "degrees": ("StudentT", "degrees"),
    "logistics": ("LogisticMixture", "components"),
}
"""Settings of recipes that belong to one likelihood, and its argument that each sets."""


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
    settings: dict[str, Any]

    @property
    def outputs(self) -> int:
        """Numbers that the decoder network must return for one x."""
        return math.prod(self.shape) * self.likelihood(nn.Identity()).numbers

    @property
    def maps(self) -> tuple[int, int, int]:
        """The same, as the shape of maps for images (C, H, W)."""
        _, height, width = self.shape
        return self.outputs // (height * width), height, width

    def encoder(self, network: nn.Module) -> nn.Module:
        """The encoder network as it takes x: counts by their logarithms."""
        return LogCounts(network) if isinstance(self.transform, Counts) else network

    def likelihood(self, network: nn.Module) -> likelihoods.Likelihood:
        """The likelihood whose parameters ``network`` returns."""
        made: likelihoods.Likelihood = getattr(likelihoods, self.name)(
            network, self.shape, **self.settings
        )
        return made


def observe(
    data: TrainingSet,
    likelihood: LikelihoodName = "auto",
    sigma: Sigma | None = None,
    binarise: bool = False,
    degrees: Degrees | None = None,
    logistics: Size | None = None,
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
    ``sigma`` is the Gaussian's, ``degrees`` are the Student t's, and ``logistics`` is how many
    distributions a LogisticMixture mixes; None leaves a likelihood's own default.

    Raises:
        ConfigurationError: the likelihood asked for cannot be had on such data, or a setting is not
            one of its own.
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
    settings = _settings(likelihood, sigma=sigma, degrees=degrees, logistics=logistics)
    return Observation(likelihood, _transform(data, likelihood, kind), data.shape, settings)


def _settings(likelihood: str, **told: Any) -> dict[str, Any]:
    """The arguments of the likelihood among settings, None where they are not told."""
    arguments = {}
    for name, value in told.items():
        owner, argument = LIKELIHOOD_SETTINGS[name]
        if value is not None and owner != likelihood:
            raise ConfigurationError(
                f"expected {name} only with likelihood={owner}, got {name}={value} with "
                f"{likelihood}; leave it out, or name that likelihood"
            )
        if value is not None:
            arguments[argument] = value
    return arguments


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


def _transform(data: TrainingSet, likelihood: str, kind: str) -> Transform:
    support = getattr(likelihoods, likelihood).support
    if kind == "binary":
        return Binary(data.scale) if data.kind == "binary" else Binarise(data.scale)
    if support == "counts":
        return Counts()
    if kind == "grey":
        return Dequantise(256) if support == "continuous" else Scale()
    if kind == "unit":
        return Identity()
    return standardise(data.moments.mean, data.moments.variance())
