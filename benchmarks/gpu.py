"""Training speed on a GPU: `fit` step by step and compiled, beside JAX, in one interleaved run."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import harness
import numpy as np
import torch
from harness import Contender, interleaved, median_ratio
from training import COMPILED, HALF, OURS, TASKS

CONTENDERS = [
    Contender(OURS, "lowerbound_fit", arguments=("--compile", "false")),
    Contender(COMPILED, "lowerbound_fit", arguments=("--compile", "true")),
    Contender(f"{COMPILED}, bfloat16", "lowerbound_fit", arguments=("--compile", "true", *HALF)),
    Contender("JAX, scan by hand", "jax_scan", "gpu"),
]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=30)
    dense = [name for name, (arguments, _) in TASKS.items() if "--channels" not in arguments]
    parser.add_argument("--tasks", nargs="*", default=dense, choices=dense)
    told = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("expected a GPU that torch can use, found none")
    images, _ = harness.images(quick=False)
    report = {}
    for task in told.tasks:
        print(task)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "images.npy"
            np.save(path, images)
            given = ["--data", str(path), "--epochs", str(told.epochs), *TASKS[task][0].split()]
            outcomes = interleaved(CONTENDERS, given, told.rounds)
        report[task] = {
            name: {
                "images_per_second": statistics.median(outcome.speeds),
                "compiled_over_it": median_ratio(outcomes[COMPILED].speeds, outcome.speeds),
                "loss": outcome.losses[-1],
                "rounds": outcome.speeds,
            }
            for name, outcome in outcomes.items()
        }
    values = {
        "command": harness.command(),
        "gpu": torch.cuda.get_device_name(),
        "rounds": told.rounds,
        "epochs": told.epochs,
        "tasks": report,
    }
    print(harness.write("gpu", values | harness.machine()))


if __name__ == "__main__":
    main()
