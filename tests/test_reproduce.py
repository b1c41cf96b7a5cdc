"""Every system runs, and the exact ones are exact."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

import lowerbound as lb
from documents import systems
from documents.__main__ import app
from documents.bench.bench import Bench
from documents.bench.result import Result, Row
from documents.lab11 import layers as lab11
from documents.problem_set import bound
from documents.slides.markov_chains import (
    effective_sample_size,
    gaussian_gibbs,
    metropolis_hastings,
)
from lowerbound.data import melodies
from lowerbound.errors import ConfigurationError, DataError, StorageError

IDS = [
    *(f"A{i}" for i in range(1, 14)),
    *(f"B{i}" for i in range(1, 4)),
    *(f"C{i}" for i in range(1, 7)),
    *(f"D{i}" for i in range(1, 6)),
    *(f"E{i}" for i in range(1, 8)),
    *(f"P{i}" for i in range(1, 5)),
]


def test_every_system_is_there():
    assert [system.id for system in systems.chosen(["all"])] == IDS
    with pytest.raises(ConfigurationError, match="unknown system 'D9'"):
        systems.chosen(["D9"])


def test_the_command_lists_every_system():
    shown = CliRunner().invoke(app, ["--list", "--json"])
    assert [row["id"] for row in json.loads(shown.stdout)] == IDS


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("reproduce")


@pytest.fixture
def few_tunes(tmp_path, monkeypatch):
    """In place of music21's, which take a minute to read."""
    corpus = tmp_path / "corpus" / "ryansMammoth"
    corpus.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for i in range(8):
        bars = ["".join("CDEFGABc"[k] for k in rng.integers(0, 8, 8)) for _ in range(17)]
        (corpus / f"{i}.abc").write_text(f"X:1\nM:4/4\nL:1/8\nK:C\n{'|'.join(bars)}|\n")
    monkeypatch.setattr(melodies, "corpus_folder", lambda: corpus.parent)
    monkeypatch.setenv("LOWERBOUND_CACHE", str(tmp_path / "cache"))


@pytest.mark.slow
@pytest.mark.parametrize("id", IDS)
def test_a_smoke_run_writes_rows_and_pictures(id, folder, request):
    if id == "A13":
        request.getfixturevalue("few_tunes")
    try:
        page = systems.reproduce(systems.chosen([id]), folder, quick=True)
    except DataError as missing:
        if "CI" in os.environ:
            raise
        pytest.skip(str(missing))
    home = folder / systems.SYSTEMS[id].document.folder
    result = json.loads((home / id / "result.json").read_text())
    assert result["rows"] or result["pictures"]
    assert result["quick"]
    assert all(row["holds"] is None for row in result["rows"])
    for picture in result["pictures"]:
        assert (home / id / picture["file"]).stat().st_size > 1000
        assert f"]({id}/{picture['file']})" in (home / "README.md").read_text()
    assert f'id="{id}"' in page.read_text()
    assert f"]({home.name}/README.md)" in (folder / "README.md").read_text()


@pytest.mark.slow
@pytest.mark.parametrize("id", ["A10", "B1", "B2", "C1", "E1"])
def test_exact_systems_hold(id, tmp_path):
    result = Result(id, "", "")
    systems.SYSTEMS[id].run(Bench(tmp_path, tmp_path, result, quick=False))
    judged = [row for row in result.rows if row.holds is not None]
    assert judged
    assert all(row.holds for row in judged), judged


def test_models_are_kept_apart_by_seed_and_by_how_they_were_trained(tmp_path):
    data = lb.data.load("digits").train.take(100)

    def bench(**settings):
        return Bench(tmp_path / "E", tmp_path / "models", Result("E", "", ""), **settings)

    def make():
        return lb.recipes.mlp(data, latent_dim=2, hidden=(8,)).model

    def trained(epochs=1, beta=1.0, sampler=None, **settings):
        training, place = lb.Training(epochs=epochs, sampler=sampler), bench(**settings)
        model = place.train("model", make, lb.ELBO(beta=beta), training, data)
        return model, place.history("model")

    first, history = trained()
    again, same = trained()
    assert same == history
    assert torch.equal(again.embed(data.x), first.embed(data.x))
    drawn, history = trained(epochs=2, sampler=lb.SGHMC(burn_in=1))
    again, same = trained(epochs=2, sampler=lb.SGHMC(burn_in=1))
    assert same == history
    assert isinstance(drawn.likelihood, lb.WeightDraws)
    for other in ({"epochs": 2}, {"beta": 0.5}, {"seed": 1}):
        changed, _ = trained(**other)
        assert not torch.equal(changed.embed(data.x), first.embed(data.x))


@pytest.mark.slow
def test_a_smoke_run_does_not_replace_full_results(tmp_path):
    systems.reproduce(systems.chosen(["E1"]), tmp_path)
    with pytest.raises(StorageError, match="without full results"):
        systems.reproduce(systems.chosen(["E1"]), tmp_path, quick=True)


def test_a_row_holds_on_its_good_side():
    assert Row("x", "", 3.0, document=3.0, better="equal").holds
    assert not Row("x", "", 2.0, document=3.0, better="equal").holds
    assert Row("x", "", 2.0, document=3.0, better="neither").holds is None
    assert Row("x", "", 3.0, document=3.5).holds
    assert not Row("x", "", 3.0, document=3.5, goal=2.5).holds
    assert Row("x", "", 3.0, goal=2.5, better="higher").holds
    assert Row("x", "", 3.0).holds is None


def test_chains_sample_their_target_and_count_their_worth():
    model = bound.Sum(x=1.5, sigma=0.5)
    start = torch.zeros(2, dtype=torch.float64)
    gibbs = gaussian_gibbs(model.mean, model.precision, start, 20_000)
    walk, accepted = metropolis_hastings(model.log_joint, start, 20_000, 0.9)
    for chain in (gibbs, walk):
        size = effective_sample_size(chain[:, 0])
        assert 200 < size < 20_000
        error = 4.5 * (model.covariance.diagonal() / size).sqrt()
        assert ((chain.mean(0) - model.mean).abs() < error).all()
        torch.testing.assert_close(chain.T.cov(), model.covariance, rtol=0.25, atol=0.05)
    assert 0.2 < accepted < 0.6


def test_the_effective_size_of_an_autoregression_is_known():
    """AR(1) with coefficient ρ: n (1 − ρ)/(1 + ρ)."""
    n, rho = 200_000, 0.8
    noise, chain = torch.randn(n).tolist(), [0.0]
    for e in noise:
        chain.append(rho * chain[-1] + e)
    found = effective_sample_size(torch.tensor(chain))
    assert found == pytest.approx(n * (1 - rho) / (1 + rho), rel=0.1)


@pytest.mark.parametrize(("sigma", "weight"), [(lab11.DIVIDED, 1 / 784), (lab11.UNDIVIDED, 1.0)])
def test_the_labs_loss_is_our_objective(sigma, weight):
    """MSE per pixel + weight·KL has the gradient of −ELBO, but for a constant factor."""
    model = lab11.gaussian_vae(sigma)
    x = torch.rand(8, 1, 28, 28)
    factor = {1 / 784: 784, 1.0: 1}[weight]
    torch.manual_seed(0)
    ours = -lb.ELBO()(model, x).objective.mean()
    torch.manual_seed(0)
    q = model.posterior(x)
    error = (model.likelihood(q.rsample()).mean - x).square().mean((1, 2, 3))
    kl = -0.5 * (1 + q.log_variance - q.variance - q.mean.square()).sum(1)
    theirs = factor * (error + weight * kl).mean()
    for a, b in zip(
        torch.autograd.grad(ours, model.parameters(), retain_graph=True),
        torch.autograd.grad(theirs, model.parameters()),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_annealing_is_the_labs_formula():
    schedule = lb.Linear(start=4, duration=8)
    for epoch in range(20):
        assert schedule(epoch) == pytest.approx(max(0, min(1, (epoch - 4) / 8)))


def test_a_dense_layer_of_ones_own_is_torchs():
    own, torchs = lab11.Dense(5, 3), torch.nn.Linear(5, 3)
    with torch.no_grad():
        torchs.weight.copy_(own.weight.T)
        torchs.bias.copy_(own.bias)
    x = torch.randn(7, 5)
    torch.testing.assert_close(own(x), torchs(x))
    wide = lab11.Dense(400, 600)
    assert wide.weight.std().item() == pytest.approx((2 / 1000) ** 0.5, rel=0.02)
    assert not wide.bias.any()
