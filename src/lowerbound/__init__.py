"""lowerbound: variational autoencoders, composed, trained, judged and looked at."""

from __future__ import annotations

import importlib
from typing import Any

from lowerbound.threads import choose_waiting

choose_waiting()

__version__ = "0.1.0"

# Each public noun and the module that holds it.  They load on first use, so that
# `import lowerbound` and `lowerbound --help` need no torch.
_HOME = {
    "Bernoulli": "likelihoods",
    "BetaBinomial": "likelihoods",
    "Categorical": "likelihoods",
    "ContinuousBernoulli": "likelihoods",
    "DiscretisedLogistic": "likelihoods",
    "Gaussian": "likelihoods",
    "Heterogeneous": "likelihoods",
    "LogisticMixture": "likelihoods",
    "NegativeBinomial": "likelihoods",
    "Nominal": "likelihoods",
    "Poisson": "likelihoods",
    "StudentT": "likelihoods",
    "ZeroInflatedNegativeBinomial": "likelihoods",
    "ConditionalGaussian": "priors",
    "FlowPrior": "priors",
    "GaussianMixture": "priors",
    "HierarchicalPrior": "priors",
    "StandardNormal": "priors",
    "VampPrior": "priors",
    "BottomUpPosterior": "posteriors",
    "Deterministic": "posteriors",
    "DiagonalGaussian": "posteriors",
    "FlowPosterior": "posteriors",
    "FullGaussian": "posteriors",
    "TopDownPosterior": "posteriors",
    "MLP": "networks",
    "Convolutional": "networks",
    "Deconvolutional": "networks",
    "LogCounts": "networks",
    "ELBO": "objectives",
    "IWAE": "objectives",
    "InfoVAE": "objectives",
    "Reconstruction": "objectives",
    "Renyi": "objectives",
    "TCVAE": "objectives",
    "Linear": "schedules",
    "Cyclical": "schedules",
    "Binarise": "transforms",
    "Binary": "transforms",
    "Counts": "transforms",
    "Dequantise": "transforms",
    "Identity": "transforms",
    "Scale": "transforms",
    "Standardise": "transforms",
    "Labels": "context",
    "VAE": "vae",
    "BernoulliDraw": "corruptions",
    "GaussianNoise": "corruptions",
    "Masking": "corruptions",
    "Training": "training",
    "fit": "training",
    "Finding": "diagnosis",
    "diagnose": "diagnosis",
    "diagnose_draws": "diagnosis",
    "diagnose_kl": "diagnosis",
    "diagnose_loss": "diagnosis",
    "Evaluation": "evaluation",
    "evaluate": "evaluation",
    "load": "storage",
    "save": "storage",
    "part": "parts",
}
_MODULES = (
    "compression",
    "data",
    "errors",
    "divergences",
    "evaluation",
    "networks",
    "plots",
    "recipes",
    "transforms",
)
__all__ = ["__version__", *_HOME, *_MODULES]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(f"lowerbound.{_HOME[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"lowerbound.{name}")
    raise AttributeError(f"module 'lowerbound' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
