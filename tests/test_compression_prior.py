"""Compression with a mixture as prior: its component is coded by bits-back, and costs nothing."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from typing import Any

import constriction
import numpy as np
import pytest
import torch

import lowerbound as lb
from lowerbound.compression import as_data, compress, decompress
from lowerbound.compression.coders import choices
from lowerbound.compression.exact_vae import ExactVAE
from lowerbound.compression.latent_grid import LatentGrid
from lowerbound.compression.mixture_prior import MixturePrior, as_mixture
from lowerbound.distributions import DiagonalNormal, Mixture
from lowerbound.errors import ConfigurationError, DataError, StorageError

SHAPE, LATENT = (1, 8, 8), 3
PRIORS = {
    "GaussianMixture": lambda: lb.GaussianMixture(LATENT, 4),
    "VampPrior": lambda: lb.VampPrior(SHAPE, 20),
}


def model(prior: str, **encoder: Any) -> lb.VAE:
    return lb.VAE(
        PRIORS[prior](),
        lb.DiagonalGaussian(lb.MLP(64, (32,), 2 * LATENT, **encoder), LATENT),
        lb.Bernoulli(lb.MLP(LATENT, (32,), 64), SHAPE),
        lb.Binarise(),
    ).eval()


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """Six thousand binarised digits."""
    x = lb.data.load("digits").train.x.repeat(5, 1, 1, 1)[:6_000] / 255
    return torch.bernoulli(x, generator=torch.Generator().manual_seed(0)).numpy().astype(np.uint8)


@pytest.fixture(scope="module", params=PRIORS)
def trained(request) -> lb.VAE:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    vae = model(request.param)
    training = lb.Training(epochs=8, batch_size=32, learning_rate=5e-3)
    lb.fit(vae, lb.data.load("digits").train, training=training, callbacks=[])
    return vae.eval()


def uniform(self: MixturePrior, codes: np.ndarray) -> Any:
    """In p(c|z)'s place."""
    return choices(torch.zeros(codes.size // self.latent_dim, self.components).double())


def test_the_file_is_as_large_as_the_bound_says(trained, digits, monkeypatch):
    made = compress(trained, digits)
    assert np.array_equal(decompress(trained, made.content), digits)
    elbo = lb.evaluate(trained, as_data(trained, digits), samples=4).elbo
    assert made.nats_per_example == pytest.approx(-elbo.value, rel=0.01)
    assert 0 < made.initial_bits < 100 * LATENT
    monkeypatch.setattr(MixturePrior, "responsibilities", uniform)
    larger = compress(trained, digits[:1000])
    assert np.array_equal(decompress(trained, larger.content), digits[:1000])
    assert larger.nats_per_example > 1.02 * made.nats_per_example


def gaussians(
    components: int, dimensions: int, reach: float, narrow: float, wide: float
) -> Mixture:
    """A mixture with unequal weights, of Gaussians of many sizes."""
    torch.manual_seed(components)
    mean = reach * (2 * torch.rand(components, dimensions) - 1).double()
    log_sigma = math.log(narrow) + math.log(wide / narrow) * torch.rand_like(mean)
    weights = torch.randn(components).double().log_softmax(-1)
    return Mixture(weights, DiagonalNormal(mean, 2 * log_sigma))


MIXTURES = {
    "standard": as_mixture(lb.StandardNormal(3)()),
    "one": gaussians(1, 3, 5.0, 0.3, 0.6),
    "overlapping": gaussians(6, 2, 1.0, 0.8, 1.2),
    "far and wide": gaussians(5, 3, 200.0, 0.1, 9.0),
    "many": gaussians(300, 8, 3.0, 0.1, 1.5),
}


def stack_of(words: int) -> Any:
    bits = np.random.default_rng(0).integers(0, 2**32, words, np.uint32)
    return constriction.stream.stack.AnsCoder(bits, seal=True)


def drawn(p: Mixture, prior: MixturePrior, n: int) -> np.ndarray:
    """Codes of n draws from p."""
    return (p.sample((n,)) * prior.grid.steps).round().int().numpy().ravel()


def growth(prior: MixturePrior, codes: np.ndarray) -> float:
    """Nats by which n codes make a stack grow; they must come off it again, and it be as it was."""
    stack = stack_of(len(codes))
    sealed = stack.get_compressed()
    coder = prior.coder(len(codes) // prior.latent_dim)
    left = coder.push(stack, codes)
    assert left <= len(sealed)
    grown = 32 * math.log(2) * (stack.num_words() - len(sealed))
    assert np.array_equal(coder.pop(stack), codes)
    assert np.array_equal(stack.get_compressed(), sealed)
    return grown


@pytest.mark.parametrize("name", MIXTURES)
def test_a_code_costs_what_it_should(name, monkeypatch):
    """−log p(z), and KL(r ‖ p(c|z)) more when c is taken from r."""
    p, n = MIXTURES[name], 4_000
    prior = MixturePrior(p)
    codes = drawn(p, prior, n)
    z = prior.grid.codes(codes).view(n, -1)
    per_dimension = math.log(prior.grid.steps) + far_codes(prior.grid)
    cost = -p.log_prob(z).mean().item() + prior.latent_dim * per_dimension
    assert growth(prior, codes) / n == pytest.approx(cost, abs=0.004)
    if name == "overlapping":
        log_p = (p.log_weights + p.components.log_prob(z.unsqueeze(-2))).log_softmax(-1)
        kl = (-math.log(prior.components) - log_p.mean(-1)).mean().item()
        monkeypatch.setattr(MixturePrior, "responsibilities", uniform)
        assert growth(prior, codes) / n - cost == pytest.approx(kl, rel=0.03)
        assert kl > 0.1


def far_codes(grid: LatentGrid) -> float:
    """Nats that the codes far away take, in each latent dimension."""
    return -math.log1p(-(4 * grid.farthest * grid.steps + 1) / 2**24)


@pytest.mark.parametrize("name", MIXTURES)
def test_every_code_of_the_grid_can_be_coded(name):
    prior = MixturePrior(MIXTURES[name])
    last = 2 * prior.grid.farthest << prior.grid.bits
    rng = np.random.default_rng(1)
    codes = rng.integers(-last, last + 1, 50 * prior.latent_dim, np.int32)
    codes[:2] = -last, last
    growth(prior, codes)


@pytest.mark.parametrize("name", ["many", "far and wide"])
def test_responsibilities_do_not_depend_on_the_order_of_sums(name):
    p = MIXTURES[name]
    prior = MixturePrior(p)
    codes = drawn(p, prior, 40)
    found = prior.log_joint(codes)
    order = torch.randperm(prior.latent_dim)
    q = DiagonalNormal(p.components.mean[:, order], p.components.log_variance[:, order])
    permuted = MixturePrior(Mixture(p.log_weights, q))
    moved = permuted.log_joint(codes.reshape(40, -1)[:, order].copy())
    assert np.array_equal(found, moved)
    parts = found * 2**17  # whole numbers below 2⁵³
    assert np.array_equal(parts, np.rint(parts))
    assert np.abs(parts).max() < 2**53
    exact = p.log_weights + p.components.log_prob(prior.grid.codes(codes).view(40, 1, -1))
    log_p = torch.from_numpy(found).log_softmax(-1)
    likely = exact.log_softmax(-1) > -10
    torch.testing.assert_close(log_p[likely], exact.log_softmax(-1)[likely], rtol=0, atol=0.3)


def test_the_grid_is_as_wide_as_the_prior():
    standard = LatentGrid.reaching(MIXTURES["standard"])
    assert (standard.farthest, standard.widest) == (8, 0)
    p = mixture([0.5, 0.5], [0.0, -15.0], [1.0, 6.0])
    wide = LatentGrid.reaching(p)
    assert wide.farthest == 64  # 15 + 8 × 6
    assert wide.widest == pytest.approx(0.5 * math.log(18.5 + 7.5**2), abs=1 / 64)
    mean, sigma = wide.gaussians(DiagonalNormal(torch.tensor([99.0]), torch.tensor([9.0])))
    assert mean / wide.steps == 64
    assert sigma / wide.steps == pytest.approx((18.5 + 7.5**2) ** 0.5, rel=0.02)


def test_the_grid_does_not_follow_a_rare_component():
    grid = LatentGrid.reaching(mixture([0.999, 0.001], [0.0, 0.0], [1.0, 50.0]))
    assert grid.farthest == 16  # 8 × 1.87
    assert grid.widest == pytest.approx(math.log(50), abs=1 / 64)
    assert LatentGrid.reaching(mixture([0.5, 0.5], [0.0, 3000.0], [1.0, 1.0])).farthest == 512


def mixture(weights: list[float], means: list[float], sigmas: list[float]) -> Mixture:
    """Of Gaussians over one dimension."""
    columns = (torch.tensor(x, dtype=torch.float64) for x in (weights, means, sigmas))
    pi, mean, sigma = columns
    return Mixture(pi.log(), DiagonalNormal(mean.unsqueeze(1), 2 * sigma.log().unsqueeze(1)))


def test_a_posterior_wider_than_every_component_costs_the_bound(digits):
    """The encoder says nothing, q(z|x) = N(0, 1); p(z) is as wide, by many narrow Gaussians."""
    vae = lb.VAE(
        lb.GaussianMixture(1, 100),
        lb.DiagonalGaussian(lb.MLP(64, (), 2), 1),
        lb.Bernoulli(lb.MLP(1, (), 64), SHAPE),
        lb.Binarise(),
    ).eval()
    with torch.no_grad():
        for tensor in (*vae.posterior.parameters(), *vae.likelihood.parameters()):
            tensor.zero_()
        vae.prior.mean.copy_(torch.linspace(-3, 3, 100).unsqueeze(1))
        vae.prior.log_variance.fill_(2 * math.log(0.1))
        vae.prior.logits.copy_(-0.5 * vae.prior.mean.squeeze() ** 2)
    coder = ExactVAE(vae).coder(2_000)
    stack = stack_of(4_000)
    before = stack.num_bits()
    coder.push(stack, digits[:2_000].ravel().astype(np.int32))
    grown = (stack.num_bits() - before) * math.log(2) / 2_000
    bound = lb.evaluate(vae, as_data(vae, digits[:2_000]), samples=20).elbo
    assert grown == pytest.approx(-bound.value, abs=0.05)


def test_priors_that_cannot_be_coded_are_refused():
    far = model("GaussianMixture")
    x = np.zeros((3, *SHAPE), np.uint8)
    torch.nn.init.constant_(far.prior.mean, math.nan)
    with pytest.raises(DataError, match="expected finite numbers"):
        compress(far, x)
    flow = model("GaussianMixture")
    flow.prior = lb.FlowPrior(LATENT)
    with pytest.raises(ConfigurationError, match="StandardNormal, GaussianMixture or VampPrior"):
        compress(flow, x)


def test_a_component_may_run_the_stack_dry():
    """z and x take and give nothing here; c takes 7.6 bits from each of 50 examples."""
    vae = model("GaussianMixture")
    vae.prior = lb.GaussianMixture(LATENT, 200)
    encoder, decoder = vae.posterior.network.layers[-1], vae.likelihood.network.layers[-1]
    for tensor in (vae.prior.mean, encoder.weight, encoder.bias, decoder.weight):
        torch.nn.init.zeros_(tensor)
    torch.nn.init.constant_(encoder.bias[LATENT:], -20)
    torch.nn.init.constant_(decoder.bias, 30)
    exact, stack = ExactVAE(vae), stack_of(16)
    assert exact.taken == LATENT + 1
    assert 3 < exact.coder(50).push(stack, np.ones(50 * 64, np.int32)) < 6


def test_another_process_decodes_them_and_no_other_model_does(tmp_path):
    """With other threads and instructions, and an encoder of tanh that gives p(z) its means."""
    torch.manual_seed(1)
    x = np.random.default_rng(0).integers(0, 2, (600, *SHAPE), np.uint8)
    np.save(tmp_path / "x.npy", x)
    for name in PRIORS:
        vae = model(name, activation="tanh")
        with torch.no_grad():
            vae.posterior.network.layers[-1].bias[:LATENT] = 9.0  # beyond the standard normal
        content = compress(vae, x).content
        lb.save(vae, tmp_path / name)
        (tmp_path / f"{name}.lb").write_bytes(content)
        damaged = bytearray(content)
        damaged[len(content) // 2] ^= 1
        with pytest.raises(StorageError, match="damaged or incomplete"):
            decompress(vae, bytes(damaged))
        with torch.no_grad():
            next(vae.prior.parameters()).view(-1)[0] += 1e-3
        with pytest.raises(StorageError, match="expected the model that the file was"):
            decompress(vae, content)
    code = (
        "import lowerbound as lb, numpy as np, pathlib, sys, torch\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "torch.set_num_threads(3)\n"
        "for file in sorted(folder.glob('*.lb')):\n"
        "    model = lb.load(folder / file.stem)\n"
        "    x = lb.compression.decompress(model, file.read_bytes())\n"
        "    assert np.array_equal(x, np.load(folder / 'x.npy'))\n"
        "    print(file.stem)\n"
    )
    environment = os.environ | {"OMP_NUM_THREADS": "2", "ATEN_CPU_CAPABILITY": "default"}
    line = [sys.executable, "-c", code, str(tmp_path)]
    told = subprocess.run(line, check=True, env=environment, capture_output=True, text=True)
    assert told.stdout.split() == sorted(PRIORS)
