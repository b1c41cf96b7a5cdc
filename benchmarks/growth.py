"""How cost grows with the number of examples, in memory and on disk."""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import harness
import numpy as np

LENGTHS = (10_000, 100_000, 1_000_000, 10_000_000)
WIDTH = 64
FEWEST = 1_000_000  # examples trained on, so that a measurement takes seconds
HUGE = 1.5  # times the machine's memory
HUGE_WIDTH = 784
PART = 100_000


def write(path: Path, n: int, width: int) -> None:
    """An .npy file of n rows of random levels, written part by part."""
    some = np.random.default_rng(0).integers(0, 256, (min(n, PART), width), np.uint8)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (n, width)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, n, PART):
            # Other rows in each part, at the speed of a copy.
            file.write((some[: n - start] + np.uint8(start // PART % 251)).tobytes())


def measure(path: Path, on_disk: bool, examples: int) -> dict[str, float]:
    """Measured in this process: time to train on so many examples and to check them, and memory."""
    import lowerbound as lb
    from lowerbound.training import Callback

    begun = time.perf_counter()
    data = lb.data.load(path, on_disk=on_disk, test=1000).train
    checked = time.perf_counter() - begun
    (width,) = data.shape
    model = lb.VAE(
        lb.StandardNormal(10),
        lb.DiagonalGaussian(lb.MLP(width, (256,), 20), 10),
        lb.Bernoulli(lb.MLP(10, (256,), width), data.shape),
        lb.Scale(),
    )
    training = lb.Training(epochs=-(-examples // len(data)), batch_size=128)

    class Enough(Exception):
        pass

    class Clock(Callback):
        def start(self, model: object, epochs: int, steps: int, step: int) -> None:
            self.started = time.perf_counter()

        def step(self, model: object, step: int, loss: float) -> None:
            self.seconds, self.examples = time.perf_counter() - self.started, 128 * step
            if self.examples >= examples:
                raise Enough

    clock = Clock()
    with suppress(Enough):
        lb.fit(model, data, training=training, callbacks=[clock])
    return {
        "microseconds_per_example": 1e6 * clock.seconds / clock.examples,
        "checking_s": checked,
        "file_gb": path.stat().st_size / 1e9,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def apart(path: Path, on_disk: bool, examples: int) -> dict[str, float]:
    """`measure` in a process of its own."""
    given = ["--path", str(path), "--examples", str(examples), *["--on-disk"] * on_disk]
    return harness.printed("growth", [sys.executable, __file__, *given])[-1]


def shown(row: dict[str, Any]) -> str:
    place = "on disk" if row["on_disk"] else "in memory"
    return (
        f"{row['examples']:>12,} × {row['width']:<4} {place:<10}"
        f"{row['microseconds_per_example']:>7.2f} µs per example, "
        f"{row['peak_mb']:>7,.0f} MB, {row['checking_s']:>6.1f} s to load and check"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--quick", action="store_true", help="check that it runs: 2,000 examples")
    parser.add_argument("--huge", action="store_true", help="also 1.5 times the machine's memory")
    parser.add_argument("--path", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--examples", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--on-disk", action="store_true", help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.path:
        print(json.dumps(measure(told.path, told.on_disk, told.examples)))
        return
    rows = []
    rounds = 1 if told.quick else told.rounds
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        for n in (2_000,) if told.quick else LENGTHS:
            path = Path(folder) / f"{n}.npy"
            write(path, n, WIDTH)
            amount = 2 * n if told.quick else FEWEST
            found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
            for _ in range(rounds):
                for on_disk, measured in found.items():
                    measured.append(apart(path, on_disk, amount))
            for on_disk, measured in found.items():
                middle = {k: statistics.median(m[k] for m in measured) for k in measured[0]}
                rows.append({"examples": n, "width": WIDTH, "on_disk": on_disk, **middle})
                print(shown(rows[-1]), flush=True)
            path.unlink()
        if told.huge:
            memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
            for share, on_disk in ((0.02, False), (0.02, True), (HUGE, True)):
                n = int(share * memory / HUGE_WIDTH)
                path = Path(folder) / f"{n}.npy"
                write(path, n, HUGE_WIDTH)
                measured = apart(path, on_disk, FEWEST)
                rows.append({"examples": n, "width": HUGE_WIDTH, "on_disk": on_disk, **measured})
                print(shown(rows[-1]), flush=True)
    if not told.quick:
        values = {"command": harness.command(), "rounds": rounds, "rows": rows}
        print(harness.write("growth", values | harness.machine()))


if __name__ == "__main__":
    main()
