"""Runs contenders one after another, for several rounds, and compares them within each round."""

from __future__ import annotations

import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch

import lowerbound as lb

HERE = Path(__file__).parent
CONTENDERS = HERE / "contenders"
THREADING = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "GOMP_SPINCOUNT", "MKL_NUM_THREADS")
SLOW_START = "PYTHONDONTWRITEBYTECODE"


@dataclass(frozen=True)
class Contender:
    """A script of `contenders`, and the environment that runs it (None: the project's own).

    ``arguments`` are its own, besides those of the task.
    """

    name: str
    script: str
    environment: str | None = None
    arguments: tuple[str, ...] = ()

    @property
    def python(self) -> str:
        if self.environment is None:
            return sys.executable
        return str(HERE / "environments" / f".venv-{self.environment}" / "bin" / "python")


def images(quick: bool) -> tuple[np.ndarray, np.ndarray]:
    """MNIST's training and test images, (n, 1, 28, 28) uint8; when quick, small digits in them."""
    splits = lb.data.load("digits" if quick else "mnist")
    train, test = (part.x.numpy() for part in (splits.train, splits.test))
    edge = (28 - train.shape[-1]) // 2
    around = (0, 0), (0, 0), (edge, edge), (edge, edge)
    return np.pad(train, around), np.pad(test, around)


@dataclass
class Outcome:
    """One contender's rounds: images per second after its first epoch, and its last loss."""

    speeds: list[float] = field(default_factory=list)
    losses: list[float] = field(default_factory=list)


def clean_environment(**settings: str) -> dict[str, str]:
    """The environment in which each contender has its default threads, and keeps its bytecode."""
    kept = {k: v for k, v in os.environ.items() if k not in (*THREADING, SLOW_START)}
    return kept | settings


def printed(name: str, command: list[str], **settings: str) -> list[dict[str, Any]]:
    """The lines of JSON that a process of its own prints."""
    done = subprocess.run(
        command,
        env=clean_environment(**settings),
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    if done.returncode or not lines:
        raise SystemExit(f"{name} failed:\n{done.stderr[-2000:]}")
    return lines


def once(contender: Contender, arguments: list[str], **settings: str) -> list[dict[str, Any]]:
    """The lines that a contender prints."""
    script = str(CONTENDERS / f"{contender.script}.py")
    command = [contender.python, script, *arguments, *contender.arguments]
    return printed(contender.name, command, **settings)


def steady_speed(lines: list[dict[str, Any]]) -> float:
    """Images per second over all epochs but the first, which also warms up and compiles."""
    images = sum(line["images"] for line in lines[1:])
    return images / (lines[-1]["seconds"] - lines[0]["seconds"])


def interleaved(
    contenders: list[Contender], arguments: list[str], rounds: int
) -> dict[str, Outcome]:
    """Every contender once in each round, in turn."""
    outcomes = {contender.name: Outcome() for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            lines = once(contender, arguments)
            outcome = outcomes[contender.name]
            outcome.speeds.append(steady_speed(lines))
            outcome.losses.append(lines[-1]["loss"])
            told = f"{outcome.speeds[-1]:10,.0f} images/s   loss {outcome.losses[-1]:8.2f}"
            print(f"round {number + 1}: {contender.name:<34}{told}", flush=True)
    return outcomes


def median_ratio(a: list[float], b: list[float]) -> float:
    """The median of a/b over rounds: what a noisy neighbour takes from both cancels."""
    return statistics.median(x / y for x, y in zip(a, b, strict=True))


def command() -> str:
    """The command that this process runs, as a user types it."""
    return shlex.join(["benchmarks/run", Path(sys.argv[0]).stem, *sys.argv[1:]])


def processor() -> str:
    """What it calls itself."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    return next((line.partition(": ")[2] for line in lines if line.startswith("model name")), "?")


def machine() -> dict[str, Any]:
    """Where it ran."""
    return {
        "processor": processor(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "python": platform.python_version(),
    }


def read(name: str) -> dict[str, Any]:
    """results/NAME.json."""
    return json.loads((HERE / "results" / f"{name}.json").read_text())


def write_here(name: str, values: dict[str, Any]) -> Path:
    """This processor's part of results/NAME.json, beside those of others."""
    return write(name, read(name) | {processor(): values | machine()})


def write(name: str, values: dict[str, Any]) -> Path:
    """results/NAME.json."""
    path = HERE / "results" / f"{name}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(values, indent=2) + "\n")
    return path
