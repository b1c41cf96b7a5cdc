"""Two processes under torchrun are one process with the joint batch."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest
import safetensors.torch
import torch

import forks
from lowerbound.errors import ConfigurationError
from lowerbound.training.processes import joined, local_rank

pytestmark = pytest.mark.slow

SCRIPT = """
import sys, torch, lowerbound as lb
x = torch.rand(103, 6, generator=torch.Generator().manual_seed(0))
torch.manual_seed(0)
model = lb.VAE(lb.StandardNormal(2), lb.Deterministic(lb.MLP(6, (5,), 2), 2),
               lb.Gaussian(lb.MLP(2, (5,), 6), (6,)))
training = lb.Training(epochs=int(sys.argv[2]), batch_size=20, learning_rate=1e-2, clip_norm=1.0)
lb.fit(model, x, x[:33], lb.Reconstruction(), training, out=sys.argv[1], callbacks=[],
       resume=sys.argv[3] == "resume")
"""


def run(script: str, folder: Path, processes: int, epochs: int = 3, how: str = "new") -> None:
    """In so many processes, in an environment like torchrun's."""
    with socket.create_server(("localhost", 0)) as server:
        port = server.getsockname()[1]
    group = {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port), "WORLD_SIZE": str(processes)}
    logs = [folder.with_name(f"{folder.name}-{rank}.log") for rank in range(processes)]
    started = [
        forks.start(
            *(script, folder, epochs, how),
            log=log,
            environment=group | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
        )
        for rank, log in enumerate(logs)
    ]
    for process, log in zip(started, logs, strict=True):
        process.join()
        assert process.exitcode == 0, log.read_text()


def torchrun(script: Path, folder: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """Under torchrun itself, in two processes."""
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    return subprocess.run(
        [sys.executable, *launcher, str(script), str(folder), "3", "new"],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"} | env,
    )


def outcome(folder: Path) -> tuple[dict[str, torch.Tensor], list[dict]]:
    (weights,) = folder.glob("weights-*")
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return safetensors.torch.load_file(weights), [json.loads(line) for line in lines]


def test_two_processes_train_as_one(tmp_path):
    """The last batch of 3 is shared as 2 and 1; metrics are means over both processes."""
    run(SCRIPT, tmp_path / "one", 1)
    run(SCRIPT, tmp_path / "two", 2, epochs=2)
    run(SCRIPT, tmp_path / "two", 2, epochs=3, how="resume")
    (one, first), (two, second) = outcome(tmp_path / "one"), outcome(tmp_path / "two")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor)
    for a, b in zip(first, second, strict=True):
        for split in ("train", "validation"):
            assert abs(a[split]["objective"] - b[split]["objective"]) < 1e-5


NODE = """
import dataclasses, runpy, sys
from torch.distributed import run
from torch.distributed.launcher.api import elastic_launch
script, *arguments = sys.argv[2:]
def train():
    sys.argv = [script, *arguments]
    runpy.run_path(script, run_name="__main__")
config, _, _ = run.config_from_args(run.parse_args([*sys.argv[1].split(), script]))
elastic_launch(dataclasses.replace(config, start_method="fork"), train)()
"""


def test_two_machines_train_as_one(tmp_path):
    """Each has a launcher of its own, torchrun's with a fork for Python, and these meet."""
    run(SCRIPT, tmp_path / "one", 1)
    script, logs = tmp_path / "script.py", [tmp_path / "0.log", tmp_path / "1.log"]
    script.write_text(SCRIPT)
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    meeting = f"--nnodes 2 --master-addr 127.0.0.1 --master-port {port} --node-rank"
    nodes = [
        forks.start(NODE, f"{meeting} {node}", script, tmp_path / "two", 3, "", log=log)
        for node, log in enumerate(logs)
    ]
    for node, log in zip(nodes, logs, strict=True):
        node.join()
        assert node.exitcode == 0, log.read_text()
    (one, first), (two, second) = outcome(tmp_path / "one"), outcome(tmp_path / "two")
    for name, tensor in one.items():
        torch.testing.assert_close(two[name], tensor)
    assert len(first) == len(second) == 3


DYING = """
import os, signal
from lowerbound.objectives import Objective
@lb.part
class Dying(Objective):
    calls = 0
    def __call__(self, model, x, context=None, time=0.0):
        self.calls += 1
        if os.environ.get("DIES") == os.environ.get("RANK") and self.calls == 17:
            os.kill(os.getpid(), signal.SIGKILL)
        return lb.Reconstruction()(model, x, context, time)
"""


def test_a_run_goes_on_after_one_process_was_killed(tmp_path):
    """In the third epoch of 6 steps and a validation batch: the second epoch's checkpoint stays."""
    first, rest = SCRIPT.split("x = ", 1)
    code = f"{first}{DYING}x = {rest.replace('lb.Reconstruction()', 'Dying()')}"
    run(code, tmp_path / "whole", 2)
    script = tmp_path / "script.py"
    script.write_text(code)
    failed = torchrun(script, tmp_path / "killed", DIES="1")
    assert failed.returncode != 0
    assert len((tmp_path / "killed" / "metrics.jsonl").read_text().splitlines()) == 2
    assert not list((tmp_path / "killed").glob("weights-*"))
    run(code, tmp_path / "killed", 2, how="resume")
    (whole, first), (killed, second) = outcome(tmp_path / "whole"), outcome(tmp_path / "killed")
    for name, tensor in whole.items():
        assert torch.equal(killed[name], tensor)
    assert [r["train"] for r in first] == [r["train"] for r in second]


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ({"WORLD_SIZE": "2"}, "expected RANK and MASTER_ADDR and MASTER_PORT in the environment"),
        ({"WORLD_SIZE": "0"}, "whole number in the environment's WORLD_SIZE, got '0'"),
        ({"LOCAL_RANK": "x"}, "whole number in the environment's LOCAL_RANK, got 'x'"),
        (
            {"WORLD_SIZE": "2", "RANK": "2", "MASTER_ADDR": "localhost", "MASTER_PORT": "1"},
            "a RANK below WORLD_SIZE",
        ),
    ],
)
def test_an_environment_of_half_a_group_is_refused(monkeypatch, environment, message):
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    with ExitStack() as stack, pytest.raises(ConfigurationError, match=message):
        stack.enter_context(joined(torch.device("cpu", local_rank())))
