"""A run that is killed at any moment and resumed ends like one that was not, bit for bit."""

from __future__ import annotations

import json
import os
import random
import signal
import time
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
import torch

import forks
import lowerbound as lb
import lowerbound.training

pytestmark = pytest.mark.slow

SCRIPT = """
import sys, torch, lowerbound as lb
torch.manual_seed(7)
data = lb.data.load("digits", validation=200)
model = lb.VAE(
    lb.StandardNormal(3),
    lb.DiagonalGaussian(lb.MLP(64, (48,), 6), 3),
    lb.{likelihood}(lb.MLP(3, (48,), 64), shape=(1, 8, 8)),
    lb.{transform}(),
)
training = lb.Training(epochs=12, batch_size=50, {settings})
objective = {objective}
try:
    lb.fit(model, data.train, data.validation, objective, training,
           out=sys.argv[1], resume=sys.argv[2] == "resume", callbacks=[])
except lb.errors.Interrupted as stop:
    print(stop)
    sys.exit(stop.exit_code)
"""
VARIANTS = {
    "averaged, clipped, annealed": {
        "likelihood": "Bernoulli",
        "transform": "Binarise",
        "settings": "ema=0.99, clip_norm=1.0, schedule='cosine', warmup_epochs=1.5, patience=9",
        "objective": "lb.ELBO(beta=lb.Linear(1, 5), free_bits=0.01)",
    },
    "importance-weighted, optimal variance": {
        "likelihood": "Gaussian",
        "transform": "Dequantise",
        "settings": "optimizer='adamw', weight_decay=0.01",
        "objective": "lb.IWAE(samples=4, gradient='dreg')",
    },
}


def start(script: str, folder: Path, how: str) -> BaseProcess:
    return forks.start(script, folder, how, log=Path(f"{folder}.out"))


def finish(process: BaseProcess) -> None:
    process.join()
    assert process.exitcode == 0


def outcome(folder: Path) -> tuple[bytes, list[dict]]:
    (weights,) = folder.glob("weights-*.safetensors")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    records = [json.loads(line) for line in lines]
    for record in records:
        del record["seconds"]
    return weights.read_bytes(), records


@pytest.mark.parametrize("variant", VARIANTS)
def test_killed_at_random_moments(tmp_path, variant):
    values = VARIANTS[variant]
    script = SCRIPT.format(**values).replace(
        "lb.Gaussian(lb.MLP(3, (48,), 64), shape=(1, 8, 8))",
        "lb.Gaussian(lb.MLP(3, (48,), 64), (1, 8, 8), 'optimal')",
    )
    finish(start(script, tmp_path / "whole", "new"))
    broken = tmp_path / "broken"
    moments = random.Random(5)
    kills = 0
    while kills < 4:
        checkpoint = broken / "checkpoint.safetensors"
        before = checkpoint.stat().st_mtime_ns if checkpoint.exists() else 0
        process = start(script, broken, "resume" if before else "new")
        # Wait until training is under way, then kill at a moment of its own.
        while process.is_alive() and not (
            checkpoint.exists() and checkpoint.stat().st_mtime_ns > before
        ):
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.15))
        process.kill()
        process.join()
        kills += 1
        if (broken / "model.json").exists():
            break
    finish(start(script, broken, "resume"))
    assert kills
    assert outcome(broken) == outcome(tmp_path / "whole")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_asked_to_stop_in_the_middle_of_an_epoch(tmp_path, number):
    script = SCRIPT.format(**VARIANTS["averaged, clipped, annealed"]).replace(
        "epochs=12", "epochs=60"
    )
    finish(start(script, tmp_path / "whole", "new"))
    broken = tmp_path / "broken"
    process = start(script, broken, "new")
    while process.is_alive() and not (broken / "metrics.jsonl").exists():
        time.sleep(0.001)
    os.kill(process.pid, number)
    process.join()
    out = Path(f"{broken}.out").read_text()
    assert process.exitcode == 130, out
    assert "saved in" in out
    assert "resume" in out
    finish(start(script, broken, "resume"))
    assert outcome(broken) == outcome(tmp_path / "whole")


class StopAt(lb.training.Callback):
    """Sends this process a signal after one step."""

    def __init__(self, step: int) -> None:
        self.at = step

    def step(self, model: lb.VAE, step: int, loss: float) -> None:
        if step == self.at:
            os.kill(os.getpid(), signal.SIGINT)


@pytest.mark.parametrize("batch_size", [20, 60])
def test_stopped_after_any_step_the_last_of_an_epoch_too(tmp_path, batch_size):
    torch.manual_seed(0)
    x, steps = torch.randn(60, 4), -(-60 // batch_size)

    def run(folder: Path, stop: int | None, resume: bool = False) -> list[dict]:
        torch.manual_seed(0)
        model = lb.VAE(
            lb.StandardNormal(2),
            lb.DiagonalGaussian(lb.MLP(4, (), 4), 2),
            lb.Gaussian(lb.MLP(2, (), 4), (4,)),
        )
        training = lb.Training(epochs=2, batch_size=batch_size, patience=5)
        callbacks = [] if stop is None else [StopAt(stop)]
        options = {"training": training, "resume": resume, "callbacks": callbacks}
        return lb.fit(model, x, x[:30], out=folder, **options)

    run(tmp_path / "whole", None)
    for stop in range(1, 2 * steps + 1):
        folder = tmp_path / str(stop)
        if stop < 2 * steps:
            with pytest.raises(lb.errors.Interrupted):
                run(folder, stop)
            run(folder, None, resume=True)
        else:
            run(folder, stop)
        assert outcome(folder) == outcome(tmp_path / "whole"), stop
