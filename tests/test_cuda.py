"""On a GPU: every recipe trains, and a model says what it says on the CPU.  Skipped without one."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import lowerbound as lb
from lowerbound.data import Dataset, from_arrays
from lowerbound.recipes import RECIPES, prepare

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")

SMALL = {"epochs": 1}


@pytest.fixture(autouse=True)
def whole_products() -> Iterator[None]:
    """In float32, not TF32."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    yield
    torch.backends.cudnn.allow_tf32 = before


def rows(kind: str) -> Dataset:
    rng = np.random.default_rng(0)
    z = rng.normal(size=(400, 2)) @ rng.normal(size=(2, 6))
    if kind == "tokens":
        return from_arrays(rng.integers(0, 5, size=(400, 16)), vocabulary=5)
    if kind == "counts":
        return from_arrays(rng.poisson(np.exp(1 + z / 2)))
    x = z + 0.3 * rng.normal(size=z.shape)
    if kind == "gaps":
        x[rng.random(x.shape) < 0.1] = np.nan
        return from_arrays(x, missing=True)
    return from_arrays(1e8 + x if kind == "large" else x)


def digits() -> Dataset:
    return lb.data.load("digits").train.take(400)


KINDS = ("reals", "counts", "gaps", "large", "tokens")
DATA = {"digits": digits, **{k: lambda k=k: rows(k) for k in KINDS}}
TOKENS = ("tokens", "melodies", "musicvae-2bar", "musicvae-16bar")
OF = dict.fromkeys(TOKENS, "tokens") | {"linear": "reals"}
RUNS = [
    *(
        (name, OF.get(name, "digits"), {})
        for name in RECIPES
        if name != "bayesian"  # which needs more epochs than one
    ),
    *(("mlp", kind, {}) for kind in ("reals", "counts", "gaps", "large")),
    ("mlp", "digits", {"conditional": True}),
    ("mlp", "digits", {"likelihood": "DiscretisedLogistic"}),
    ("mlp", "digits", {"precision": "bfloat16"}),
    ("mlp", "digits", {"ema": 0.9, "clip_norm": 1.0}),
]


@pytest.mark.parametrize(("recipe", "kind", "settings"), RUNS)
def test_trains_and_agrees_with_the_cpu(recipe, kind, settings, tmp_path):
    data = DATA[kind]()
    made = prepare(recipe, data, SMALL | settings)
    history = lb.fit(
        made.model, data, data.take(100), made.objective, made.training,
        out=tmp_path / "run", callbacks=[], device="cuda",
    )  # fmt: skip
    assert len(history) == 1
    gpu = made.model
    assert next(gpu.parameters()).is_cuda
    cpu = copy.deepcopy(gpu).cpu()
    kept = lb.load(tmp_path / "run")
    for name, tensor in cpu.state_dict().items():
        torch.testing.assert_close(kept.state_dict()[name], tensor, rtol=0, atol=0)
    codes = cpu.embed(data)
    torch.testing.assert_close(gpu.embed(data).cpu(), codes, rtol=1e-3, atol=1e-3)
    again, there = (m.reconstruct(data).cpu() for m in (cpu, gpu))
    torch.testing.assert_close(there, again, rtol=1e-3, atol=1e-2 * (1 + again.std().item()))
    assert gpu.sample(5, [0, 1, 2, 3, 4] if gpu.context else None).is_cuda
    if not isinstance(gpu.posterior, lb.Deterministic):
        here, other = (lb.evaluate(m, data, samples=20).elbo for m in (cpu, gpu))
        error = 5 * (here.standard_error + other.standard_error)
        assert abs(here.value - other.value) < error
    findings = lb.diagnose(gpu, data.take(200), data, history, made.objective)
    assert all(isinstance(f, lb.Finding) for f in findings)


def test_a_stopped_run_ends_on_the_gpu_as_one_that_was_not(tmp_path):
    data = rows("reals")

    def run(folder: Path, epochs: int, resume: bool = False) -> lb.VAE:
        torch.manual_seed(0)
        made = prepare("mlp", data, {"latent_dim": 2, "epochs": epochs})
        lb.fit(made.model, data, training=made.training, out=folder, resume=resume,
               callbacks=[], device="cuda")  # fmt: skip
        return made.model

    whole = run(tmp_path / "whole", 3)
    run(tmp_path / "broken", 2)
    resumed = run(tmp_path / "broken", 3, resume=True)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], tensor), name
