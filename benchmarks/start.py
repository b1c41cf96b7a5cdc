"""Time to start, and memory: the help text, the first step of training, a run on MNIST."""

from __future__ import annotations

import argparse
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import harness

FIRST_STEP = """
import time; started = time.perf_counter()
import lowerbound
import torch; imported = time.perf_counter()
from lowerbound.cli import run
from lowerbound.training import callbacks
def first(self, model, step, loss):
    print("first", time.perf_counter() - started, "torch", imported - started, flush=True)
    raise SystemExit
callbacks.ProgressBar.step = first
import sys; sys.argv = ["lowerbound", *sys.argv[1:]]
run()
"""


def seconds_of(command: list[str]) -> float:
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=harness.clean_environment())
    return time.perf_counter() - started


def first_step(data: str) -> float:
    """Seconds from the start to the first step, less those that importing torch takes."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = ["train", "mlp", "--data", data, "--out", str(Path(folder) / "run")]
        done = subprocess.run(
            [sys.executable, "-c", FIRST_STEP, *arguments, "--set", "likelihood=Bernoulli"],
            capture_output=True,
            text=True,
            check=True,
            env=harness.clean_environment(),
        )
    _, first, _, torch = done.stdout.split()
    return float(first) - float(torch)


def peak_memory(data: str) -> float:
    """Largest resident memory of a run of two epochs, MB."""
    with tempfile.TemporaryDirectory() as folder:
        line = (
            f"-m lowerbound train mlp --data {data} --out {folder}/run --set likelihood=Bernoulli"
        )
        process = subprocess.Popen(
            [sys.executable, *shlex.split(line), "--set", "epochs=2"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=harness.clean_environment(),
        )
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = status
    if status:
        raise SystemExit("the run failed")
    return usage.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quick", action="store_true", help="check that it runs: digits")
    told = parser.parse_args()
    data, rounds = ("digits", 1) if told.quick else ("mnist", told.rounds)
    helps = [seconds_of([sys.executable, "-m", "lowerbound", "--help"]) for _ in range(rounds)]
    firsts = [first_step(data) for _ in range(rounds)]
    memory = peak_memory(data)
    print(f"lowerbound --help                  {statistics.median(helps):.2f} s")
    print(f"first step, after importing torch  {statistics.median(firsts):.2f} s")
    print(f"peak memory of the run             {memory:,.0f} MB")
    if not told.quick:
        values = {
            "command": harness.command(),
            "help_s": helps,
            "first_step_s": firsts,
            "peak_mb": memory,
        }
        print(harness.write("start", values | harness.machine()))


if __name__ == "__main__":
    main()
