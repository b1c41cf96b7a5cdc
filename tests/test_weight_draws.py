"""Models with draws of their weights: each draw is what its weights alone are, and all are one."""

from __future__ import annotations

import copy
import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

import lowerbound as lb
from lowerbound.errors import ConfigurationError
from lowerbound.evaluation import weight_log_likelihoods
from test_contracts import BATCH, LATENT, LIKELIHOODS, POSTERIORS, ROWS, SEQUENCES, SHAPE

M, SAMPLES = 3, 2
PARTS = {**LIKELIHOODS, **POSTERIORS} | {
    name: lambda _, name=name: (ROWS | SEQUENCES)[name]
    for name in ("Heterogeneous", "Autoregressive")
}
CODED = {
    "Nominal": slice(None),
    "Ordinal": slice(None),
    "Autoregressive": slice(None),
    "Heterogeneous": [0],
}


def like(module: nn.Module) -> nn.Module:
    """The same part with weights near its own."""
    near = copy.deepcopy(module).eval()
    with torch.no_grad():
        for weight in (*near.parameters(), *near.buffers()):
            if weight.is_floating_point():
                weight.mul_(1 + 0.3 * torch.rand(weight.shape))
    return near


@pytest.mark.parametrize("name", PARTS)
@torch.no_grad()
def test_a_part_with_draws_is_the_mixture_of_them(name):
    module = PARTS[name](0).eval()
    given = torch.rand(BATCH, *SHAPE) if name in POSTERIORS else torch.randn(BATCH, LATENT)
    drawn = [like(module) for _ in range(M)]
    p = lb.WeightDraws.of(module, [each.state_dict() for each in drawn])(given)
    each = [one(given) for one in drawn]
    x = each[1].sample()
    assert p.sample((SAMPLES,)).shape == (SAMPLES, *x.shape)
    if name != "Deterministic":
        expected = torch.stack([one.log_prob(x) for one in each]).logsumexp(0) - math.log(M)
        torch.testing.assert_close(p.log_prob(x), expected)
    means = torch.stack([one.mean for one in each])
    expected = means.mean(0)
    if name in CODED:
        expected[..., CODED[name]] = means[..., CODED[name]].mode(0).values
    torch.testing.assert_close(p.mean, expected)


def test_a_part_may_share_weights_inside_itself():
    network = nn.Sequential(nn.Linear(LATENT, LATENT), nn.ReLU(), nn.Linear(LATENT, LATENT))
    network[2].weight = network[0].weight
    drawn = lb.WeightDraws(network, M)
    drawn.module[0].weight.data *= torch.arange(1, M + 1).reshape(M, 1, 1)
    z = torch.randn(BATCH, LATENT)
    found = torch.cat(list(drawn.each(lambda module: module(z), z.numel())))
    for k in range(M):
        W, (b, c) = (k + 1) * network[0].weight, (network[i].bias for i in (0, 2))
        torch.testing.assert_close(found[k], (z @ W.T + b).relu() @ W.T + c)


def test_samples_are_of_all_draws_alike():
    likelihood = lb.Gaussian(lb.MLP(1, (), 1), (1,), 0.01)
    drawn = [{n: torch.full_like(t, i) for n, t in likelihood.state_dict().items()} for i in (0, 2)]
    p = lb.WeightDraws.of(likelihood, drawn)(torch.zeros(4000, 1))
    x = p.sample()
    assert abs(x.mean() - 1) < 5 / 4000**0.5
    assert ((x < 0.1) | (x > 1.9)).all()


def linear_gaussian(draws: int, *, paired: bool) -> tuple[lb.VAE, list[MultivariateNormal]]:
    """p(x|z, θₘ) = N(wₘ z + bₘ, σ² I) with z ~ N(0, 1), and p(x|θₘ).

    The encoder, or every draw's, is p(z|x, θₘ) itself: N(wᵀ(x − b)/(wᵀw + σ²), σ²/(wᵀw + σ²)).
    """
    sigma, decoders, encoders, exact = 0.5, [], [], []
    first = torch.randn(3, 2).double()
    for _ in range(draws):
        w, b = (first + 0.05 * torch.randn(3, 2)).split(1, 1)
        b = b.flatten()
        precision = (w.T @ w + sigma**2).item()
        back = torch.cat((w.T / precision, torch.zeros(1, 3)))
        constant = torch.tensor([-(w.T @ b).item() / precision, math.log(sigma**2 / precision)])
        for network, weight, bias in ((decoders, w, b), (encoders, back, constant)):
            network.append({"network.layers.0.weight": weight, "network.layers.0.bias": bias})
        exact.append(MultivariateNormal(b, w @ w.T + sigma**2 * torch.eye(3)))
    likelihood = lb.Gaussian(lb.MLP(1, (), 3), (3,), sigma)
    posterior = lb.DiagonalGaussian(lb.MLP(3, (), 2), 1)
    posterior.load_state_dict(encoders[0])
    if paired:
        posterior = lb.WeightDraws.of(posterior, encoders)
    model = lb.VAE(lb.StandardNormal(1), posterior, lb.WeightDraws.of(likelihood, decoders))
    return model.double(), exact


def test_log_likelihoods_are_exact_with_the_exact_posterior_of_each_draw():
    model, exact = linear_gaussian(M, paired=True)
    x = torch.randn(7, 3).double()
    expected = torch.stack([p.log_prob(x) for p in exact])
    torch.testing.assert_close(weight_log_likelihoods(model, x, samples=2), expected)


def test_log_likelihoods_are_importance_weighted_by_the_encoder_that_draws_share():
    model, exact = linear_gaussian(M, paired=False)
    x = exact[0].sample((50,))
    found = weight_log_likelihoods(model, x, samples=2000)
    expected = torch.stack([p.log_prob(x) for p in exact])
    torch.testing.assert_close(found[0], expected[0])  # whose posterior the encoder is
    assert (found - expected).abs().max() < 0.05
    of_one = weight_log_likelihoods(model, x, samples=1)
    assert (of_one - expected)[1:].mean() < -1e-3  # a lower bound


@pytest.mark.parametrize("paired", [False, True])
def test_log_likelihoods_of_a_row_do_not_depend_on_the_others(paired):
    torch.manual_seed(0)
    likelihood, posterior = LIKELIHOODS["Bernoulli"](0), POSTERIORS["DiagonalGaussian"](0)
    drawn = lb.WeightDraws.of(likelihood, [like(likelihood).state_dict() for _ in range(M)])
    if paired:
        posterior = lb.WeightDraws.of(posterior, [posterior.state_dict()] * M)
    model = lb.VAE(lb.StandardNormal(LATENT), posterior, drawn)
    x = (torch.rand(600, *SHAPE) > 0.5).float()
    found = weight_log_likelihoods(model, x)
    assert found.shape == (M, 600)
    for rows in (3, 510):
        torch.testing.assert_close(weight_log_likelihoods(model, x[:rows]), found[:, :rows])
    # The draws of the weights have the same noise, so that equal weights have equal likelihoods.
    drawn.module.load_state_dict({k: v[:1].expand_as(v) for k, v in drawn.stacked().items()})
    alike = weight_log_likelihoods(model, x[:3])
    torch.testing.assert_close(alike, alike[:1].expand_as(alike))


def test_a_model_with_draws_is_saved_and_works_as_a_model(tmp_path):
    torch.manual_seed(0)
    likelihood = LIKELIHOODS["Bernoulli"](0)
    drawn = lb.WeightDraws.of(likelihood, [like(likelihood).state_dict() for _ in range(M)])
    posterior = lb.WeightDraws(POSTERIORS["DiagonalGaussian"](0), M)
    model = lb.VAE(lb.StandardNormal(LATENT), posterior, drawn)
    x = (torch.rand(BATCH, *SHAPE) > 0.5).float()
    lb.save(model, tmp_path)
    loaded = lb.load(tmp_path)
    assert torch.equal(weight_log_likelihoods(loaded, x), weight_log_likelihoods(model.eval(), x))
    assert loaded.embed(x).shape == (BATCH, LATENT)
    assert loaded.reconstruct(x).shape == loaded.sample(BATCH, seed=0).shape == (BATCH, *SHAPE)
    found = lb.evaluate(loaded, x, samples=20)
    assert found.importance_weighted.value >= found.elbo.value


def test_a_model_of_a_single_set_of_weights_is_told_what_makes_draws():
    model = lb.VAE(
        lb.StandardNormal(LATENT), POSTERIORS["DiagonalGaussian"](0), LIKELIHOODS["Bernoulli"](0)
    )
    with pytest.raises(
        ConfigurationError, match=r"expected a model with draws of its weights.*SGHMC"
    ):
        weight_log_likelihoods(model, torch.zeros(2, *SHAPE))
