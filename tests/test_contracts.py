"""One line per part; every registered part has one, and keeps the same promises."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pytest
import torch
from torch import nn
from torch.distributions import Distribution

import forks
import lowerbound as lb
import own
from lowerbound import parts
from lowerbound.errors import ConfigurationError
from lowerbound.networks.convolutional import Residual
from lowerbound.parts import build, describe

SHAPE, LATENT, CLASSES, BATCH, SAMPLES = (1, 8, 8), 3, 4, 5, 2
SIZE = math.prod(SHAPE)


def encoder(context: int = 0, out: int = 2 * LATENT) -> nn.Module:
    return lb.MLP(SIZE, (7,), out, context_dim=context)


def decoder(context: int = 0, out: int = SIZE) -> nn.Module:
    return lb.MLP(LATENT, (7,), out, context_dim=context)


def gaussian(parent: int, size: int, context: int = 0) -> nn.Module:
    """A layer of a hierarchy."""
    return lb.DiagonalGaussian(lb.MLP(parent, (5,), 2 * size, context_dim=context), size)


# Each maker takes the width of the context, 0 for none.
PRIORS = {
    "StandardNormal": lambda c: lb.StandardNormal(LATENT),
    "ConditionalGaussian": lambda c: lb.ConditionalGaussian(lb.MLP(c or 1, (), 2 * LATENT), LATENT),
    "GaussianMixture": lambda c: lb.GaussianMixture(LATENT, 4),
    "VampPrior": lambda c: lb.VampPrior(SHAPE, 4),
    "FlowPrior": lambda c: lb.FlowPrior(LATENT, 2, (8,), context_dim=c),
    "FlowPrior spline": lambda c: lb.FlowPrior(LATENT, 2, (8,), "spline", c),
    "HierarchicalPrior": lambda c: lb.HierarchicalPrior(
        lb.StandardNormal(1), (gaussian(1, LATENT - 1, c),)
    ),
    "HierarchicalPrior vamp": lambda c: lb.HierarchicalPrior(
        lb.VampPrior(SHAPE, 4), (gaussian(1, LATENT - 1, c),)
    ),
    "SparsePrior": lambda c: own.SparsePrior(LATENT),
}
POSTERIORS = {
    "DiagonalGaussian": lambda c: lb.DiagonalGaussian(encoder(c), LATENT),
    "DiagonalGaussian softplus": lambda c: lb.DiagonalGaussian(encoder(c), LATENT, "softplus"),
    "Deterministic": lambda c: lb.Deterministic(encoder(c, LATENT), LATENT),
    "FullGaussian": lambda c: lb.FullGaussian(encoder(c, LATENT * (LATENT + 3) // 2), LATENT),
    "FlowPosterior": lambda c: lb.FlowPosterior(encoder(c, 2 * LATENT + 2), LATENT, 2, 2, (8,)),
    "FlowPosterior coupling": lambda c: lb.FlowPosterior(
        encoder(c), LATENT, 0, 2, (8,), "spline", coupling=True
    ),
    "BottomUpPosterior": lambda c: lb.BottomUpPosterior(
        (gaussian(SIZE, LATENT - 1, c), gaussian(LATENT - 1, 1, c))
    ),
    "TopDownPosterior": lambda c: lb.TopDownPosterior(
        lb.MLP(SIZE, (), 6, context_dim=c), (gaussian(6, LATENT - 1, c + 1), gaussian(6, 1, c))
    ),
}
LIKELIHOODS = {
    "Bernoulli": lambda c: lb.Bernoulli(decoder(c), SHAPE),
    "ContinuousBernoulli": lambda c: lb.ContinuousBernoulli(decoder(c), SHAPE),
    "Categorical": lambda c: lb.Categorical(decoder(c, 256 * SIZE), SHAPE),
    "Gaussian": lambda c: lb.Gaussian(decoder(c), SHAPE, 0.5),
    "Gaussian learned": lambda c: lb.Gaussian(decoder(c), SHAPE, "learned"),
    "Gaussian elementwise": lambda c: lb.Gaussian(decoder(c), SHAPE, "elementwise"),
    "Gaussian decoded": lambda c: lb.Gaussian(decoder(c, 2 * SIZE), SHAPE, "decoded"),
    "Gaussian optimal": lambda c: lb.Gaussian(decoder(c), SHAPE, "optimal"),
    "StudentT": lambda c: lb.StudentT(decoder(c), SHAPE),
    "StudentT decoded": lambda c: lb.StudentT(decoder(c, 2 * SIZE), SHAPE, sigma="decoded"),
    "StudentT fixed": lambda c: lb.StudentT(decoder(c), SHAPE, 4.0),
    "NormalMixture": lambda c: lb.NormalMixture(decoder(c, 6 * SIZE), SHAPE, 2),
    "ZeroInflated": lambda c: lb.ZeroInflated(decoder(c, 3 * SIZE), SHAPE, positive=True),
    "ZeroInflated both sides": lambda c: lb.ZeroInflated(
        decoder(c, 3 * SIZE), SHAPE, positive=False
    ),
    "DiscretisedLogistic": lambda c: lb.DiscretisedLogistic(decoder(c, 2 * SIZE), SHAPE),
    "LogisticMixture": lambda c: lb.LogisticMixture(decoder(c, 6 * SIZE), SHAPE, 2),
    "BetaBinomial": lambda c: lb.BetaBinomial(decoder(c, 2 * SIZE), SHAPE),
    "Poisson": lambda c: lb.Poisson(decoder(c), SHAPE),
    "NegativeBinomial": lambda c: lb.NegativeBinomial(decoder(c), SHAPE),
    "ZeroInflatedNegativeBinomial": lambda c: lb.ZeroInflatedNegativeBinomial(
        decoder(c, 2 * SIZE), SHAPE
    ),
    "Nominal": lambda c: lb.Nominal(decoder(c, 3 * SIZE), SHAPE, ("a", "b", "c")),
    "Ordinal": lambda c: lb.Ordinal(decoder(c), SHAPE, 3),
    "Geometric": lambda c: own.Geometric(decoder(c), SHAPE),
}
# Of rows whose fields are of several kinds; test_fields.py has their contract.
ROWS = {
    "Heterogeneous": lb.Heterogeneous(
        decoder(out=1 + 3 + 1),
        (
            lb.Gaussian(lb.networks.Given(), (1,), 0.5),
            lb.Nominal(lb.networks.Given(), (1,), ("a", "b", "c")),
            lb.Poisson(lb.networks.Given(), (1,)),
        ),
        ((1,), (0,), (2,)),
    ),
    "Given": lb.networks.Given(),
    "FieldInputs": lb.networks.FieldInputs(
        lb.MLP(9, (), 4), (3, 0, 1), (2,), missing=True, units=(5.0,)
    ),
    "PerField": lb.transforms.PerField(
        (lb.Standardise((3.0,), (2.0,)), lb.transforms.Codes(), lb.Counts()), ((1,), (0,), (2,))
    ),
    "Codes": lb.transforms.Codes(),
    "Levels": lb.transforms.Levels(((0.0, 2.5, 6.0),)),
    "FromSpike": lb.transforms.FromSpike((0.0, 50.0), (1, -1)),
}
# Of tokens one after the other; test_sequences.py has their contract.
SEQUENCES = {
    "Autoregressive": lb.Autoregressive(
        decoder(out=2 * 3), (4,), ("a", "b", "<end>"), 3, 2, 5, scheduled_sampling=10
    ),
    "BidirectionalLSTM": lb.BidirectionalLSTM(3, 4, 5, ends=True),
    "Conductor": lb.Conductor(LATENT, 6, 2, 5),
    "EmbeddedMLP": lb.EmbeddedMLP(3, 4, 4, (5,), parts=2),
    "Tokens": lb.transforms.Tokens(),
}
NETWORKS = {
    "MLP": lambda c: lb.MLP(SIZE, (7, 6), 4, "tanh", c),
    "MLP linear": lambda c: lb.MLP(SIZE, (), 4, context_dim=c),
    "MLP skip": lambda c: lb.MLP(SIZE, (7,), 4, context_dim=c, skip=True),
    "Convolutional": lambda c: lb.Convolutional(
        SHAPE, (3, 2), 4, (5,), activation="elu", context_dim=c
    ),
    "SharedMLP": lambda c: lb.SharedMLP(SIZE, (7,), 4, parts=2, width=3, context_dim=c),
    "MLP gated": lambda c: lb.MLP(SIZE, (7, 6), 4, "gated", c),
    "Convolutional gated": lambda c: lb.Convolutional(
        SHAPE, (3, 2), 4, (5,), activation="gated", context_dim=c
    ),
    "GaussianHeads": lambda c: lb.networks.GaussianHeads(lb.MLP(SIZE, (), 6, context_dim=c), 6, 2),
    "LogCounts": lambda c: lb.LogCounts(lb.MLP(SIZE, (7,), 4, context_dim=c)),
    "Convolutional normalised": lambda c: lb.Convolutional(
        SHAPE, (8, 4), 4, activation="silu", normalisation="layer", residual=2, context_dim=c
    ),
    "Convolutional valid": lambda c: lb.Convolutional(SHAPE, (3,), 4, (), 3, 1, 0, context_dim=c),
    "Residual": lambda c: own.Residual(SIZE, 4, context_dim=c),
}
DECODERS = {
    "MLP": lambda c: lb.MLP(LATENT, (7,), SIZE, context_dim=c),
    "Leading": lambda c: lb.networks.Leading(lb.MLP(2, (7,), SIZE, context_dim=c), 2),
    "Deconvolutional": lambda c: lb.Deconvolutional(LATENT, (2, 3), SHAPE, (5,), context_dim=c),
    "Deconvolutional gated": lambda c: lb.Deconvolutional(
        LATENT, (2, 3), SHAPE, (5,), activation="gated", context_dim=c
    ),
    "Deconvolutional normalised": lambda c: lb.Deconvolutional(
        LATENT, (4, 8), SHAPE, activation="silu", normalisation="layer", residual=2, context_dim=c
    ),
    "Deconvolutional odd": lambda c: lb.Deconvolutional(
        LATENT, (2, 3), (1, 7, 10), kernel_size=4, stride=3, context_dim=c
    ),
}
OBJECTIVES = {
    "ELBO": lb.ELBO(beta=lb.Cyclical(2.0), samples=2),
    "ELBO free bits": lb.ELBO(beta=lb.Linear(0, 4), free_bits=0.1),
    "ELBO free bits in total": lb.ELBO(free_bits=0.1, free_bits_per="total"),
    "ELBO corrupted": lb.ELBO(corruption=lb.GaussianNoise(0.1)),
    "IWAE": lb.IWAE(samples=3),
    "IWAE dreg": lb.IWAE(samples=3, gradient="dreg"),
    "Renyi": lb.Renyi(0.5, samples=3),
    "Trimmed": lb.Trimmed(share=0.4),
    "Jackknife": own.Jackknife(samples=3),
    "TCVAE": lb.TCVAE(100, beta=lb.Linear(0, 4)),
    "InfoVAE": lb.InfoVAE(weight=lb.Linear(0, 4), beta=0.5, kernel="rbf"),
    "InfoVAE deterministic": lb.InfoVAE(),
    "Reconstruction": lb.Reconstruction(),
    "Reconstruction penalised": lb.Reconstruction(lb.Masking(0.3), 0.1, 0.1),
}
TRANSFORMS = {
    "Identity": lb.Identity(),
    "Counts": lb.Counts(),
    "Scale": lb.Scale(),
    "Binary": lb.Binary(),
    "Binarise": lb.Binarise(),
    "Dequantise": lb.Dequantise(),
    "Standardise": lb.Standardise((100.0,), (50.0,)),
}
OTHERS = {
    "Labels": lb.Labels(CLASSES),
    "Covariates": lb.Covariates(
        ("sex", "age"), (("f", "m"), ()), lb.Standardise((3.0,), (1.0,)), (1,), missing=True
    ),
    "BernoulliDraw": lb.BernoulliDraw(),
    "GaussianNoise": lb.GaussianNoise(0.3),
    "Masking": lb.Masking(0.2),
    "Training": lb.Training(epochs=3, ema=0.9),
    "SGHMC": lb.SGHMC(of="both", burn_in=2),
    "WeightDraws": lb.WeightDraws(LIKELIHOODS["Bernoulli"](0), 3),
    "Linear": lb.Linear(2, 3, 0.5),
    "Cyclical": lb.Cyclical(4, 0.25),
    "Exponential": lb.Exponential(4, 0.2),
}
MADE = {
    **{
        name: make(0) for table in (PRIORS, POSTERIORS, LIKELIHOODS) for name, make in table.items()
    },
    **{name: make(0) for table in (NETWORKS, DECODERS) for name, make in table.items()},
    **ROWS,
    **SEQUENCES,
    **OBJECTIVES,
    **TRANSFORMS,
    **OTHERS,
}


def test_every_part_has_its_line():
    """Those of the library; the documents' systems test their own."""
    library = {
        name for name, cls in parts.REGISTRY.items() if cls.__module__.startswith("lowerbound.")
    }
    rows = {name.split()[0] for name in MADE}
    assert (library | set(own.__all__)) - {"VAE"} == rows


def context(width: int, *batch: int) -> torch.Tensor | None:
    return torch.rand(*batch, width) if width else None


def reaches_every_parameter(module: nn.Module, value: torch.Tensor) -> None:
    module.zero_grad()
    value.sum().backward()
    for name, parameter in module.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().sum() > 0, name


def in_a_model(
    name: str, width: int, posterior: str | None = None, likelihood: str = "Bernoulli"
) -> lb.VAE:
    """The prior in a VAE, with a posterior that suits it, with the weights of a generator of 0."""
    torch.manual_seed(0)
    hierarchical = "TopDownPosterior" if name == "HierarchicalPrior vamp" else "DiagonalGaussian"
    return lb.VAE(
        PRIORS[name](width),
        POSTERIORS[posterior or hierarchical](width),
        LIKELIHOODS[likelihood](width),
        context=lb.Labels(CLASSES) if width else None,
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [0, CLASSES])
@pytest.mark.parametrize("name", PRIORS)
def test_priors(name, width, dtype):
    prior = in_a_model(name, width).to(dtype).prior
    if name == "ConditionalGaussian" and not width:
        with pytest.raises(ConfigurationError, match="expected a context"):
            prior()
        return
    c = context(width, BATCH)
    p = prior(c if c is None else c.to(dtype))
    assert isinstance(p, Distribution)
    batch = (BATCH,) if width else ()
    assert (p.batch_shape, p.event_shape) == (batch, (LATENT,))
    log_p = p.log_prob(torch.randn(SAMPLES, BATCH, LATENT, dtype=dtype))
    assert (log_p.shape, log_p.dtype) == ((SAMPLES, BATCH), dtype)
    z = p.sample((SAMPLES,))
    assert (z.shape, z.dtype) == ((SAMPLES, *batch, LATENT), dtype)
    if name != "HierarchicalPrior vamp":  # of which no mean is known
        assert p.mean.shape == (*batch, LATENT)
    assert p.sample().shape == (*batch, LATENT)
    if list(prior.parameters()):
        reaches_every_parameter(prior, log_p)


@pytest.mark.parametrize("width", [0, CLASSES])
@pytest.mark.parametrize("name", [name for name in PRIORS if name != "ConditionalGaussian"])
def test_priors_are_normalised_and_draw_what_they_say(name, width):
    """E_r[p(z)/r(z)] = 1 with a broad r, and the draws' mean and entropy are those of the density.

    With E_p[r(z)/p(z)] = 1 too, neither p nor its sampler has mass where the other has none.
    """
    prior = in_a_model(name, width).double().prior
    c = context(width, 2)
    p = prior(c if c is None else c.double())
    r = torch.distributions.Independent(
        torch.distributions.Normal(torch.zeros(*p.batch_shape, LATENT).double(), 2.0), 1
    )
    with torch.no_grad():
        n = 5000
        z = r.sample((n,))
        weights = (p.log_prob(z) - r.log_prob(z)).exp()
        assert ((weights.mean(0) - 1).abs() < 5 * weights.std(0) / n**0.5).all()
        drawn = p.sample((n,))
        if name != "HierarchicalPrior vamp":
            assert ((drawn.mean(0) - p.mean).abs() < 0.1 * drawn.std(0)).all()
        entropy = -p.log_prob(drawn)
        expected = -(weights * p.log_prob(z))
        error = (entropy.var(0) / n + expected.var(0) / n).sqrt()
        assert ((entropy.mean(0) - expected.mean(0)).abs() < 5 * error).all()


@pytest.mark.parametrize("width", [0, CLASSES])
@pytest.mark.parametrize("name", POSTERIORS)
def test_posteriors(name, width):
    posterior = POSTERIORS[name](width)
    x, c = torch.rand(BATCH, *SHAPE), context(width, BATCH)
    q = posterior(x, c)
    assert isinstance(q, Distribution)
    assert (q.batch_shape, q.event_shape) == ((BATCH,), (LATENT,))
    z = q.rsample((SAMPLES,))
    assert z.shape == (SAMPLES, BATCH, LATENT)
    assert q.sample().shape == (BATCH, LATENT)
    assert q.mean.shape == (BATCH, LATENT)
    reaches_every_parameter(posterior, (z**2).sum(-1) * (1 + z[..., 0]))
    for i in range(BATCH):  # each example is encoded by itself
        one = posterior(x[i : i + 1], None if c is None else c[i : i + 1])
        torch.testing.assert_close(one.mean, q.mean[i : i + 1])


@pytest.mark.parametrize("width", [0, CLASSES])
@pytest.mark.parametrize("name", [name for name in POSTERIORS if name != "Deterministic"])
def test_posteriors_have_one_density(name, width):
    """The density of a z just drawn is that of the same z from elsewhere, and integrates to 1."""
    posterior = POSTERIORS[name](width).double()
    c = context(width, BATCH)
    x, c = torch.rand(BATCH, *SHAPE).double(), c if c is None else c.double()
    q = posterior(x, c)
    z = q.rsample((SAMPLES,))
    torch.testing.assert_close(q.log_prob(z), posterior(x, c).log_prob(z.clone()))
    torch.testing.assert_close(q.detach().log_prob(z), q.log_prob(z))
    q.detach().log_prob(z.detach().requires_grad_()).sum().backward()
    assert all(p.grad is None for p in posterior.parameters())
    reaches_every_parameter(posterior, q.log_prob(z))
    with torch.no_grad():
        n = 5000
        r = torch.distributions.Independent(torch.distributions.Normal(q.mean, 2.0), 1)
        z = r.sample((n,))
        weights = (q.log_prob(z) - r.log_prob(z)).exp()
        assert ((weights.mean(0) - 1).abs() < 5 * weights.std(0) / n**0.5).all()
        drawn = q.sample((n,))
        assert ((drawn.mean(0) - q.mean).abs() < 0.1 * drawn.std(0)).all()
        entropy, expected = -q.log_prob(drawn), -(weights * q.log_prob(z))
        error = (entropy.var(0) / n + expected.var(0) / n).sqrt()
        assert ((entropy.mean(0) - expected.mean(0)).abs() < 5 * error).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("width", [0, CLASSES])
@pytest.mark.parametrize("name", LIKELIHOODS)
def test_likelihoods(name, width, dtype):
    likelihood = LIKELIHOODS[name](width).to(dtype)
    c = context(width, BATCH)
    c = c if c is None else c.to(dtype)
    x = torch.randint(0, 256, (BATCH, *SHAPE)).to(dtype)
    codes = {"counts": x, "categories": x % 3}
    x = codes.get(likelihood.support, x / 255)
    for batch in ((BATCH,), (SAMPLES, BATCH)):
        p = likelihood(torch.randn(*batch, LATENT, dtype=dtype), c)
        assert (p.batch_shape, p.event_shape) == (batch, SHAPE)
        log_p = p.log_prob(x)
        assert (log_p.shape, log_p.dtype) == (batch, dtype)
        assert p.mean.shape == (*batch, *SHAPE)
        reaches_every_parameter(likelihood, log_p)
    likelihood.eval()
    assert likelihood(torch.randn(BATCH, LATENT, dtype=dtype), c).sample().shape == (BATCH, *SHAPE)


def test_a_likelihood_sees_each_code_with_its_own_context():
    likelihood = lb.Bernoulli(decoder(CLASSES), SHAPE)
    z, c = torch.randn(SAMPLES, BATCH, LATENT), torch.rand(BATCH, CLASSES)
    together = likelihood(z, c).mean
    for i in range(BATCH):
        alone = likelihood(z[:, i], c[i].expand(SAMPLES, -1)).mean
        torch.testing.assert_close(together[:, i], alone)


@pytest.mark.parametrize("width", [0, CLASSES])
@pytest.mark.parametrize("name", NETWORKS)
def test_networks(name, width):
    network = NETWORKS[name](width)
    x, c = torch.rand(BATCH, *SHAPE), context(width, BATCH)
    y = network(x) if c is None else network(x, c)
    assert y.shape == (BATCH, 4)
    reaches_every_parameter(network, y.square())
    if c is not None:
        assert not torch.equal(network(x, c), network(x, 1 - c))


@pytest.mark.parametrize("width", [0, CLASSES])
@pytest.mark.parametrize("name", DECODERS)
def test_decoders(name, width):
    network = DECODERS[name](width)
    z, c = torch.randn(BATCH, LATENT), context(width, BATCH)
    y = network(z) if c is None else network(z, c)
    shape = (1, 7, 10) if "odd" in name else (SIZE,) if name in ("MLP", "Leading") else SHAPE
    assert y.shape == (BATCH, *shape)
    reaches_every_parameter(network, y.square())


def test_each_example_is_normalised_by_itself_over_all_its_maps():
    layers = lb.Convolutional((2, 8, 8), (6, 4), None, normalisation="layer").convolutions[:2]
    x = torch.randn(BATCH, 2, 8, 8)
    maps = layers(x).flatten(1)
    torch.testing.assert_close(maps.mean(1), torch.zeros(BATCH), atol=1e-5, rtol=0)
    torch.testing.assert_close(maps.std(1, correction=0), torch.ones(BATCH), atol=1e-3, rtol=0)
    torch.testing.assert_close(layers(x[:1]).flatten(1), maps[:1])


@pytest.mark.parametrize("activation", ["relu", "gated"])
def test_a_residual_block_without_its_last_weights_changes_nothing(activation):
    """One stands for each of the encoder's in the decoder, at the same maps."""
    style = {"activation": activation, "normalisation": "layer", "residual": 2}
    encoder = lb.Convolutional((1, 12, 12), (8, 4), 4, **style)
    decoder = lb.Deconvolutional(LATENT, (4, 8), (1, 12, 12), **style)
    seen = {encoder: [], decoder: []}
    for network, shapes in seen.items():
        for block in network.convolutions:
            if isinstance(block, Residual):
                nn.init.zeros_(block.f[-1].weight)
                nn.init.zeros_(block.f[-1].bias)
                block.register_forward_hook(
                    lambda _, h, y, shapes=shapes: shapes.append((y.shape, torch.equal(h[0], y)))
                )
    decoder(encoder(torch.rand(BATCH, 1, 12, 12))[:, :LATENT])
    assert seen[encoder] == [((BATCH, 8, 6, 6), True)] * 2 + [((BATCH, 4, 3, 3), True)] * 2
    assert seen[decoder] == seen[encoder][::-1]


def test_one_map_is_not_normalised():
    with pytest.raises(ConfigurationError, match="expected two maps or more to normalise, got one"):
        lb.Convolutional(SHAPE, (4, 1), 4, normalisation="layer")


@pytest.mark.parametrize("width", [0, CLASSES])
@pytest.mark.parametrize("name", OBJECTIVES)
def test_objectives(name, width):
    objective = OBJECTIVES[name]
    deterministic = name.startswith("Reconstruction") or name.endswith("deterministic")
    which = "Deterministic" if deterministic else "DiagonalGaussian"
    model = lb.VAE(
        PRIORS["StandardNormal"](width), POSTERIORS[which](width), LIKELIHOODS["Bernoulli"](width)
    )
    terms = objective(model, torch.rand(BATCH, *SHAPE), context(width, BATCH), 1.5)
    assert (terms.bound is None) == (deterministic or name == "Trimmed")
    assert terms.kl is None or not deterministic
    assert all(term.shape == (BATCH,) for term in terms.named().values())
    reaches_every_parameter(model, terms.objective)


@pytest.mark.parametrize("name", TRANSFORMS)
def test_transforms(name):
    transform = TRANSFORMS[name]
    x = torch.randint(0, 256, (BATCH, *SHAPE), dtype=torch.uint8)
    x = x.float() if name in ("Identity", "Standardise") else x
    y = transform(x)
    assert y.shape == x.shape
    assert y.is_floating_point()
    slopes = transform.log_slopes(SHAPE)
    assert slopes.shape == SHAPE
    torch.testing.assert_close(transform.log_volume(x.float())[0], slopes.sum())
    back = transform.inverse(y)
    if name != "Binarise":
        assert (back - x.float()).abs().max() <= 0.5001
    else:
        assert set(y.unique().tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_codes_are_repeatable_whatever_the_transform(name):
    transform = TRANSFORMS[name]
    x = torch.randint(0, 256, (BATCH, *SHAPE), dtype=torch.uint8)
    y = torch.stack([transform(x) for _ in range(4000)]).mean(0)
    torch.testing.assert_close(transform.noiseless(x), y, atol=0.05, rtol=0)
    model = lb.VAE(
        lb.StandardNormal(LATENT),
        POSTERIORS["DiagonalGaussian"](0),
        LIKELIHOODS["Bernoulli"](0),
        transform,
    )
    assert torch.equal(model.embed(x), model.embed(x))


def test_the_standardised_levels_do_not_wrap_round():
    x = torch.tensor([[0], [127], [255]], dtype=torch.uint8)
    expected = (x.float() - 127.5) / 50
    torch.testing.assert_close(lb.Standardise((127.5,), (50.0,))(x), expected)


def test_binarisation_has_the_grey_level_as_its_mean():
    x = torch.tensor([[0, 64, 255]], dtype=torch.uint8).expand(20_000, 3)
    mean = lb.Binarise()(x).mean(0)
    torch.testing.assert_close(mean, torch.tensor([0, 64 / 255, 1]), atol=0.015, rtol=0)


@pytest.mark.parametrize("name", MADE)
def test_describe_and_build_are_inverse(name):
    value = MADE[name]
    text = json.dumps(describe(value))
    again = build(json.loads(text))
    assert type(again) is type(value)
    assert describe(again) == describe(value)
    if isinstance(value, nn.Module):
        again.load_state_dict(value.state_dict())
    else:
        assert again == value


@pytest.mark.slow
def test_saved_models_are_the_same_in_a_new_process(tmp_path):
    """Every prior, posterior and likelihood, conditional and not."""
    x = torch.rand(BATCH, *SHAPE)
    labels = torch.arange(BATCH) % CLASSES
    models = {f"prior {name}": {"name": name} for name in PRIORS}
    models |= {f"posterior {name}": {"posterior": name} for name in POSTERIORS}
    models |= {f"likelihood {name}": {"likelihood": name} for name in LIKELIHOODS}
    expected = {}
    for i, (name, chosen) in enumerate(models.items()):
        width = CLASSES * (i % 2 or chosen.get("name") == "ConditionalGaussian")
        model = in_a_model(**({"name": "StandardNormal"} | chosen), width=width).eval()
        lb.save(model, tmp_path / name)
        drawn = model.sample(BATCH, labels if width else None, seed=0).double().sum()
        expected[name] = [model.reconstruct(x, labels).double().sum().item(), drawn.item()]
    (tmp_path / "x.json").write_text(json.dumps(x.tolist()))
    code = (
        "import json, sys, torch, pathlib, lowerbound as lb\n"
        "sys.path.append(sys.argv[2])\n"
        "import own\n"
        "torch.set_num_threads(1)\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "x = torch.tensor(json.loads((folder / 'x.json').read_text()))\n"
        f"labels = torch.arange({BATCH}) % {CLASSES}\n"
        "def values(model):\n"
        "    given = None if model.context is None else labels\n"
        f"    drawn = model.sample({BATCH}, given, seed=0).double().sum()\n"
        "    return [model.reconstruct(x, labels).double().sum().item(), drawn.item()]\n"
        "found = {p.name: values(lb.load(p)) for p in folder.iterdir() if p.is_dir()}\n"
        "print(json.dumps(found))"
    )
    log = tmp_path / "log"
    process = forks.start(code, tmp_path, Path(__file__).parent, log=log)
    process.join()
    assert process.exitcode == 0, log.read_text()
    assert json.loads(log.read_text()) == expected


@lb.part
class Doubled(nn.Module):
    """A user's own network."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.layer = nn.Linear(size, 2 * size)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x.flatten(1))


@lb.part
class Laplace(nn.Module):
    """A user's own likelihood, from torch.distributions."""

    support = "continuous"

    def __init__(self, network: nn.Module, size: int) -> None:
        super().__init__()
        self.network, self.shape = network, (size,)

    def forward(self, z: torch.Tensor, context: torch.Tensor | None = None) -> Distribution:
        mean = self.network(z.flatten(0, -2)).unflatten(0, z.shape[:-1])
        return torch.distributions.Independent(torch.distributions.Laplace(mean, 1.0), 1)


def test_a_users_own_parts_train_save_and_load(tmp_path):
    model = lb.VAE(
        lb.StandardNormal(6),
        lb.DiagonalGaussian(Doubled(6), 6),
        Laplace(lb.MLP(6, (8,), 6), 6),
    )
    x = torch.randn(100, 6)
    lb.fit(model, x, training=lb.Training(epochs=2), out=tmp_path, callbacks=[])
    again = lb.load(tmp_path)
    torch.testing.assert_close(again.reconstruct(x), model.reconstruct(x))
    assert again.is_density


def test_parts_need_named_arguments_and_any_name_of_self():
    with pytest.raises(ConfigurationError, match=r"names of their own, got \*sizes"):

        @lb.part
        class Many(nn.Module):
            def __init__(self, *sizes: int) -> None:
                super().__init__()

    @lb.part
    class Named(nn.Module):
        def __init__(this, width: int) -> None:
            super().__init__()
            this.width = width

    assert build(describe(Named(3))).width == 3


@pytest.mark.parametrize("base", [object, nn.Module])
def test_parts_may_have_no_arguments(base):
    plain = lb.part(type("Plain", (base,), {}))
    try:
        assert describe(plain()) == {"part": "Plain"}
        assert isinstance(build({"part": "Plain"}), plain)
        with pytest.raises(ConfigurationError, match="unknown argument 'width'"):
            plain(width=3)
    finally:
        del parts.REGISTRY["Plain"]


def test_a_part_without_what_the_model_asks_is_named():
    class Bare(nn.Module):
        def forward(self, z, context=None):
            return torch.distributions.Normal(z, 1.0)

    with pytest.raises(ConfigurationError, match="expected Bare to have shape"):
        lb.VAE(lb.StandardNormal(LATENT), POSTERIORS["DiagonalGaussian"](0), Bare())


def test_each_sample_has_its_label():
    model = lb.recipes.mlp(
        lb.data.Dataset(torch.rand(6, 4), torch.arange(6) % 3), conditional=True
    ).model
    with pytest.raises(
        ConfigurationError, match=r"class labels of shape \(5,\), one for each .*, got \(3,\)"
    ):
        model.sample(5, torch.tensor([0, 1, 2]))
    for use in (model.embed, model.reconstruct):
        with pytest.raises(ConfigurationError, match=r"labels of shape \(6,\), .* got \(1,\)"):
            use(torch.rand(6, 4), [2])
    with pytest.raises(ConfigurationError, match=r"labels of shape \(6,\), .* got \(1,\)"):
        model.decode(torch.zeros(2, 6, model.latent_dim), [2])
    with pytest.raises(ConfigurationError, match=r"labels of shape \(1,\), .* got \(\)"):
        model.sample(1, 2)
    plain = lb.recipes.mlp(lb.data.Dataset(torch.rand(6, 4))).model
    with pytest.raises(ConfigurationError, match="not conditional, got some; leave it out"):
        plain.sample(2, [0, 1])


def test_arguments_are_checked_when_a_part_is_made():
    with pytest.raises(lb.errors.ConfigurationError, match="missing argument 'out_features'"):
        lb.MLP(3, (2,))
    with pytest.raises(lb.errors.ConfigurationError, match="did you mean hidden"):
        lb.MLP(3, hiden=(2,), out_features=1)
    with pytest.raises(lb.errors.ConfigurationError, match="sigma"):
        lb.Gaussian(decoder(), SHAPE, -1.0)
    with pytest.raises(lb.errors.ShapeError, match="latent_dim 3 and 2"):
        lb.VAE(lb.StandardNormal(3), lb.DiagonalGaussian(encoder(), 2), LIKELIHOODS["Bernoulli"](0))


def test_a_name_that_is_taken_is_refused():
    with pytest.raises(lb.errors.ConfigurationError, match="rename your class"):
        lb.part(type("MLP", (nn.Module,), {"__init__": lambda self: None, "__module__": "mine"}))


def test_wrong_inputs_are_refused():
    model = lb.VAE(
        lb.StandardNormal(LATENT),
        POSTERIORS["DiagonalGaussian"](CLASSES),
        LIKELIHOODS["Bernoulli"](CLASSES),
        context=lb.Labels(CLASSES),
    )
    x = torch.rand(BATCH, *SHAPE)
    with pytest.raises(lb.errors.ShapeError, match=r"expected x of shape \('batch', 1, 8, 8\)"):
        model.embed(torch.rand(BATCH, 8, 8), torch.zeros(BATCH, dtype=torch.long))
    with pytest.raises(
        lb.errors.ConfigurationError, match="expected class labels from 0 to 3, got 4"
    ):
        model.embed(x, torch.full((BATCH,), 4))
    with pytest.raises(lb.errors.ConfigurationError, match="this model is conditional"):
        model.embed(x)
    with pytest.raises(lb.errors.ConfigurationError, match="integers"):
        model.embed(x, torch.zeros(BATCH))


def test_seeded_samples_repeat_and_leave_the_generator_alone():
    model = lb.VAE(
        lb.StandardNormal(LATENT), POSTERIORS["DiagonalGaussian"](0), LIKELIHOODS["Bernoulli"](0)
    )
    before = torch.get_rng_state()
    first = model.sample(4, seed=3)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(model.sample(4, seed=3), first)
    assert set(first.unique().tolist()) == {0.0, 1.0}
    assert 0 < model.sample(4, seed=3, mean=True).std() < 0.5


def test_many_samples_are_drawn_in_parts(monkeypatch):
    """Each part of the classes asked for, and all of one distribution."""
    model = lb.VAE(
        lb.ConditionalGaussian(lb.MLP(3, (), 2), 1),
        lb.DiagonalGaussian(lb.MLP(2, (), 2), 1),
        lb.Bernoulli(lb.MLP(1, (), 2, context_dim=3), (2,)),
        context=lb.Labels(3),
    )
    monkeypatch.setattr(lb.vae, "SAMPLED", 2 * 700)
    labels = torch.arange(6000) % 3
    told: list[tuple[int, int]] = []
    drawn = model.sample(6000, labels, seed=0, progress=lambda *done: told.append(done))
    assert told[:2] == [(700, 6000), (1400, 6000)]
    assert told[-1] == (6000, 6000)
    assert not torch.equal(drawn[:700], drawn[700:1400])
    monkeypatch.undo()
    whole = model.sample(6000, labels, seed=1)
    for label in range(3):
        means = [x[labels == label].mean(0) for x in (drawn, whole)]
        torch.testing.assert_close(*means, atol=0.06, rtol=0)
    assert model.sample(1, [0], seed=0).shape == (1, 2)


def test_a_conditional_prior_has_its_place_for_each_class():
    """KL(q ‖ p(z|c)) is exact, in closed form, and the model trains, samples and is rebuilt."""
    prior = PRIORS["ConditionalGaussian"](CLASSES)
    c = torch.eye(CLASSES)
    p = prior(c)
    assert (p.mean[0] != p.mean[1]).all()
    q = POSTERIORS["DiagonalGaussian"](0)(torch.rand(CLASSES, *SHAPE))
    ours = torch.distributions.kl_divergence(q, p)
    normal = torch.distributions.Normal
    theirs = torch.distributions.kl_divergence(
        normal(q.mean, q.stddev), normal(p.mean, p.stddev)
    ).sum(-1)
    torch.testing.assert_close(ours, theirs)
    model = lb.VAE(
        prior,
        POSTERIORS["DiagonalGaussian"](CLASSES),
        LIKELIHOODS["Bernoulli"](CLASSES),
        lb.Scale(),
        lb.Labels(CLASSES),
    )
    x = torch.randint(0, 256, (20, *SHAPE), dtype=torch.uint8)
    data = lb.data.Dataset(x, torch.arange(20) % CLASSES)
    before = prior(c).mean.detach().clone()
    lb.fit(model, data, training=lb.Training(epochs=1), callbacks=[])
    assert not torch.equal(prior(c).mean, before)
    assert model.sample(3, torch.tensor([0, 1, 1])).shape == (3, *SHAPE)
