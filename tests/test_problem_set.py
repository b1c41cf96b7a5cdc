"""The problem set's interface, as printed, against the composition that it is a face of."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, Independent, Normal, kl_divergence

import lowerbound as lb
from documents.problem_set import systems
from documents.problem_set.interface import VAE, Decoder, Encoder
from documents.problem_set.normality import normality
from documents.problem_set.smoothness import distance_agreement
from lowerbound import data, evaluation, storage, streams
from lowerbound.evaluation import aggregate


def images(n: int) -> torch.Tensor:
    return data.load("fashion-mnist").train.take(n).x.float() / 255


def test_the_documents_loop_runs_as_printed_and_its_loss_falls():
    dataloader = torch.utils.data.DataLoader(images(1024), batch_size=64)
    epochs = 2
    losses = []

    vae = VAE(8, 16, 10, 3)
    optimizer = torch.optim.Adam(vae.parameters())
    for _epoch in range(epochs):
        for x in dataloader:
            optimizer.zero_grad()
            vae.forward(x)
            vae.backward()
            optimizer.step()
            losses.append(vae.loss.item() / len(x))

    assert losses[-1] < 0.85 * losses[0]
    reconstruction = vae.forward(x)
    assert reconstruction.shape == x.shape
    assert 0 <= reconstruction.min() < reconstruction.max() <= 1


def test_loss_is_the_negative_elbo_of_the_composition_at_the_same_noise():
    vae, x = VAE(4, 6, 10, 3), images(32)
    torch.manual_seed(7)
    vae.forward(x)
    torch.manual_seed(7)
    terms = lb.ELBO()(vae.composition, x)
    assert vae.loss.item() == pytest.approx(-terms.bound.sum().item(), rel=1e-6)

    gradients = torch.autograd.grad(-terms.objective.sum(), list(vae.parameters()))
    vae.backward()
    for parameter, expected in zip(vae.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, expected, rtol=1e-3, atol=1e-3)


def test_r_loss_is_the_summed_cross_entropy_of_the_reconstruction():
    x, y = torch.rand(3, 1, 28, 28), torch.rand(3, 1, 28, 28)
    by_hand = -(x * y.log() + (1 - x) * (1 - y).log()).sum()
    vae = VAE(2, 2, 2, 3)
    torch.testing.assert_close(vae.r_loss(x, y), by_hand)
    b = x.round()
    torch.testing.assert_close(vae.r_loss(b, y), -Bernoulli(y).log_prob(b).sum())


def test_kl_loss_is_torchs_and_the_printed_formula_is_not():
    mu, sigma = torch.randn(5, 4), torch.rand(5, 4) + 0.1
    q, p = Normal(mu, sigma), Normal(torch.zeros(5, 4), torch.ones(5, 4))
    vae = VAE(2, 2, 4, 3)
    torch.testing.assert_close(vae.kl_loss(mu, sigma), kl_divergence(q, p).sum())
    origin, one = torch.zeros(1, 4), torch.ones(1, 4)
    assert vae.kl_loss(origin, one) == 0
    assert (origin**2 + one**2 - one.log() - 0.5).sum() == 2  # as printed


def test_gaussian_draws_have_the_mean_and_deviation_asked_for_and_gradients_to_both():
    mu = torch.full((40_000, 1), 3.0, requires_grad=True)
    sigma = torch.full((40_000, 1), 0.2, requires_grad=True)
    z = VAE(2, 2, 1, 3).gaussian(mu, sigma)
    assert z.mean().item() == pytest.approx(3, abs=0.01)
    assert z.std().item() == pytest.approx(0.2, abs=0.005)
    z.sum().backward()
    torch.testing.assert_close(mu.grad, torch.ones_like(mu))
    torch.testing.assert_close(sigma.grad, (z.detach() - 3) / 0.2, rtol=1e-4, atol=1e-5)


def test_encoder_gives_sigma_as_the_exponential_of_its_linear_layer():
    encoder, x = Encoder(3, 5, 4, 3), torch.rand(2, 1, 28, 28)
    h = encoder.posterior.network.network(x)
    mu, sigma = encoder(x)
    torch.testing.assert_close(mu, encoder.mean(h))
    torch.testing.assert_close(sigma, encoder.std(h).exp())
    q = VAE(3, 5, 4, 3).composition.posterior(x)
    assert q.mean.shape == mu.shape


@pytest.mark.parametrize(("c1", "c2", "lat", "k"), [(16, 32, 10, 3), (4, 6, 2, 5)])
def test_sizes_and_parameters_by_hand(c1, c2, lat, k):
    features = c2 * (28 - 2 * (k - 1)) ** 2
    encoder, decoder = Encoder(c1, c2, lat, k), Decoder(c1, c2, lat, k)
    assert encoder.mean.in_features == encoder.std.in_features == features
    convolutions = c1 * k**2 + c1 + c2 * c1 * k**2 + c2
    assert systems.parameters(encoder) == convolutions + 2 * (features * lat + lat)
    transposed = c1 * c2 * k**2 + c1 + c1 * k**2 + 1
    assert systems.parameters(decoder) == lat * features + features + transposed


def test_composition_shares_weights_and_is_saved_and_evaluated_like_any_other(tmp_path):
    vae = VAE(2, 3, 4, 3)
    model = vae.composition
    assert {id(p) for p in model.parameters()} == {id(p) for p in vae.parameters()}
    storage.save(model, tmp_path)
    some = data.load("fashion-mnist").test.take(20)
    again = evaluation.evaluate(lb.load(tmp_path), some, samples=2)
    assert again == evaluation.evaluate(model, some, samples=2)
    mu, _ = vae.encoder(some.x.float() / 255)
    torch.testing.assert_close(evaluation.embed(model, some), mu.detach())


def test_aggregate_kl_brackets_a_known_answer():
    mean, log_variance = 0.8 + 0.5 * torch.randn(4000, 1), torch.full((4000, 1), math.log(0.3))
    exact = kl_divergence(Normal(0.8, (0.25 + 0.3) ** 0.5), Normal(0.0, 1.0)).item()
    found = evaluation.aggregate_kl(mean, log_variance, seed=1)
    error = 3 * found.upper.standard_error
    assert found.lower.value < found.upper.value
    assert found.lower.value - error < exact < found.upper.value + error
    assert found.upper.value - found.lower.value < 0.01


def test_aggregate_kl_is_that_of_the_mixture_itself(monkeypatch):
    monkeypatch.setattr(aggregate, "ROWS", 7)
    mean, log_variance = torch.randn(30, 3), torch.randn(30, 3)
    found = evaluation.aggregate_kl(mean, log_variance, seed=5)
    noise = torch.randn(30, 3, generator=streams.generator(5, streams.Stream.AGGREGATE))
    z = mean + noise * (0.5 * log_variance).exp()
    pairs = Independent(Normal(mean, (0.5 * log_variance).exp()), 1).log_prob(z.unsqueeze(1))
    log_p = Independent(Normal(torch.zeros(3), torch.ones(3)), 1).log_prob(z)
    upper = (pairs.logsumexp(1) - math.log(30) - log_p).mean().item()
    others = pairs.masked_fill(torch.eye(30, dtype=torch.bool), -math.inf)
    lower = (others.logsumexp(1) - math.log(29) - log_p).mean().item()
    assert found.upper.value == pytest.approx(upper, abs=1e-4)
    assert found.lower.value == pytest.approx(lower, abs=1e-4)


def test_normality_tells_a_normal_from_a_uniform():
    torch.manual_seed(1)
    normal = normality(torch.randn(5000))
    assert abs(normal.mean) < 0.05
    assert normal.variance == pytest.approx(1, abs=0.06)
    assert normal.distance < 0.025
    assert normal.p_value > 1e-3
    uniform = normality(torch.rand(5000))
    assert uniform.excess_kurtosis == pytest.approx(-1.2, abs=0.05)
    assert uniform.distance == pytest.approx(0.5, abs=0.01)
    assert uniform.p_value < 1e-6
    exponential = normality(-torch.rand(20_000).log())
    assert exponential.skewness == pytest.approx(2, abs=0.3)
    with pytest.raises(lb.errors.ConfigurationError, match="at least 20 values"):
        normality(torch.randn(19))


def test_distance_agreement_is_one_on_a_line_and_lower_on_a_walk_that_returns():
    z = torch.linspace(-1.6, 1.6, 7).unsqueeze(1)
    line = z.reshape(7, 1, 1, 1) * torch.rand(1, 1, 5, 5)
    assert distance_agreement(z, line) == pytest.approx(1)
    assert distance_agreement(z, 3 * z) == pytest.approx(1)
    assert distance_agreement(z, line.square()) < 0.9


def test_widest_dimensions_are_those_of_highest_variance():
    codes = torch.randn(500, 4) * torch.tensor([0.1, 3.0, 0.5, 2.0])
    assert systems.widest(codes) == (1, 3)
