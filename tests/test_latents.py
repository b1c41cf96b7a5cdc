"""Priors and posteriors beyond independent normals: exact cases and hand-written densities."""

from __future__ import annotations

import copy
import math
from functools import partial

import pytest
import torch
from torch.distributions import (
    Categorical,
    Independent,
    MixtureSameFamily,
    MultivariateNormal,
    Normal,
    kl_divergence,
)

import lowerbound as lb
from lowerbound import distributions, divergences
from lowerbound.distributions import composed
from lowerbound.errors import ConfigurationError, ShapeError

X, SIGMA = 5, 0.5


def double(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def full_normal(batch: int, d: int) -> distributions.FullNormal:
    L = double(batch, d, d).tril()
    return distributions.FullNormal(double(batch, d), L + (2 - L).tril().triu() + torch.eye(d))


def as_torch(normal) -> MultivariateNormal:
    L = normal.L if hasattr(normal, "L") else normal.variance.sqrt().diag_embed()
    return MultivariateNormal(normal.mean, scale_tril=L)


def test_full_normal_is_torchs():
    q = full_normal(4, 3)
    z = double(7, 4, 3)
    torch.testing.assert_close(q.log_prob(z), as_torch(q).log_prob(z))
    torch.testing.assert_close(q.log_prob(z[0]), as_torch(q).log_prob(z[0]))
    one = distributions.FullNormal(q.mean[0], q.L[0])
    torch.testing.assert_close(one.log_prob(z), as_torch(one).log_prob(z))
    torch.testing.assert_close(q.covariance, as_torch(q).covariance_matrix)
    torch.testing.assert_close(q.variance, as_torch(q).variance)
    drawn = q.rsample((40_000,))
    covariance = torch.stack([torch.cov(drawn[:, i].T) for i in range(4)])
    torch.testing.assert_close(covariance, q.covariance, atol=0.3, rtol=0.05)


@pytest.mark.parametrize("other", ["standard", "diagonal", "full"])
def test_divergences_of_full_normals_are_torchs(other):
    q = full_normal(4, 3)
    p = {
        "standard": distributions.StandardNormal(torch.zeros(4, 3, dtype=torch.float64)),
        "diagonal": distributions.DiagonalNormal(double(4, 3), double(4, 3)),
        "full": full_normal(4, 3),
    }[other]
    exact = kl_divergence(q, p)
    torch.testing.assert_close(exact, kl_divergence(as_torch(q), as_torch(p)))
    estimate, error = divergences.monte_carlo_kl(q, p, 20_000)
    assert ((estimate - exact).abs() < 4.5 * error).all()
    if other == "diagonal":
        expected = kl_divergence(as_torch(p), as_torch(q))
        torch.testing.assert_close(kl_divergence(p, q), expected)


def test_the_divergence_from_one_prior_for_all_examples():
    q = full_normal(4, 3)
    p = distributions.StandardNormal(torch.zeros(3, dtype=torch.float64))
    expected = kl_divergence(as_torch(q), as_torch(p).expand((4,)))
    torch.testing.assert_close(kl_divergence(q, p), expected)


# Linear-Gaussian models, whose evidence and posteriors are known.


def linear(network: lb.MLP, weight: torch.Tensor, bias: torch.Tensor) -> lb.MLP:
    network = network.double()
    network.layers[0].weight.data, network.layers[0].bias.data = weight, bias
    return network


def conditional(C: torch.Tensor, targets: slice, given: list[int]) -> lb.FullGaussian:
    """N(z_targets; W y_given, LLᵀ), the exact conditional of a joint N(0, C)."""
    weight = torch.linalg.solve(C[given][:, given], C[given][:, targets]).T
    L = torch.linalg.cholesky(C[targets, targets] - weight @ C[given][:, targets])
    d = len(weight)
    row, column = torch.tril_indices(d, d, -1)
    bias = torch.cat((torch.zeros(d).double(), 2 * L.diagonal().log(), L[row, column]))
    weight = torch.cat((weight, weight.new_zeros(len(bias) - d, len(given))))
    return lb.FullGaussian(linear(lb.MLP(len(given), (), len(bias)), weight, bias), d)


def factor_model() -> tuple[torch.Tensor, torch.Tensor]:
    """W of p(x|z) = N(Wz, σ²), z in two dimensions, correlated given x; and Cov(z, x)."""
    W = 0.5 * double(X, 2) + 1.0
    top = torch.cat((torch.eye(2).double(), W.T), 1)
    return W, torch.cat((top, torch.cat((W, W @ W.T + SIGMA**2 * torch.eye(X)), 1)))


def test_full_covariance_reaches_the_evidence_that_a_diagonal_one_cannot():
    W, C = factor_model()
    x = double(30, 2) @ W.T + SIGMA * double(30, X)
    evidence = MultivariateNormal(torch.zeros(X).double(), C[2:, 2:]).log_prob(x)
    likelihood = lb.Gaussian(linear(lb.MLP(2, (), X), W, torch.zeros(X).double()), (X,), SIGMA)
    exact = conditional(C, slice(0, 2), list(range(2, 2 + X)))
    model = lb.VAE(lb.StandardNormal(2).double(), exact, likelihood)
    torch.testing.assert_close(model.draws(x, 4).log_w, evidence.expand(4, -1))

    # The best diagonal one has the exact mean and variances 1/Λᵢᵢ: ½ (Σ log Λᵢᵢ − log |Λ|) short.
    precision = torch.eye(2) + W.T @ W / SIGMA**2
    weight, bias = (p.detach().clone() for p in exact.network.parameters())
    diagonal = linear(
        lb.MLP(X, (), 4),
        torch.cat((weight[:2], weight.new_zeros(2, X))),
        torch.cat((bias[:2], -precision.diagonal().log())),
    )
    gap = 0.5 * (precision.diagonal().log().sum() - precision.logdet())
    assert gap > 0.2
    model = lb.VAE(lb.StandardNormal(2).double(), lb.DiagonalGaussian(diagonal, 2), likelihood)
    bound = lb.ELBO(samples=4000)(model, x).bound.mean()
    torch.testing.assert_close(bound, evidence.mean() - gap, atol=0.02, rtol=0)


def chain_model() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, lb.HierarchicalPrior]:
    """B, the joint covariance of (z₁, z₂, x), draws of x, and the prior.

    z₂ ~ N(0, 1), z₁|z₂ ~ N(A z₂, Q), x|z₁ ~ N(B z₁, σ²).
    """
    A, B = double(2, 1), double(X, 2)
    R = double(2, 2)
    Q = R @ R.T + 0.3 * torch.eye(2)
    one = torch.ones(1, 1).double()
    z = torch.cat((torch.cat((A @ A.T + Q, A), 1), torch.cat((A.T, one), 1)))
    to_x = torch.cat((B, torch.zeros(X, 1).double()), 1)
    noise = SIGMA**2 * torch.eye(X)
    C = torch.cat(
        (torch.cat((z, z @ to_x.T), 1), torch.cat((to_x @ z, to_x @ z @ to_x.T + noise), 1))
    )
    x = MultivariateNormal(torch.zeros(X).double(), C[3:, 3:]).sample((20,))
    below = conditional(C, slice(0, 2), [2])
    return B, C, x, lb.HierarchicalPrior(lb.StandardNormal(1).double(), (below,))


def exact_posterior(C: torch.Tensor, direction: str) -> torch.nn.Module:
    data = list(range(3, 3 + X))
    if direction == "bottom up":
        return lb.BottomUpPosterior(
            (conditional(C, slice(0, 2), data), conditional(C, slice(2, 3), [0, 1]))
        )
    identity = linear(lb.MLP(X, (), X), torch.eye(X).double(), torch.zeros(X).double())
    layers = (conditional(C, slice(0, 2), [*data, 2]), conditional(C, slice(2, 3), data))
    return lb.TopDownPosterior(identity, layers)


@pytest.mark.parametrize("direction", ["bottom up", "top down"])
def test_a_chain_of_gaussian_layers_has_the_exact_evidence(direction):
    B, C, x, prior = chain_model()
    decoder = linear(lb.MLP(2, (), X), B, torch.zeros(X).double())
    likelihood = lb.Gaussian(lb.networks.Leading(decoder, 2), (X,), SIGMA)
    model = lb.VAE(prior, exact_posterior(C, direction), likelihood)
    evidence = MultivariateNormal(torch.zeros(X).double(), C[3:, 3:]).log_prob(x)
    torch.testing.assert_close(model.draws(x, 3).log_w, evidence.expand(3, -1))
    assert model.latent_dim == 3

    # The mean and the KL of the whole are those of one Gaussian over (z₁, z₂).
    weight = torch.linalg.solve(C[3:, 3:], C[3:, :3]).T
    joint = MultivariateNormal(x @ weight.T, C[:3, :3] - weight @ C[3:, :3])
    q, p = model.posterior(x), model.prior()
    torch.testing.assert_close(q.mean, joint.mean)
    whole = kl_divergence(joint, MultivariateNormal(torch.zeros(3).double(), C[:3, :3]))
    z = q.sample((4000,))
    layers = q.kl_per_layer(p, z)
    assert layers.shape == (20, 2)
    torch.testing.assert_close(layers.sum(-1), whole, atol=0.15, rtol=0)
    torch.testing.assert_close(divergences.kl(q, p, z), layers.sum(-1))
    plain = q.log_prob(z) - p.log_prob(z)
    torch.testing.assert_close(plain.mean(0), whole, atol=0.15, rtol=0)
    if direction == "top down":
        # KL(q(z₂|x) ‖ p(z₂)) is exact, and that of z₁ is averaged over parents alone.
        top = kl_divergence(q.first, p.first)
        torch.testing.assert_close(layers[:, 1], top)
        assert q.kl_per_layer(p, z[:50]).sum(-1).sub(whole).abs().mean() < 0.1


# Flows.


@pytest.mark.parametrize("univariate", ["affine", "spline"])
@pytest.mark.parametrize("coupling", [False, True])
def test_a_flows_density_is_the_change_of_variables(univariate, coupling):
    d = 3
    network = lb.MLP(X, (), 2 * d + 2)
    posterior = lb.FlowPosterior(network, d, 2, 2, (8,), univariate, coupling=coupling).double()
    q = posterior(double(1, X))
    noise = double(1, d)
    J = torch.autograd.functional.jacobian(lambda e: q.at(e[None])[0], noise[0])
    volume = J.slogdet()[1]
    expected = Normal(0.0, 1.0).log_prob(noise).sum(-1) - volume
    torch.testing.assert_close(q.log_prob(q.at(noise)), expected)
    assert volume.abs() > 0.01


@pytest.mark.parametrize("univariate", ["affine", "spline"])
def test_a_flow_priors_density_is_the_change_of_variables(univariate):
    p = lb.FlowPrior(3, 2, (8,), univariate, context_dim=2).double()(double(1, 2))
    noise = double(1, 3)
    J = torch.autograd.functional.jacobian(lambda e: p.at(e[None])[0], noise[0])
    expected = Normal(0.0, 1.0).log_prob(noise).sum(-1) - J.slogdet()[1]
    torch.testing.assert_close(p.log_prob(p.at(noise)), expected)


def test_drawing_and_judging_is_one_pass_and_the_judged_gradient_is_right():
    posterior = lb.FlowPosterior(lb.MLP(X, (), 8), 4, 0, 3, (8,)).double()
    passes = []
    for layer in posterior.flow.transforms:
        layer.hyper.register_forward_hook(lambda *_: passes.append(1))
    x = double(6, X)
    q = posterior(x)
    z, log_q = q.rsample_and_log_prob((2,))
    assert len(passes) == 3
    # As if z had come from elsewhere: inverted, with the same gradient by the weights.
    found = torch.autograd.grad(log_q.sum(), list(posterior.parameters()), retain_graph=True)
    inverted = posterior(x).log_prob(z)
    expected = torch.autograd.grad(inverted.sum(), list(posterior.parameters()))
    for ours, theirs in zip(found, expected, strict=True):
        torch.testing.assert_close(ours, theirs)
    drawn = q.sample()
    assert q.log_prob(drawn).requires_grad
    model = lb.VAE(lb.StandardNormal(4), posterior, lb.Gaussian(lb.MLP(4, (), X), (X,))).double()
    passes.clear()
    d = model.draws(x, 2)
    torch.testing.assert_close(d.kl, d.log_ratio.mean(0))
    assert len(passes) == 3
    torch.testing.assert_close(d.log_q, d.q.log_prob(d.z))


def test_flows_keep_their_digits_in_mixed_precision():
    posterior = lb.FlowPosterior(lb.MLP(X, (), 8), 4, 0, 2, (8,), "spline")
    x = torch.randn(6, X)
    with torch.autocast("cpu", torch.bfloat16):
        q = posterior(x)
        z, log_q = q.rsample_and_log_prob()
    assert (z.dtype, log_q.dtype) == (torch.float32, torch.float32)
    torch.testing.assert_close(log_q, q.log_prob(z), atol=1e-4, rtol=1e-4)


# Mixtures.


def test_a_mixture_is_torchs_however_it_is_cut(monkeypatch):
    logits, mean, log_variance = double(3, 4), double(3, 4, 2), double(3, 4, 2)
    ours = distributions.Mixture(
        logits.log_softmax(-1), distributions.DiagonalNormal(mean, log_variance)
    )
    components = Independent(Normal(mean, (0.5 * log_variance).exp()), 1)
    theirs = MixtureSameFamily(Categorical(logits=logits), components)
    z = double(50, 3, 2)
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
    torch.testing.assert_close(ours.mean, theirs.mean)
    monkeypatch.setattr(composed, "ELEMENTS", 100)
    torch.testing.assert_close(ours.log_prob(z), theirs.log_prob(z))
    torch.testing.assert_close(ours.log_prob(z[0]), theirs.log_prob(z[0]))
    drawn = ours.sample((40, 100))
    assert drawn.shape == (40, 100, 3, 2)
    error = drawn.flatten(0, 1).std(0) / 4000**0.5
    assert ((drawn.mean((0, 1)) - theirs.mean).abs() < 4.5 * error).all()


def test_a_mixture_of_narrow_gaussians_far_out_keeps_its_digits_in_float32():
    mean, log_variance = 30 * torch.randn(50, 8), torch.randn(50, 8) - 9
    z = mean[:20] + 0.01 * torch.randn(20, 8)
    log_weights = torch.full((50,), -math.log(50))
    ours = distributions.Mixture(log_weights, distributions.DiagonalNormal(mean, log_variance))
    exact = MixtureSameFamily(
        Categorical(logits=log_weights.double()),
        Independent(Normal(mean.double(), (0.5 * log_variance.double()).exp()), 1),
    )
    assert ours.log_prob(z).dtype == torch.float32
    torch.testing.assert_close(ours.log_prob(z), exact.log_prob(z.double()).float())


def vamp(components: int = 6, classes: int = 0) -> lb.VAE:
    return lb.VAE(
        lb.VampPrior((X,), components),
        lb.DiagonalGaussian(lb.MLP(X, (7,), 4, context_dim=classes), 2),
        lb.Gaussian(lb.MLP(2, (7,), X, context_dim=classes), (X,)),
        context=lb.Labels(classes) if classes else None,
    )


@pytest.mark.parametrize("classes", [0, 3])
def test_vampprior_is_the_mixture_of_the_encoder_at_its_pseudo_inputs(classes):
    model = vamp(6, classes)
    z = torch.randn(4, 5, 2)
    c = torch.eye(3)[torch.tensor([0, 2, 1, 1, 0])] if classes else None
    expected = torch.zeros(4, 5)
    for i in range(5):
        for k in range(6):
            u = model.prior.pseudo_inputs[k : k + 1]
            numbers = (
                model.posterior.network(u)
                if c is None
                else model.posterior.network(u, c[i : i + 1])
            )
            mean, log_variance = numbers[0].chunk(2)
            density = Normal(mean, (0.5 * log_variance).exp()).log_prob(z[:, i]).sum(-1).exp()
            expected[:, i] += density / 6
    torch.testing.assert_close(model.prior(c).log_prob(z), expected.log())


def test_vampprior_counts_and_saves_the_posterior_once(tmp_path):
    model = vamp()
    names = dict(model.named_parameters())
    assert [name for name in names if name.startswith("prior")] == ["prior.pseudo_inputs"]
    assert lb.parts.describe(model.prior) == {"part": "VampPrior", "shape": [X], "components": 6}
    assert set(model.state_dict()) == set(names)
    again = lb.load(lb.save(model, tmp_path))
    z = torch.randn(4, 2)
    assert torch.equal(again.prior().log_prob(z), model.prior().log_prob(z))

    # A copy mixes the copy's posterior, and the prior's gradient reaches the encoder.
    other = copy.deepcopy(model)
    with torch.no_grad():
        other.posterior.network.layers[0].bias.add_(1)
    assert not torch.equal(other.prior().log_prob(z), model.prior().log_prob(z))
    model.prior().log_prob(z).sum().backward()
    assert model.posterior.network.layers[0].weight.grad.abs().sum() > 0
    x = torch.randn(6, X)
    model.prior.start_at(x)
    assert torch.equal(model.prior.pseudo_inputs, x)


def test_pseudo_inputs_on_every_example_make_the_prior_the_aggregate_posterior():
    """With uₖ the data, KL(q(z) ‖ p(z)) of the sample's own mixture is 0."""
    model, x = vamp(40), torch.randn(40, X)
    model.prior.start_at(x)
    mean, log_variance = model.posterior(x).mean, model.posterior(x).log_variance
    found = lb.evaluation.aggregate_kl(mean.detach(), log_variance.detach())
    q = model.posterior(x)
    torch.manual_seed(0)
    z = q.sample()
    log_p = -0.5 * (z**2 + math.log(2 * math.pi)).sum(-1)
    upper = (model.prior().log_prob(z) - log_p).mean()
    assert upper.item() == pytest.approx(found.upper.value, abs=4 * found.upper.standard_error)


def test_pseudo_inputs_of_counts_may_stray_below_zero():
    counts = lb.data.Dataset(torch.poisson(torch.full((30, 4), 3.0)))
    model = lb.recipes.mlp(
        counts, latent_dim=2, hidden=(8,), prior=partial(lb.VampPrior, components=3)
    ).model
    assert isinstance(model.posterior.network, lb.LogCounts)
    with torch.no_grad():
        model.prior.pseudo_inputs.sub_(10)
    assert model.prior().log_prob(torch.zeros(1, 2)).isfinite().all()


# The objectives with all of them.


def models() -> dict[str, lb.VAE]:
    def vae(posterior, prior=None):
        decoder = lb.MLP(3, (6,), X, "tanh")
        return lb.VAE(prior or lb.StandardNormal(3), posterior, lb.Gaussian(decoder, (X,)))

    def gaussian(inputs, size, context=0):
        return lb.DiagonalGaussian(lb.MLP(inputs, (), 2 * size, context_dim=context), size)

    chain = lb.HierarchicalPrior(lb.StandardNormal(1), (gaussian(1, 2),))
    diagonal = gaussian(X, 3)
    return {
        "full": vae(lb.FullGaussian(lb.MLP(X, (), 9), 3)),
        "flow": vae(lb.FlowPosterior(lb.MLP(X, (), 6), 3, 0, 2, (6,))),
        "coupling": vae(lb.FlowPosterior(lb.MLP(X, (), 8), 3, 2, 2, (6,), coupling=True)),
        "bottom up": vae(lb.BottomUpPosterior((gaussian(X, 2), gaussian(2, 1))), chain),
        "top down": vae(
            lb.TopDownPosterior(lb.MLP(X, (), 4), (gaussian(4, 2, 1), gaussian(4, 1))), chain
        ),
        "mixture": vae(diagonal, lb.GaussianMixture(3, 4)),
        "vamp": vae(diagonal, lb.VampPrior((X,), 4)),
        "flow prior": vae(diagonal, lb.FlowPrior(3, 2, (6,))),
    }


@pytest.mark.parametrize("name", models())
def test_one_importance_sample_is_the_elbo_in_expectation(name):
    model, x = models()[name], torch.randn(3, X)
    with torch.no_grad():
        log_w = model.draws(x, 5000).log_w
        elbo = lb.ELBO(samples=5000)(model, x).bound
        error = log_w.std(0) / 5000**0.5
        assert ((log_w.mean(0) - elbo).abs() < 5 * error * 2**0.5).all()
        iwae = lb.IWAE(samples=5000)(model, x).bound
    assert (iwae > elbo).all()


@pytest.mark.parametrize("name", ["full", "flow", "coupling", "bottom up", "top down"])
def test_dreg_has_the_same_expected_gradient(name):
    model, x = models()[name].double(), double(8, X)

    def gradient(kind: str) -> torch.Tensor:
        model.zero_grad()
        # Many copies of few examples: as many independent draws.
        terms = lb.IWAE(4, kind)(model, x.repeat(400, 1))
        terms.objective.mean().backward()
        return torch.cat([p.grad.flatten() for p in model.parameters()])

    drawn = {
        kind: torch.stack([gradient(kind) for _ in range(12)]) for kind in ("standard", "dreg")
    }
    error = sum(g.var(0) / 12 for g in drawn.values()).sqrt()
    difference = drawn["standard"].mean(0) - drawn["dreg"].mean(0)
    assert (difference.abs() < 6 * error + 1e-9).all()
    encoder = sum(p.numel() for p in model.prior.parameters())
    encoder = slice(encoder, encoder + sum(p.numel() for p in model.posterior.parameters()))
    assert drawn["dreg"][:, encoder].var(0).sum() < drawn["standard"][:, encoder].var(0).sum()


# What cannot be.


def test_free_bits_per_dimension_need_a_prior_and_posterior_that_factorise():
    for name in ("full", "vamp", "bottom up"):
        with pytest.raises(ConfigurationError, match="factorise over latent dimensions"):
            lb.ELBO(free_bits=0.1)(models()[name], torch.randn(3, X))


def test_evaluation_leaves_out_the_kl_of_each_dimension():
    for name, model in models().items():
        result = lb.evaluate(model, torch.randn(20, X), samples=5)
        assert result.kl_per_dimension is None, name
        assert result.importance_weighted.value > result.elbo.value - 1
        assert "KL" in str(result)


def test_what_does_not_fit_is_refused_in_one_sentence():
    likelihood = lb.Gaussian(lb.MLP(3, (), X), (X,))
    two = (
        lb.DiagonalGaussian(lb.MLP(X, (), 2), 1),
        lb.DiagonalGaussian(lb.MLP(1, (), 4), 2),
    )
    below = (lb.DiagonalGaussian(lb.MLP(1, (), 4), 2),)
    with pytest.raises(ShapeError, match=r"got sizes \[2, 1\] and \[1, 2\]"):
        lb.VAE(
            lb.HierarchicalPrior(lb.StandardNormal(1), below), lb.BottomUpPosterior(two), likelihood
        )
    with pytest.raises(ConfigurationError, match="expected a VampPrior in a VAE"):
        lb.VampPrior((X,), 3)()
    with pytest.raises(ShapeError, match="pseudo-inputs of the data's shape"):
        lb.VAE(lb.VampPrior((X + 1,), 3), models()["full"].posterior, likelihood)
    with pytest.raises(ShapeError, match="expected prepared data of shape"):
        lb.VampPrior((X,), 3).start_at(torch.zeros(4, X))
    with pytest.raises(ConfigurationError, match="expected a TopDownPosterior"):
        lb.VAE(
            lb.HierarchicalPrior(lb.VampPrior((X,), 3), below),
            models()["bottom up"].posterior,
            likelihood,
        )
    with pytest.raises(ConfigurationError, match="expected two or more layers, got 1"):
        lb.BottomUpPosterior(two[:1])
    with pytest.raises(ConfigurationError, match="expected one or more layers below the top"):
        lb.HierarchicalPrior(lb.StandardNormal(1), ())
    with pytest.raises(ConfigurationError, match="a context of 4 features for the FlowPrior"):
        lb.FlowPrior(2, context_dim=4)()


def test_the_mean_of_a_prior_has_its_shape_in_a_conditional_model():
    context = torch.eye(3)
    for prior in (lb.FlowPrior(4), lb.FlowPrior(4, context_dim=3), lb.GaussianMixture(4)):
        p = prior(context)
        assert p.mean.shape == (*p.batch_shape, *p.event_shape) == (3, 4)


def test_layers_below_a_vampprior_must_agree():
    def layers(*sizes):
        return tuple(lb.DiagonalGaussian(lb.MLP(2, (), 2 * size), size) for size in sizes)

    prior = lb.HierarchicalPrior(lb.VampPrior((X,), 4), layers(2))
    top = lb.DiagonalGaussian(lb.MLP(3, (), 4), 2)
    below = lb.DiagonalGaussian(lb.MLP(3, (), 6, context_dim=2), 3)
    posterior = lb.TopDownPosterior(lb.MLP(X, (), 3), (below, top))
    with pytest.raises(ShapeError, match=r"same sizes, got \[2\] and \[3\]"):
        lb.VAE(prior, posterior, lb.Bernoulli(lb.MLP(5, (), X), (X,)))
