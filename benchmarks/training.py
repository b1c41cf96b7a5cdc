"""Training speed beside peers and the bound of the matrix products, in one interleaved run."""

from __future__ import annotations

import argparse
import statistics
import tempfile
from pathlib import Path

import harness
import numpy as np
import torch
from harness import Contender, interleaved, median_ratio

from lowerbound.devices import multiplies_bfloat16

OURS, COMPILED = "lowerbound, fit", "lowerbound, fit compiled"
USERS, BOUND = "lowerbound train", "matrix products alone"
PEERS = [
    Contender("PyTorch, tutorial loop", "plain_torch"),
    Contender("PyTorch, tuned by hand", "tuned_torch"),
    Contender("JAX, scan by hand", "jax_scan", "jax"),
    Contender("Keras 3 on JAX", "keras_jax", "jax"),
    Contender("pythae 0.1.2", "pythae_vae", "pythae"),
]
HALF = ("--precision", "bfloat16")
OWN = [
    Contender(OURS, "lowerbound_fit", arguments=("--compile", "false")),
    Contender(COMPILED, "lowerbound_fit", arguments=("--compile", "true")),
    Contender(USERS, "lowerbound_run"),
    Contender(BOUND, "matrix_products"),
]
BFLOAT16 = [
    Contender(f"{one.name}, bfloat16", one.script, one.environment, (*one.arguments, *HALF))
    for one in (OWN[1], *PEERS[2:4])
]
# Name: arguments, and the share of MNIST.
TASKS = {
    "D2, batch 128": ("--hidden 512 --latent 20 --batch 128", 1.0),
    "D2, batch 1024": ("--hidden 512 --latent 20 --batch 1024", 1.0),
    "A4, batch 128": ("--hidden 64,32 --latent 8 --batch 128", 1.0),
    "4 × 1024, batch 128": ("--hidden 1024,1024 --latent 20 --batch 128", 0.2),
    "E4, batch 128": ("--channels 16,32 --hidden= --latent 10 --batch 128", 0.05),
}
DENSE_ONLY = {"jax_scan", "pythae_vae"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--tasks", nargs="*", default=list(TASKS), choices=list(TASKS))
    parser.add_argument(
        "--quick", action="store_true", help="check that it runs: our own, 300 digits"
    )
    told = parser.parse_args()
    images, _ = harness.images(told.quick)
    if told.quick:
        told.rounds, told.epochs = 1, 2
        told.tasks = ["D2, batch 128", "E4, batch 128"]
    report = {}
    for task in told.tasks:
        arguments, share = TASKS[task]
        contenders = [*OWN[:-1], *PEERS, OWN[-1]]
        if multiplies_bfloat16(torch.device("cpu")):
            contenders += BFLOAT16
        if told.quick:
            contenders = [one for one in OWN if one.name != COMPILED]
        if "--channels" in arguments:
            contenders = [one for one in contenders if one.script not in DENSE_ONLY]
        print(task)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "images.npy"
            some = images[: 300 if told.quick else int(share * len(images))]
            np.save(path, some)
            given = ["--data", str(path), "--epochs", str(told.epochs), *arguments.split()]
            outcomes = interleaved(contenders, given, told.rounds)
        ours, bound = outcomes[OURS].speeds, outcomes[BOUND].speeds
        rows = {
            name: {
                "images_per_second": statistics.median(outcome.speeds),
                "of_bound": median_ratio(outcome.speeds, bound),
                "ours_over_it": median_ratio(ours, outcome.speeds),
                "loss": outcome.losses[-1],
                "rounds": outcome.speeds,
            }
            for name, outcome in outcomes.items()
        }
        report[task] = {
            "command": harness.command(),
            "rounds": told.rounds,
            "epochs": told.epochs,
            "images": len(some),
            "contenders": rows,
        }
        for name, row in rows.items():
            print(
                f"  {name:<28}{row['images_per_second']:>9,.0f} images/s  "
                f"{row['of_bound']:>5.0%} of the bound  fit is {row['ours_over_it']:.2f}× it"
            )
    if not told.quick:
        before = harness.read("training").get(harness.processor(), {})
        same = harness.machine().items() <= before.items()
        print(harness.write_here("training", {"tasks": (before["tasks"] if same else {}) | report}))


if __name__ == "__main__":
    main()
