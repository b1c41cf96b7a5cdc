"""The documents' misprints: each printed formula breaks an identity that the right one keeps.

documents/misprints.md lists them.  Where an exact case is needed it is p(z) = N(0, 1),
p(x|z) = N(z, S²): its posterior is N(x/(1 + S²), S²/(1 + S²)) and p(x) = N(0, 1 + S²).
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import pytest
import torch
from scipy.integrate import quad
from scipy.stats import norm

import lowerbound as lb
from documents.problem_set import interface as problem_set
from lowerbound import divergences

S = 0.5


def t(value: float | list[list[float]]) -> torch.Tensor:
    return torch.tensor(value, dtype=torch.float64)


def integral(f) -> float:
    return quad(f, -25, 25, points=[0], limit=200)[0]


def log_evidence(x: float) -> float:
    return norm(0, math.sqrt(1 + S**2)).logpdf(x)


def expected_log_likelihood(x: float, mean: float, variance: float) -> float:
    """E log N(x; z, S²) over a z of this mean and variance."""
    return -0.5 * (math.log(2 * math.pi * S**2) + ((x - mean) ** 2 + variance) / S**2)


def elbo(x: float, mean: float, variance: float) -> float:
    kl = divergences.univariate_gaussian_kl(t(mean), t(variance).sqrt(), t(0), t(1)).item()
    return expected_log_likelihood(x, mean, variance) - kl


def test_the_exact_case_is_exact():
    x = 1.3
    assert elbo(x, x / (1 + S**2), S**2 / (1 + S**2)) == pytest.approx(log_evidence(x), abs=1e-9)


def test_lab_kl_without_the_square():
    def printed(mean_1, sigma_1, mean_2, sigma_2):
        square = (sigma_2**2 + (mean_1 - mean_2) ** 2) / (2 * sigma_1)
        return math.log(sigma_1 / sigma_2) + square - 0.5

    for sigma in (0.5, 2.0):
        assert abs(printed(0.0, sigma, 0.0, sigma)) > 0.2
        assert divergences.univariate_gaussian_kl(*map(t, (0.0, sigma, 0.0, sigma))) == 0


def test_problem_set_kl_without_the_half():
    def printed(mean, sigma):
        return mean**2 + sigma**2 - math.log(sigma) - 0.5

    assert printed(0.0, 1.0) == 0.5
    ours = problem_set.VAE(2, 2, 1, 3).kl_loss
    assert ours(t([[0.0]]), t([[1.0]])) == 0
    mean, sigma = 0.7, 0.4
    q, p = norm(mean, sigma), norm(0, 1)
    exact = integral(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)))
    assert ours(t([[mean]]), t([[sigma]])).item() == pytest.approx(exact, abs=1e-6)
    assert abs(printed(mean, sigma) - exact) > 0.1


def test_problem_set_reconstruction_loss_with_the_logarithm_on_the_ground_truth():
    """The right loss is least at y = x; the printed one is linear in y, and infinite at x = 0."""
    vae = problem_set.VAE(2, 2, 1, 3)
    x = torch.full((1, 1, 28, 28), 0.3)

    def printed(x, y):
        return -(y * x.log() + (1 - y) * (1 - x).log()).sum()

    y = torch.linspace(0.05, 0.95, 19)
    right = torch.stack([vae.r_loss(x, torch.full_like(x, v)) for v in y])
    wrong = torch.stack([printed(x, torch.full_like(x, v)) for v in y])
    assert y[right.argmin()].item() == pytest.approx(0.3)
    assert y[wrong.argmin()].item() == pytest.approx(0.05)
    assert printed(torch.zeros_like(x), x).isinf()


def test_problem_set_linear_size_counts_both_convolutions():
    c1, c2, k, d = 16, 32, 3, 28
    printed = c2 * (d - (k - 1)) ** 2
    right = c2 * (d - 2 * (k - 1)) ** 2
    encoder = problem_set.Encoder(c1, c2, 10, k)
    assert encoder.mean.in_features == right != printed
    maps = torch.nn.Sequential(torch.nn.Conv2d(1, c1, k), torch.nn.Conv2d(c1, c2, k))
    features = maps(torch.zeros(1, 1, d, d)).flatten(1)
    torch.nn.Linear(right, 10)(features)
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        torch.nn.Linear(printed, 10)(features)


def test_assignment_kl_with_sigma_for_its_square():
    mean, sigma = 0.5, 2.0
    q, p = norm(mean, sigma), norm(0, 1)
    exact = integral(lambda z: q.pdf(z) * (q.logpdf(z) - p.logpdf(z)))
    ours = divergences.standard_normal_kl_terms(t(mean), 2 * t(sigma).log()).item()
    assert ours == pytest.approx(exact, abs=1e-6)
    printed = -0.5 * (1 + math.log(sigma) - sigma - mean**2)
    assert abs(printed - exact) > 0.3


def test_assignment_draws_are_not_from_the_posterior_whose_kl_is_paid():
    """ε of deviation 0.1 and scale exp(log σ²): the result exceeds log p(x), so is no bound."""
    x = 1.3
    mean, variance = x / (1 + S**2), S**2 / (1 + S**2)
    log_variance = torch.full((200_000, 1), math.log(variance))
    means = torch.full_like(log_variance, mean)
    printed = means + torch.exp(log_variance) * 0.1 * torch.randn_like(means)
    right = lb.distributions.DiagonalNormal(means, log_variance).sample()
    assert right.var().item() == pytest.approx(variance, rel=0.02)
    assert printed.var().item() == pytest.approx((0.1 * variance) ** 2, rel=0.02)
    kl = divergences.standard_normal_kl_terms(t(mean), t(variance).log()).item()
    told = expected_log_likelihood(x, mean, printed.double().var().item()) - kl
    assert told > log_evidence(x) + 0.3


def test_assignment_heads_with_relu_cannot_reach_the_posterior():
    """A mean that is not negative and a variance that is not below 1 leave a gap for any x < 0."""
    x = -2.0
    means, variances = torch.linspace(0, 4, 81), torch.linspace(1, 4, 61)
    best = max(elbo(x, m, v) for m in means.tolist() for v in variances.tolist())
    assert best < log_evidence(x) - 5
    encoder = lb.MLP(4, (8,), 2)
    q = lb.DiagonalGaussian(encoder, 1)(torch.randn(200, 4))
    assert (q.mean < 0).any()
    assert (q.variance < 1).any()


def test_reversed_integral_is_the_negative():
    q, p = norm(0.5, 2), norm(0, 1)
    ours = divergences.univariate_gaussian_kl(*map(t, (0.5, 2.0, 0.0, 1.0))).item()
    printed = integral(lambda z: q.pdf(z) * (p.logpdf(z) - q.logpdf(z)))
    assert printed == pytest.approx(-ours, abs=1e-6)
    assert printed < 0 < ours


def test_cross_entropy_with_a_lost_sign():
    """∫ p log q = −½ log(2πσ₂²) − (σ₁² + (μ₁ − μ₂)²)/(2σ₂²): both terms are negative."""
    mean_1, sigma_1, mean_2, sigma_2 = 0.5, 0.8, -0.3, 1.7
    p, q = norm(mean_1, sigma_1), norm(mean_2, sigma_2)
    exact = integral(lambda z: p.pdf(z) * q.logpdf(z))
    log = 0.5 * math.log(2 * math.pi * sigma_2**2)
    square = (sigma_1**2 + (mean_1 - mean_2) ** 2) / (2 * sigma_2**2)
    assert -log - square == pytest.approx(exact, abs=1e-8)
    for printed in (log - square, -log + square):
        assert abs(printed - exact) > 0.3


def test_lab_head_is_a_log_variance_and_not_a_log_deviation():
    """Draws of deviation exp(h) with the KL of variance exp(h): no bound on log p(x)."""
    x = 1.3
    mean, variance = x / (1 + S**2), S**2 / (1 + S**2)
    h = math.log(variance)
    q = lb.distributions.DiagonalNormal(t([[mean]]), t([[h]]))
    assert q.variance.item() == pytest.approx(variance)
    assert q.stddev.item() == pytest.approx(math.exp(h / 2))
    kl = divergences.standard_normal_kl_terms(t(mean), t(h)).item()
    told = expected_log_likelihood(x, mean, math.exp(2 * h)) - kl
    assert told > log_evidence(x) + 0.2


def test_slides_table_in_one_unit():
    """0.1477 is of a pixel and 129.3765 of an image: in one unit the autoencoder is 115.8."""
    per_pixel, per_image = 0.1477, 129.3765
    assert per_pixel * 784 == pytest.approx(115.8, abs=0.05)
    assert per_image / 784 == pytest.approx(0.1650, abs=5e-5)
    x, y = torch.rand(4, 784), torch.rand(4, 784).logit()
    total = -lb.Bernoulli(torch.nn.Identity(), (784,))(y).log_prob(x)
    mean = torch.nn.functional.binary_cross_entropy_with_logits(y, x)
    torch.testing.assert_close(total.mean(), 784 * mean)


def test_the_page_names_every_test_here():
    page = (Path(__file__).parents[1] / "documents/misprints.md").read_text()
    named = set(re.findall(r"`(test_\w+)`", page))
    here = {name for name in globals() if name.startswith("test_")}
    assert named == here - {"test_the_exact_case_is_exact", "test_the_page_names_every_test_here"}
