"""Densities integrate to one, samples have the stated moments, and torch agrees where it can."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from scipy.integrate import quad

import lowerbound as lb
from lowerbound import distributions
from lowerbound.posteriors import log_softplus

ETAS = [-500.0, -30.0, -2.0, -0.1001, -0.0999, -1e-4, 0.0, 1e-3, 0.0999, 0.1001, 3.0, 40.0, 500.0]


def continuous_bernoulli(eta: float) -> distributions.ContinuousBernoulli:
    return distributions.ContinuousBernoulli(torch.tensor(eta, dtype=torch.float64))


def test_bernoulli_is_torchs_for_bits_and_grey_levels():
    logits = torch.linspace(-60, 60, 241, dtype=torch.float64, requires_grad=True)
    value = torch.tensor([[0.0], [0.3], [1.0]], dtype=torch.float64, requires_grad=True)
    found = []
    for kind in (distributions.Bernoulli, torch.distributions.Bernoulli):
        log_p = kind(logits=logits, validate_args=False).log_prob(value)
        found.append((log_p, *torch.autograd.grad(log_p.sum(), (logits, value))))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-13)


def test_bernoulli_keeps_the_digits_of_black_pixels():
    logits = torch.tensor([-30.0, -20.0, -5.0])
    p = distributions.Bernoulli(logits=logits, validate_args=False)
    expected = -torch.log1p(logits.double().exp())
    torch.testing.assert_close(p.log_prob(torch.zeros(3)).double(), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("eta", ETAS)
def test_continuous_bernoulli_integrates_to_one_with_its_moments(eta):
    p = continuous_bernoulli(eta)

    def density(x: float) -> float:
        return p.log_prob(torch.tensor(x, dtype=torch.float64)).exp().item()

    scale = min(1.0, 40 / max(abs(eta), 1e-9))
    ends = (0.0, scale) if eta < 0 else (1 - scale, 1.0)
    mass, mean, square = (quad(lambda x, k=k: x**k * density(x), *ends)[0] for k in range(3))
    assert mass == pytest.approx(1, abs=1e-8)
    assert p.mean.item() == pytest.approx(mean, abs=1e-8)
    assert p.variance.item() == pytest.approx(square - mean**2, abs=1e-7)


@pytest.mark.parametrize("eta", ETAS)
def test_continuous_bernoulli_normaliser_has_the_mean_as_derivative(eta):
    for dtype, tolerance in ((torch.float64, 1e-9), (torch.float32, 2e-5)):
        logits = torch.tensor(eta, dtype=dtype, requires_grad=True)
        p = distributions.ContinuousBernoulli(logits)
        (gradient,) = torch.autograd.grad(p.log_normalizer, logits)
        assert gradient.item() == pytest.approx(p.mean.item(), abs=tolerance)


@pytest.mark.parametrize("eta", [-3.0, 0.5, 6.0])
def test_continuous_bernoulli_is_torchs(eta):
    ours = continuous_bernoulli(eta)
    theirs = torch.distributions.ContinuousBernoulli(logits=ours.logits)
    x = torch.linspace(0, 1, 11, dtype=torch.float64)
    torch.testing.assert_close(ours.log_prob(x), theirs.log_prob(x))
    torch.testing.assert_close(ours.mean, theirs.mean)
    torch.testing.assert_close(ours.variance, theirs.variance)


@pytest.mark.parametrize(
    "p",
    [
        *(distributions.ContinuousBernoulli(torch.tensor(eta)) for eta in (-50.0, -1.0, 0.01, 8.0)),
        distributions.GreyLevels(torch.linspace(-2, 3, 9)),
        distributions.DiagonalNormal(torch.tensor([0.3, -2.0]), torch.tensor([0.7, -1.5])),
        distributions.StandardNormal(torch.zeros(2)),
        distributions.Delta(torch.tensor([1.0, 2.0])),
        distributions.OptimalNormal(torch.tensor(0.5), torch.tensor(4.0)),
        distributions.BetaBinomial(torch.tensor([-4.0, 0.5]), torch.tensor([-3.0, 2.0])),
        distributions.DiscretisedLogistic(
            torch.tensor([0.3, 0.9, -0.2]), torch.tensor([-8.0, -3.0, -1.0])
        ),
        distributions.LogisticMixture(
            torch.tensor([[0.3, 1.0]]),
            distributions.DiscretisedLogistic(
                torch.tensor([[0.1, 0.7]]), torch.tensor([[-4.0, -3.0]])
            ),
        ),
        distributions.Poisson(torch.tensor([-2.0, 3.0])),
        distributions.NegativeBinomial(torch.tensor([-1.0, 3.0]), torch.tensor([0.5, 2.0])),
        distributions.ZeroInflated(
            torch.tensor(0.5),
            distributions.NegativeBinomial(torch.tensor(2.0), torch.tensor(1.0)),
        ),
        distributions.ZeroInflated(torch.tensor(0.5), torch.distributions.LogNormal(1.0, 0.5)),
        distributions.StudentT(torch.tensor(1.0), torch.tensor(0.5), torch.tensor(12.0)),
    ],
    ids=lambda p: type(p).__name__,
)
def test_samples_have_the_mean_and_variance(p):
    n = 100_000
    x = p.sample((n,)).double()
    error = (p.variance.double() / n).sqrt()
    assert ((x.mean(0) - p.mean).abs() <= 4.5 * error + 1e-7).all()
    assert ((x.var(0) - p.variance).abs() <= 0.03 * p.variance + 1e-12).all()


def test_grey_levels_are_torchs_categorical():
    logits = torch.randn(3, 4, 256)
    p = distributions.GreyLevels(logits)
    levels = torch.randint(0, 256, (5, 3, 4))
    expected = torch.distributions.Categorical(logits=logits).log_prob(levels)
    torch.testing.assert_close(p.log_prob(levels / 255), expected)
    probabilities = logits.softmax(-1)
    values = torch.arange(256) / 255
    torch.testing.assert_close(p.mean, (probabilities * values).sum(-1))


def test_diagonal_and_standard_normal_are_torchs():
    mean, log_variance = torch.randn(2, 4, 3)
    z = torch.randn(5, 4, 3)
    expected = torch.distributions.Normal(mean, (0.5 * log_variance).exp()).log_prob(z).sum(-1)
    torch.testing.assert_close(
        distributions.DiagonalNormal(mean, log_variance).log_prob(z), expected
    )
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(z).sum(-1)
    torch.testing.assert_close(distributions.StandardNormal(torch.zeros(3)).log_prob(z), expected)


def test_reparameterised_draws_carry_gradients_to_both_parameters():
    mean, log_variance = (torch.zeros(3, requires_grad=True) for _ in range(2))
    distributions.DiagonalNormal(mean, log_variance).rsample((4,)).square().sum().backward()
    assert mean.grad.abs().min() > 0
    assert log_variance.grad.abs().min() > 0


def test_the_optimal_variance_is_the_mean_squared_error_and_maximises_the_likelihood():
    mean, x = torch.randn(2, 50, dtype=torch.float64)
    running = torch.ones((), dtype=torch.float64)
    found = distributions.OptimalNormal(mean, running).log_prob(x).sum()
    assert running == 1
    optimum = (x - mean).square().mean()
    for factor in (0.8, 1.0, 1.25):
        sigma = (factor * optimum).sqrt()
        other = torch.distributions.Normal(mean, sigma).log_prob(x).sum()
        assert found >= other - 1e-9
    exact = -25 * (math.log(2 * math.pi) + optimum.log() + 1)
    torch.testing.assert_close(found, exact)


def test_the_gradient_at_the_optimal_variance_is_that_of_the_profile_likelihood():
    mean = torch.randn(40, dtype=torch.float64, requires_grad=True)
    x = torch.randn(40, dtype=torch.float64)
    running = torch.ones((), dtype=torch.float64)
    distributions.OptimalNormal(mean, running).log_prob(x).sum().backward()
    found, mean.grad = mean.grad, None
    (-20 * (x - mean).square().mean().log()).backward()
    torch.testing.assert_close(found, mean.grad)


def test_the_running_variance_comes_to_the_error_and_is_used_afterwards():
    likelihood = lb.Gaussian(torch.nn.Identity(), (4,), sigma="optimal")
    z = torch.randn(500, 4)
    x = z + 0.3 * torch.randn(500, 4)
    for _ in range(300):
        likelihood.track(likelihood(z), x)
    error = (x - z).square().mean()
    torch.testing.assert_close(likelihood.running_variance, error, rtol=1e-3, atol=0)
    likelihood.eval()
    expected = torch.distributions.Normal(z, likelihood.running_variance.sqrt()).log_prob(x).sum(-1)
    torch.testing.assert_close(likelihood(z).log_prob(x), expected)


def test_draws_in_training_mode_track_the_variance_and_densities_change_nothing():
    encoder = lb.DiagonalGaussian(lb.MLP(4, (), 4), 2)
    likelihood = lb.Gaussian(lb.MLP(2, (), 4), (4,), sigma="optimal")
    model, x = lb.VAE(lb.StandardNormal(2), encoder, likelihood), torch.randn(9, 4)
    d = model.train().draws(x, 3)
    error = (x - likelihood(d.z).mean).square().mean()
    torch.testing.assert_close(likelihood.running_variance, error.detach())
    before = likelihood.running_variance.clone()
    likelihood(d.z).log_prob(x)
    model.eval().draws(x, 3)
    assert torch.equal(likelihood.running_variance, before)


def test_the_running_variance_is_the_mean_of_few_batches():
    likelihood = lb.Gaussian(torch.nn.Identity(), (4,), sigma="optimal")
    z = torch.zeros(50, 4)
    errors = []
    for scale in (0.1, 0.2, 0.3):
        x = scale * torch.randn(50, 4)
        errors.append(x.square().mean())
        likelihood.track(likelihood(z), x)
    torch.testing.assert_close(likelihood.running_variance, torch.stack(errors).mean())


def test_continuous_bernoulli_draws_are_exact_near_zero_and_have_gradients():
    eta = torch.tensor([0.099, -0.05, 0.0], dtype=torch.float64, requires_grad=True)
    p = distributions.ContinuousBernoulli(eta)
    torch.manual_seed(0)
    x = p.rsample((400_000,))
    error = (p.variance / len(x)).sqrt()
    assert ((x.mean(0) - p.mean).abs() < 4 * error).all()
    (gradient,) = torch.autograd.grad(x.mean(0).sum(), eta)
    torch.testing.assert_close(gradient, p.variance.detach(), rtol=1e-2, atol=0)


def test_bernoulli_on_grey_levels_is_the_mean_over_binarised_images():
    likelihood = lb.Bernoulli(torch.nn.Identity(), (3,))
    logits, x = torch.randn(1, 3).double(), torch.rand(1, 3).double()
    p = likelihood(logits)
    total = 0.0
    for bits in np.ndindex(2, 2, 2):
        b = torch.tensor([bits], dtype=torch.float64)
        probability = (x**b * (1 - x) ** (1 - b)).prod()
        total = total + probability * p.log_prob(b)
    torch.testing.assert_close(p.log_prob(x), total)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_softplus_deviation_keeps_value_and_gradient_far_below_0(dtype):
    s = torch.tensor([-120.0, -30.0, 0.0, 50.0], dtype=dtype, requires_grad=True)
    found = log_softplus(s)
    found.sum().backward()
    exact = torch.tensor([-120.0, -30 - math.exp(-30) / 2, math.log(math.log(2)), math.log(50)])
    slope = torch.tensor([1.0, 1.0, 0.5 / math.log(2), 1 / 50])
    torch.testing.assert_close(found, exact.to(dtype), rtol=1e-6, atol=0)
    torch.testing.assert_close(s.grad, slope.to(dtype), rtol=1e-6, atol=0)
    q = lb.DiagonalGaussian(torch.nn.Identity(), 1, "softplus")(
        torch.tensor([[0.0, -120.0]], dtype=dtype)
    )
    assert q.stddev.item() == pytest.approx(math.exp(-40), rel=1e-5)  # the limit of `bounded`
