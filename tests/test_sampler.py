"""Draws of weights are of the exact posterior, where one is known."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor, nn

import lowerbound as lb
from lowerbound.errors import ConfigurationError
from lowerbound.evaluation import bulk_ess, convergence, split_r_hat, weight_log_likelihoods
from lowerbound.training.sghmc import Chain, drawn_precision

CHAINS, STEPS = 64, 10


def chain_of(theta: nn.Parameter, examples: int, **settings: float) -> Chain:
    sampler = lb.SGHMC(burn_in=40, **settings)
    return Chain(sampler, [theta], examples=examples, steps=STEPS, seed=0)


def run(chain: Chain, mean_gradient, epochs: int) -> Tensor:
    """The draws after burn-in, one an epoch, of what the gradient of the mean loss is given."""
    (theta,), kept = chain.parameters, []
    for step in range(epochs * STEPS):
        theta.grad = mean_gradient(theta.detach())
        chain.step(step)
        if step >= chain.sampler.burn_in * STEPS and step % STEPS == 0:
            kept.append(theta.detach().clone())
    return torch.stack(kept, 1)


def test_draws_of_a_bayesian_linear_regression_are_of_its_exact_posterior():
    """y = Xθ + σε, θ ~ N(0, I/λ), λ ~ Gamma(1, 1): exact given λ, whose posterior is summed over.

    The chains start apart, share λ, and have to come to the same.
    """
    n, sigma = 40, 2.0
    X = torch.randn(n, 3).double() @ torch.tensor([[1, 0.3, 0], [0, 0.9, 0], [0, 0, 1.0]]).double()
    y = X @ torch.tensor([1.0, -2.0, 0.5]).double() + sigma * torch.randn(n).double()
    theta = nn.Parameter(torch.randn(CHAINS, 3).double())
    chain = chain_of(theta, n, step_size=0.04, friction=0.2)
    draws = run(chain, lambda t: (t @ X.T - y) @ X / sigma**2 / n, 240)
    assert split_r_hat(draws).max() < 1.1

    precisions = torch.linspace(0.05, 5, 400).double()
    A = X.T @ X / sigma**2 + precisions[:, None, None] * torch.eye(3)
    covariance, means = A.inverse(), torch.linalg.solve(A, X.T @ y / sigma**2)
    evidence = 0.5 * (
        3 * precisions.log() - A.logdet() + (means * (A @ means[..., None])[..., 0]).sum(-1)
    )
    weights = (CHAINS * evidence - precisions).softmax(0)
    mean = weights @ means
    spread = means - mean
    exact = torch.einsum("i,iab->ab", weights, covariance + spread[..., None] * spread[:, None])

    flat, worth = draws.flatten(0, 1), bulk_ess(draws).min()
    error = (flat.mean(0) - mean) / exact.diagonal().sqrt()
    assert error.abs().max() < 4 / worth**0.5
    assert worth > 600
    torch.testing.assert_close(flat.T.cov(), exact, rtol=0.12, atol=0.05 * exact.max().item())


def test_the_noise_of_mini_batches_is_made_up_for():
    """U = H(θ − μ)²/2 from gradients of noise s, which alone heats by half: the variance is 1/H."""
    H, s, mu, n = 2.0, 10.0, 20.0, 10
    epsilon, friction = 0.1, 0.1
    assert epsilon**2 * s / (2 * friction) == pytest.approx(0.5)
    theta = nn.Parameter(mu + torch.randn(256).double())
    chain = chain_of(theta, n, step_size=epsilon, friction=friction)
    generator = torch.Generator().manual_seed(0)

    def mean_gradient(theta: Tensor) -> Tensor:
        return (H * (theta - mu) + s * torch.randn(256, generator=generator).double()) / n

    draws = run(chain, mean_gradient, 220)
    torch.testing.assert_close(chain.V[0].mean().item(), s**2, rtol=0.1, atol=0)
    assert abs(draws.var(1).mean() * H - 1) < 0.1
    assert abs(draws.mean() - mu) < 0.1
    assert chain.too_hot() == 0


def test_a_step_that_is_too_large_for_the_gradients_noise_is_told():
    theta = nn.Parameter(torch.zeros(8))
    chain = chain_of(theta, 1000)
    run(chain, lambda t: 10 * torch.randn(8), 41)
    assert chain.too_hot() == 1


def test_the_precision_of_weights_is_drawn_from_its_conditional():
    theta = torch.full((6,), 2.0)
    drawn = torch.stack([drawn_precision(theta) for _ in range(4000)])
    shape, rate = 1 + 6 / 2, 1 + 6 * 4 / 2
    assert abs(drawn.mean() - shape / rate) < 5 * shape**0.5 / rate / 4000**0.5
    assert abs(drawn.var() / (shape / rate**2) - 1) < 0.2


def linear_gaussian() -> tuple[lb.VAE, Tensor]:
    """x = Wz + b + σε, the columns of W orthogonal, so that p(z|x), the encoder, is diagonal."""
    W, b, sigma = 3 * torch.linalg.qr(torch.randn(30, 2)).Q, torch.randn(30), 0.5
    x = torch.randn(100, 2) @ W.T + b + sigma * torch.randn(100, 30)
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(lb.MLP(30, (), 4), 2),
        lb.Gaussian(lb.MLP(2, (), 30), (30,), sigma),
    )
    back, log_variance = W.T / (9 + sigma**2), torch.tensor(sigma**2 / (9 + sigma**2)).log()
    for network, weight, bias in (
        (
            model.posterior.network,
            torch.cat((back, 0 * back)),
            torch.cat((-back @ b, log_variance.expand(2))),
        ),
        (model.likelihood.network, W, b),
    ):
        network.load_state_dict({"layers.0.weight": weight, "layers.0.bias": bias})
    model.posterior.requires_grad_(requires_grad=False)
    return model.double(), x.double()


def test_draws_of_a_linear_gaussian_decoder_are_of_its_exact_posterior():
    """Given q(z|x), −N · ELBO is quadratic in (W, b), and its rows are independent: a Gaussian."""
    model, x = linear_gaussian()
    sampler = {"burn_in": 60, "step_size": 0.03, "friction": 0.3}
    training = settings(epochs=260, batch_size=100, sampler=sampler)
    lb.fit(model, x, training=training, callbacks=[], device="cpu")
    drawn = model.likelihood.stacked()
    W, b = drawn["network.layers.0.weight"], drawn["network.layers.0.bias"]
    theta = torch.cat((W, b[..., None]), -1)  # (M, 30, 3)

    q = model.encode(x)
    features = torch.cat((q.mean, torch.ones(100, 1)), -1)
    squares = features.T @ features
    squares[:2, :2] += q.variance.sum(0).diag()
    A = squares / 0.25 + torch.eye(3)
    mean = torch.linalg.solve(A, features.T @ x / 0.25).T
    errors = (theta - mean) @ torch.linalg.cholesky(A)  # N(0, I) each
    assert errors.mean(0).square().mean() < 2 / bulk_ess(errors[None]).median()
    covariance = errors.flatten(0, 1).T.cov(correction=0)
    torch.testing.assert_close(covariance, torch.eye(3).double(), rtol=0, atol=0.3)


def settings(**more) -> lb.Training:
    sampler = lb.SGHMC(**{"burn_in": 2} | more.pop("sampler", {}))
    return lb.Training(**{"epochs": 6, "batch_size": 50, "sampler": sampler} | more)


@pytest.mark.parametrize("of", ["likelihood", "both"])
def test_a_run_that_is_resumed_keeps_the_same_draws(of, tmp_path):
    def model() -> tuple[lb.VAE, Tensor]:
        torch.manual_seed(0)
        made, x = linear_gaussian()
        made.posterior.requires_grad_(requires_grad=True)
        return made, x

    def trained(folder: str, **more) -> lb.VAE:
        made, x = model()
        arguments = {"out": tmp_path / folder, "callbacks": [], "device": "cpu"} | more
        epochs = arguments.pop("epochs")
        lb.fit(made, x, training=settings(epochs=epochs, sampler={"of": of}), **arguments)
        return lb.load(tmp_path / folder)

    whole = trained("whole", epochs=6)
    trained("parts", epochs=4)
    parts = trained("parts", epochs=6, resume=True)
    assert whole.likelihood.draws == parts.likelihood.draws == 4
    assert isinstance(whole.posterior, lb.WeightDraws) == (of == "both")
    for (name, ours), theirs in zip(
        whole.state_dict().items(), parts.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs), name
    _, x = model()
    found = weight_log_likelihoods(whole, x)
    assert (found.std(0) > 0).all()
    kept = lb.storage.read_information(tmp_path / "parts")["weight_draws"]
    assert kept["draws"] == 4
    assert kept["r_hat"] > 0


class Normalised(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, 30), nn.BatchNorm1d(30))

    def forward(self, z: Tensor, context: None = None) -> Tensor:
        return self.layers(z)


def unfit(name: str) -> lb.VAE:
    model, _ = linear_gaussian()
    parts = {"prior": model.prior, "posterior": model.posterior, "likelihood": model.likelihood}
    decoder, frozen = lb.MLP(2, (), 30), lb.MLP(2, (), 30).requires_grad_(requires_grad=False)
    changed = {
        "batch norm": {"likelihood": lb.Gaussian(Normalised(), (30,), 0.5)},
        "optimal": {"likelihood": lb.Gaussian(decoder, (30,), "optimal")},
        "deterministic": {"posterior": lb.Deterministic(lb.MLP(30, (), 2), 2)},
        "nothing": {"likelihood": lb.Gaussian(frozen, (30,), 0.5)},
        "draws": {"likelihood": lb.WeightDraws(model.likelihood, 3)},
        "bound": {"prior": lb.VampPrior((30,), 4)},
        "shared": {"prior": lb.ConditionalGaussian(model.likelihood.network, 2)},
    }
    model.posterior.requires_grad_(requires_grad=True)
    return lb.VAE(**parts | changed[name]).float()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("batch norm", "expected a likelihood that is the same in training mode"),
        ("optimal", "expected a likelihood that is the same in training mode"),
        ("deterministic", "expected a posterior with a density"),
        ("nothing", "expected a likelihood with weights to sample"),
        ("draws", "expected a model of one set of weights"),
        ("bound", "expected a prior of its own"),
        ("shared", "expected weights that are either sampled or trained"),
    ],
)
def test_what_cannot_be_sampled_is_refused_before_any_work(name, message):
    of = "both" if name == "bound" else "likelihood"
    with pytest.raises(ConfigurationError, match=message):
        lb.fit(unfit(name), torch.randn(100, 30), training=settings(sampler={"of": of}))


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"clip_norm": 1.0}, "expected no clip_norm with a sampler"),
        ({"patience": 3}, "expected no patience"),
        ({"ema": 0.9}, "expected no ema"),
        ({"compile": True}, "expected no compile"),
        ({"epochs": 2}, "expected at least 3 epochs"),
    ],
)
def test_settings_that_do_not_go_with_a_sampler_are_refused(more, message):
    with pytest.raises(ConfigurationError, match=message):
        settings(**more)


def test_a_recipes_sampler_is_set_by_name():
    recipe = lb.recipes.RECIPES["mlp"]
    _, training = recipe.merged({"sampler.burn_in": 5, "sampler": "SGHMC", "epochs": 9})
    assert training.sampler == lb.SGHMC(burn_in=5)
    assert recipe.merged({"sampler": None})[1].sampler is None
    with pytest.raises(ConfigurationError, match=r"sampler\.burn_in"):
        recipe.merged({"burn_in": 5})


def test_r_hat_and_effective_draws_of_an_autoregression():
    """xₜ = φ xₜ₋₁ + ε: each draw is worth (1 − φ)/(1 + φ) independent ones."""
    for phi in (-0.5, 0.0, 0.9):
        x = torch.randn(4, 1000, 60).double()
        x[:, 0] /= (1 - phi**2) ** 0.5
        for t in range(1, 1000):
            x[:, t] += phi * x[:, t - 1]
        assert abs(bulk_ess(x).mean() / 4000 / ((1 - phi) / (1 + phi)) - 1) < 0.08
        assert split_r_hat(x).median() < 1.02
    assert split_r_hat(x + torch.arange(4)[:, None, None]).min() > 1.05


def test_examples_that_a_draw_finds_impossible_say_nothing_of_convergence():
    chain = torch.randn(50, 8, generator=torch.Generator().manual_seed(0))
    impossible = torch.full((50, 1), -math.inf)
    impossible[:25] = 0
    found = convergence(torch.cat((chain, impossible), 1))
    assert found == convergence(chain)
    with pytest.raises(ConfigurationError, match="under every weight draw, got none"):
        convergence(impossible)
