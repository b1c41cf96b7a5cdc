"""Two processes under torchrun are one process with the joint batch."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import safetensors.torch
import torch

SCRIPT = """
import sys, torch, lowerbound as lb
torch.set_num_threads(1)
x = torch.rand(103, 6, generator=torch.Generator().manual_seed(0))
torch.manual_seed(0)
model = lb.VAE(lb.StandardNormal(2), lb.Deterministic(lb.MLP(6, (5,), 2), 2),
               lb.Gaussian(lb.MLP(2, (5,), 6), (6,)))
training = lb.Training(epochs=int(sys.argv[2]), batch_size=20, learning_rate=1e-2, clip_norm=1.0)
lb.fit(model, x, x[:33], lb.Reconstruction(), training, out=sys.argv[1], callbacks=[],
       resume=sys.argv[3] == "resume")
"""


def run(script: Path, folder: Path, processes: int, epochs: int = 3, how: str = "new") -> None:
    launcher = [sys.executable]
    if processes > 1:
        launcher += ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, str(script), str(folder), str(epochs), how],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr


def outcome(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict]]:
    (weights,) = folder.glob("weights-*")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return safetensors.torch.load_file(weights), [json.loads(line) for line in lines]


def test_two_processes_train_as_one(tmp_path):
    """The last batch of 3 is shared as 2 and 1; metrics are means over both processes."""
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    run(script, tmp_path / "one", 1)
    run(script, tmp_path / "two", 2, epochs=2)
    run(script, tmp_path / "two", 2, epochs=3, how="resume")
    (one, first), (two, second) = outcome(tmp_path / "one"), outcome(tmp_path / "two")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor)
    for a, b in zip(first, second, strict=True):
        for split in ("train", "validation"):
            assert abs(a[split]["bound"] - b[split]["bound"]) < 1e-5
