"""Data in order, a batch at a time, with seeded noise and in bounded memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.data import Data, as_dataset
from lowerbound.environment import keep_freed_memory
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.streams import Stream, seeded
from lowerbound.vae import VAE, Conditioned

IMAGES_PER_BATCH = 500
ELEMENTS_PER_CHUNK = 2**20
Progress = Callable[[int, int], None]


def per_example(
    model: VAE,
    data: Data,
    measure: Callable[[Conditioned], Mapping[str, Tensor]],
    *,
    seed: int,
    stream: Stream,
    copies: int = 1,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """What ``measure`` finds of every example: columns (n, …) by name, on the CPU.

    It is given batches of which ``copies`` codes for each example can be decoded at once, and
    examples of which float32 cannot hold what it finds once more in float64.  ``progress`` is
    called with the examples done and their number.
    """

    def of(x: Tensor, context: Tensor | None) -> Mapping[str, Tensor]:
        return _again(in_double, measure, x, context, measure(model.given(x, context)))

    @cache
    def in_double() -> VAE:
        return copy.deepcopy(model).double()

    with judging(model, seed, stream) as device:
        return columns(model, data, of, device, seed, copies, progress)


def _again(
    in_double: Callable[[], VAE],
    measure: Callable[[Conditioned], Mapping[str, Tensor]],
    x: Tensor,
    context: Tensor | None,
    found: Mapping[str, Tensor],
) -> Mapping[str, Tensor]:
    """``found`` with what was not finite measured once more by the model in float64."""
    lost = ~finite(found).to(x.device)
    if not lost.any():
        return found
    try:
        c = None if context is None else context[lost].double()
        again = measure(in_double().given(x[lost].double(), c))
    except RuntimeError:  # of a user's own part that works in float32 alone
        return found
    whole = {}
    for name, column in found.items():
        whole[name] = column.to(again[name].dtype, copy=True)
        whole[name][lost.to(column.device)] = again[name]
    return whole


def finite(columns: Mapping[str, Tensor]) -> Tensor:
    """Which examples have finite numbers in all ``columns``, (n,)."""
    each = (column.cpu().isfinite().reshape(len(column), -1).all(1) for column in columns.values())
    return torch.stack(tuple(each)).all(0)


def expect_finite(columns: Mapping[str, Tensor], what: str = "bounds") -> None:
    """Refuse figures that are not all finite.

    Raises:
        DataError: some example's are not.
    """
    lost = (~finite(columns)).nonzero().flatten().tolist()
    if lost:
        raise DataError(
            f"expected examples with finite {what}, got {listed(lost)} of {len(finite(columns)):,} "
            "without, far from what the model was trained on; leave them out"
        )


def listed(numbers: list[int]) -> str:
    """Numbers of examples in words.

    >>> listed([3]), listed([0, 4, 5, 6])
    ('example 3', 'examples 0, 4, 5 and 1 more')
    """
    first, more = ", ".join(map(str, numbers[:3])), len(numbers) - 3
    return f"example{'s' * (len(numbers) > 1)} {first}{f' and {more:,} more' if more > 0 else ''}"


def columns(
    model: VAE,
    data: Data,
    measure: Callable[[Tensor, Tensor | None], Mapping[str, Tensor]],
    device: torch.device,
    seed: int,
    copies: int = 1,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """As `per_example`, within `judging`: ``measure`` is given prepared x and context."""
    found: dict[str, list[Tensor]] = {}
    done = 0
    for x, context in prepared_batches(model, data, device, seed, copies):
        for name, column in measure(x, context).items():
            found.setdefault(name, []).append(column.cpu())
        done += len(x)
        if progress:
            progress(done, len(data))
    return {name: torch.cat(column) for name, column in found.items()}


def held_out(data: Any, least: int = 2) -> Data:
    """``data`` as a data set on the CPU, of Splits the test set.

    Raises:
        ConfigurationError: it has fewer examples than ``least``; of one, no standard error could be
            estimated.
    """
    found = as_dataset(data, "test").to("cpu")
    if len(found) < least:
        raise ConfigurationError(
            f"expected at least {least} examples, for a standard error over them, got {len(found)}"
        )
    return found


def check_count(name: str, given: int, least: int = 1, most: int = 10**9) -> None:
    """Refuse a number of ``name`` that nothing could be made from, or that no machine would end.

    Raises:
        ConfigurationError: ``given`` is not from ``least`` to ``most``.
    """
    if not least <= given <= most:
        raise ConfigurationError(
            f"expected at least {least} and at most {most:,} {name}, got {given}"
        )


@contextmanager
def judging(model: VAE, seed: int, stream: Stream) -> Iterator[torch.device]:
    """The model's device, in evaluation mode, without gradients and with seeded noise.

    The model's mode and torch's generators are left as they were.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    keep_freed_memory()
    try:
        with torch.no_grad(), seeded(device, seed, stream):
            yield device
    finally:
        model.train(was_training)


def prepared_batches(
    model: VAE, data: Data, device: torch.device, seed: int, copies: int = 1
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The data in order, a batch at a time, as the model's parts see it.

    Batches are such that ``copies`` codes for each example can be decoded at once.  What noise the
    transform adds follows from the seed and the example's place alone, so that all measures of one
    seed are of the same x.
    """
    data = model.expect(data)
    size = max(1, min(IMAGES_PER_BATCH, ELEMENTS_PER_CHUNK // decoded_elements(model)))
    for i, batch in enumerate(data.batches(size, device=device)):
        with seeded(device, seed, Stream.TRANSFORM, i * size):
            x, context = model.prepare(*batch)
        yield from in_parts(model, x, context, copies)


def in_parts(
    model: VAE, x: Tensor, context: Tensor | None, copies: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """A batch in parts of which ``copies`` codes for each example can be decoded at once."""
    rows = max(1, ELEMENTS_PER_CHUNK // (copies * decoded_elements(model)))
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        yield x[part], None if context is None else context[part]


def chunks(model: VAE, examples: int, samples: int) -> Iterator[int]:
    """Sizes that add up to ``samples``, each with a bounded number of decoded elements."""
    size = max(1, ELEMENTS_PER_CHUNK // (examples * decoded_elements(model)))
    while samples > 0:
        yield min(size, samples)
        samples -= size


def decoded_elements(model: VAE) -> int:
    """Numbers that the decoder returns for one z."""
    return math.prod(model.shape) * getattr(model.likelihood, "numbers", 1)


def posteriors(model: VAE, data: Any) -> Iterator[Distribution]:
    """q(z|x) of the data in order, a batch at a time, without the transform's noise."""
    data = model.expect(as_dataset(data, "test"))
    for x, labels in data.batches(IMAGES_PER_BATCH):
        yield model.encode(x, labels)
