"""How well a model of melodies reproduces them, and how smoothly it goes from one to another."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lowerbound.data import Dataset
from lowerbound.music.accuracy import CONTEXT, Accuracy, accuracy, copied, markov, most_common
from lowerbound.streams import Stream, generator, seeded
from lowerbound.vae import VAE
from lowerbound.walks import slerp

AT_ONCE = 250
TRAIN_ROWS = 20_000


@torch.no_grad()
def accuracies(model: VAE, test: Dataset, train: Dataset, *, seed: int = 0) -> dict[str, Accuracy]:
    """What is right of the test melodies' tokens, by who says them.

    "teacher-forced": each the likeliest given the right ones before it and the posterior's mean;
    "sampled": drawn one after the other at the posterior's mean; "greedy": each the likeliest
    after those said before.  And without a model: "copied", the token before; "most common";
    "Markov", the likeliest in training after as much of the bar before as was met there.

    Args:
        model: of melodies, in evaluation mode.
        test: held-out melodies.
        train: those that the baselines learn from, of which 20,000 are taken.
        seed: of the draws.
    """
    x = test.x.numpy()
    order = torch.randperm(len(train), generator=generator(0, Stream.SUBSET))[:TRAIN_ROWS]
    known = train.subset(order).x.numpy()

    def said(say: Callable[[Tensor, Tensor, Tensor | None], Tensor]) -> np.ndarray:
        batches = test.batches(AT_ONCE, device=next(model.parameters()).device)
        found = [
            say(b.x, model.embed(b.x, b.context), model.features(b.context, len(b.x)))
            for b in batches
        ]
        return torch.cat(found).cpu().numpy()

    with seeded(next(model.parameters()).device, seed, Stream.NEAR):
        rows = {
            "teacher-forced": said(
                lambda x, z, c: model.likelihood(z, c).token_log_probs(x).argmax(-1)
            ),
            "greedy": said(lambda x, z, c: model.likelihood(z, c).mean),
            "sampled": said(lambda x, z, c: model.likelihood(z, c).sample()),
            "copied": copied(x),
            "most common": most_common(x, known),
            "Markov": markov(x, known, CONTEXT),
        }
    return {name: accuracy(x, row) for name, row in rows.items()}


@torch.no_grad()
def smoothness(
    model: VAE, first: Tensor, last: Tensor, steps: int = 11, *, seed: int = 0
) -> dict[str, np.ndarray]:
    """The share of tokens that differ from ``first`` along the way to ``last``, (steps,), means.

    "slerp": decoded along the arc between codes; "blend": each token from the one or the other,
    at random, which leaves no melody on the way but changes as evenly as can be.

    Args:
        model: of melodies, in evaluation mode, not conditional.
        first: melodies (n, T).
        last: as many others.
        steps: how many stations there are, both ends among them.
        seed: of the blends.
    """
    codes = zip(model.embed(first), model.embed(last), strict=True)
    paths = torch.stack([slerp(a, b, steps) for a, b in codes], 1)  # (steps, n, latent)
    decoded = torch.stack([model.decode(z) for z in paths]).cpu()
    begin, end = first.cpu(), last.cpu()
    share = torch.linspace(0, 1, steps)[:, None, None]
    draws = torch.rand(steps, *begin.shape, generator=generator(seed, Stream.NEAR))
    blended = torch.where(draws < share, end, begin)
    return {
        "slerp": (decoded != begin).double().mean((1, 2)).numpy(),
        "blend": (blended != begin).double().mean((1, 2)).numpy(),
    }
