"""Likelihoods of grey levels, counts and heavy tails: exact sums, and scipy's values."""

from __future__ import annotations

import itertools
import math

import mpmath
import numpy as np
import pytest
import scipy.stats
import torch
from scipy.integrate import quad
from torch.distributions import Distribution

import lowerbound as lb
from lowerbound import distributions
from lowerbound.distributions.base import log_gamma_draw, log_rising
from lowerbound.errors import DataError, NonFiniteLoss

LEVELS = torch.arange(256, dtype=torch.float64) / 255
EXTREME = [-80.0, -20.0, -3.0, 0.0, 2.0, 10.0, 80.0]


def mixture(location: torch.Tensor, log_scale: torch.Tensor) -> Distribution:
    """Three components: one as told, one mirrored, one broad."""
    ones = torch.ones_like(location)
    parts = distributions.DiscretisedLogistic(
        torch.stack((location, 1 - location, 0.5 * ones), -1),
        torch.stack((log_scale, log_scale, -ones), -1),
    )
    return distributions.LogisticMixture(torch.stack((ones, 0 * ones, -ones), -1), parts)


# Each takes two tensors of parameters.
GREY = {
    "GreyLevels": lambda a, b: distributions.GreyLevels(
        torch.sin(a.unsqueeze(-1) * torch.arange(256, dtype=a.dtype)) * b.unsqueeze(-1)
    ),
    "DiscretisedLogistic": distributions.DiscretisedLogistic,
    "LogisticMixture": mixture,
    "BetaBinomial": distributions.BetaBinomial,
}
COUNTS = {
    "Poisson": lambda a, b: distributions.Poisson(a),
    "NegativeBinomial": distributions.NegativeBinomial,
    "ZeroInflated": lambda a, b: distributions.ZeroInflated(
        b, distributions.NegativeBinomial(a, b)
    ),
}


def grid(
    first: list[float], second: list[float], dtype: torch.dtype
) -> tuple[torch.Tensor, torch.Tensor]:
    pairs = torch.cartesian_prod(
        torch.tensor(first, dtype=dtype), torch.tensor(second, dtype=dtype)
    )
    return pairs[:, 0].clone().requires_grad_(), pairs[:, 1].clone().requires_grad_()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", GREY)
def test_grey_levels_have_probabilities_that_sum_to_one_and_finite_gradients(name, dtype):
    locations = EXTREME if name == "BetaBinomial" else [-80.0, -0.01, 0.0, 0.3, 0.502, 1.0, 80.0]
    a, b = grid(locations, EXTREME, dtype)
    p = GREY[name](a, b)
    levels = p.level_log_probs()
    assert (levels.shape, levels.dtype) == ((49, 256), dtype)
    total = levels.double().exp().sum(-1)
    single = dtype == torch.float32
    torch.testing.assert_close(total, torch.ones_like(total), atol=2e-6 if single else 1e-9, rtol=0)
    each = p.log_prob(LEVELS.to(dtype).unsqueeze(1))
    assert each.shape == (256, 49)
    # A value of −10⁶ nats has its digits, not its sixth decimal.
    torch.testing.assert_close(
        each.T, levels, atol=5e-3 if single else 1e-8, rtol=1e-5 if single else 1e-9
    )
    for log_p in (levels, each):
        assert log_p.isfinite().all()
        gradients = torch.autograd.grad(log_p.mean(), (a, b), retain_graph=True)
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("name", GREY)
def test_grey_moments_are_the_sums_over_levels(name):
    a, b = grid([-0.2, 0.1, 0.502, 0.9], [-6.0, -3.0, -0.5, 1.0], torch.float64)
    p = GREY[name](a, b)
    probabilities = p.level_log_probs().exp()
    mean = probabilities @ LEVELS
    torch.testing.assert_close(p.mean, mean)
    variance = probabilities @ LEVELS**2 - mean**2
    torch.testing.assert_close(p.variance, variance, atol=1e-9, rtol=1e-6)


def test_the_beta_binomial_is_scipys():
    a, b = grid([-3.0, 0.0, 1.3, 5.0], [-3.0, 0.5, 4.0], torch.float64)
    found = distributions.BetaBinomial(a, b).level_log_probs()
    for row, log_alpha, log_beta in zip(found.tolist(), a.tolist(), b.tolist(), strict=True):
        theirs = scipy.stats.betabinom(255, math.exp(log_alpha), math.exp(log_beta))
        assert row == pytest.approx(theirs.logpmf(range(256)), abs=1e-8)


def test_the_discretised_logistic_is_the_mass_of_each_bin():
    location, scale = 0.4, 0.03
    p = distributions.DiscretisedLogistic(
        torch.tensor(location).double(), torch.tensor(scale).double().log()
    )
    cdf = scipy.stats.logistic(location, scale).cdf
    edges = [-math.inf, *((k + 0.5) / 255 for k in range(255)), math.inf]
    masses = [cdf(edges[k + 1]) - cdf(edges[k]) for k in range(256)]
    assert p.level_log_probs().exp().tolist() == pytest.approx(masses, rel=1e-6, abs=1e-15)


@pytest.mark.parametrize(("log_scale", "k"), [(-5.0, 200), (3.0, 100)])
def test_far_levels_and_narrow_ones_keep_their_digits(log_scale, k):
    """Where the ends of a bin round to the same probability, their difference is still right."""
    p = distributions.DiscretisedLogistic(*torch.tensor([0.0, log_scale], dtype=torch.float64))
    with mpmath.workdps(200):
        scale = mpmath.exp(log_scale)
        below, above = (
            1 / (1 + mpmath.exp(-mpmath.mpf(edge) / 255 / scale)) for edge in (k - 0.5, k + 0.5)
        )
        expected = float(mpmath.log(above - below))
    found = p.log_prob(torch.tensor(k / 255, dtype=torch.float64)).item()
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", COUNTS)
def test_counts_have_probabilities_that_sum_to_one_with_their_moments(name):
    a, b = grid([-5.0, 0.0, 2.0, 4.0], [-0.5, 1.0, 6.0], torch.float64)
    p = COUNTS[name](a, b)
    k = torch.arange(20_000, dtype=torch.float64).unsqueeze(1)
    probabilities = p.log_prob(k).exp()
    torch.testing.assert_close(probabilities.sum(0), torch.ones(12, dtype=torch.float64))
    mean = (k * probabilities).sum(0)
    torch.testing.assert_close(p.mean, mean)
    torch.testing.assert_close(p.variance, (k**2 * probabilities).sum(0) - mean**2)


@pytest.mark.parametrize("k", [0, 1, 7, 300, 10_000])
def test_counts_are_scipys(k):
    log_mean, log_r, logit = 1.7, 0.4, -0.3
    mean, r, absent = math.exp(log_mean), math.exp(log_r), 1 / (1 + math.exp(-logit))
    m, d, g, value = (
        torch.tensor(v, dtype=torch.float64) for v in (log_mean, log_r, logit, float(k))
    )
    poisson = distributions.Poisson(m).log_prob(value).item()
    assert poisson == pytest.approx(scipy.stats.poisson(mean).logpmf(k), rel=1e-10)
    negative = distributions.NegativeBinomial(m, d)
    theirs = scipy.stats.nbinom(r, r / (r + mean))
    assert negative.log_prob(value).item() == pytest.approx(theirs.logpmf(k), rel=1e-10)
    inflated = distributions.ZeroInflated(g, negative).log_prob(value).exp().item()
    expected = absent * (k == 0) + (1 - absent) * theirs.pmf(k)
    assert inflated == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("name", COUNTS)
def test_counts_are_finite_at_extremes_in_float32(name):
    a, b = grid([v for v in EXTREME if abs(v) <= 80], EXTREME, torch.float32)
    k = torch.tensor([0.0, 1.0, 255.0, 1e6]).unsqueeze(1)
    log_p = COUNTS[name](a, b).log_prob(k)
    assert log_p.dtype == torch.float32
    assert log_p.isfinite().all()
    assert (log_p <= 1e-6).all()
    gradients = torch.autograd.grad(log_p.sum(), (a, b), allow_unused=name == "Poisson")
    assert all(gradient is None or gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_rate_beyond_the_largest_number_has_probability_0_and_a_finite_gradient(dtype):
    largest = torch.finfo(dtype).max
    edge = math.log(largest)
    near, far = ([edge - 1, edge - 1e-3], [edge + 1e-3, edge + 5, 1e4, 1e30])
    log_mean = torch.tensor([*near, *far], dtype=dtype, requires_grad=True)
    k = torch.tensor([0.0, 7.0]).unsqueeze(1)
    log_p = distributions.Poisson(log_mean).log_prob(k)
    exact = torch.tensor([-float(mpmath.exp(v)) for v in log_mean[:2].tolist()], dtype=dtype)
    torch.testing.assert_close(log_p[:, :2], exact.expand(2, 2), rtol=1e-12, atol=0)
    assert (log_p[:, 2:] == -math.inf).all()
    (gradient,) = torch.autograd.grad(log_p[1].sum(), log_mean, retain_graph=True)
    torch.testing.assert_close(gradient[:2], exact, rtol=1e-6, atol=0)
    torch.testing.assert_close(gradient[2:], torch.full((4,), -largest, dtype=dtype))
    (masked,) = torch.autograd.grad(log_p, log_mean, torch.zeros_like(log_p))
    assert (masked == 0).all()


def test_training_is_not_broken_by_a_rate_that_overflows():
    """One sample of no weight is none; where all overflow, training stops and says so."""
    torch.manual_seed(0)
    x = torch.poisson(torch.full((40, 3), 2.0))
    encoder, decoder = lb.MLP(3, (), 2), lb.MLP(1, (), 3)
    torch.nn.init.zeros_(encoder.layers[0].weight)
    torch.nn.init.constant_(decoder.layers[0].weight, 1e3)
    posterior = lb.DiagonalGaussian(lb.LogCounts(encoder), 1)
    model = lb.VAE(lb.StandardNormal(1), posterior, lb.Poisson(decoder, (3,)), lb.Counts())
    log_w = model.draws(x, 50).log_w
    assert (log_w == -math.inf).any()
    bound = lb.IWAE(50)(model, x).objective
    assert bound.isfinite().all()
    bound.sum().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters())
    with pytest.raises(NonFiniteLoss, match="reconstruction became infinite at step 1"):
        lb.fit(model, x, callbacks=[])


def test_the_negative_binomial_becomes_the_poisson_as_its_dispersion_grows():
    log_mean, k = torch.tensor(2.3), torch.arange(60.0)
    poisson = distributions.Poisson(log_mean).log_prob(k)
    wide = distributions.NegativeBinomial(log_mean, torch.tensor(30.0)).log_prob(k)
    torch.testing.assert_close(wide, poisson, atol=1e-5, rtol=1e-6)


@pytest.mark.parametrize("log_dispersion", [95.0, 300.0])
def test_draws_are_right_where_the_dispersion_exceeds_float32(log_dispersion):
    torch.manual_seed(0)
    p = distributions.NegativeBinomial(torch.tensor(1.0), torch.tensor(log_dispersion))
    x = p.sample((20_000,))
    assert x.mean().item() == pytest.approx(math.e, abs=0.05)
    assert x.var().item() == pytest.approx(math.e, abs=0.1)


@pytest.mark.parametrize("log_parameter", [-110.0, 110.0])
def test_draws_of_the_beta_binomial_at_extremes(log_parameter):
    """All mass at both ends, or a binomial."""
    torch.manual_seed(0)
    both = torch.full((20_000,), log_parameter)
    x = distributions.BetaBinomial(both, both).sample()
    assert x.mean().item() == pytest.approx(0.5, abs=0.015)
    variance = 0.25 if log_parameter < 0 else 0.25 / 255
    assert x.var().item() == pytest.approx(variance, rel=0.05)


def test_the_finest_logistic_is_one_level():
    location = torch.tensor([0.5, 128 / 255], requires_grad=True)
    log_scale = torch.full((2,), -100.0, requires_grad=True)
    p = distributions.DiscretisedLogistic(location, log_scale)
    log_p = p.level_log_probs()
    assert log_p[1, 128].item() == pytest.approx(0.0, abs=1e-6)
    log_p.logsumexp(-1).sum().backward()
    assert location.grad.isfinite().all()
    assert log_scale.grad.isfinite().all()


def test_variances_are_not_negative():
    torch.manual_seed(0)
    location, log_scale = torch.rand(2000), torch.empty(2000).uniform_(-12, -4)
    assert (distributions.DiscretisedLogistic(location, log_scale).variance >= 0).all()
    assert (mixture(location, log_scale).variance >= 0).all()


@pytest.mark.parametrize("a", [1e-12, 0.3, 5.0, 16.0, 1e3, 1e9, 1e20])
def test_rising_factorials_are_exact(a):
    for n in (0.0, 0.5, 1.0, 3.0, 255.0, 1e5):
        with mpmath.workdps(60):
            expected = float(mpmath.loggamma(mpmath.mpf(a) + n) - mpmath.loggamma(a))
        found = log_rising(torch.tensor(a, dtype=torch.float64), n).item()
        assert found == pytest.approx(expected, rel=1e-12, abs=1e-12)


def test_logarithms_of_gamma_draws_have_the_gamma_distribution():
    torch.manual_seed(0)
    for a in (0.05, 3.0):
        draws = log_gamma_draw(torch.tensor(a), torch.Size((20_000,))).numpy()
        assert scipy.stats.kstest(draws, scipy.stats.loggamma(a).cdf).pvalue > 1e-3
    assert log_gamma_draw(torch.tensor(1e-30), torch.Size((1000,))).isfinite().all()


@pytest.mark.parametrize("degrees", [1.2, 3.0, 40.0])
def test_student_t_is_scipys_and_integrates_to_one(degrees):
    location, scale = 0.7, 1.9
    p = distributions.StudentT(
        *(torch.tensor(v, dtype=torch.float64) for v in (location, math.log(scale), degrees))
    )
    theirs = scipy.stats.t(degrees, location, scale)
    x = torch.tensor([-1e6, -3.0, 0.0, 0.7, 2.0, 50.0], dtype=torch.float64)
    assert p.log_prob(x).tolist() == pytest.approx(theirs.logpdf(x.numpy()), rel=1e-10)
    mass, _ = quad(
        lambda v: p.log_prob(torch.tensor(v, dtype=torch.float64)).exp().item(), -60, 60, limit=200
    )
    assert mass == pytest.approx(theirs.cdf(60) - theirs.cdf(-60), abs=1e-7)
    assert p.mean == location
    assert p.variance.item() == pytest.approx(theirs.var())


def test_student_t_becomes_the_gaussian_in_float32_and_stays_finite():
    location, log_scale = torch.tensor(0.3, requires_grad=True), torch.tensor(-1.0)
    x = torch.tensor([-2.0, 0.0, 0.4, 5.0])
    wide = distributions.StudentT(location, log_scale, torch.tensor(1e10))
    normal = torch.distributions.Normal(location, log_scale.exp())
    torch.testing.assert_close(wide.log_prob(x), normal.log_prob(x), rtol=1e-5, atol=1e-5)
    degrees = torch.tensor([2.0, 1e10], requires_grad=True)
    log_p = distributions.StudentT(location, log_scale, degrees).log_prob(torch.tensor(1e15))
    gradients = torch.autograd.grad(log_p.sum(), (location, degrees))
    assert all(gradient.isfinite().all() for gradient in (log_p, *gradients))


def test_the_network_returns_blocks_of_numbers():
    """First all locations, then all log-scales; maps of images in the same order."""
    theta = torch.randn(5, 2 * 6)
    p = lb.DiscretisedLogistic(torch.nn.Identity(), (1, 2, 3))(theta)
    blocks = theta.view(5, 2, 1, 2, 3)
    assert torch.equal(p.base_dist.location, blocks[:, 0])
    assert torch.equal(p.base_dist.log_scale, blocks[:, 1])
    theta = torch.randn(5, 3 * 4 * 6)
    p = lb.LogisticMixture(torch.nn.Identity(), (6,), components=4)(theta)
    blocks = theta.view(5, 3, 4, 6).movedim(-1, 1)
    assert torch.equal(p.base_dist.logits, blocks[:, :, 0])
    assert torch.equal(p.base_dist.components.log_scale, blocks[:, :, 2])
    theta = torch.randn(5, 2 * 6)
    counts = lb.ZeroInflatedNegativeBinomial(torch.nn.Identity(), (6,))(theta).base_dist
    assert torch.equal(counts.other.log_mean, theta[:, :6])
    assert torch.equal(counts.logits, theta[:, 6:])


def test_a_learned_dispersion_finds_the_datas():
    """Maximum likelihood with a constant mean: r is recovered, and the Poisson fits worse."""
    torch.manual_seed(0)
    truth = distributions.NegativeBinomial(torch.tensor(2.0), torch.tensor(0.5))
    x = truth.sample((20_000, 1))
    mean = torch.nn.Parameter(torch.zeros(1))
    likelihood = lb.NegativeBinomial(torch.nn.Identity(), (1,))
    optimiser = torch.optim.LBFGS([mean, likelihood.log_dispersion], max_iter=50)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = -likelihood(mean.expand(len(x), 1)).log_prob(x).mean()
        value.backward()
        return value

    optimiser.step(loss)
    assert mean.item() == pytest.approx(2.0, abs=0.03)
    assert likelihood.log_dispersion.item() == pytest.approx(0.5, abs=0.06)


@pytest.mark.parametrize("sigma", ["elementwise", "decoded"])
def test_a_sigma_of_each_element_adds_to_that_of_rounding(sigma):
    """N(μ, σ₀² + e^s), σ₀ = δ/√12 of values that are δ apart, and .001 of those without steps."""
    x = torch.stack(
        (torch.randn(300), 0.5 * torch.randint(0, 4, (300,)), torch.full((300,), 2.0)), 1
    )
    x[0, 1], x[1:40, 0] = math.nan, x[0, 0]
    likelihood = lb.Gaussian(torch.nn.Identity(), (3,), sigma).requires_grad_(False)
    mean, *decoded = likelihood.constant(x).unbind(-1)
    s = decoded[0] if decoded else likelihood.log_noise.data
    floor = torch.tensor([1e-3, 0.5 / 12**0.5, 1e-3])
    torch.testing.assert_close(likelihood.floor, floor)
    seen = torch.tensor([x[:, 0].var(correction=0), x[1:, 1].var(correction=0), 2e-6])
    torch.testing.assert_close((floor**2 + s.exp()).float(), seen, rtol=1e-4, atol=0)
    for shift in (0.0, -200.0):  # e^s is the noise, then none
        if not decoded:
            likelihood.log_noise.data = s + shift
        theta = torch.cat((mean, s + shift) if decoded else (mean,))
        p = likelihood(theta.float().expand(2, -1))
        deviation = (floor**2 + (s + shift).exp()).sqrt().float()
        expected = torch.distributions.Normal(mean.float(), deviation)
        torch.testing.assert_close(p.log_prob(x[1:3]), expected.log_prob(x[1:3]).sum(-1))
        torch.testing.assert_close(p.variance[0], deviation**2)
        drawn = p.sample((20_000,))[:, 0]
        torch.testing.assert_close(drawn.std(0), deviation, rtol=0.03, atol=0)


def test_the_sigma_of_rounding_is_no_more_than_half_of_the_deviation():
    sentinel, lone = torch.rand(500), torch.full((500,), 5.0)
    sentinel[0], lone[0] = 1e6, 7.5
    x = torch.stack((sentinel, lone), 1)
    x = (x - x.mean(0)) / x.std(0, correction=0)
    likelihood = lb.Gaussian(torch.nn.Identity(), (2,), "decoded")
    theta = likelihood.constant(x)
    assert (likelihood.floor <= 0.5 + 1e-6).all()
    standard = torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(1).mean()
    p = likelihood(theta.T.reshape(1, -1).float())
    torch.testing.assert_close(p.log_prob(x).mean(), standard, rtol=1e-3, atol=0)


def test_repeated_values_do_not_draw_a_heavy_tailed_sigma_to_zero():
    likelihood = lb.StudentT(torch.nn.Identity(), (2,), 3.0).requires_grad_(False)
    likelihood.constant(torch.tensor([[0.0, 5.0], [0.6, 5.0], [1.2, 5.0]]))
    likelihood.log_sigma.fill_(-100.0)
    expected = torch.distributions.StudentT(3.0, 0.0, torch.tensor([0.6 / 12**0.5, 1e-3]))
    found = likelihood(torch.zeros(1, 2)).log_prob(torch.zeros(1, 2))
    torch.testing.assert_close(found, expected.log_prob(torch.zeros(1, 2)).sum(-1))


def test_a_heavy_tailed_sigma_may_come_from_z():
    """torch's t of σ² = σ₀² + e^s; it starts at the quartiles, as the σ that does not."""
    theta, x = torch.randn(5, 2, 3, dtype=torch.float64), torch.randn(5, 3, dtype=torch.float64)
    likelihood = lb.StudentT(torch.nn.Identity(), (3,), 4.0, "decoded").double()
    likelihood.floor.copy_(torch.tensor([0.1, 0.5, 2.0]))
    sigma = (theta[:, 1].exp() + likelihood.floor**2).sqrt()
    expected = torch.distributions.StudentT(4.0, theta[:, 0], sigma).log_prob(x).sum(-1)
    torch.testing.assert_close(likelihood(theta.flatten(1)).log_prob(x), expected)
    data = torch.randn(99, 3, dtype=torch.float64)
    same = lb.StudentT(torch.nn.Identity(), (3,), 4.0).double().requires_grad_(False)
    centre, s = likelihood.constant(data).unbind(-1)
    torch.testing.assert_close(centre, same.constant(data).squeeze(-1))
    torch.testing.assert_close(s, 2 * same.log_sigma)


def test_factor_analysis_has_its_evidence():
    """With the exact posterior every log w is log N(x; 0, WWᵀ + diag σ²)."""
    W = torch.randn(4, 2, dtype=torch.float64)
    variance = torch.tensor([0.1, 1.0, 3.0, 0.02], dtype=torch.float64)
    decoder = lb.MLP(2, (), 4).double()
    decoder.layers[-1].weight.data, decoder.layers[-1].bias.data = W, torch.zeros(4).double()
    likelihood = lb.Gaussian(decoder, (4,), "elementwise").double()
    likelihood.log_noise.data = (variance - likelihood.floor**2).log()
    x, z = torch.randn(5, 4).double(), torch.randn(7, 5, 2).double()
    precision = W.T @ (W / variance[:, None]) + torch.eye(2)
    posterior = torch.distributions.MultivariateNormal(
        torch.linalg.solve(precision, W.T @ (x / variance).T).T, precision_matrix=precision
    )
    log_w = (
        likelihood(z).log_prob(x)
        + torch.distributions.Normal(0, 1).log_prob(z).sum(-1)
        - posterior.log_prob(z)
    )
    marginal = torch.distributions.MultivariateNormal(
        torch.zeros(4).double(), W @ W.T + variance.diag()
    )
    torch.testing.assert_close(log_w, marginal.log_prob(x).expand(7, 5))


@pytest.mark.parametrize("positive", [True, False])
def test_a_spike_has_a_probability_and_the_rest_a_density_in_the_datas_units(positive):
    """scipy's, of what `start` finds: the shares, and the moments of x or log x that is not 0."""
    rest = np.random.default_rng(0).normal(1, 0.7, 60)
    rest = 1e3 * (np.exp(rest) if positive else rest)
    x = torch.tensor([*rest, *[0.0] * 38, math.nan]).unsqueeze(1)
    likelihood = lb.ZeroInflated(torch.nn.Identity(), (1,), positive=positive).double()
    p = likelihood(likelihood.constant(x).movedim(-1, 0).reshape(1, -1))
    share = (38 + 0.5) / 99
    y = np.log(rest) if positive else rest
    theirs = (
        scipy.stats.lognorm(y.std(), scale=math.exp(y.mean()))
        if positive
        else scipy.stats.norm(y.mean(), y.std())
    )
    assert p.log_prob(torch.zeros(1, 1)).exp().item() == pytest.approx(share, rel=1e-6)
    found = p.log_prob(torch.from_numpy(rest[:, None])).numpy()
    assert found == pytest.approx(math.log(1 - share) + theirs.logpdf(rest), rel=1e-5)
    assert p.mean.item() == pytest.approx((1 - share) * theirs.mean(), rel=1e-5)
    drawn = p.sample((2000,))
    assert (drawn == 0).double().mean().item() == pytest.approx(share, abs=0.05)
    assert not positive or (drawn >= 0).all()


def test_a_spike_has_gradients_and_those_of_the_rest_do_not_reach_it():
    likelihood = lb.ZeroInflated(torch.nn.Identity(), (2,), positive=True)
    theta = torch.tensor([[0.3, 0.3, 1.0, 1.0, -50.0, 0.0]], requires_grad=True)
    log_p = likelihood(theta).log_prob(torch.tensor([[0.0, 2.0]]))
    (gradient,) = torch.autograd.grad(log_p.sum(), theta)
    assert gradient.isfinite().all()
    assert (gradient[0, [2, 4]] == 0).all()
    assert (gradient[0, [0, 1, 3, 5]] != 0).all()


def test_a_mixture_of_gaussians_is_the_sum_of_their_densities():
    logits, means, s = torch.randn(3, 4, 2, 3, dtype=torch.float64)
    likelihood = lb.NormalMixture(torch.nn.Identity(), (2,)).double()
    likelihood.floor.copy_(torch.tensor([0.1, 0.5]))
    theta = torch.cat((logits, means, s), -1).movedim(-1, 1)
    x = torch.randn(4, 2, dtype=torch.float64)
    sigma = (s.exp() + likelihood.floor[:, None] ** 2).sqrt()
    each = scipy.stats.norm(means.numpy(), sigma.numpy()).pdf(x.unsqueeze(-1).numpy())
    expected = np.log((logits.softmax(-1).numpy() * each).sum(-1)).sum(-1)
    assert likelihood(theta.flatten(1)).log_prob(x).numpy() == pytest.approx(expected)
    two = torch.cat((torch.randn(300, 1) / 9 - 1, torch.randn(300, 1) / 9 + 1)).double()
    likelihood = lb.NormalMixture(torch.nn.Identity(), (1,), 2).double()
    p = likelihood(likelihood.constant(two).movedim(-1, 0).reshape(1, -1))
    modes = p.log_prob(torch.tensor([[-1.0], [0.0], [1.0]]).double().unsqueeze(1))
    assert (modes[[0, 2]] > modes[1] + 1).all()  # it starts with both


@pytest.mark.parametrize("levels", [2, 5])
def test_an_ordinal_likelihood_is_differences_of_logistic_functions(levels):
    likelihood = lb.Ordinal(torch.nn.Identity(), (1,), levels).double().requires_grad_(False)
    x = torch.arange(levels).repeat_interleave(torch.arange(levels) + 1).double().unsqueeze(1)
    likelihood.constant(x)
    times = torch.arange(levels).double() + 1 + 1 / levels
    shares = times / times.sum()
    eta = torch.tensor([[0.0], [1.3], [-2.0], [60.0]], dtype=torch.float64, requires_grad=True)
    codes = torch.arange(levels).double().reshape(-1, 1, 1)
    found = likelihood(eta).log_prob(codes)
    torch.testing.assert_close(found.exp().sum(0), torch.ones(4).double())
    torch.testing.assert_close(found[:, 0].exp(), shares)
    below = torch.sigmoid(shares.cumsum(0)[:-1].logit().unsqueeze(1) - eta[:, 0])
    torch.testing.assert_close(found.exp().cumsum(0)[:-1], below)
    assert found.isfinite().all()
    assert torch.autograd.grad(found.sum(), eta)[0].isfinite().all()


def test_an_ordinal_likelihood_of_one_level_is_refused():
    with pytest.raises(lb.errors.ConfigurationError, match="levels of at least 2"):
        lb.Ordinal(torch.nn.Identity(), (2,), 1)


@pytest.mark.parametrize("degrees", [1.0, 0.5, math.inf])
def test_degrees_without_a_mean_are_refused(degrees):
    with pytest.raises(lb.errors.ConfigurationError, match="degrees above 1"):
        lb.StudentT(torch.nn.Identity(), (2,), degrees)


OUTSIDE = {
    "bits as if they were 0 and 255": (lb.Bernoulli, lb.Binary(), [[0.0, 1.0]], "only 0 and 255"),
    "normals as bits": (lb.Bernoulli, lb.Identity(), [[-0.3, 0.7]], "numbers from 0 to 1"),
    "levels as shares": (lb.Bernoulli, lb.Identity(), [[0.0, 255.0]], "numbers from 0 to 1"),
    "fractions as counts": (lb.Poisson, lb.Counts(), [[0.5, 3.0]], "whole numbers from 0"),
    "fractions, not told": (lb.NegativeBinomial, lb.Identity(), [[0.5, 3.0]], "whole numbers"),
    "negative counts": (lb.Poisson, lb.Counts(), [[-1.0, 3.0]], "whole numbers from 0"),
    "reals as levels": (lb.Gaussian, lb.Dequantise(), [[-0.3, 0.7]], "whole numbers from 0 to 255"),
    "16 bits as 8": (lb.Gaussian, lb.Dequantise(), [[0.0, 300.0]], "whole numbers from 0 to 255"),
    "shares as levels": (lb.BetaBinomial, lb.Scale(), [[0.2, 0.7]], "whole numbers from 0 to 255"),
    "shares as targets": (lb.Bernoulli, lb.Scale(), [[0.2, 0.7]], "numbers from 0 to 255"),
    "bits as levels": (lb.BetaBinomial, lb.Scale(), [[0.0, 1.0]], "whole numbers from 0 to 255"),
    "bits to dequantise": (
        lb.Gaussian,
        lb.Dequantise(),
        [[0.0, 1.0]],
        "whole numbers from 0 to 255",
    ),
    "reals in [0, 1]": (
        lb.ContinuousBernoulli,
        lb.Identity(),
        [[-0.3, 0.7]],
        "numbers from 0 to 1",
    ),
}
INSIDE = [
    (lb.Bernoulli, lb.Binary(), [[0.0, 255.0]]),
    (lb.Bernoulli, lb.Binary(1.0), [[0.0, 1.0]]),
    (lb.Bernoulli, lb.Scale(), [[3.0, 200.0]]),
    (lb.Bernoulli, lb.Scale(), [[0.0, 0.0]]),
    (lb.Bernoulli, lb.Scale(1.0), [[0.2, 0.7]]),
    (lb.Bernoulli, lb.Identity(), [[0.2, 1.0]]),
    (lb.Gaussian, lb.Identity(), [[-0.2, 1.0]]),
    (lb.Poisson, lb.Counts(), [[0.0, 3.0]]),
]


@pytest.mark.parametrize(
    ("likelihood", "transform"),
    [
        (lb.Bernoulli, lb.Standardise((0.0, 0.0), (1.0, 1.0))),
        (lb.ContinuousBernoulli, lb.Standardise((0.0, 0.0), (1.0, 1.0))),
        (lb.Bernoulli, lb.Counts()),
        (lb.Poisson, lb.Scale()),
        (lb.BetaBinomial, lb.Dequantise()),
    ],
)
def test_transforms_to_values_that_are_not_described_are_refused(likelihood, transform):
    with pytest.raises(DataError, match=f"values that {likelihood.__name__} describes"):
        lb.evaluate(by_hand(likelihood, transform), torch.tensor([[0.0, 1.0]] * 4))


def by_hand(likelihood: type, transform: lb.transforms.Transform) -> lb.VAE:
    decoder = lb.MLP(1, (), 2 * likelihood.numbers)
    posterior = lb.DiagonalGaussian(lb.MLP(2, (), 2), 1)
    return lb.VAE(lb.StandardNormal(1), posterior, likelihood(decoder, (2,)), transform)


@pytest.mark.parametrize("kind", OUTSIDE)
def test_data_outside_the_support_of_a_model_made_by_hand_are_refused(kind):
    likelihood, transform, rows, wanted = OUTSIDE[kind]
    model, x = by_hand(likelihood, transform), torch.tensor(rows * 4)
    for use in (lambda: lb.fit(model, x, callbacks=[]), lambda: lb.evaluate(model, x)):
        with pytest.raises(DataError, match=f"expected {wanted}.*; recipes.compose"):
            use()


@pytest.mark.parametrize(("likelihood", "transform", "rows"), INSIDE)
def test_data_in_the_support_are_taken(likelihood, transform, rows):
    lb.evaluate(by_hand(likelihood, transform), torch.tensor(rows * 4), samples=1)


@pytest.mark.parametrize(("scale", "warned"), [(1.0, 0), (15.0, 1), (1e-3, 1)])
def test_reals_that_nothing_scales_are_said_once_where_they_are_trained(caplog, scale, warned):
    x = scale * torch.randn(8, 2)
    lb.fit(by_hand(lb.Gaussian, lb.Identity()), x, training=lb.Training(epochs=1), callbacks=[])
    assert [record.getMessage().count("Standardise.of") for record in caplog.records] == [
        1
    ] * warned


ENDS = [
    *itertools.product(["StudentT"], [-80.0, 0.0, 80.0], [1.01, 2.5, 1e8, 1e30], [0.0, 1.0, 1e20]),
    *itertools.product(
        ["NegativeBinomial"], [-80.0, 10.0], [-700.0, 0.0, 80.0, 900.0], [0, 1, 1e8]
    ),
    *itertools.product(["BetaBinomial"], [-80.0, 20.0, 80.0], [-80.0, 0.0, 80.0], [0, 100, 255]),
]


def exact_at_ends(name: str, a: float, b: float, x: float) -> mpmath.mpf:
    log, gamma = mpmath.log, mpmath.loggamma
    if name == "StudentT":
        t = mpmath.mpf(x) / mpmath.exp(a)
        b = mpmath.mpf(b)
        normaliser = gamma((b + 1) / 2) - gamma(b / 2)
        return normaliser - log(b * mpmath.pi) / 2 - a - (b + 1) / 2 * mpmath.log1p(t * t / b)
    a, b = mpmath.exp(a), mpmath.exp(b)
    if name == "NegativeBinomial":
        rising = gamma(x + b) - gamma(b) - gamma(x + 1)
        return rising + b * log(b / (b + a)) + x * log(a / (b + a))
    each = gamma(x + a) - gamma(a) + gamma(255 - x + b) - gamma(b)
    return log(mpmath.binomial(255, x)) + each - gamma(255 + a + b) + gamma(a + b)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", ["StudentT", "NegativeBinomial", "BetaBinomial"])
def test_at_the_ends_of_numbers_densities_are_exact_and_have_gradients(name, dtype):
    """mpmath's value, with 500 digits, of what float32 and float64 can hold of the parameters."""
    for _, *numbers in (row for row in ENDS if row[0] == name):
        a, b, x = (torch.tensor(number, dtype=dtype) for number in numbers)
        a.requires_grad_(), b.requires_grad_()
        if name == "StudentT":
            p = distributions.StudentT(torch.zeros((), dtype=dtype), a, b)
        else:
            p = getattr(distributions, name)(a, b)
        log_p = p.log_prob(x / 255 if name == "BetaBinomial" else x)
        with mpmath.workdps(500):
            exact = float(exact_at_ends(name, a.item(), b.item(), x.item()))
        assert log_p.item() == pytest.approx(exact, rel=1e-5, abs=1e-4), numbers
        gradients = torch.autograd.grad(log_p, (a, b))
        assert all(gradient.isfinite() for gradient in gradients), numbers


def test_the_students_density_is_flat_at_its_mode():
    x = torch.zeros(3, requires_grad=True)
    distributions.StudentT(torch.zeros(3), torch.zeros(3), torch.full((3,), 4.0)).log_prob(
        x
    ).sum().backward()
    assert torch.equal(x.grad, torch.zeros(3))


def test_after_training_a_cyclical_weight_is_its_last():
    assert lb.Cyclical(final=0.3)(math.inf) == 0.3


@pytest.mark.parametrize(
    "make",
    [
        lambda v: lb.Scale(v),
        lambda v: lb.Binarise(v),
        lambda v: lb.Standardise((1.0,), (v,)),
        lambda v: lb.Linear(duration=v),
        lambda v: lb.Cyclical(period=v),
        lambda v: lb.Cyclical(ratio=v),
    ],
)
@pytest.mark.parametrize("value", [0.0, -1.0, math.inf, math.nan])
def test_numbers_that_make_no_transform_or_schedule_are_refused(make, value):
    with pytest.raises(lb.errors.ConfigurationError, match=r"expected .* numbers? above 0"):
        make(value)


def test_one_level_is_no_grey():
    for make in (lb.DiscretisedLogistic, lb.LogisticMixture, lb.Categorical, lb.BetaBinomial):
        with pytest.raises(
            lb.errors.ConfigurationError, match="expected levels to be a whole number from 2 to"
        ):
            make(lb.MLP(1, (), 2), (1,), levels=1)
