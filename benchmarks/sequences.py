"""Training speed of a recurrent VAE beside a loop by hand of the same layers, and its products."""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import harness
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import lowerbound as lb
from lowerbound import recipes
from lowerbound.training import Callback

TOKENS, STEPS, LATENT, HIDDEN, EMBEDDING, BATCH = 90, 32, 64, 256, 64, 256
OURS, LOOP, BOUND = "lowerbound, fit", "PyTorch, by hand", "matrix products alone"


class ByHand(nn.Module):
    """The layers of the recipe, as one would write them down."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Embedding(TOKENS, EMBEDDING)
        self.encoder = nn.LSTM(EMBEDDING, HIDDEN, bidirectional=True)
        self.heads = nn.Linear(2 * HIDDEN, 2 * LATENT)
        self.h = nn.Linear(LATENT, 256)
        self.embedding = nn.Embedding(TOKENS + 1, EMBEDDING)
        self.given = nn.Linear(256, EMBEDDING)
        self.begin = nn.Linear(256, 2 * HIDDEN)
        self.decoder = nn.LSTM(EMBEDDING, HIDDEN)
        self.output = nn.Linear(HIDDEN, TOKENS)

    def forward(self, x: Tensor) -> Tensor:
        """−ELBO of tokens x, (batch, time), with 3 in 10 hidden from the decoder."""
        tokens = x.long().T
        last = self.encoder(self.read(tokens))[1][0]
        mean, log_variance = self.heads(torch.cat((last[0], last[1]), -1)).chunk(2, -1)
        h = self.h(mean + (log_variance / 2).exp() * torch.randn_like(mean))
        before = torch.cat((tokens.new_full((1, len(x)), TOKENS), tokens[:-1]))
        before = before.masked_fill(torch.rand(before.shape) < 0.3, TOKENS)
        state = self.begin(h).tanh().view(1, len(x), 2, HIDDEN).unbind(2)
        read = self.embedding(before) + self.given(h)
        told, _ = self.decoder(read, tuple(s.contiguous() for s in state))
        logits = self.output(told).flatten(0, 1)
        error = F.cross_entropy(logits, tokens.flatten(), reduction="sum") / len(x)
        kl = 0.5 * (mean**2 + log_variance.exp() - log_variance - 1).sum(1).mean()
        return error + 0.2 * kl


def by_hand(x: Tensor, epochs: int) -> float:
    model = ByHand()
    adam = torch.optim.Adam(model.parameters(), 1e-3)
    for epoch in range(epochs):
        started = time.perf_counter() if epoch == 1 else 0.0 if epoch == 0 else started
        for rows in torch.randperm(len(x)).split(BATCH):
            adam.zero_grad()
            model(x[rows]).backward()
            nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            adam.step()
    return (epochs - 1) * len(x) / (time.perf_counter() - started)


class Clock(Callback):
    """When the second epoch began, and the last one ended."""

    def epoch(self, model: lb.VAE, record: object) -> None:
        self.times = [*getattr(self, "times", []), time.perf_counter()]


def ours(x: Tensor, epochs: int) -> float:
    sizes = {"likelihood.embedding": EMBEDDING, "embedding": EMBEDDING, "objective.beta": 0.2}
    settings = {"batch_size": BATCH, "epochs": epochs}
    data = lb.data.from_arrays(x, vocabulary=TOKENS)
    experiment = recipes.tokens(data, latent_dim=LATENT, **sizes, **settings)
    expected = sum(p.numel() for p in ByHand().parameters())
    assert sum(p.numel() for p in experiment.model.parameters()) == expected
    clock, training = Clock(), replace(experiment.training, schedule="constant")
    lb.fit(experiment.model, data, None, experiment.objective, training, callbacks=[clock])
    return (epochs - 1) * len(x) / (clock.times[-1] - clock.times[0])


def products(x: Tensor, epochs: int) -> float:
    """Forward, and twice as much backward, of three LSTMs and the output."""
    a, b = torch.randn(STEPS * BATCH, EMBEDDING), torch.randn(EMBEDDING, 4 * HIDDEN)
    c, d = torch.randn(BATCH, HIDDEN), torch.randn(HIDDEN, 4 * HIDDEN)
    e, f = torch.randn(STEPS * BATCH, HIDDEN), torch.randn(HIDDEN, TOKENS)
    started, steps = time.perf_counter(), max(1, len(x) // BATCH)
    for _ in range(3 * steps):
        for _ in range(3):
            a @ b
            for _ in range(STEPS):
                c @ d
        e @ f
    return steps * BATCH / (time.perf_counter() - started)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--windows", type=int, default=4096)
    parser.add_argument("--quick", action="store_true", help="check that it runs")
    told = parser.parse_args()
    contenders: dict[str, Callable[[Tensor, int], float]] = {
        OURS: ours,
        LOOP: by_hand,
        BOUND: products,
    }
    if told.quick:
        told.rounds, told.epochs, told.windows = 1, 2, 32
    rng = np.random.default_rng(0)
    x = torch.from_numpy(rng.integers(0, TOKENS, (told.windows, STEPS)).astype(np.uint8))
    speeds: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(told.rounds):
        for name, run in contenders.items():
            speeds[name].append(run(x, told.epochs))
            print(f"{name:<28}{speeds[name][-1]:>9,.0f} windows/s", flush=True)
    rows = {
        name: {
            "windows_per_second": statistics.median(found),
            "of_bound": harness.median_ratio(found, speeds[BOUND]),
            "ours_over_it": harness.median_ratio(speeds[OURS], found),
            "rounds": found,
        }
        for name, found in speeds.items()
    }
    for name, row in rows.items():
        print(
            f"{name:<28}{row['windows_per_second']:>9,.0f} windows/s  "
            f"{row['of_bound']:>5.0%} of the bound  fit is {row['ours_over_it']:.2f}× it"
        )
    if not told.quick:
        found = {"command": harness.command(), "rounds": told.rounds, "rows": rows}
        print(harness.write("sequences", found | {"windows": told.windows} | harness.machine()))


if __name__ == "__main__":
    main()
