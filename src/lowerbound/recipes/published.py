"""Recipes with other priors and posteriors than normal ones, at their papers' sizes."""

from __future__ import annotations

import math

from lowerbound.data import TrainingSet
from lowerbound.networks import MLP, Leading
from lowerbound.objectives import ELBO, IWAE, Objective
from lowerbound.parts import Size
from lowerbound.posteriors import BottomUpPosterior, DiagonalGaussian, TopDownPosterior
from lowerbound.priors import HierarchicalPrior, StandardNormal
from lowerbound.recipes.experiment import Experiment, LikelihoodName, observe
from lowerbound.recipes.latents import start_at_data, vamp_prior
from lowerbound.recipes.models import mlp
from lowerbound.schedules import Linear
from lowerbound.training import Training
from lowerbound.vae import VAE

WARM_UP = ELBO(beta=Linear(duration=100))


def vampprior(
    data: TrainingSet,
    latent_dim: Size = 40,
    hidden: tuple[Size, ...] = (300, 300),
    components: Size = 500,
    likelihood: LikelihoodName = "auto",
    binarise: bool = False,
    objective: Objective = WARM_UP,
) -> Experiment:
    """A VAE whose prior mixes its own posterior over 500 learned pseudo-inputs.

    784-300-300-40 with gated layers, batches of 100, learning rate 5·10⁻⁴, β rising for 100 epochs.
    Source: Tomczak & Welling, VAE with a VampPrior, 2017, arXiv 1705.07120.
    """
    experiment = mlp(
        data,
        latent_dim,
        hidden,
        "gated",
        likelihood,
        binarise=binarise,
        prior="VampPrior",
        components=components,
        objective=objective,
    )
    training = Training(batch_size=100, learning_rate=5e-4)
    return Experiment(experiment.model, experiment.objective, training)


def mixture(
    data: TrainingSet,
    latent_dim: Size = 10,
    hidden: tuple[Size, ...] = (500, 500, 2000),
    components: Size = 10,
    likelihood: LikelihoodName = "auto",
    binarise: bool = False,
    objective: Objective = ELBO(),
) -> Experiment:
    """A VAE with a learned mixture of Gaussians as its prior, whose components are clusters.

    784-500-500-2000-10 and back.  The paper's model is this one, trained on a bound that also has
    the cluster as a latent variable; here the cluster is summed out of p(z), which is tighter.
    Source: Jiang et al., Variational deep embedding, 2016, arXiv 1611.05148.
    """
    experiment = mlp(
        data,
        latent_dim,
        hidden,
        likelihood=likelihood,
        binarise=binarise,
        prior="GaussianMixture",
        components=components,
        objective=objective,
    )
    return Experiment(experiment.model, experiment.objective, Training(batch_size=100))


def iaf(
    data: TrainingSet,
    latent_dim: Size = 32,
    hidden: tuple[Size, ...] = (300, 300),
    likelihood: LikelihoodName = "auto",
    binarise: bool = False,
    objective: Objective = ELBO(),
) -> Experiment:
    """A VAE with inverse autoregressive flows after its encoder.

    Source: Kingma et al., Improving variational inference with inverse autoregressive flow, 2016,
    arXiv 1606.04934, whose networks for images are convolutional and larger.
    """
    return mlp(
        data,
        latent_dim,
        hidden,
        "elu",
        likelihood,
        binarise=binarise,
        posterior="FlowPosterior",
        objective=objective,
    )


def flow_prior(
    data: TrainingSet,
    latent_dim: Size = 20,
    hidden: tuple[Size, ...] = (300, 300),
    likelihood: LikelihoodName = "auto",
    binarise: bool = False,
    objective: Objective = ELBO(),
) -> Experiment:
    """A VAE with a masked autoregressive flow as its prior.

    Source: Chen et al., Variational lossy autoencoder, 2016, arXiv 1611.02731, for the flow as the
    prior; its decoder is autoregressive too, this one is not.
    """
    return mlp(
        data,
        latent_dim,
        hidden,
        "elu",
        likelihood,
        binarise=binarise,
        prior="FlowPrior",
        objective=objective,
    )


def full_covariance(
    data: TrainingSet,
    latent_dim: Size = 20,
    hidden: tuple[Size, ...] = (512,),
    likelihood: LikelihoodName = "auto",
    binarise: bool = False,
    objective: Objective = ELBO(),
) -> Experiment:
    """A VAE whose posterior is a Gaussian with correlated dimensions.

    Source: Kingma & Welling, An introduction to variational autoencoders, 2019, section 2.5.1,
    arXiv 1906.02691.
    """
    return mlp(
        data,
        latent_dim,
        hidden,
        likelihood=likelihood,
        binarise=binarise,
        posterior="FullGaussian",
        objective=objective,
    )


def iwae_2(
    data: TrainingSet,
    latent_dims: tuple[Size, Size] = (100, 50),
    hidden: tuple[Size, Size] = (200, 100),
    objective: Objective = IWAE(50),
) -> Experiment:
    """The importance-weighted autoencoder with two stochastic layers, on binarised images.

    q(z₁|x) q(z₂|z₁): x-200-200-100, then 100-100-100-50, with tanh; p(z₂) p(z₁|z₂) p(x|z₁) is its
    mirror.  Dynamic binarisation, batches of 20.
    Source: Burda, Grosse & Salakhutdinov, 2015, arXiv 1509.00519.
    """
    observation = observe(data, "Bernoulli", binarise=True)
    (d_1, d_2), (wide, narrow) = latent_dims, hidden
    pixels = math.prod(data.shape)

    def gaussian(inputs: int, width: int, outputs: int) -> DiagonalGaussian:
        return DiagonalGaussian(MLP(inputs, (width, width), 2 * outputs, "tanh"), outputs)

    decoder = MLP(d_1, (wide, wide), observation.outputs, "tanh")
    model = VAE(
        HierarchicalPrior(StandardNormal(d_2), (gaussian(d_2, narrow, d_1),)),
        BottomUpPosterior((gaussian(pixels, wide, d_1), gaussian(d_1, narrow, d_2))),
        observation.likelihood(Leading(decoder, d_1)),
        observation.transform,
    )
    return Experiment(model, objective, Training(batch_size=20))


def hierarchical_vampprior(
    data: TrainingSet,
    latent_dims: tuple[Size, Size] = (40, 40),
    width: Size = 300,
    components: Size = 500,
    likelihood: LikelihoodName = "auto",
    binarise: bool = False,
    objective: Objective = WARM_UP,
) -> Experiment:
    """Two stochastic layers, the upper with a VampPrior.

    p(z₂) p(z₁|z₂) p(x|z₁,z₂) and q(z₂|x) q(z₁|x,z₂), gated layers of 300.  The paper gives each
    posterior networks of its own on x; here both see the features of one.
    Source: Tomczak & Welling, VAE with a VampPrior, 2017, arXiv 1705.07120.
    """
    observation = observe(data, likelihood, binarise=binarise)
    d_1, d_2 = latent_dims
    pixels = math.prod(data.shape)

    def gaussian(inputs: int, outputs: int, context_dim: int = 0) -> DiagonalGaussian:
        network = MLP(inputs, (width,), 2 * outputs, "gated", context_dim)
        return DiagonalGaussian(network, outputs)

    prior = vamp_prior(data, components)
    model = VAE(
        HierarchicalPrior(prior, (gaussian(d_2, d_1),)),
        TopDownPosterior(
            observation.encoder(MLP(pixels, (width,), width, "gated")),
            (gaussian(width, d_1, d_2), gaussian(width, d_2)),
        ),
        observation.likelihood(MLP(d_1 + d_2, (width, width), observation.outputs, "gated")),
        observation.transform,
    )
    start_at_data(prior, model, data)
    return Experiment(model, objective, Training(batch_size=100, learning_rate=5e-4))
