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
from lowerbound.objectives import ELBO, Objective
from lowerbound.parts import awaiting, complete, describe
from lowerbound.recipes.compose import compose
from lowerbound.recipes.hierarchies import two_layers, two_layers_top_down
from lowerbound.recipes.settings import merged
from lowerbound.recipes.size import within_memory
from lowerbound.training import Training
from lowerbound.vae import VAE

LEAST_STEPS, PATIENT_STEPS = 3000, 300
"""Few examples are passed over more often than `Training` says, unless epochs are set: for as many
steps as 20,000 examples are.  Sharp posteriors and dispersions are still learned after 1,000.  A
patience that is not set is of so many steps, too."""


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
        steps = -(-len(data) // training.batch_size)
        if "epochs" not in {**self.training, **settings}:
            epochs = max(training.epochs, -(-LEAST_STEPS // steps))
            training = replace(training, epochs=epochs)
        if training.patience is not None and "patience" not in settings:
            patience = max(training.patience, -(-PATIENT_STEPS // steps))
            training = replace(training, patience=patience)
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


WARM_UP = describe(ELBO()) | {"beta": {"part": "Linear", "duration": 100.0}}
SLOW = {"part": "Exponential", "duration": 60.0, "final": 0.2}
RECURRENT = {"schedule": "cosine", "clip_norm": 1.0}
MUSIC = (
    "Roberts, Engel, Raffel, Hawthorne & Eck, A hierarchical latent vector model for learning "
    "long-term structure in music, 2018, arXiv 1803.05428."
)

mlp = Recipe(
    "A fully connected VAE, its decoder the mirror of its encoder.",
    "Kingma & Welling, Auto-Encoding Variational Bayes, 2013, arXiv 1312.6114.",
    notes="With grey images and likelihood=Bernoulli: 784-512-K-512-784.",
)
table = Recipe(
    "A small VAE for rows of real numbers, counts and categories, with missing cells or without.",
    "Nazábal, Olmos, Ghahramani & Valera, Handling incomplete heterogeneous data using VAEs, 2018, "
    "arXiv 1807.03653, for a family of each kind of column; Student's t is in Mattei & Frellsen, "
    "MIWAE, 2019, arXiv 1812.02633.",
    {"network": network(64, skip=True), "real": {"part": "StudentT", "sigma": "decoded"}},
    {"learning_rate": 3e-3, "patience": 10, "ema": 0.99},
    notes="A linear layer lies beside the hidden one. It trains until the validation bound has not "
    "risen for 300 steps, or 10 epochs where they are longer.",
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
bayesian = Recipe(
    "A VAE with draws of its decoder's weights from their posterior, to find outliers by.",
    "Daxberger & Hernández-Lobato, Bayesian variational autoencoders for unsupervised "
    "out-of-distribution detection, 2019, arXiv 1912.05651.",
    {"likelihood": {"part": "Bernoulli"}},
    {"epochs": 150, "batch_size": 512, "sampler": {"part": "SGHMC", "burn_in": 50}},
    notes="A draw in each of the 100 epochs after burn-in.  sampler.of=both draws the encoder's "
    "weights too; network=Convolutional makes it the source's kind of network.",
)
tokens = Recipe(
    "A recurrent VAE of sequences of tokens, read both ways and written one after the other.",
    "Bowman et al., Generating sentences from a continuous space, 2016, arXiv 1511.06349.",
    {
        "latent_dim": 64,
        "network": {"part": "BidirectionalLSTM"},
        "likelihood": {"part": "Autoregressive", "word_dropout": 0.3, "network": network()},
        "objective": {"part": "ELBO", "beta": {"part": "Linear", "final": 0.2}},
    },
    RECURRENT,
    notes="Three of ten tokens are hidden from the decoder in training, and the KL's weight rises "
    "to .2 only, so that the code is not left empty; objective.beta=1 maximises the bound itself.  "
    "likelihood.segments=8 with likelihood.network=Conductor makes it a hierarchical one.",
)
melodies = Recipe(
    "A small MusicVAE that trains on a processor: a dense encoder, an LSTM in each beat.",
    MUSIC,
    {
        "latent_dim": 96,
        "network": {"part": "EmbeddedMLP"},
        "likelihood": {
            "part": "Autoregressive",
            "features": 96,
            "segments": 8,
            "hidden": 128,
            "embedding": 48,
            "network": network(1024),
        },
        "objective": {"part": "ELBO", "beta": 0.1},
    },
    {"batch_size": 256, "learning_rate": 2e-3, **RECURRENT},
)
musicvae_2bar = Recipe(
    "MusicVAE of melodies of 2 bars, 32 sixteenths.",
    MUSIC,
    {
        "latent_dim": 256,
        "network": {"part": "BidirectionalLSTM", "hidden": 512, "embedding": 128},
        "posterior": {"part": "DiagonalGaussian", "scale": "softplus"},
        "likelihood": {
            "part": "Autoregressive",
            "layers": 2,
            "embedding": 128,
            "scheduled_sampling": 1000,
            "network": network(),
        },
        "objective": {"part": "ELBO", "beta": SLOW},
    },
    {"batch_size": 512, **RECURRENT},
    notes="The small model of the authors' code, where β is .2 (1 − .99999^i) at step i, of 50,000 "
    "in a pass over 28 million melodies: here e^(−1/60) takes its place for each epoch.",
)
musicvae_16bar = Recipe(
    "MusicVAE of melodies of 16 bars, 256 sixteenths: a conductor over the bars.",
    MUSIC,
    {
        "latent_dim": 512,
        "network": {"part": "BidirectionalLSTM", "hidden": 2048, "layers": 2, "embedding": 256},
        "posterior": {"part": "DiagonalGaussian", "scale": "softplus"},
        "likelihood": {
            "part": "Autoregressive",
            "features": 512,
            "segments": 16,
            "hidden": 1024,
            "layers": 2,
            "embedding": 256,
            "network": {"part": "Conductor", "hidden": 1024, "layers": 2},
        },
        "objective": {
            "part": "ELBO",
            "beta": SLOW,
            "free_bits": 256 * math.log(2),
            "free_bits_per": "total",
        },
    },
    {"batch_size": 512, **RECURRENT},
    notes="256 bits of the KL are free.  likelihood.segments=1 with likelihood.network=MLP makes "
    "the flat one beside it.",
)
RECIPES = {
    name.replace("_", "-"): recipe for name, recipe in vars().items() if isinstance(recipe, Recipe)
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
