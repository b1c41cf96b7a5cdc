"""Evaluation against models whose evidence is known."""

from __future__ import annotations

import importlib
import math
from functools import partial
from html import escape

import numpy as np
import pyarrow as pa
import pytest
import scipy.stats
import torch
from torch import nn

import lowerbound as lb
from lowerbound import evaluation
from lowerbound.data import Dataset, Splits
from lowerbound.errors import ConfigurationError, DataError, check_count
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
    plain = evaluation.evaluate(model, data, samples=5)
    rescaled = evaluation.evaluate(other, scaled, samples=5)
    bits = rescaled.bits_per_dimension.value - plain.bits_per_dimension.value
    assert bits == pytest.approx(math.log2(10), abs=1e-4)
    assert plain.in_data_units == plain.importance_weighted
    nats = rescaled.in_data_units.value - plain.importance_weighted.value
    assert nats == pytest.approx(-5 * math.log(10), abs=1e-4)
    assert "as kept" in str(plain)
    assert "in the units of the columns" in str(rescaled)


def test_grey_levels_under_bernoulli_have_no_bits_per_dimension_and_say_so():
    data = Dataset(torch.randint(0, 256, (20, 1, 4, 4), dtype=torch.uint8))
    model = lb.recipes.mlp(data, latent_dim=2, hidden=(8,), likelihood="Bernoulli").model
    result = evaluation.evaluate(model, data, samples=2)
    assert result.bits_per_dimension is None
    assert "binarised" in result.measures
    assert "binarised" in str(result)
    assert result._repr_html_() == f"<pre>{escape(str(result))}</pre>"


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


def test_too_little_to_evaluate_is_refused():
    model, W = linear_gaussian()
    with pytest.raises(ConfigurationError, match="expected at least 2 examples"):
        evaluation.evaluate(model, draw(W, 1), samples=5)


def test_counts_are_whole_numbers_of_any_type():
    number = check_count("samples", np.int64(3))
    assert (type(number), number) == (int, 3)
    for count in (2.5, 2.0, "5", None, torch.tensor(2.0)):
        with pytest.raises(ConfigurationError, match="expected a whole number of samples from 1"):
            check_count("samples", count)


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


def far() -> tuple[lb.VAE, torch.Tensor]:
    """A model of rows with layers of ReLU, whose log σ² grows with the distance, and some rows."""
    x = torch.randn(40, 5) * torch.tensor([0.1, 1.0, 10.0, 1.0, 3.0])
    posterior = lb.DiagonalGaussian(lb.MLP(5, (16,), 8), 4)
    likelihood = lb.Gaussian(lb.MLP(4, (16,), 5), (5,), sigma=0.5)
    scale = lb.Standardise((0.0,) * 5, tuple(x.std(0).tolist()))
    return lb.VAE(lb.StandardNormal(4), posterior, likelihood, scale), x


@pytest.mark.parametrize("posterior", ["diagonal", "full", "flow"])
def test_scores_fall_with_the_distance_and_stay_finite(posterior):
    model, x = far()
    if posterior == "full":
        model.posterior = lb.FullGaussian(lb.MLP(5, (16,), 14), 4)
    elif posterior == "flow":
        model.posterior = lb.FlowPosterior(lb.MLP(5, (16,), 8), 4, features=0, transforms=1)
    last = torch.full((len(x),), math.inf)
    for factor in (1, 1e2, 1e4, 1e6, 1e12, 1e20, 1e30):
        scores = evaluation.example_scores(model, x * factor, samples=4)
        assert all(column.isfinite().all() for column in scores.values())
        assert (scores["elbo"] < last).all()
        last = scores["elbo"]
    assert evaluation.embed(model, x * 1e30).isfinite().all()


def test_far_rows_are_scored_as_in_float64():
    """The ELBO of a linear model with log σ² = ±a·x, by its formula."""
    model, x = far()
    encoder = model.posterior.network = lb.MLP(5, (), 8)
    with torch.no_grad():
        encoder.layers[0].weight[4:] = 0  # σ = e^{b/2}, whatever x
    decoder = model.likelihood.network = lb.MLP(4, (), 5)
    found = evaluation.example_scores(model, x[:3] * 1e25, samples=2)["elbo"]
    seen = model.prepare(x[:3] * 1e25)[0].double()
    e, d = (network.double().layers[0] for network in (encoder, decoder))
    mean, log_variance = e(seen).chunk(2, -1)
    kl = lb.divergences.standard_normal_kl_terms(mean, log_variance).sum(1)
    residual = seen - d(mean)
    spread = ((d.weight * (0.5 * log_variance).exp().unsqueeze(1)) ** 2).sum((1, 2))
    normal = 5 * math.log(2 * math.pi * 0.25)
    exact = -0.5 * ((residual.square().sum(1) + spread) / 0.25 + normal) - kl
    torch.testing.assert_close(found, exact.detach(), rtol=1e-4, atol=0)


def test_a_row_without_a_finite_bound_is_left_out_and_said():
    model, x = far()
    x[7] = 3e38  # ∞ once it is divided by its deviation of 0.1
    result = evaluation.evaluate(model, x, samples=3)
    assert (result.examples, result.left_out) == (39, [7])
    assert "39 examples" in str(result)
    assert "without example 7, " in str(result)
    kept = torch.cat((x[:7], x[8:]))
    assert result.elbo.value == pytest.approx(
        evaluation.evaluate(model, kept, samples=100).elbo.value, abs=2
    )
    for measure in (partial(evaluation.anneal, steps=2), evaluation.decompose_kl):
        with pytest.raises(DataError, match="got example 7 of 40 without"):
            measure(model, x)
    x[:] = 3e38
    with pytest.raises(DataError, match="examples 0, 1, 2 and 37 more of 40 without"):
        evaluation.evaluate(model, x, samples=3)


def test_what_is_measured_again_is_told_once():
    model, x = far()
    x[7] = 1e25 * x[7]
    told: list[tuple[int, int]] = []
    evaluation.anneal(
        model, x, steps=2, chains=2, progress=lambda done, total: told.append((done, total))
    )
    done, totals = zip(*told, strict=True)
    assert done[-1] == max(done) == totals[-1]


def test_no_rows_figures_depend_on_another_that_is_measured_again(monkeypatch):
    """Rows beyond float32's numbers take no noise from those after them, nor from each other."""
    model, x = far()
    monkeypatch.setattr(walk, "ELEMENTS_PER_CHUNK", 5 * 10)  # ten rows at a time

    def scores(*rows: int) -> dict[str, torch.Tensor]:
        changed = x.clone()
        changed[list(rows)] *= 1e25
        return evaluation.example_scores(model, changed, samples=2)

    none, one, two = scores(), scores(3), scores(3, 7)
    for name, column in none.items():
        sound = [i for i in range(40) if i != 3]
        assert torch.equal(one[name][sound].to(column), column[sound])
        assert torch.equal(one[name][3], two[name][3])
        assert not torch.equal(one[name][7], two[name][7])


def test_rows_left_out_leave_the_others_as_they_were(monkeypatch):
    """Noise of the transform follows from a row's place in the data, whichever are left out."""
    levels = torch.randint(0, 256, (30, 4), dtype=torch.uint8)
    grey = lb.VAE(
        lb.StandardNormal(1),
        lb.DiagonalGaussian(lb.MLP(4, (), 2), 1),
        lb.Gaussian(lb.MLP(1, (), 4), (4,)),
        lb.Dequantise(),
    )

    def seen(leave_out: list[int]) -> torch.Tensor:
        batches = walk.prepared_batches(grey, Dataset(levels), torch.device("cpu"), 0, 1, leave_out)
        return torch.cat([x for x, _ in batches])

    whole = seen([])
    assert torch.equal(seen([0, 20]), torch.cat((whole[1:20], whole[21:])))
    model, x = far()
    x[7] = 3e38
    assert len(evaluation.anneal(model, x, steps=2, leave_out=[7]).log_evidence) == 39
    assert evaluation.decompose_kl(model, x, leave_out=[7]).examples == 39
    monkeypatch.setattr(importlib.import_module("lowerbound.evaluation.gaps"), "MOST_ROUNDS", 1)
    assert evaluation.gaps(model, x[5:9], samples=2, leave_out=[2]).examples == 3
    for measure in (partial(evaluation.anneal, steps=2), evaluation.decompose_kl):
        with pytest.raises(DataError, match="got example 7 of 39 without"):
            measure(model, x, leave_out=[3])
        for wrong in ([40], [3, 3]):
            with pytest.raises(ConfigurationError, match="numbers from 0 to 39 to leave out"):
                measure(model, x, leave_out=wrong)


@pytest.mark.parametrize("count", [0, -1, 10**20, True])
def test_numbers_that_no_figure_is_made_from_are_refused(count):
    model, W = linear_gaussian()
    data = draw(W, 10)
    for use in (
        lambda: evaluation.evaluate(model, data, samples=count),
        lambda: evaluation.example_scores(model, data, samples=count),
        lambda: evaluation.gaps(model, data, samples=count),
        lambda: evaluation.anneal(model, data, steps=count),
        lambda: evaluation.anneal(model, data, chains=count),
        lambda: evaluation.bracket(model, count),
        lambda: model.sample(count or -1),
    ):
        with pytest.raises(ConfigurationError, match="expected a whole number of"):
            use()


class Folded(nn.Module):
    """x ~ N(|z|, σ²): as likely from z as from −z."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(()))

    def forward(self, z, context=None):
        return self.weight * z.abs()


def blind() -> tuple[lb.VAE, torch.Tensor, torch.Tensor]:
    """A q that is the right half of p(z|x), nearly; x of the model; and log p(x) by quadrature."""
    sigma, encoder = 0.1, lb.MLP(1, (), 2)
    variance = 1 / (1 + 1 / sigma**2)
    set_linear(
        encoder,
        torch.tensor([[variance / sigma**2], [0.0]]),
        torch.tensor([0.0, math.log(variance)]),
    )
    likelihood = lb.Gaussian(Folded(), (1,), sigma=sigma)
    model = lb.VAE(lb.StandardNormal(1), lb.DiagonalGaussian(encoder, 1), likelihood)
    x = torch.linspace(1.2, 2.8, 50).unsqueeze(1)
    z = torch.linspace(-8, 8, 40_001, dtype=torch.float64)
    log_joint = -0.5 * (z**2 + ((x - z.abs()) / sigma) ** 2) - math.log(2 * math.pi * sigma)
    return model, x, log_joint.logsumexp(1) + math.log(16 / 40_000)


def test_a_bound_that_misses_a_mode_says_that_it_may_and_the_bracket_shows_it():
    model, x, exact = blind()
    assert exact.mean().item() == pytest.approx(-2.56, abs=0.3)
    found = evaluation.evaluate(model, x, samples=1000)
    annealed = evaluation.anneal(model, x, steps=10)
    for blind_to in (found.importance_weighted, annealed.evidence):
        # It lacks log 2 with all its draws worth their number, and rises no more.
        assert exact.mean().item() - blind_to.value == pytest.approx(math.log(2), abs=0.01)
    assert found.effective_samples.median > 990
    assert not found.is_rising
    assert "blind to modes" in str(found)
    assert "over examples" in str(found)
    assert "may miss modes" in str(annealed)
    gap = evaluation.bracket(model, 40, steps=10).gap
    assert gap.value - 2 * gap.standard_error > math.log(2)


def test_a_bound_that_still_rises_says_by_how_much():
    model, W = linear_gaussian(posterior_scale=0.4)
    data = draw(W, 300)
    found = evaluation.evaluate(model, data, samples=20)
    ends = [point.bound.value for point in found.curve[-2:]]
    assert found.rise.value == pytest.approx(ends[1] - ends[0])
    assert found.is_rising
    assert "still rising, from k=10 by" in str(found)
    assert f"{found.rise.value:.2f} ± {found.rise.standard_error:.2f}" in str(found)
    assert evaluation.evaluate(model, data, samples=1).rise is None


def test_the_error_of_reconstructions_is_of_what_was_observed():
    model, x = far()
    mean = model.reconstruct(x)
    error = evaluation.reconstruction_error(model, x)
    assert error == pytest.approx((mean - x).square().mean().item(), rel=1e-5)
    split = Splits(Dataset(x[:5]), None, Dataset(x))
    assert evaluation.reconstruction_error(model, split) == pytest.approx(error)
    table = lb.data.from_arrays(pa.table({"a": [1.5, None, 0.2] * 8, "b": [2.0, 3.5, -4.0] * 8}))
    own = lb.recipes.compose(table, latent_dim=1)
    seen = ~table.x.isnan()
    squares = (own.reconstruct(table.x) - table.x)[seen].square()
    assert evaluation.reconstruction_error(own, table) == pytest.approx(squares.mean().item())
    words = lb.data.from_arrays(pa.table({"a": ["x", "y", "z"] * 8, "b": [0.1, 0.5, -2.0] * 8}))
    with pytest.raises(ConfigurationError, match="categories in 'a'"):
        evaluation.reconstruction_error(lb.recipes.compose(words, latent_dim=1), words)


def test_walks_along_no_dimension_are_refused():
    model, _ = linear_gaussian()
    for dimensions in ((0, 2), (1, 1), (-1, 0)):
        with pytest.raises(ConfigurationError, match="different dimensions from 0 to 1"):
            evaluation.manifold(model, torch.zeros(2), dimensions)


def test_a_label_of_a_model_that_takes_none_is_refused():
    model, x = linear_gaussian()
    with pytest.raises(ConfigurationError, match=r"expected no label, .* got 1"):
        evaluation.manifold(model, torch.zeros(2), label=1)
    with pytest.raises(ConfigurationError, match=r"expected no label, .* got 'cat'"):
        evaluation.reconstruct(model, x, label="cat")
    with pytest.raises(ConfigurationError, match="expected no labels"):
        evaluation.bracket(model, 3, [0, 1, 2], steps=2)
