"""Which examples, in which order, with which noise: all functions of (seed, epoch, step).

Nothing here has a state, so a run resumed at any step sees what it would have seen.
"""

from __future__ import annotations

import torch

from lowerbound.data import Batch

ORDER, NOISE, VALIDATION = range(3)
WORD = 2**64 - 1


def key(seed: int, stream: int, *place: int) -> int:
    """A seed for one stream of random numbers at one place: all of them, mixed one by one.

    Source of the mixing: Steele, Lea & Flood, Fast splittable pseudorandom number generators, 2014
    (SplitMix64).
    """
    state = 0
    for word in (seed, stream, *place):
        state = (state + word + 0x9E3779B97F4A7C15) & WORD
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & WORD
        state ^= state >> 31
    return state >> 1


def seed_noise(device: torch.device, seed: int, stream: int, *place: int) -> None:
    """Seed torch's global generators for one step."""
    value = key(seed, stream, *place)
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        torch.cuda.manual_seed(value)


def steps_per_epoch(n: int, batch_size: int) -> int:
    """Batches in one pass; the last may be smaller."""
    return -(-n // batch_size)


def share(batch: Batch, rank: int, world: int) -> Batch:
    """This process's share of a joint batch."""
    if world == 1:
        return batch
    x, labels = batch
    mine = None if labels is None else labels.tensor_split(world)[rank]
    return Batch(x.tensor_split(world)[rank], mine)
