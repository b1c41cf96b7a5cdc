"""Recipes: an architecture from a document or a paper, as a function of the data.

A recipe takes a data set and typed settings, and returns an `Experiment`.  Its first line says what
it is; its docstring cites where it is from.
"""

from __future__ import annotations

import math

from lowerbound.data import TrainingSet
from lowerbound.errors import ConfigurationError
from lowerbound.networks import MLP, Activation, Convolutional, Deconvolutional
from lowerbound.objectives import ELBO, IWAE, TCVAE, InfoVAE, Objective, Reconstruction
from lowerbound.parts import NonNegative, Size
from lowerbound.posteriors import Deterministic
from lowerbound.priors import StandardNormal
from lowerbound.recipes.experiment import Degrees, Experiment, LikelihoodName, Sigma, observe
from lowerbound.recipes.latents import PosteriorName, PriorName, compose, labels_of
from lowerbound.training import Training
from lowerbound.vae import VAE


def mlp(
    data: TrainingSet,
    latent_dim: Size = 20,
    hidden: tuple[Size, ...] = (512,),
    activation: Activation = "relu",
    likelihood: LikelihoodName = "auto",
    sigma: Sigma | None = None,
    degrees: Degrees | None = None,
    logistics: Size | None = None,
    binarise: bool = False,
    conditional: bool = False,
    prior: PriorName = "StandardNormal",
    posterior: PosteriorName = "DiagonalGaussian",
    components: Size | None = None,
    objective: Objective = ELBO(),
) -> Experiment:
    """A fully connected VAE, its decoder the mirror of its encoder.

    ``components`` are those of a GaussianMixture, or the pseudo-inputs of a VampPrior; 100 where
    none are told.  ``logistics`` are those of a LogisticMixture for each element of x.
    With grey images and ``likelihood=Bernoulli``: 784-512-K-512-784.
    Source: Kingma & Welling, Auto-Encoding Variational Bayes, 2013, arXiv 1312.6114.
    """
    observation = observe(data, likelihood, sigma, binarise, degrees, logistics)
    context = labels_of(data) if conditional else None
    context_dim = context.classes if context else 0

    def encoder(outputs: int) -> MLP:
        return MLP(_size(data), hidden, outputs, activation, context_dim)

    decoder = MLP(latent_dim, hidden[::-1], observation.outputs, activation, context_dim)
    latent = (data, latent_dim, prior, posterior, components)
    model = compose(*latent, encoder, decoder, observation, context)
    return Experiment(model, objective, Training())


def autoencoder(
    data: TrainingSet,
    latent_dim: Size = 20,
    hidden: tuple[Size, ...] = (512,),
    activation: Activation = "relu",
    likelihood: LikelihoodName = "auto",
    sigma: Sigma | None = None,
    objective: Objective = Reconstruction(),
) -> Experiment:
    """A fully connected autoencoder: a code without noise, and no KL.

    ``objective.corruption=Masking`` makes it a denoising one.
    Source of that: Vincent et al., Extracting and composing robust features with denoising
    autoencoders, 2008.
    """
    observation = observe(data, likelihood, sigma)
    encoder = MLP(_size(data), hidden, latent_dim, activation)
    decoder = MLP(latent_dim, hidden[::-1], observation.outputs, activation)
    model = VAE(
        StandardNormal(latent_dim),
        Deterministic(observation.encoder(encoder), latent_dim),
        observation.likelihood(decoder),
        observation.transform,
    )
    return Experiment(model, objective, Training())


def convolutional(
    data: TrainingSet,
    latent_dim: Size = 20,
    channels: tuple[Size, ...] = (32, 64),
    hidden: tuple[Size, ...] = (256,),
    kernel_size: Size = 3,
    stride: Size = 2,
    padding: NonNegative = 1,
    activation: Activation = "relu",
    likelihood: LikelihoodName = "auto",
    sigma: Sigma | None = None,
    degrees: Degrees | None = None,
    logistics: Size | None = None,
    binarise: bool = False,
    conditional: bool = False,
    prior: PriorName = "StandardNormal",
    posterior: PosteriorName = "DiagonalGaussian",
    components: Size | None = None,
    objective: Objective = ELBO(),
) -> Experiment:
    """A convolutional VAE for images, its decoder the mirror of its encoder.

    ``components`` and ``logistics`` are as in `mlp`.
    Source: Radford, Metz & Chintala, 2015, arXiv 1511.06434, for strided convolutions.
    """
    if len(data.shape) != 3:
        raise ConfigurationError(
            f"expected images (C, H, W) for the convolutional recipe, got {data.name} of shape "
            f"{data.shape}; use the mlp recipe"
        )
    observation = observe(data, likelihood, sigma, binarise, degrees, logistics)
    context = labels_of(data) if conditional else None
    context_dim = context.classes if context else 0
    convolution = {"kernel_size": kernel_size, "stride": stride, "padding": padding}

    def encoder(outputs: int) -> Convolutional:
        return Convolutional(
            data.shape,  # type: ignore[arg-type]
            channels,
            outputs,
            hidden,
            **convolution,
            activation=activation,
            context_dim=context_dim,
        )

    decoder = Deconvolutional(
        latent_dim,
        channels[::-1],
        observation.maps,
        hidden[::-1],
        **convolution,
        activation=activation,
        context_dim=context_dim,
    )
    latent = (data, latent_dim, prior, posterior, components)
    model = compose(*latent, encoder, decoder, observation, context)
    return Experiment(model, objective, Training())


def linear(
    data: TrainingSet,
    latent_dim: Size = 2,
    sigma: Sigma = "learned",
    objective: Objective = ELBO(),
) -> Experiment:
    """A linear Gaussian VAE, which at its optimum is probabilistic PCA.

    Source: Lucas, Tucker, Grosse & Norouzi, Don't blame the ELBO!, 2019, arXiv 1911.02469.
    """
    return mlp(data, latent_dim, (), likelihood="Gaussian", sigma=sigma, objective=objective)


def iwae(
    data: TrainingSet,
    latent_dim: Size = 50,
    hidden: tuple[Size, ...] = (200, 200),
    objective: Objective = IWAE(50),
) -> Experiment:
    """The one-layer importance-weighted autoencoder, on binarised images.

    784-200-200-50 with tanh, dynamic binarisation, batches of 20.
    Source: Burda, Grosse & Salakhutdinov, 2015, arXiv 1509.00519.
    """
    experiment = mlp(
        data, latent_dim, hidden, "tanh", "Bernoulli", binarise=True, objective=objective
    )
    return Experiment(experiment.model, experiment.objective, Training(batch_size=20))


def tcvae(
    data: TrainingSet,
    latent_dim: Size = 10,
    hidden: tuple[Size, ...] = (512,),
    activation: Activation = "relu",
    likelihood: LikelihoodName = "auto",
    alpha: float = 1.0,
    beta: float = 6.0,
    gamma: float = 1.0,
) -> Experiment:
    """The β-TCVAE, fully connected: the total correlation of the code's dimensions weighs β.

    Source: Chen, Li, Grosse & Duvenaud, 2018, arXiv 1802.04942.
    """
    objective = TCVAE(len(data), alpha, beta, gamma)
    return mlp(data, latent_dim, hidden, activation, likelihood, objective=objective)


def wae(
    data: TrainingSet,
    latent_dim: Size = 8,
    hidden: tuple[Size, ...] = (512,),
    activation: Activation = "relu",
    likelihood: LikelihoodName = "auto",
    sigma: Sigma | None = None,
    objective: Objective = InfoVAE(),
) -> Experiment:
    """The Wasserstein autoencoder, fully connected: MMD alone brings the codes to the prior.

    Source: Tolstikhin, Bousquet, Gelly & Schölkopf, 2017, arXiv 1711.01558 (WAE-MMD).
    """
    return autoencoder(data, latent_dim, hidden, activation, likelihood, sigma, objective)


def _size(data: TrainingSet) -> int:
    return math.prod(data.shape)
