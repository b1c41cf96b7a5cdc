"""Training speed alone and on a shared core, which depends on how many threads wait, and how."""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import harness
import numpy as np
from harness import Contender

FIT = Contender("lowerbound, fit", "lowerbound_fit", arguments=("--compile", "false"))
COMPILED = Contender("lowerbound, fit compiled", "lowerbound_fit", arguments=("--compile", "true"))
JAX = Contender("JAX, scan by hand", "jax_scan", "jax")
ROWS: dict[str, tuple[Contender, dict[str, str]]] = {
    FIT.name: (FIT, {}),
    f"{FIT.name}, threads that sleep at once": (FIT, {"OMP_WAIT_POLICY": "passive"}),
    f"{FIT.name}, one thread": (FIT, {"OMP_NUM_THREADS": "1"}),
    COMPILED.name: (COMPILED, {}),
    f"{COMPILED.name}, one thread": (COMPILED, {"OMP_NUM_THREADS": "1"}),
    JAX.name: (JAX, {}),
}


@contextmanager
def busy_core() -> Iterator[None]:
    """Another process takes all it can get of core 0."""
    hog = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    os.sched_setaffinity(hog.pid, {min(os.sched_getaffinity(0))})
    time.sleep(0.3)
    try:
        yield
    finally:
        hog.kill()
        hog.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--quick", action="store_true", help="check that it runs: one way")
    told = parser.parse_args()
    images, _ = harness.images(told.quick)
    every = ROWS
    if told.quick:
        images, told.rounds, every = images[:1000], 1, dict(list(ROWS.items())[2:3])
    free: dict[str, list[float]] = {name: [] for name in every}
    shared: dict[str, list[float]] = {name: [] for name in every}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "images.npy"
        np.save(path, images[: told.images])
        given = ["--data", str(path), "--epochs", "2" if told.quick else "12"]
        for _ in range(told.rounds):
            for name, (contender, settings) in every.items():
                lines = harness.once(contender, given, **settings)
                free[name].append(harness.steady_speed(lines[-len(lines) // 2 - 1 :]))
                with busy_core():
                    lines = harness.once(contender, given, **settings)
                shared[name].append(harness.steady_speed(lines[-len(lines) // 2 - 1 :]))
                print(f"{name:<44}{free[name][-1]:>9,.0f} → {shared[name][-1]:>9,.0f}", flush=True)
    rows = {
        name: {
            "free": statistics.median(free[name]),
            "shared": statistics.median(shared[name]),
            "kept": harness.median_ratio(shared[name], free[name]),
            "rounds": {"free": free[name], "shared": shared[name]},
        }
        for name in every
    }
    for name, row in rows.items():
        print(f"{name:<44}{row['free']:>9,.0f} {row['shared']:>9,.0f} images/s {row['kept']:>6.0%}")
    if not told.quick:
        print(
            harness.write_here(
                "threads", {"command": harness.command(), "rounds": told.rounds, "rows": rows}
            )
        )


if __name__ == "__main__":
    main()
