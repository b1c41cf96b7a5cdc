"""Random numbers by seed: each use has a stream of its own, so that equal seeds share no noise."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any

import torch
from torch import Tensor

from lowerbound.errors import ConfigurationError

WORD = 2**64 - 1


class Stream(IntEnum):
    """What random numbers are for; the first three are training's."""

    ORDER = 0
    NOISE = 1
    VALIDATION = 2
    SAMPLE = 3
    TRANSFORM = 4
    EVALUATE = 5
    AGGREGATE = 6
    DECOMPOSE = 7
    ANNEAL = 8
    BRACKET = 9
    GAPS = 10
    REPORT = 11
    DIAGNOSE = 12
    SUBSET = 13
    ALTERNATIVES = 14
    DRAWS = 15
    CALLS = 16
    AGAIN = 17
    BALANCE = 18
    READINGS = 19
    LABELS = 20
    TRIAL = 21
    NEAR = 22
    WEIGHTS = 23
    CODES = 24
    FIRST = 25
    IMPUTE = 26
    FILL = 27
    MIX = 28


def key(seed: int, stream: Stream, *place: int) -> int:
    """A seed for one stream of random numbers at one place: all of them, mixed one by one.

    Source of the mixing: Steele, Lea & Flood, Fast splittable pseudorandom number generators, 2014
    (SplitMix64).

    Raises:
        ConfigurationError: ``seed`` is not a whole number from 0 to 2⁶³ − 1.
    """
    state = 0
    for word in (checked(seed), stream, *place):
        state = (state + word + 0x9E3779B97F4A7C15) & WORD
        state = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & WORD
        state = ((state ^ (state >> 27)) * 0x94D049BB133111EB) & WORD
        state ^= state >> 31
    return state >> 1


def checked(seed: Any) -> int:
    """``seed``, a whole number from 0 to 2⁶³ − 1."""
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, bool) or not 0 <= number < 2**63:
        raise ConfigurationError(
            f"expected a seed that is a whole number from 0 to 2⁶³ − 1, got {seed!r}"
        )
    return number


def generator(seed: int, stream: Stream) -> torch.Generator:
    """A generator on the CPU."""
    return torch.Generator().manual_seed(key(seed, stream))


def seed_noise(device: torch.device, seed: int, stream: Stream, *place: int) -> None:
    """Seed torch's global generators."""
    value = key(seed, stream, *place)
    torch.default_generator.manual_seed(value)
    if device.type == "cuda":
        with torch.cuda.device(device):
            torch.cuda.manual_seed(value)


@contextmanager
def seeded(device: torch.device, seed: int, stream: Stream, *place: int) -> Iterator[None]:
    """Within, torch's generators are at the start of a stream; after, they are as they were."""
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        seed_noise(device, seed, stream, *place)
        yield


def bernoulli(p: Tensor) -> Tensor:
    """1 with probability p, else 0, elementwise.

    From the same numbers compiled and not: of `torch.bernoulli` they are others on a GPU.
    """
    exact = torch.promote_types(p.dtype, torch.float32)
    return (torch.rand_like(p, dtype=exact) < p).to(p.dtype)
