"""Data in order, a batch at a time, with seeded noise and in bounded memory."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any, NamedTuple, ParamSpec

import torch
from torch import Tensor
from torch.distributions import Distribution

from lowerbound.data import Data, Dataset, as_dataset
from lowerbound.data.batches import Batch
from lowerbound.environment import keep_freed_memory
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.evaluation.decoding import Decoding
from lowerbound.likelihoods.support import decoded_elements
from lowerbound.streams import Stream, seeded
from lowerbound.vae import VAE, Conditioned

IMAGES_PER_BATCH = 500
ELEMENTS_PER_CHUNK = 2**20
BLOCK_ROWS, BLOCK_ELEMENTS = 2**16, 2**25
Progress = Callable[[int, int], None]
P = ParamSpec("P")


def example_blocks(
    model: VAE,
    data: Data,
    measure: Callable[[Conditioned], Mapping[str, Tensor]],
    *,
    seed: int,
    stream: Stream,
    copies: int = 1,
    draws: int = 1,
    progress: Progress | None = None,
    leave_out: Collection[int] = (),
    which: Iterable[range] | None = None,
) -> Iterator[Found]:
    """What ``measure`` finds of every example: columns (n, …) by name, on the CPU, block by block.

    It is given batches of which ``copies`` codes for each example can be decoded at once, and those
    with examples of which float32 cannot hold what it finds once more in float64.  Of each example
    it decodes ``draws`` codes in all.  ``progress`` is called with the examples done and their
    number; those whose numbers are to ``leave_out`` are not measured.  ``which`` is as in `blocks`.
    """

    def of(judged: VAE, x: Tensor, context: Tensor | None) -> Mapping[str, Tensor]:
        given = judged.given(x, context)
        return measure(decoding.of(given, context) if judged is model else given)

    examples, each = len(data) - len(leave_out), decoded_elements(model.likelihood)
    rows = min(len(data), batch_size(model), at_once(model, copies))
    with Decoding(model, draws * examples * each, copies if copies > 1 else None, rows) as decoding:
        yield from _measured(model, data, of, seed, stream, copies, progress, leave_out, which)


def _whole(find: Callable[P, Iterator[Found]]) -> Callable[P, dict[str, Tensor]]:
    """What ``find`` finds, the columns of all blocks as one."""

    def whole(*args: P.args, **how: P.kwargs) -> dict[str, Tensor]:
        return _joined(find(*args, **how))

    return whole


per_example = _whole(example_blocks)
"""As `example_blocks`, the columns of all blocks as one."""


def per_batch(
    model: VAE,
    data: Data,
    measure: Callable[[VAE, Tensor, Tensor | None], Mapping[str, Tensor]],
    *,
    seed: int,
    stream: Stream,
    progress: Progress | None = None,
) -> dict[str, Tensor]:
    """As `per_example`, ``measure`` being given the model, prepared x and context of a batch."""
    return _joined(_measured(model, data, measure, seed, stream, 1, progress))


def _measured(
    model: VAE,
    data: Data,
    measure: Callable[[VAE, Tensor, Tensor | None], Mapping[str, Tensor]],
    seed: int,
    stream: Stream,
    copies: int,
    progress: Progress | None,
    leave_out: Collection[int] = (),
    which: Iterable[range] | None = None,
) -> Iterator[Found]:
    """What `per_batch` finds of each block that is not left out whole."""
    place = done = 0

    def of(x: Tensor, context: Tensor | None) -> Mapping[str, Tensor]:
        nonlocal place
        found = measure(model, x, context)
        if x.dtype != torch.float64 and not finite(found).all():
            with seeded(x.device, seed, Stream.AGAIN, stream, place):
                found = _again(in_double(), measure, x, context, found)
        place += len(x)
        return found

    @cache
    def in_double() -> VAE:
        return copy.deepcopy(model).double()

    def move(now: int, _: int) -> None:
        if progress:
            progress(done + now, len(data) - len(leave_out))

    for block in blocks(model, model.expect(data), which):
        left = [i - block.first for i in leave_out if 0 <= i - block.first < len(block)]
        if len(left) == len(block):
            continue
        place = block.first
        with judging(model, seed, stream, block.first) as device:
            found = columns(model, block, of, device, seed, copies, move, left)
        yield Found(block, found)
        done += len(block) - len(left)


class Found(NamedTuple):
    """A block of the data, and what was found of each of its examples that was not left out."""

    block: Dataset
    columns: dict[str, Tensor]


def _joined(found: Iterable[Found]) -> dict[str, Tensor]:
    """The columns of all blocks as one."""
    every = [columns for _, columns in found]
    if len(every) == 1:
        return every[0]
    return {name: torch.cat([columns[name] for columns in every]) for name in every[0]}


def onwards(progress: Progress | None, before: int, total: int) -> Progress | None:
    """What tells of things done as of those that follow ``before`` others, of ``total``."""
    return progress and (lambda done, _: progress(before + done, total))


def ranges(model: VAE, data: Data) -> list[range]:
    """The numbers of the examples of each of the `blocks`."""
    size, n = batch_size(model), len(data)
    rows = max(1, min(BLOCK_ROWS, BLOCK_ELEMENTS // math.prod(model.shape)) // size) * size
    return [range(first, min(first + rows, n)) for first in range(0, n, rows)]


def blocks(model: VAE, data: Data, which: Iterable[range] | None = None) -> Iterator[Dataset]:
    """The data in order, in memory a block of whole batches at a time; or ``which`` of the blocks.

    What noise an example is given follows from its block: of the same data, measures of any block
    are the same whether others were measured before, and in memory as on disk.
    """
    every = ranges(model, data)
    if which is None and isinstance(data, Dataset) and len(every) == 1:
        yield data
        return
    parts: Iterable[tuple[range, Tensor]]
    if which is None:
        parts = zip(every, (batch.x for batch in data.batches(len(every[0]))), strict=True)
    else:
        parts = ((here, data.subset(here).x) for here in which)
    for here, x in parts:
        yield Dataset(
            x,
            None if data.labels is None else data.labels[here.start : here.stop],
            *(data.name, data.classes, data.schema, data.labels_from),
            missing=data.missing,
            given=None if data.given is None else data.given.subset(here),
            first=here.start,
        )


def _again(
    in_double: VAE,
    measure: Callable[[VAE, Tensor, Tensor | None], Mapping[str, Tensor]],
    x: Tensor,
    context: Tensor | None,
    found: Mapping[str, Tensor],
) -> Mapping[str, Tensor]:
    """``found`` with what was not finite measured once more by the model in float64.

    All of x are measured, so that no example's noise depends on which of the others were lost.
    """
    try:
        again = measure(in_double, x.double(), None if context is None else context.double())
    except RuntimeError:  # of a user's own part that works in float32 alone
        return found
    sound, whole = finite(found), {}
    for name, column in found.items():
        kept = sound.to(column.device).reshape(-1, *[1] * (column.ndim - 1))
        whole[name] = torch.where(kept, column, again[name])
    return whole


def finite(columns: Mapping[str, Tensor]) -> Tensor:
    """Which examples have finite numbers in all ``columns``, (n,)."""
    each = (column.cpu().isfinite().reshape(len(column), -1).all(1) for column in columns.values())
    return torch.stack(tuple(each)).all(0)


def expect_finite(
    columns: Mapping[str, Tensor],
    what: str = "bounds",
    leave_out: Collection[int] = (),
    first: int = 0,
) -> None:
    """Refuse figures that are not all finite, of examples from the ``first`` on.

    They are without the examples to ``leave_out``.

    Raises:
        DataError: some example's are not.
    """
    sound = finite(columns).tolist()
    numbers = range(first, first + len(sound) + len(leave_out))
    kept = (i for i in numbers if i not in leave_out)
    lost = [i for i, is_finite in zip(kept, sound, strict=True) if not is_finite]
    if lost:
        raise infinite(lost, len(sound), what)


def infinite(lost: list[int], of: int, what: str = "bounds") -> DataError:
    """The error of examples whose figures are not finite."""
    return DataError(
        f"expected examples with finite {what}, got {listed(lost)} of {of:,} without, far from "
        "what the model was trained on; leave them out"
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
    leave_out: Collection[int] = (),
) -> dict[str, Tensor]:
    """As `per_example`, within `judging`: ``measure`` is given prepared x and context."""
    found: dict[str, list[Tensor]] = {}
    done = 0
    for x, context in prepared_batches(model, data, device, seed, copies, leave_out):
        for name, column in measure(x, context).items():
            found.setdefault(name, []).append(column.cpu())
        done += len(x)
        if progress:
            progress(done, len(data) - len(leave_out))
    return {name: torch.cat(column) for name, column in found.items()}


def held_out(data: Any, least: int = 2, leave_out: Collection[int] = ()) -> Data:
    """``data`` as a data set on the CPU, of Splits the test set.

    Raises:
        ConfigurationError: it has fewer examples than ``least`` besides those to ``leave_out``; of
            one, no standard error could be estimated.  Or those to leave out are not in it.
    """
    found = as_dataset(data, "test").to("cpu")
    if len(set(leave_out) & set(range(len(found)))) < len(leave_out):
        raise ConfigurationError(
            f"expected different numbers from 0 to {len(found) - 1} to leave out, got {leave_out}"
        )
    if (n := len(found) - len(leave_out)) < least:
        raise ConfigurationError(
            f"expected at least {least} examples, for a standard error over them, got {n}"
        )
    return found


@contextmanager
def judging(model: VAE, seed: int, stream: Stream, first: int = 0) -> Iterator[torch.device]:
    """The model's device, in evaluation mode, without gradients and with a block's seeded noise.

    The model's mode and torch's generators are left as they were.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    keep_freed_memory()
    try:
        with torch.no_grad(), seeded(device, seed, stream, *filter(None, [first])):
            yield device
    finally:
        model.train(was_training)


def prepared_batches(
    model: VAE,
    data: Data,
    device: torch.device,
    seed: int,
    copies: int = 1,
    leave_out: Collection[int] = (),
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """The data in order, a batch at a time, as the model's parts see it.

    Batches are such that ``copies`` codes for each example can be decoded at once.  What noise the
    transform adds follows from the seed and the example's place alone, so that all measures of one
    seed are of the same x, whichever they ``leave_out``.
    """
    data = model.expect(data)
    kept = torch.ones(len(data), dtype=torch.bool)
    kept[list(leave_out)] = False
    size = batch_size(model)
    for i, batch in enumerate(data.batches(size, device=device)):
        with seeded(device, seed, Stream.TRANSFORM, data.first + i * size):
            prepared = Batch(*model.prepare(*batch))
        here = kept[i * size : (i + 1) * size].to(device)
        x, context = prepared if here.all() else prepared.at(here)
        yield from in_parts(model, x, context, copies)


def batch_size(model: VAE) -> int:
    """Examples in a full batch."""
    return max(1, min(IMAGES_PER_BATCH, ELEMENTS_PER_CHUNK // decoded_elements(model.likelihood)))


def at_once(model: VAE, codes: int) -> int:
    """How many times so many ``codes`` can be decoded at once."""
    return max(1, ELEMENTS_PER_CHUNK // (codes * decoded_elements(model.likelihood)))


def in_parts(
    model: VAE, x: Tensor, context: Tensor | None, copies: int
) -> Iterator[tuple[Tensor, Tensor | None]]:
    """A batch in parts of which ``copies`` codes for each example can be decoded at once."""
    rows = at_once(model, copies)
    for start in range(0, len(x), rows):
        part = slice(start, start + rows)
        yield x[part], None if context is None else context[part]


def chunks(model: VAE, examples: int, samples: int) -> Iterator[int]:
    """Sizes that add up to ``samples``, each with a bounded number of decoded elements."""
    size = at_once(model, examples)
    while samples > 0:
        yield min(size, samples)
        samples -= size


def posteriors(model: VAE, data: Any) -> Iterator[Distribution]:
    """q(z|x) of the data in order, a batch at a time, without the transform's noise."""
    data = model.expect(as_dataset(data, "test"))
    for x, labels in data.batches(batch_size(model)):
        yield model.encode(x, labels)
