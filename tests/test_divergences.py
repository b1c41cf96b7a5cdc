"""Closed forms against quadrature, torch, and Monte Carlo."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.integrate import quad
from torch.distributions import Independent, MultivariateNormal, Normal, kl_divergence

from lowerbound import distributions, divergences
from lowerbound.errors import ConfigurationError, ShapeError

means = st.floats(-3, 3)
sigmas = st.floats(0.2, 3)


def t(value: float) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def by_quadrature(mean_1: float, sigma_1: float, mean_2: float, sigma_2: float) -> float:
    def log_p(x: float, mean: float, sigma: float) -> float:
        return -((x - mean) ** 2) / (2 * sigma**2) - math.log(sigma * math.sqrt(2 * math.pi))

    def integrand(x: float) -> float:
        log_ratio = log_p(x, mean_1, sigma_1) - log_p(x, mean_2, sigma_2)
        return math.exp(log_p(x, mean_1, sigma_1)) * log_ratio

    low, high = mean_1 - 12 * sigma_1, mean_1 + 12 * sigma_1
    return quad(integrand, low, high, points=[mean_1])[0]


@given(means, sigmas, means, sigmas)
def test_univariate_is_the_integral(mean_1, sigma_1, mean_2, sigma_2):
    found = divergences.univariate_gaussian_kl(t(mean_1), t(sigma_1), t(mean_2), t(sigma_2))
    assert found.item() == pytest.approx(by_quadrature(mean_1, sigma_1, mean_2, sigma_2), abs=1e-7)
    assert found >= -1e-12


@given(means, sigmas)
def test_equal_gaussians_have_no_divergence(mean, sigma):
    assert divergences.univariate_gaussian_kl(t(mean), t(sigma), t(mean), t(sigma)) == 0


@given(means, sigmas)
def test_to_the_standard_normal_is_the_univariate_one(mean, sigma):
    found = divergences.standard_normal_kl_terms(t(mean), 2 * t(sigma).log())
    expected = divergences.univariate_gaussian_kl(t(mean), t(sigma), t(0.0), t(1.0))
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)


@given(means, sigmas, means, sigmas)
def test_from_log_variances_is_the_univariate_one(mean_1, sigma_1, mean_2, sigma_2):
    found = divergences.diagonal_gaussian_kl_terms(
        t(mean_1), 2 * t(sigma_1).log(), t(mean_2), 2 * t(sigma_2).log()
    )
    expected = divergences.univariate_gaussian_kl(t(mean_1), t(sigma_1), t(mean_2), t(sigma_2))
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)


def random_gaussian(d: int, batch: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    A = torch.randn(batch, d, d, dtype=torch.float64)
    return torch.randn(batch, d, dtype=torch.float64), A @ A.mT + 0.5 * torch.eye(d)


def test_full_covariance_is_torchs():
    (m_1, S_1), (m_2, S_2) = random_gaussian(5), random_gaussian(5)
    expected = kl_divergence(MultivariateNormal(m_1, S_1), MultivariateNormal(m_2, S_2))
    torch.testing.assert_close(divergences.full_gaussian_kl(m_1, S_1, m_2, S_2), expected)


def test_full_covariance_of_diagonal_matrices_is_the_sum_over_dimensions():
    m_1, m_2 = torch.randn(2, 3, 6, dtype=torch.float64)
    v_1, v_2 = torch.rand(2, 3, 6, dtype=torch.float64) + 0.1
    full = divergences.full_gaussian_kl(m_1, torch.diag_embed(v_1), m_2, torch.diag_embed(v_2))
    terms = divergences.diagonal_gaussian_kl_terms(m_1, v_1.log(), m_2, v_2.log())
    torch.testing.assert_close(full, terms.sum(-1))


def test_registered_divergences_are_torchs():
    mean, log_variance = torch.randn(2, 4, 3, dtype=torch.float64)
    q = distributions.DiagonalNormal(mean, log_variance)
    p = distributions.StandardNormal(torch.zeros(3, dtype=torch.float64))
    r = distributions.DiagonalNormal(mean.flip(0), log_variance.flip(1))
    as_torch = [Independent(Normal(d.mean, d.variance.sqrt()), 1) for d in (q, p, r)]
    torch.testing.assert_close(kl_divergence(q, p), kl_divergence(as_torch[0], as_torch[1]))
    torch.testing.assert_close(kl_divergence(q, r), kl_divergence(as_torch[0], as_torch[2]))


def test_monte_carlo_agrees_within_its_error():
    mean, log_variance = torch.randn(2, 4, 3, dtype=torch.float64)
    q = distributions.DiagonalNormal(mean, log_variance)
    p = distributions.StandardNormal(torch.zeros(4, 3, dtype=torch.float64))
    estimate, error = divergences.monte_carlo_kl(q, p, 20_000)
    assert ((estimate - kl_divergence(q, p)).abs() < 4.5 * error).all()
    assert (error < 0.1).all()


def test_kl_without_a_closed_form_is_taken_at_the_draws():
    q = Independent(Normal(torch.zeros(3, 2), torch.ones(3, 2)), 1)
    p = MultivariateNormal(torch.ones(2), torch.eye(2))
    mixture = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(torch.ones(1)), p.expand((1,))
    )
    z = q.sample((50,))
    expected = (q.log_prob(z) - p.log_prob(z)).mean(0)
    torch.testing.assert_close(divergences.kl(q, mixture, z), expected)


@pytest.mark.parametrize("kernel", ["imq", "rbf"])
def test_mmd_is_the_double_loop(kernel):
    torch.manual_seed(0)
    x, y = torch.randn(5, 3, dtype=torch.float64), 1 + torch.randn(4, 3, dtype=torch.float64)

    def k(a: torch.Tensor, b: torch.Tensor) -> float:
        r = ((a - b) ** 2).sum().item()
        sizes = [2 * 3 * scale for scale in divergences.SCALES]
        values = [c / (c + r) if kernel == "imq" else math.exp(-r / c) for c in sizes]
        return sum(values) / len(values)

    within = [
        sum(k(s[i], s[j]) for i in range(len(s)) for j in range(len(s)) if i != j)
        / (len(s) * (len(s) - 1))
        for s in (x, y)
    ]
    between = sum(k(a, b) for a in x for b in y) / 20
    found = divergences.mmd(x, y, kernel).item()
    assert found == pytest.approx(sum(within) - 2 * between, abs=1e-12)


def test_mmd_is_zero_in_the_mean_for_equal_distributions_and_positive_for_others():
    torch.manual_seed(0)
    equal = torch.stack([divergences.mmd(*torch.randn(2, 20, 2)) for _ in range(1000)])
    assert equal.mean().abs() < 4.5 * equal.std() / 1000**0.5
    assert equal.min() < 0
    other = torch.stack(
        [divergences.mmd(torch.randn(20, 2), 0.5 * torch.randn(20, 2)) for _ in range(300)]
    )
    assert other.mean() > 10 * other.std() / 300**0.5


def test_mmd_has_finite_gradients_where_points_coincide():
    x = torch.zeros(4, 2, requires_grad=True)
    (gradient,) = torch.autograd.grad(divergences.mmd(x, torch.randn(6, 2)), x)
    assert gradient.isfinite().all()
    with pytest.raises(ShapeError, match="at least two points"):
        divergences.mmd(x[:1], x)


def test_gaussian_total_correlation_is_the_kl_from_the_marginals():
    mean, covariance = random_gaussian(4)
    marginals = Independent(Normal(mean, covariance.diagonal(dim1=-2, dim2=-1).sqrt()), 1)
    diagonal = torch.diag_embed(marginals.variance)
    expected = kl_divergence(
        MultivariateNormal(mean, covariance), MultivariateNormal(mean, diagonal)
    )
    torch.testing.assert_close(divergences.gaussian_total_correlation(covariance), expected)


def test_a_standard_error_wants_two_samples():
    normal = Normal(0.0, 1.0)
    with pytest.raises(ConfigurationError, match="samples from 2"):
        divergences.monte_carlo_kl(normal, normal, 1)
