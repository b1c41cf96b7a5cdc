"""Evidence, its gaps, the KL's parts, and rate and distortion, where all of them are known."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from torch import nn
from torch.distributions import Bernoulli, Independent, Laplace, MultivariateNormal

import lowerbound as lb
from lowerbound import divergences, evaluation
from lowerbound.data import Dataset
from lowerbound.errors import ConfigurationError, ShapeError
from lowerbound.evaluation import annealing, importance, walk
from lowerbound.streams import Stream
from test_evaluation import SIGMA, draw, evidence, linear_gaussian, set_linear


def correlated(shift: float = 0.0) -> tuple[lb.VAE, torch.Tensor, torch.Tensor]:
    """p(x|z) = N(Wz, σ²) and the best diagonal q, its mean off by ``shift``; W, and Λ of p(z|x)."""
    torch.manual_seed(0)
    W = torch.tensor([[1.0, 0.8], [0.5, -0.2], [-0.4, 0.6], [0.9, 0.7], [0.3, 0.2]])
    precision = W.T @ W / SIGMA**2 + torch.eye(2)
    encoder, decoder = lb.MLP(5, (), 4), lb.MLP(2, (), 5)
    log_variance = -precision.diagonal().log()
    set_linear(
        encoder,
        torch.cat((torch.linalg.solve(precision, W.T) / SIGMA**2, torch.zeros(2, 5))),
        torch.cat((torch.full((2,), shift), log_variance)),
    )
    set_linear(decoder, W, torch.zeros(5))
    likelihood = lb.Gaussian(decoder, (5,), sigma=SIGMA)
    model = lb.VAE(lb.StandardNormal(2), lb.DiagonalGaussian(encoder, 2), likelihood)
    return model, W, precision


def near(found: evaluation.Estimate, expected: float, slack: float = 0.0) -> bool:
    return abs(found.value - expected) < 4 * found.standard_error + slack


def test_weights_in_uneven_chunks_are_means_over_disjoint_groups():
    log_w = 3 * torch.randn(60, 4, dtype=torch.float64)
    weights = importance.WeightSums(60)
    for chunk in log_w.split([1, 7, 20, 2, 30]):
        weights.add(chunk)
    assert weights.sizes == [1, 2, 10, 20, 60]
    for column, k in zip(weights.curve().T, weights.sizes, strict=True):
        groups = log_w.unflatten(0, (60 // k, k)).logsumexp(1) - math.log(k)
        torch.testing.assert_close(column, groups.mean(0))
    w = log_w.exp()
    expected = w.sum(0) ** 2 / w.square().sum(0)
    torch.testing.assert_close(weights.effective_size(), expected)
    torch.testing.assert_close(importance.effective_size(log_w), expected)


@pytest.mark.parametrize("samples", [1, 2, 7, 60, 97, 128, 5000])
def test_each_size_divides_the_next(samples):
    sizes = importance.group_sizes(samples)
    assert (sizes[0], sizes[-1]) == (1, samples)
    assert all(b % a == 0 and b > a for a, b in pairwise(sizes))


def test_the_curve_rises_from_the_elbo_to_the_bound():
    model, W = linear_gaussian(posterior_scale=1.4)
    data = draw(W, 400)
    result = evaluation.evaluate(model, data, samples=200)
    values = [point.bound.value for point in result.curve]
    assert [point.samples for point in result.curve] == [1, 2, 10, 20, 100, 200]
    assert values == sorted(values)
    assert values[-1] == result.importance_weighted.value
    assert values[0] == pytest.approx(result.elbo.value, abs=0.02)
    # (E w)²/E w² = 1/∫ p²/q, in each of two dimensions √(2 − 1/s²)/s.
    share = (2 - 1 / 1.4**2) / 1.4**2
    assert result.effective_samples.median == pytest.approx(200 * share, rel=0.03)


def test_at_the_exact_posterior_every_draw_counts():
    model, W = linear_gaussian()
    result = evaluation.evaluate(model, draw(W, 30), samples=50)
    assert result.effective_samples.median == pytest.approx(50, rel=1e-3)
    assert result.effective_samples.below == 0
    few = evaluation.evaluate(model, draw(W, 30), samples=6)
    assert few.effective_samples.below == 1
    assert "effective samples, median" in str(few)


def test_all_measures_of_one_seed_are_of_the_same_x():
    data = Dataset(torch.randint(0, 256, (40, 1, 4, 4), dtype=torch.uint8))
    model = lb.recipes.mlp(data, latent_dim=2, hidden=(8,), transform="Binarise").model

    def seen(seed: int, copies: int, draws: int) -> torch.Tensor:
        batches = []
        with walk.judging(model, seed, Stream.EVALUATE) as device:
            for x, _ in walk.prepared_batches(model, data, device, seed, copies):
                batches.append(x)
                torch.randn(draws)
        return torch.cat(batches)

    assert torch.equal(seen(3, 1, 0), seen(3, walk.ELEMENTS_PER_CHUNK // 100, 5))
    assert not torch.equal(seen(3, 1, 0), seen(4, 1, 0))


def test_annealed_weights_have_the_evidence_as_their_mean():
    """Few steps, so that the moves matter, and chains enough to see the mean itself."""
    model, W, _ = correlated(shift=0.2)
    data = draw(W, 24)
    result = evaluation.anneal(model, data, steps=5, chains=4000)
    error = result.log_evidence - evidence(W, data)
    assert result.effective_samples < 3900
    assert error.abs().max() < 0.1
    assert error.mean().abs() < 0.015
    assert 0.5 < result.acceptance < 0.99


def test_annealing_in_one_step_is_the_importance_weighted_bound():
    model, W = linear_gaussian(posterior_scale=1.3)
    data = draw(W, 50)
    one = evaluation.anneal(model, data, steps=1, chains=3000).log_evidence
    torch.testing.assert_close(one.float(), evidence(W, data), atol=0.1, rtol=0)


def test_the_bracket_closes_on_the_evidence():
    model, W, _ = correlated(shift=0.6)
    n, seed = 100, 3
    with walk.judging(model, seed, Stream.BRACKET):
        x = model.joint(n)[1].sample()
    exact = evidence(W, Dataset(x)).mean().item()
    rough, fine = (
        evaluation.bracket(model, n, steps=steps, chains=4, seed=seed) for steps in (2, 150)
    )
    for found in (rough, fine):
        assert found.lower.value < exact + 0.01
        assert found.upper.value > exact - 0.01
        difference = found.upper.value - found.lower.value
        assert found.gap.value == pytest.approx(difference, abs=1e-4)
    assert rough.gap.value > 0.3
    assert fine.gap.value < 0.1


class LaplacePosterior(nn.Module):
    """A user's own."""

    def __init__(self, latent_dim: int) -> None:
        super().__init__()
        self.latent_dim, self.layer = latent_dim, nn.Linear(4, latent_dim)

    def forward(self, x, context=None):
        return Independent(Laplace(self.layer(x.flatten(1)), 0.7), 1)


class LaplacePrior(nn.Module):
    """A user's own."""

    def forward(self, context=None):
        return Independent(Laplace(torch.zeros(1), torch.ones(1)), 1)


def test_annealing_takes_any_prior_posterior_and_likelihood():
    torch.manual_seed(2)
    decoder = lb.Bernoulli(lb.MLP(1, (6,), 4, "tanh"), (4,))
    for parameter in decoder.parameters():
        parameter.data *= 3
    model = lb.VAE(LaplacePrior(), LaplacePosterior(1), decoder)
    x = torch.randint(0, 2, (30, 4)).float()
    grid = torch.linspace(-25, 25, 20_001).unsqueeze(1)
    with torch.no_grad():
        log_p = Bernoulli(logits=decoder.network(grid)).log_prob(x.unsqueeze(1)).sum(-1)
        log_p = log_p + Laplace(0.0, 1.0).log_prob(grid[:, 0])
    exact = (log_p.logsumexp(1) + math.log(50 / 20_000)).double()
    found = evaluation.anneal(model, x, steps=30, chains=1000)
    torch.testing.assert_close(found.log_evidence.double(), exact, atol=0.05, rtol=0)
    assert (found.log_evidence - exact).mean().abs() < 0.005


def test_a_conditional_model_anneals_with_its_labels():
    model = lb.VAE(
        lb.ConditionalGaussian(lb.MLP(3, (), 4), 2),
        lb.DiagonalGaussian(lb.MLP(4, (), 4, context_dim=3), 2),
        lb.Categorical(lb.MLP(2, (), 32, context_dim=3), (4,), levels=8),
        context=lb.Labels(3),
    )
    labels = torch.arange(10) % 3
    told: list[tuple[int, int]] = []
    first, again = (
        evaluation.bracket(
            model,
            10,
            labels,
            steps=6,
            chains=3,
            seed=1,
            progress=lambda done, total: told.append((done, total)),
        )
        for _ in range(2)
    )
    assert first == again
    assert told[-1][0] == told[-1][1]
    data = Dataset(torch.randint(0, 8, (10, 4)) / 7, labels)
    found = evaluation.anneal(model, data, steps=30, chains=30)
    weighted = evaluation.example_scores(model, data, samples=2000)["importance_weighted"]
    torch.testing.assert_close(found.log_evidence, weighted, atol=0.3, rtol=0)


def test_what_cannot_be_annealed_is_refused():
    model, W = linear_gaussian()
    for few in ({"steps": 0}, {"chains": 0}):
        with pytest.raises(ConfigurationError, match="to anneal from 1 to"):
            evaluation.anneal(model, draw(W, 5), **few)
    with pytest.raises(ConfigurationError, match="examples to anneal from 2 to 1,000,000"):
        evaluation.bracket(model, 1)
    model.posterior = lb.Deterministic(lb.MLP(5, (), 2), 2)
    with pytest.raises(ConfigurationError, match="a posterior with a density"):
        evaluation.anneal(model, draw(W, 5))
    with pytest.raises(ConfigurationError, match="expected a diagonal Gaussian"):
        evaluation.gaps(model, draw(W, 5))


def test_the_schedule_goes_from_one_end_to_the_other():
    betas = annealing.schedule(50)
    assert (betas[0], betas[-1], len(betas)) == (0, 1, 51)
    assert betas == sorted(betas)


def approximation_gap(precision: torch.Tensor) -> float:
    """min KL(N(μ, diag) ‖ N(μ, Λ⁻¹)) = ½ (Σ log Λᵢᵢ − log |Λ|)."""
    return 0.5 * (precision.diagonal().log().sum() - precision.logdet()).item()


def test_the_gap_of_the_best_encoder_is_the_familys_alone():
    model, W, precision = correlated()
    found = evaluation.gaps(model, draw(W, 200), samples=2000)
    assert found.converged
    assert found.approximation.value == pytest.approx(approximation_gap(precision), abs=0.01)
    assert found.amortisation.value == pytest.approx(0, abs=0.003)


def test_the_gap_of_a_worse_encoder_is_its_own():
    shift = torch.full((2,), 0.4)
    model, W, precision = correlated(shift=0.4)
    data = draw(W, 200)
    exact = evidence(W, data)
    found = evaluation.gaps(model, data, samples=2000, annealed=exact)
    amortisation = 0.5 * (shift @ precision @ shift).item()
    assert found.amortisation.value == pytest.approx(amortisation, abs=0.03)
    assert found.approximation.value == pytest.approx(approximation_gap(precision), abs=0.02)
    total = found.approximation.value + found.amortisation.value
    assert found.evidence.value - found.elbo.value == pytest.approx(total, abs=1e-6)
    higher = evaluation.gaps(model, data.take(9), samples=2, annealed=exact[:9] + 5)
    assert higher.method == "annealed"
    assert higher.evidence.value == pytest.approx(exact[:9].mean().item() + 5, abs=1e-5)
    with pytest.raises(ShapeError, match="each of 200 examples"):
        evaluation.gaps(model, data, annealed=exact[:3])


def test_the_parts_of_the_kl_of_a_gaussian_aggregate():
    """x ~ N(0, I), q(z|x) = N(Ax, S): q(z) = N(0, AAᵀ + S)."""
    torch.manual_seed(0)
    A, variance = torch.tensor([[0.8, 0.5, 0.0], [0.2, 0.9, 0.3]]), torch.tensor([0.3, 0.5])
    model, _ = linear_gaussian()
    encoder = lb.MLP(3, (), 4)
    set_linear(
        encoder,
        torch.cat((A, torch.zeros(2, 3))),
        torch.cat((torch.zeros(2), variance.log())),
    )
    model.posterior = lb.DiagonalGaussian(encoder, 2)
    model.likelihood.shape = (3,)
    found = evaluation.decompose_kl(model, Dataset(torch.randn(3000, 3)))
    covariance = A @ A.T + variance.diag()
    spread = covariance.diagonal()
    information = 0.5 * (covariance.logdet() - variance.log().sum()).item()
    correlation = 0.5 * (spread.log().sum() - covariance.logdet()).item()
    terms = 0.5 * (spread - 1 - spread.log())
    zero = torch.zeros(2)
    aggregate = divergences.full_gaussian_kl(zero, covariance, zero, torch.eye(2)).item()
    exact = {
        "mutual_information": information,
        "aggregate": aggregate,
        "total_correlation": correlation,
        "dimensions": terms.sum().item(),
    }
    assert near(found.kl, information + aggregate)
    for name, value in exact.items():
        part = getattr(found, name)
        assert part.lower.value < value + 4 * part.lower.standard_error, name
        assert part.upper.value > value - 4 * part.upper.standard_error, name
        assert part.upper.value - part.lower.value < 0.15, name
    for part, value in zip(found.per_dimension, terms.tolist(), strict=True):
        assert near(part.lower, value)
        assert near(part.upper, value)
    for end in ("lower", "upper"):
        other = "upper" if end == "lower" else "lower"
        rest = getattr(found.mutual_information, other).value
        assert found.kl.value - rest == pytest.approx(getattr(found.aggregate, end).value)


def test_a_code_that_no_other_example_shares_tells_up_to_all_of_the_kl():
    model, W = linear_gaussian()
    with torch.no_grad():
        model.posterior.network.layers[0].weight[:2] *= 50
        model.posterior.network.layers[0].bias[2:] -= 12
    data = draw(W, 40)
    found = evaluation.decompose_kl(model, data)
    assert near(found.kl, evaluation.evaluate(model, data, samples=2).kl.value)
    assert found.mutual_information.lower.value == pytest.approx(math.log(40), abs=0.05)
    assert found.aggregate.lower.value >= 0
    assert found.mutual_information.upper.value <= found.kl.value + 1e-9


def test_the_parts_are_of_the_kl_that_the_elbo_has():
    """Of x as the model sees it, its binarisation included."""
    data = Dataset(torch.randint(0, 256, (900, 1, 4, 4), dtype=torch.uint8))
    model = lb.recipes.mlp(data, latent_dim=2, hidden=(8,), transform="Binarise").model
    with torch.no_grad():
        model.posterior.network.layers[0].weight *= 4
    found = evaluation.decompose_kl(model, data, seed=3)
    kl = evaluation.evaluate(model, data, samples=2, seed=3).kl
    assert abs(found.kl.value - kl.value) < 4 * found.kl.standard_error


def test_the_kl_of_a_prior_that_takes_labels_has_no_such_parts():
    model = lb.VAE(
        lb.ConditionalGaussian(lb.MLP(3, (), 4), 2),
        lb.DiagonalGaussian(lb.MLP(5, (), 4, context_dim=3), 2),
        lb.Gaussian(lb.MLP(2, (), 5, context_dim=3), (5,)),
        context=lb.Labels(3),
    )
    with pytest.raises(ConfigurationError, match="one prior for all examples"):
        evaluation.decompose_kl(model, Dataset(torch.randn(9, 5), torch.arange(9) % 3))


def best_linear(eigenvalues: torch.Tensor, beta: float) -> lb.VAE:
    """What maximises E log p(x|z) − β KL for x ~ N(0, diag λ), with linear networks and fixed σ.

    It is probabilistic PCA with noise βσ²: each dimension above the noise keeps λᵢ − βσ² of its
    variance in W, and x's other dimensions are left out.
    """
    n, noise = len(eigenvalues), beta * SIGMA**2
    kept = (eigenvalues - noise).clamp(min=0)
    W = kept.sqrt().diag()
    variance = noise / (kept + noise)
    encoder, decoder = lb.MLP(n, (), 2 * n), lb.MLP(n, (), n)
    set_linear(
        encoder,
        torch.cat((W / (kept + noise), torch.zeros(n, n))),
        torch.cat((torch.zeros(n), variance.log())),
    )
    set_linear(decoder, W, torch.zeros(n))
    likelihood = lb.Gaussian(decoder, (n,), sigma=SIGMA)
    return lb.VAE(lb.StandardNormal(n), lb.DiagonalGaussian(encoder, n), likelihood)


def test_rate_and_distortion_of_linear_models_are_on_the_exact_curve():
    """R = Σ max(0, ½ log(λᵢ/βσ²)), D = Σ min(λᵢ, βσ²)/2σ² + const: reverse water-filling."""
    torch.manual_seed(0)
    eigenvalues = torch.tensor([2.0, 0.9, 0.4])
    x = MultivariateNormal(torch.zeros(3), eigenvalues.diag()).sample((4000,))
    betas = (0.3, 1.0, 3.0)
    models = {f"beta={beta}": best_linear(eigenvalues, beta) for beta in betas}
    places = evaluation.rate_distortion(models, x)
    assert [place.name for place in places] == ["beta=3.0", "beta=1.0", "beta=0.3"]
    for place, beta in zip(places, reversed(betas), strict=True):
        noise = beta * SIGMA**2
        rate = 0.5 * (eigenvalues / noise).log().clamp(min=0).sum().item()
        constant = 1.5 * math.log(2 * math.pi * SIGMA**2)
        distortion = eigenvalues.clamp(max=noise).sum().item() / (2 * SIGMA**2) + constant
        assert near(place.rate, rate)
        assert near(place.distortion, distortion)
        assert place.elbo.value == pytest.approx(-place.rate.value - place.distortion.value)
    for model, beta in zip(models.values(), betas, strict=True):
        assert_optimal(model, beta, x / x.std(0) * eigenvalues.sqrt())
    with pytest.raises(ConfigurationError, match="at least one model"):
        evaluation.rate_distortion({}, x)


def test_models_of_different_quantities_are_not_compared():
    def model(likelihood):
        encoder = lb.DiagonalGaussian(lb.MLP(4, (), 2), 1)
        return lb.VAE(lb.StandardNormal(1), encoder, likelihood(lb.MLP(1, (), 4), (4,)))

    models = {"a": model(lb.Bernoulli), "b": model(lb.ContinuousBernoulli)}
    with pytest.raises(
        ConfigurationError, match="expected models whose bounds are of one quantity"
    ):
        evaluation.rate_distortion(models, torch.rand(5, 4))


def assert_optimal(model: lb.VAE, beta: float, x: torch.Tensor) -> None:
    """Training at β would leave the model where it is: its gradient vanishes, but for sampling."""
    terms = lb.ELBO(beta=beta, samples=200)(model, x)
    terms.objective.mean().backward()
    layer = model.likelihood.network.layers[0]
    assert layer.weight.grad.diagonal().abs().max() < 0.05


@pytest.mark.parametrize("seed", range(6))
def test_bounds_of_a_divergence_are_in_order_where_it_is_nothing(seed):
    """All posteriors are nearly the prior, so that noise exceeds the distance of the two."""
    model, W = linear_gaussian()
    with torch.no_grad():
        model.posterior.network.layers[0].weight.mul_(1e-3)
        model.posterior.network.layers[0].bias.zero_()
    found = evaluation.decompose_kl(model, draw(W, 60), seed=seed)
    parts = (found.mutual_information, found.aggregate, found.total_correlation, found.dimensions)
    for part in (*parts, *found.per_dimension):
        assert 0 <= part.lower.value <= part.upper.value < 0.01
    assert "-0.00" not in str(found)
    assert "-0.00" not in f"{evaluation.Estimate(-0.001, 0.1):>8,.2f}"


def test_narrow_posteriors_keep_the_digits_of_the_kls_parts():
    """σ = e⁻³⁰: no two examples overlap, and each tells all that its log n nats can."""
    model, W = linear_gaussian()
    with torch.no_grad():
        model.posterior.network.layers[0].bias[2:] = -60.0
    found = evaluation.decompose_kl(model, draw(W, 40))
    assert found.mutual_information.lower.value == pytest.approx(math.log(40))
    assert found.aggregate.upper.value == pytest.approx(found.kl.value - math.log(40), rel=1e-6)


def test_more_draws_than_memory_holds_are_summed_as_they_come():
    log_w = torch.randn(1009, 3, dtype=torch.float64)
    weights = importance.WeightSums(1009)  # a prime number: there are groups of 1 and of all
    for chunk in log_w.split(100):
        weights.add(chunk)
        assert all(waiting.numel() <= 3 for waiting, _ in weights._pending)
    torch.testing.assert_close(weights.curve()[:, 1], log_w.logsumexp(0) - math.log(1009))
