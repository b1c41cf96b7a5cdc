"""Published architectures, a row each: the parts, the training and the source.

A row is called with a data set and settings, as ``mlp(data, latent_dim=2, hidden=(64,))``, and
returns an `Experiment`.  Settings are those of `compose`; a key with a dot is an argument of a part
(``**{"likelihood.sigma": 0.5}``), and an argument of the network needs no dot.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from lowerbound.data import Data, as_dataset
from lowerbound.errors import ConfigurationError, near
from lowerbound.networks import MLP, Leading
from lowerbound.objectives import ELBO, Objective
from lowerbound.parts import Size, awaiting, complete, describe
from lowerbound.posteriors import BottomUpPosterior, DiagonalGaussian, TopDownPosterior
from lowerbound.priors import HierarchicalPrior, StandardNormal
from lowerbound.recipes.compose import (
    Part,
    compose,
    named_prior,
    observe,
    start_at_data,
    start_likelihood,
    with_network,
)
from lowerbound.recipes.settings import merged
from lowerbound.recipes.size import within_memory
from lowerbound.training import Training
from lowerbound.vae import VAE

LEAST_STEPS = 1000
"""Few examples are passed over more often than `Training` says, unless epochs are set."""


@dataclass(frozen=True)
class Experiment:
    """What a recipe makes of data.

    Attributes:
        model: untrained.
        objective: what it maximises.
        training: how it is trained.
    """

    model: VAE
    objective: Objective
    training: Training


@dataclass(frozen=True)
class Recipe:
    """An architecture.

    Attributes:
        about: what it is, in a line.
        source: where it is from.
        settings: where its settings differ from the defaults of ``model``.
        training: where they differ from those of `Training`.
        notes: what else there is to say of it.
        model: from the data and the settings to the model.
    """

    about: str
    source: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    notes: str = ""
    model: Callable[..., VAE] = compose

    def __call__(self, data: Any, **settings: Any) -> Experiment:
        """The experiment on ``data``, whatever `data.as_dataset` takes.

        Raises:
            ConfigurationError: an unknown setting, or a value that does not fit.
        """
        chosen, training = self.merged(settings)
        data = as_dataset(data)
        objective = chosen.pop("objective")
        if "epochs" not in {**self.training, **settings}:
            steps = -(-len(data) // training.batch_size)
            epochs = max(training.epochs, -(-LEAST_STEPS // steps))
            training = replace(training, epochs=epochs)
        with within_memory():
            model = self.model(data, **chosen)
        return Experiment(model, complete(objective, examples=len(data)), training)

    def merged(self, settings: Mapping[str, Any]) -> tuple[dict[str, Any], Training]:
        """All settings of the model and the objective, and of training, checked without data.

        Raises:
            ConfigurationError: an unknown setting, or a value that does not fit.
        """
        return merged(self.model, self.defaults, self.training, settings)

    @property
    def defaults(self) -> dict[str, Any]:
        """The settings of the model and the objective; parts by their descriptions."""
        parameters = inspect.signature(self.model).parameters.values()
        defaults = {p.name: p.default for p in parameters if p.default is not p.empty}
        defaults |= {"objective": describe(ELBO())} | dict(self.settings)
        return {name: awaiting(value) for name, value in defaults.items()}


def network(*hidden: int, **arguments: Any) -> dict[str, Any]:
    """An MLP that awaits its first and last size."""
    return {"part": "MLP", "hidden": hidden, **arguments}


def two_layers(
    data: Data,
    latent_dims: tuple[Size, Size] = (100, 50),
    hidden: tuple[Size, Size] = (200, 100),
) -> VAE:
    """q(z₁|x) q(z₂|z₁) and its mirror p(z₂) p(z₁|z₂) p(x|z₁), with tanh, on binarised x.

    Args:
        data: as of `compose`.
        latent_dims: the dimensions of z₁ and z₂.
        hidden: widths of the layers at x and at z₁.
    """
    observed = observe(data, "Bernoulli", "Binarise")
    (d_1, d_2), (wide, narrow) = latent_dims, hidden
    pixels = math.prod(data.shape)

    def gaussian(inputs: int, width: int, outputs: int) -> DiagonalGaussian:
        return DiagonalGaussian(MLP(inputs, (width, width), 2 * outputs, "tanh"), outputs)

    decoder = Leading(MLP(d_1, (wide, wide), pixels, "tanh"), d_1)
    model = VAE(
        HierarchicalPrior(StandardNormal(d_2), (gaussian(d_2, narrow, d_1),)),
        BottomUpPosterior((gaussian(pixels, wide, d_1), gaussian(d_1, narrow, d_2))),
        complete(observed.likelihood, network=decoder, shape=data.shape),
        observed.transform,
        columns=data.columns,
    )
    start_likelihood(model, data)
    return model


def two_layers_top_down(
    data: Data,
    latent_dims: tuple[Size, Size] = (40, 40),
    width: Size = 300,
    prior: Part = "VampPrior",
    likelihood: Part = "auto",
    transform: Part = None,
) -> VAE:
    """p(z₂) p(z₁|z₂) p(x|z₁,z₂) and q(z₂|x) q(z₁|x,z₂), with gated layers.

    Args:
        data: as of `compose`.
        latent_dims: the dimensions of z₁ and z₂.
        width: of all layers.
        prior: p(z₂).
        likelihood: as of `compose`.
        transform: as of `compose`.
    """
    observed = observe(data, likelihood, transform)
    d_1, d_2 = latent_dims
    sizes = {"shape": data.shape, "latent_dim": d_2, "context_dim": 0}

    def gaussian(inputs: int, outputs: int, context_dim: int = 0) -> DiagonalGaussian:
        gated = MLP(inputs, (width,), 2 * outputs, "gated", context_dim)
        return DiagonalGaussian(gated, outputs)

    top = named_prior(awaiting(prior), sizes, data)
    p_z = HierarchicalPrior(top, (gaussian(d_2, d_1),))
    features = observed.encoder(MLP(observed.inputs, (width,), width, "gated"))
    q = TopDownPosterior(features, (gaussian(width, d_1, d_2), gaussian(width, d_2)))
    p_x = with_network(
        observed.likelihood, network(width, width, activation="gated"), sizes, d_1 + d_2
    )
    model = VAE(p_z, q, p_x, observed.transform, columns=data.columns)
    if isinstance(observed.likelihood, Mapping):
        start_likelihood(model, data)
    start_at_data(model, data)
    return model


WARM_UP = describe(ELBO()) | {"beta": {"part": "Linear", "duration": 100.0}}

mlp = Recipe(
    "A fully connected VAE, its decoder the mirror of its encoder.",
    "Kingma & Welling, Auto-Encoding Variational Bayes, 2013, arXiv 1312.6114.",
    notes="With grey images and likelihood=Bernoulli: 784-512-K-512-784.",
)
convolutional = Recipe(
    "A convolutional VAE for images, its decoder the mirror of its encoder.",
    "Radford, Metz & Chintala, 2015, arXiv 1511.06434, for strided convolutions.",
    {"network": {"part": "Convolutional", "channels": (32, 64)}},
)
linear = Recipe(
    "A linear Gaussian VAE, which at its optimum is probabilistic PCA.",
    "Lucas, Tucker, Grosse & Norouzi, Don't blame the ELBO!, 2019, arXiv 1911.02469.",
    {"latent_dim": 2, "network": network(), "likelihood": {"part": "Gaussian"}},
)
iwae = Recipe(
    "The one-layer importance-weighted autoencoder, on binarised images.",
    "Burda, Grosse & Salakhutdinov, 2015, arXiv 1509.00519.",
    {
        "latent_dim": 50,
        "network": network(200, 200, activation="tanh"),
        "likelihood": {"part": "Bernoulli"},
        "transform": {"part": "Binarise"},
        "objective": {"part": "IWAE", "samples": 50},
    },
    {"batch_size": 20},
    notes="784-200-200-50 with tanh, dynamic binarisation, batches of 20.",
)
tcvae = Recipe(
    "The β-TCVAE: the total correlation of the code's dimensions is weighed by β.",
    "Chen, Li, Grosse & Duvenaud, 2018, arXiv 1802.04942.",
    {"latent_dim": 10, "objective": {"part": "TCVAE"}},
)
autoencoder = Recipe(
    "A fully connected autoencoder: a code without noise, and no KL.",
    "of the denoising one: Vincent et al., Extracting and composing robust features with denoising "
    "autoencoders, 2008.",
    {
        "posterior": {"part": "Deterministic"},
        "objective": {"part": "Reconstruction"},
    },
    notes="objective.corruption=Masking makes it a denoising one.",
)
wae = Recipe(
    "The Wasserstein autoencoder, fully connected: MMD alone brings the codes to the prior.",
    "Tolstikhin, Bousquet, Gelly & Schölkopf, 2017, arXiv 1711.01558 (WAE-MMD).",
    {
        "latent_dim": 8,
        "posterior": {"part": "Deterministic"},
        "objective": {"part": "InfoVAE"},
    },
)
iwae_2 = Recipe(
    "The importance-weighted autoencoder with two stochastic layers, on binarised images.",
    "Burda, Grosse & Salakhutdinov, 2015, arXiv 1509.00519.",
    {"objective": {"part": "IWAE", "samples": 50}},
    {"batch_size": 20},
    notes="q(z₁|x) q(z₂|z₁): x-200-200-100, then 100-100-100-50, with tanh; p(z₂) p(z₁|z₂) p(x|z₁) "
    "is its mirror.  Dynamic binarisation, batches of 20.",
    model=two_layers,
)
vampprior = Recipe(
    "A VAE whose prior mixes its own posterior over 500 learned pseudo-inputs.",
    "Tomczak & Welling, VAE with a VampPrior, 2017, arXiv 1705.07120.",
    {
        "latent_dim": 40,
        "network": network(300, 300, activation="gated"),
        "prior": {"part": "VampPrior", "components": 500},
        "objective": WARM_UP,
    },
    {"batch_size": 100, "learning_rate": 5e-4},
    notes="784-300-300-40 with gated layers, batches of 100, learning rate 5·10⁻⁴, β rising for "
    "100 epochs.",
)
hierarchical_vampprior = Recipe(
    "Two stochastic layers, the upper with a VampPrior.",
    "Tomczak & Welling, VAE with a VampPrior, 2017, arXiv 1705.07120.",
    {"prior": {"part": "VampPrior", "components": 500}, "objective": WARM_UP},
    {"batch_size": 100, "learning_rate": 5e-4},
    notes="p(z₂) p(z₁|z₂) p(x|z₁,z₂) and q(z₂|x) q(z₁|x,z₂), gated layers of 300.  The paper gives "
    "each posterior networks of its own on x; here both see the features of one.",
    model=two_layers_top_down,
)
mixture = Recipe(
    "A VAE with a learned mixture of Gaussians as its prior, whose components are clusters.",
    "Jiang et al., Variational deep embedding, 2016, arXiv 1611.05148.",
    {
        "latent_dim": 10,
        "network": network(500, 500, 2000),
        "prior": {"part": "GaussianMixture", "components": 10},
    },
    {"batch_size": 100},
    notes="784-500-500-2000-10 and back.  The paper's model is this one, trained on a bound that "
    "also has the cluster as a latent variable; here the cluster is summed out of p(z), which is "
    "tighter.",
)
iaf = Recipe(
    "A VAE with inverse autoregressive flows after its encoder.",
    "Kingma et al., Improving variational inference with inverse autoregressive flow, 2016, arXiv "
    "1606.04934, whose networks for images are convolutional and larger.",
    {
        "latent_dim": 32,
        "network": network(300, 300, activation="elu"),
        "posterior": {"part": "FlowPosterior"},
    },
)
flow_prior = Recipe(
    "A VAE with a masked autoregressive flow as its prior.",
    "Chen et al., Variational lossy autoencoder, 2016, arXiv 1611.02731, for the flow as the "
    "prior; its decoder is autoregressive too, this one is not.",
    {"network": network(300, 300, activation="elu"), "prior": {"part": "FlowPrior"}},
)
full_covariance = Recipe(
    "A VAE whose posterior is a Gaussian with correlated dimensions.",
    "Kingma & Welling, An introduction to variational autoencoders, 2019, section 2.5.1, arXiv "
    "1906.02691.",
    {"posterior": {"part": "FullGaussian"}},
)
RECIPES: dict[str, Recipe] = {
    "mlp": mlp,
    "convolutional": convolutional,
    "linear": linear,
    "iwae": iwae,
    "tcvae": tcvae,
    "autoencoder": autoencoder,
    "wae": wae,
    "iwae-2": iwae_2,
    "vampprior": vampprior,
    "hierarchical-vampprior": hierarchical_vampprior,
    "mixture": mixture,
    "iaf": iaf,
    "flow-prior": flow_prior,
    "full-covariance": full_covariance,
}


def recipe_named(name: str) -> Recipe:
    """The recipe, or an error that lists the near ones."""
    if name not in RECIPES:
        raise ConfigurationError(f"unknown recipe {name!r}; {near(name, RECIPES)}")
    return RECIPES[name]


def check(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse an unknown recipe ``name``, or a key or value of its ``settings``, without any data.

    Raises:
        ConfigurationError: what `prepare` would raise, whatever the data.
    """
    recipe_named(name).merged(settings)


def prepare(name: str, data: Data, settings: Mapping[str, Any]) -> Experiment:
    """The experiment of the recipe called ``name`` on ``data`` with ``settings``.

    Raises:
        ConfigurationError: an unknown recipe or key, or a value that does not fit.
    """
    return recipe_named(name)(data, **settings)
