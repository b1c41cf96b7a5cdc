"""Figures of each example, as `evaluate` averages them, and the least that some could be."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from lowerbound.data import as_dataset
from lowerbound.errors import ConfigurationError, check_count
from lowerbound.evaluation.bounds import example_bounds
from lowerbound.evaluation.walk import IMAGES_PER_BATCH, Progress, held_out, per_example
from lowerbound.streams import Stream
from lowerbound.vae import VAE, Conditioned

Scores = Float[Tensor, " n"]


def example_scores(
    model: VAE,
    data: Any,
    *,
    samples: int = 10,
    seed: int = 0,
    leave_out: Collection[int] = (),
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """Each example's reconstruction, kl, elbo and importance_weighted, as `evaluate` averages them.

    Nats, (n,) each, on the CPU; with them, its effective_samples, and the bound's ``curve`` over
    numbers of draws, each dividing the next, (n, sizes).

    Args:
        model: as in `evaluate`.
        data: the examples, as in `evaluate`.
        samples: draws z ~ q(z|x) for each.
        seed: of all noise.
        leave_out: numbers of examples that are not scored; the transform's noise of the others is
            as with them.
        progress: called with the examples done and their number.

    Raises:
        ConfigurationError: there is no example besides those to leave out.
    """
    samples = check_count("samples", samples)

    def measure(given: Conditioned) -> dict[str, Tensor]:
        return example_bounds(model, given, samples)

    return per_example(
        model,
        held_out(data, least=1, leave_out=leave_out),
        measure,
        seed=seed,
        stream=Stream.EVALUATE,
        draws=samples,
        progress=progress,
        leave_out=leave_out,
    )


def grey_entropy(data: Any) -> Scores:
    """H(x) = −Σ [x log x + (1 − x) log(1 − x)] of ``data`` in [0, 1], nats per example, (n,).

    The least that −log p(x|z) can be under a Bernoulli likelihood with grey levels as targets: what
    it has above H(x) is the divergence of the decoder's pixels from the image's own.

    Raises:
        ConfigurationError: the values are of another kind.
    """
    data = as_dataset(data, "test")
    if data.kind not in ("binary", "grey", "unit"):
        raise ConfigurationError(f"expected levels in [0, 1] or 0–255, got {data.kind} values")
    levels = [batch.x.double().flatten(1) / data.scale for batch in data.batches(IMAGES_PER_BATCH)]
    entropy = [-(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).nansum(1) for x in levels]
    return torch.cat(entropy).float()
