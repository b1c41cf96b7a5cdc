"""Evaluation against models whose evidence is known."""

from __future__ import annotations

import math

import pytest
import scipy.stats
import torch
from torch import nn

import lowerbound as lb
from lowerbound import evaluation
from lowerbound.data import Dataset
from lowerbound.errors import ConfigurationError
from lowerbound.evaluation import walk

SIGMA = 0.5


def set_linear(network: lb.MLP, weight: torch.Tensor, bias: torch.Tensor) -> None:
    layer = network.layers[0]
    assert isinstance(layer, nn.Linear)
    layer.weight.data, layer.bias.data = weight, bias


def linear_gaussian(posterior_scale: float = 1.0) -> tuple[lb.VAE, torch.Tensor]:
    """p(x|z) = N(Wz, σ²) with orthogonal columns, and its exact posterior, σ_q times a factor."""
    torch.manual_seed(0)
    W = torch.linalg.qr(torch.randn(5, 2))[0] * torch.tensor([2.0, 0.7])
    precision = W.square().sum(0) / SIGMA**2 + 1
    encoder, decoder = lb.MLP(5, (), 4), lb.MLP(2, (), 5)
    log_variance = torch.log(posterior_scale**2 / precision)
    set_linear(
        encoder,
        torch.cat((W.T / SIGMA**2 / precision.unsqueeze(1), torch.zeros(2, 5))),
        torch.cat((torch.zeros(2), log_variance)),
    )
    set_linear(decoder, W, torch.zeros(5))
    likelihood = lb.Gaussian(decoder, (5,), sigma=SIGMA)
    return lb.VAE(lb.StandardNormal(2), lb.DiagonalGaussian(encoder, 2), likelihood), W


def draw(W: torch.Tensor, n: int) -> Dataset:
    x = torch.randn(n, 2) @ W.T + SIGMA * torch.randn(n, 5)
    return Dataset(x, name="linear")


def evidence(W: torch.Tensor, data: Dataset) -> torch.Tensor:
    covariance = W @ W.T + SIGMA**2 * torch.eye(5)
    return torch.distributions.MultivariateNormal(torch.zeros(5), covariance).log_prob(data.x)


def test_importance_weighted_bound_is_the_evidence_at_the_exact_posterior():
    model, W = linear_gaussian()
    data = draw(W, 700)
    result = evaluation.evaluate(model, data, samples=7)
    expected = evidence(W, data)
    assert result.importance_weighted.value == pytest.approx(expected.mean().item(), abs=1e-4)
    error = expected.double().std().item() / 700**0.5
    assert result.importance_weighted.standard_error == pytest.approx(error, rel=1e-3)


def test_elbo_is_below_the_evidence_by_the_divergence_from_the_posterior():
    model, W = linear_gaussian(posterior_scale=1.5)
    data = draw(W, 400)
    result = evaluation.evaluate(model, data, samples=2000)
    # KL(N(μ, (1.5σ)²) ‖ N(μ, σ²)) in each of two dimensions.
    gap = 2 * (0.5 * (1.5**2 - 1) - math.log(1.5))
    exact = evidence(W, data).mean().item()
    assert exact - result.elbo.value == pytest.approx(gap, abs=0.02)
    assert result.importance_weighted.value == pytest.approx(exact, abs=0.005)
    assert result.elbo.value == pytest.approx(-result.reconstruction.value - result.kl.value)


def test_chunks_do_not_matter(monkeypatch):
    model, W = linear_gaussian(posterior_scale=1.3)
    data = draw(W, 600)
    whole = evaluation.evaluate(model, data, samples=300)
    monkeypatch.setattr(walk, "ELEMENTS_PER_CHUNK", 5 * 500 * 13)
    monkeypatch.setattr(walk, "IMAGES_PER_BATCH", 101)
    parts = evaluation.evaluate(model, data, samples=300)
    assert parts.importance_weighted.value == pytest.approx(
        whole.importance_weighted.value, abs=0.01
    )
    assert parts.kl.value == pytest.approx(whole.kl.value, rel=1e-6)
    assert parts.variance_per_dimension == pytest.approx(whole.variance_per_dimension, rel=1e-6)


def test_kl_per_dimension_and_active_units():
    model, W = linear_gaussian()
    data = draw(W, 300)
    with torch.no_grad():
        layer = model.posterior.network.layers[0]
        layer.weight[1] = 0  # the second mean no longer depends on x
    result = evaluation.evaluate(model, data, samples=3)
    assert sum(result.kl_per_dimension) == pytest.approx(result.kl.value, rel=1e-6)
    assert result.active_units == 1
    means = model.embed(data.x).double()
    assert result.variance_per_dimension == pytest.approx(means.var(0).tolist(), rel=1e-4, abs=1e-9)


def test_bits_per_dimension_of_a_uniform_density_on_grey_levels_are_eight():
    decoder = lb.MLP(1, (), 16)
    set_linear(decoder, torch.zeros(16, 1), torch.zeros(16))
    encoder = lb.MLP(16, (), 2)
    set_linear(encoder, torch.zeros(2, 16), torch.zeros(2))
    model = lb.VAE(
        lb.StandardNormal(1),
        lb.DiagonalGaussian(encoder, 1),
        lb.ContinuousBernoulli(decoder, (1, 4, 4)),
        lb.Dequantise(),
    )
    data = Dataset(torch.randint(0, 256, (50, 1, 4, 4), dtype=torch.uint8))
    result = evaluation.evaluate(model, data, samples=2)
    assert result.bits_per_dimension.value == pytest.approx(8, abs=1e-6)


def test_bits_per_dimension_of_standardised_rows_are_those_of_the_rows():
    model, W = linear_gaussian()
    data = draw(W, 300)
    scaled = Dataset(data.x * 10 + 3)
    other, _ = linear_gaussian()
    other.transform = lb.Standardise((3.0,) * 5, (10.0,) * 5)
    plain = evaluation.evaluate(model, data, samples=5).bits_per_dimension.value
    rescaled = evaluation.evaluate(other, scaled, samples=5).bits_per_dimension.value
    assert rescaled - plain == pytest.approx(math.log2(10), abs=1e-4)


def test_grey_levels_under_bernoulli_have_no_bits_per_dimension_and_say_so():
    data = Dataset(torch.randint(0, 256, (20, 1, 4, 4), dtype=torch.uint8))
    model = lb.recipes.mlp(data, latent_dim=2, hidden=(8,), likelihood="Bernoulli").model
    result = evaluation.evaluate(model, data, samples=2)
    assert result.bits_per_dimension is None
    assert "binarised" in result.measures
    assert "binarised" in str(result)


def test_an_autoencoder_has_a_reconstruction_and_nothing_else():
    posterior = lb.Deterministic(lb.MLP(16, (), 2), 2)
    likelihood = lb.Gaussian(lb.MLP(2, (), 16), (1, 4, 4), sigma=1.0)
    model = lb.VAE(lb.StandardNormal(2), posterior, likelihood, lb.Scale())
    data = Dataset(torch.randint(0, 256, (20, 1, 4, 4), dtype=torch.uint8))
    result = evaluation.evaluate(model, data)
    x, _ = model.prepare(data.x)
    expected = -likelihood(posterior(x).mean).log_prob(x).mean().item()
    assert result.reconstruction.value == pytest.approx(expected, rel=1e-5)
    assert (result.elbo, result.kl, result.importance_weighted) == (None, None, None)
    assert "ELBO" not in str(result)


def test_evaluation_is_seeded_and_leaves_the_generator_and_the_mode_alone():
    model, W = linear_gaussian(posterior_scale=1.2)
    model.train()
    data = draw(W, 50)
    before = torch.get_rng_state()
    first = evaluation.evaluate(model, data, samples=3, seed=4)
    assert torch.equal(torch.get_rng_state(), before)
    assert model.training
    assert evaluation.evaluate(model, data, samples=3, seed=4) == first
    assert evaluation.evaluate(model, data, samples=3, seed=5) != first


def test_a_seed_that_made_the_data_judges_them_without_their_noise():
    model, _ = linear_gaussian()
    x = model.sample(3000, seed=0)
    exact = evaluation.evaluate(model, x, samples=1).kl.value
    one_draw = evaluation.decompose_kl(model, x).kl
    assert abs(one_draw.value - exact) < 4 * one_draw.standard_error
    z = evaluation.aggregate_kl(*evaluation.gaussian_posteriors(model, x)).upper
    assert z.value < 0.2  # q(z) is the prior, which the noise of x's own z would hide


@pytest.mark.parametrize("seed", [-1, 10**20, True])
def test_a_seed_that_is_none_is_refused(seed):
    model, W = linear_gaussian()
    uses = (
        lambda: model.sample(2, seed=seed),
        lambda: evaluation.evaluate(model, draw(W, 10), seed=seed),
        lambda: evaluation.bracket(model, 2, steps=1, seed=seed),
        lambda: evaluation.decompose_kl(model, draw(W, 10), seed=seed),
    )
    for use in uses:
        with pytest.raises(ConfigurationError, match="seed that is a whole number"):
            use()


@pytest.mark.parametrize(("samples", "rows"), [(0, 10), (5, 1)])
def test_too_little_to_evaluate_is_refused(samples, rows):
    model, W = linear_gaussian()
    with pytest.raises(ConfigurationError, match="expected at least"):
        evaluation.evaluate(model, draw(W, rows), samples=samples)


def test_normal_quantiles_are_scipys():
    steps = torch.linspace(0.05, 0.95, 7).numpy()
    expected = scipy.stats.norm.ppf(steps)
    assert evaluation.normal_quantiles(7).tolist() == pytest.approx(expected, abs=1e-5)


def test_walks_decode_the_codes_they_name():
    model, W = linear_gaussian()
    values = torch.tensor([-1.0, 0.0, 2.0])
    grid = evaluation.manifold(model, values)
    assert grid.shape == (3, 3, 5)
    torch.testing.assert_close(grid[0, 2], W @ torch.tensor([2.0, -1.0]))
    walk = evaluation.traversals(model, [1, 0], values)
    assert walk.shape == (2, 3, 5)
    torch.testing.assert_close(walk[0, 2], W @ torch.tensor([0.0, 2.0]))
    torch.testing.assert_close(walk[1, 0], W @ torch.tensor([-1.0, 0.0]))


def test_what_the_bounds_measure_is_told_by_the_data_and_the_likelihood():
    grey = Dataset(torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8))
    binary = Dataset(255 * torch.randint(0, 2, (40, 1, 4, 4), dtype=torch.uint8))

    def told(data: Dataset, **settings) -> tuple[str, bool]:
        result = evaluation.evaluate(lb.recipes.mlp(data, **settings).model, data, samples=2)
        return result.measures, result.bits_per_dimension is not None

    assert told(binary) == ("log-probability of x", True)
    binarised = "log-probability of a random binarisation of x"
    assert told(grey, transform="Binarise") == (binarised, False)
    assert told(grey, likelihood="Categorical") == ("log-probability of x", True)
    assert told(grey, likelihood="Bernoulli")[1] is False
    few = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(lb.MLP(16, (), 4), 2),
        lb.likelihoods.Categorical(lb.MLP(2, (), 16 * 16), (1, 4, 4), levels=16),
        lb.Scale(),
    )
    assert not few.is_density


def test_embed_gives_means_and_draws():
    model, W = linear_gaussian()
    data = draw(W, 2000)
    means = evaluation.embed(model, data)
    torch.testing.assert_close(means, model.embed(data.x))
    torch.manual_seed(0)
    draws = evaluation.embed(model, data, sample=True)
    spread = (draws - means).var(0)
    torch.testing.assert_close(spread, model.encode(data.x).variance[0], rtol=0.1, atol=0)


def test_most_active_ranks_by_kl():
    model, W = linear_gaussian()
    result = evaluation.evaluate(model, draw(W, 200), samples=2)
    assert evaluation.most_active(result) == [0, 1]
