"""What draws of weights cost: to make, beside Adam, and to score examples under all of them."""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable

import harness
import torch
from torch import nn

import lowerbound as lb
from lowerbound.training import Callback

LATENT, HIDDEN, DRAWS, ROWS, SAMPLES = 20, 512, 100, 10_000, 10
FEW = 10  # rows, as a user scores them
STEPS, BATCH = 200, 512


class Clock(Callback):
    """The time of each step."""

    def start(self, model: lb.VAE, epochs: int, steps: int, step: int) -> None:
        self.last, self.seconds = time.perf_counter(), []

    def step(self, model: lb.VAE, step: int, loss: float) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self.last)
        self.last = now


def model_of(x: torch.Tensor) -> lb.VAE:
    torch.manual_seed(0)
    return lb.recipes.compose(
        x, LATENT, network={"part": "MLP", "hidden": [HIDDEN]}, likelihood="Bernoulli"
    )


def with_draws(model: lb.VAE, draws: int) -> tuple[lb.VAE, list[dict[str, torch.Tensor]]]:
    """The model with weights near its own, and these."""
    states = [
        {name: t + 0.05 * torch.randn_like(t) for name, t in model.likelihood.state_dict().items()}
        for _ in range(draws)
    ]
    drawn = lb.WeightDraws.of(model.likelihood, states)
    return lb.VAE(model.prior, model.posterior, drawn, model.transform).eval(), states


def one_by_one(
    model: lb.VAE, states: list[dict[str, torch.Tensor]], x: torch.Tensor, samples: int
) -> torch.Tensor:
    """The table as M calls for a model of one set of weights make it."""
    table = []
    likelihood: nn.Module = model.likelihood
    for state in states:
        likelihood.load_state_dict(state)
        scores = lb.evaluation.example_scores(model, x, samples=samples)
        table.append(scores["importance_weighted"])
    return torch.stack(table)


def scored(how: str, rows: int, draws: int, samples: int, quick: bool) -> dict[str, float]:
    """Measured in this process: seconds to score, and peak memory above what was there."""
    x = torch.from_numpy(harness.images(quick)[1])[:rows]
    model = model_of(x)
    drawn, states = with_draws(model, draws)
    small = x[:2]
    ways: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
        "together": lambda x: lb.evaluation.weight_log_likelihoods(drawn, x, samples=samples),
        "one by one": lambda x: one_by_one(model, states, x, samples),
    }
    ways[how](small)
    before, begun = peak(), time.perf_counter()
    ways[how](x)
    return {"seconds": time.perf_counter() - begun, "growth_mb": peak() - before}


def peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def apart(*arguments: object) -> dict[str, float]:
    """`scored` in a process of its own."""
    command = [sys.executable, __file__, "--score", *map(str, arguments)]
    return harness.printed("scoring", command)[-1]


def step_ratio(quick: bool) -> dict[str, float]:
    """Milliseconds of a step of Adam and of the sampler after burn-in, both not compiled."""
    x = torch.from_numpy(harness.images(quick)[0])
    x = x[: BATCH * (2 if quick else STEPS // 4)]
    medians = {}
    for name, sampler in (("adam", None), ("sghmc", lb.SGHMC(burn_in=1))):
        clock = Clock()
        training = lb.Training(epochs=4, batch_size=BATCH, compile=False, sampler=sampler)
        lb.fit(model_of(x), x, training=training, callbacks=[clock], device="cpu")
        later = clock.seconds[len(clock.seconds) // 2 :]
        medians[f"{name}_ms"] = 1e3 * sorted(later)[len(later) // 2]
    return medians | {"ratio": medians["sghmc_ms"] / medians["adam_ms"]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=ROWS)
    parser.add_argument("--draws", type=int, default=DRAWS)
    parser.add_argument("--quick", action="store_true", help="check that it runs: 20 small images")
    parser.add_argument("--score", nargs=5, help=argparse.SUPPRESS)
    told = parser.parse_args()
    if told.score:
        how, rows, draws, samples, quick = told.score
        print(json.dumps(scored(how, int(rows), int(draws), int(samples), quick == "True")))
        return
    rows, draws, rounds = (20, 3, 1) if told.quick else (told.rows, told.draws, told.rounds)
    found = []
    for n in dict.fromkeys((min(FEW, rows), rows)):
        for how in ("together", "one by one"):
            runs = [apart(how, n, draws, SAMPLES, told.quick) for _ in range(rounds)]
            best = min(runs, key=lambda run: run["seconds"])
            found.append({"how": how, "rows": n, "draws": draws, "samples": SAMPLES, **best})
            print(
                f"{draws} draws × {n:,} images × {SAMPLES} codes, {how}: {best['seconds']:.2f} s, "
                f"{best['growth_mb']:+,.0f} MB",
                flush=True,
            )
    steps = step_ratio(told.quick)
    print(
        f"a step: Adam {steps['adam_ms']:.1f} ms, SGHMC {steps['sghmc_ms']:.1f} ms, "
        f"ratio {steps['ratio']:.2f}"
    )
    if not told.quick:
        values = {"command": harness.command(), "rounds": rounds, "rows": found, "steps": steps}
        print(harness.write("draws", values | harness.machine()))


if __name__ == "__main__":
    main()
