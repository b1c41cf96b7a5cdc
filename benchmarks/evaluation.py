"""Speed of evaluation beside that of the matrix products it needs, and its memory."""

from __future__ import annotations

import lowerbound as lb

# isort: split
import argparse
import resource
import statistics
import time
from collections.abc import Callable

import harness
import torch

from lowerbound import evaluation
from lowerbound.recipes import mlp


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def products(rows: int, sizes: list[tuple[int, int]], chunk: int) -> None:
    """Only the products of ``rows`` rows with each layer, ``chunk`` rows at a time."""
    weights = [torch.rand(b, a) for a, b in sizes]
    inputs = [torch.rand(chunk, a) for a, _ in sizes]
    for _ in range(rows // chunk):
        for x, W in zip(inputs, weights, strict=True):
            torch.mm(x, W.T)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--samples", type=int, default=5000)
    parser.add_argument(
        "--quick", action="store_true", help="check that it runs: digits, 50 samples"
    )
    told = parser.parse_args()
    data = lb.data.load("digits" if told.quick else "mnist")
    if told.quick:
        told.rounds, told.samples = 1, 50
    model = mlp(data.train, latent_dim=20, hidden=(512,), likelihood="Bernoulli").model.eval()
    pixels, few = data.test.x[0].numel(), data.test.take(told.images)
    encoder, decoder = [(pixels, 512), (512, 40)], [(20, 512), (512, pixels)]
    codes = torch.randn(len(data.test), 20)
    rows = told.images * told.samples
    tasks: dict[str, tuple[Callable[[], object], Callable[[], object], int]] = {
        f"importance-weighted bound, {told.samples} samples": (
            lambda: evaluation.evaluate(model, few, samples=told.samples),
            lambda: products(rows, decoder, min(rows, 5000)),
            told.images,
        ),
        "embedding": (
            lambda: evaluation.embed(model, data.test),
            lambda: products(len(data.test), encoder, min(len(data.test), 500)),
            len(data.test),
        ),
        "decoding": (
            lambda: [model.decode(z) for z in codes.split(500)],
            lambda: products(len(codes), decoder, min(len(codes), 500)),
            len(codes),
        ),
    }
    report = {}
    with torch.no_grad():
        for name, (ours, bound, images) in tasks.items():
            ours()
            bound()
            times = [(seconds(ours), seconds(bound)) for _ in range(told.rounds)]
            share = statistics.median(b / a for a, b in times)
            speed = images / statistics.median(a for a, _ in times)
            report[name] = {"images_per_second": speed, "of_bound": share, "rounds": times}
            print(f"{name:<45}{speed:>10,.1f} images/s {share:>6.0%} of the bound", flush=True)
    before = peak()
    evaluation.evaluate(model, few, samples=4 * told.samples)
    growth = peak() - before
    print(f"peak memory {before:,.0f} MB; with 4 times the samples {growth:+,.0f} MB")
    if not told.quick:
        values = {
            "command": harness.command(),
            "tasks": report,
            "peak_mb": before,
            "growth_mb": growth,
        }
        print(harness.write("evaluation", values | harness.machine()))


def peak() -> float:
    """Largest resident memory so far, MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
