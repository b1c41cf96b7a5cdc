"""A training set that stays on disk: read a block at a time, in windows that are mixed."""

from __future__ import annotations

import hashlib
import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Protocol, Self

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.batches import Batch, permutation, recode
from lowerbound.data.conversion import Raw, check_resolution, converted
from lowerbound.data.dataset import Data, Dataset
from lowerbound.data.labels import number_labels
from lowerbound.data.moments import Moments
from lowerbound.data.schema import Schema, Values

WINDOW_BYTES = 2**26
FEWEST_BLOCKS = 8

Progress = Callable[[int, int], None]


class Blocks(Protocol):
    """Examples of a file, in blocks of consecutive ones.

    Attributes:
        where: the file or folder, for messages.
        rows: how many examples each block has.
        schema: the fields, where they are known before all is read.
        missing: whether values may be.
        used: by the number of a column of categories, the codes that occur.
    """

    where: str
    rows: list[int]
    schema: Schema | None
    missing: bool
    used: dict[int, np.ndarray]

    def read(self, block: int) -> Raw:
        """One block, its values and class labels as they came."""

    def classes(self, labels: np.ndarray) -> np.ndarray:
        """Different class labels as they came, as what they are."""


@dataclass(frozen=True, eq=False, repr=False)
class Stored(Data):
    """Examples in a file too large for memory, all but those held out of it.

    A shuffled pass takes the file's blocks in a random order and joins them to windows of 64 MiB
    and at least 8 blocks; the examples of each window are permuted.  So examples that lie together
    in the file are met in the same 64 MiB, and each pass mixes other blocks.  Windows are read
    while the one before them is used: two are in memory, and at their change three.

    Attributes:
        blocks: where they are read from.
        held: numbers of the examples left out, in rising order.
        name: as in `Data`, and so ``schema``, ``dtype``, ``values``, ``moments``, ``labels`` and
            ``classes``.
        fingerprint: SHA-256, in hex, of the values and class labels as they are in the file, and of
            what is held out.
        missing: whether values may be.
        device: where batches go.
        labels_from: where the labels came from, in words.
        places: by columns of categories, the codes that take the place of those in the file.
    """

    blocks: Blocks
    held: np.ndarray
    name: str
    schema: Schema
    dtype: torch.dtype
    values: Values
    moments: Moments
    labels: Tensor | None
    classes: tuple[str, ...] | None
    fingerprint: str
    missing: bool = False
    labels_from: str | None = None
    device: str | torch.device = "cpu"
    places: Mapping[range, Tensor] = field(default_factory=dict)
    given = None

    def __len__(self) -> int:
        return int(self.kept.sum())

    @cached_property
    def starts(self) -> np.ndarray:
        """The number of each block's first example in the file, and that of all examples."""
        return np.concatenate([[0], np.cumsum(self.blocks.rows)])

    @cached_property
    def kept(self) -> np.ndarray:
        """How many examples each block has that are not held out."""
        held = np.diff(np.searchsorted(self.held, self.starts))
        return np.array(self.blocks.rows) - held

    @cached_property
    def ends(self) -> np.ndarray:
        """How many examples there are up to the end of each block."""
        return np.cumsum(self.kept)

    def read(self, block: int) -> np.ndarray:
        """The values of a block's examples that are not held out."""
        raw = self.blocks.read(block)
        x = converted(raw, raw.observed)[0].to(self.dtype)
        for columns, codes in self.places.items():
            recode(x, columns, codes)
        return np.delete(x.numpy(), _within(self.held, *self.starts[block : block + 2]), axis=0)

    def to(self, device: str | torch.device) -> Self:
        return replace(self, device=device)

    def codes(self, columns: range) -> Tensor:
        codes = torch.from_numpy(self.blocks.used[columns.start])
        return self.places[columns][codes] if columns in self.places else codes

    def recoded(self, places: Mapping[range, Tensor], schema: Schema) -> Self:
        now = {
            columns: codes[self.places[columns]] if columns in self.places else codes
            for columns, codes in places.items()
        }
        return replace(self, places={**self.places, **now}, schema=schema)

    def _pass(self, batch_size: int, seed: int | None, start: int) -> Iterator[Batch]:
        windows = self._windows(seed)
        sizes = [int(self.kept[window].sum()) for window in windows]
        ends = np.cumsum(sizes)
        first = int(np.searchsorted(ends, start * batch_size, "right"))
        skipped = start * batch_size - (ends[first - 1] if first else 0)
        # The orders are drawn here: torch's parallel operations in a second thread would start
        # threads of their own, and with more threads than cores those that wait no longer spin.
        reads = (
            partial(
                self._window, windows[i], None if seed is None else permutation(sizes[i], seed + i)
            )
            for i in range(first, len(windows))
        )
        for batch in _rebatched(_ahead(reads), batch_size, int(skipped)):
            yield batch.to(self.device)

    def _windows(self, seed: int | None) -> list[np.ndarray]:
        """The blocks of each window."""
        size = len(self) * math.prod(self.shape) * self.dtype.itemsize
        blocks = np.arange(len(self.kept))
        if seed is None:
            return [*blocks.reshape(-1, 1)]
        blocks = permutation(len(blocks), seed).numpy()
        number = min(-(-size // WINDOW_BYTES), len(blocks) // FEWEST_BLOCKS)
        return np.array_split(blocks, max(1, number))

    def _window(self, blocks: np.ndarray, order: Tensor | None) -> Batch:
        """The examples of ``blocks``, the i-th of them at the place order[i]."""
        n = int(self.kept[blocks].sum())
        places = np.arange(n) if order is None else order.numpy()
        x = torch.empty((n, *self.shape), dtype=self.dtype)
        labels = None if self.labels is None else torch.empty(n, dtype=torch.int64)
        done = 0
        for block in blocks:
            here = places[done : done + self.kept[block]]
            x.numpy()[here] = self.read(int(block))
            if labels is not None and self.labels is not None:
                end = self.ends[block]
                labels.numpy()[here] = self.labels.numpy()[end - self.kept[block] : end]
            done += len(here)
        return Batch(x, labels)

    def _rows(self, index: Tensor, name: str) -> Dataset:
        numbers = index.numpy()
        of_block = np.searchsorted(self.ends, numbers, "right")
        x = torch.empty((len(index), *self.shape), dtype=self.dtype)
        for block in np.unique(of_block):
            here = np.flatnonzero(of_block == block)
            first = self.ends[block] - self.kept[block]
            x.numpy()[here] = self.read(int(block))[numbers[here] - first]
        labels = None if self.labels is None else self.labels[index]
        return Dataset(x, labels, name, self.classes, self.schema, missing=self.missing)

    def summary(self) -> str:
        return f"{len(self):,} examples on disk, like those of {self.take(1000).summary()}"


def survey(
    blocks: Blocks, name: str, held: Mapping[str, np.ndarray], progress: Progress | None = None
) -> tuple[Stored, dict[str, Dataset]]:
    """The examples of ``blocks``, read once to check them.

    ``held`` are the numbers of those to hold out, by part, in rising order, if any; ``progress`` is
    called with the examples read and their number.

    Raises:
        DataError: see `lowerbound.data.Dataset`.
    """
    out = np.sort(np.concatenate([np.array([], np.int64), *held.values()]))
    picked: dict[str, Tensor] = {}
    values, moments, digest = Values(), Moments(), hashlib.sha256()
    labels, dtype = Classes(), torch.uint8
    start, total = 0, sum(blocks.rows)
    for block, rows in enumerate(blocks.rows):
        raw = blocks.read(block)
        x, _ = converted(raw, raw.observed)
        values |= Values.of(x)
        dtype = torch.promote_types(dtype, x.dtype)
        digest.update(np.ascontiguousarray(raw.x).view(np.uint8).data)
        if raw.labels is not None:
            labels.add(raw.labels)
        for part, numbers in held.items():
            # Into one tensor: small ones of every block would keep the heap from being given back.
            if part not in picked:
                picked[part] = torch.empty(len(numbers), *x.shape[1:], dtype=dtype)
            picked[part] = picked[part].to(dtype)
            first, end = np.searchsorted(numbers, [start, start + rows])
            picked[part][first:end] = x[torch.from_numpy(numbers[first:end] - start)].to(dtype)
        kept = np.delete(np.arange(rows), _within(out, start, start + rows))
        if len(kept):
            moments.add(x[kept])
        start += rows
        if progress:
            progress(start, total)
    schema = blocks.schema or raw.schema(values.kind, tuple(x.shape[1:]))
    classes, kept_labels, held_labels = None, None, dict[str, Tensor]()
    if labels.parts:
        numbered, classes = labels.numbered(blocks)
        digest.update(numbered.numpy().data)
        kept_labels = torch.from_numpy(np.delete(numbered.numpy(), out))
        held_labels = {part: numbered[torch.from_numpy(rows)] for part, rows in held.items()}
    digest.update(f"{schema} {dtype} {classes}".encode() + out.tobytes())
    known = (values, moments, kept_labels, classes, digest.hexdigest())
    gaps, labels_from = blocks.missing, raw.labels_from
    stored = Stored(blocks, out, name, schema, dtype, *known, gaps, labels_from)
    check_resolution(stored, blocks.where)
    return stored, {
        part: Dataset(
            tensor.to(dtype),
            held_labels.get(part),
            f"{name} {part}",
            classes,
            schema,
            raw.labels_from,
            missing=blocks.missing,
        )
        for part, tensor in picked.items()
    }


class Classes:
    """The class labels of all blocks: text by numbers, and numbers as they came."""

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []
        self.first: dict[str, tuple[int, int]] = {}
        self.rows = 0

    def add(self, labels: np.ndarray) -> None:
        """Those of the next block."""
        if labels.dtype.kind != "U":
            self.parts.append(labels)
            return
        names, first, place = np.unique(labels, return_index=True, return_inverse=True)
        met = [
            self.first.setdefault(name, (len(self.first), self.rows + row))[0]
            for name, row in zip(names.tolist(), first.tolist(), strict=True)
        ]
        self.parts.append(np.array(met)[place])
        self.rows += len(labels)

    def numbered(self, blocks: Blocks) -> tuple[Tensor, tuple[str, ...]]:
        """All of them as numbers, and the names of the classes, see `number_labels`."""
        where = f"{blocks.where} labels"
        if not self.first:
            parts, classes = number_labels(self.parts, where)
            return torch.cat(parts), classes
        rows = [row for _, row in self.first.values()]
        (numbers,), classes = number_labels([blocks.classes(np.array([*self.first]))], where, rows)
        return numbers[torch.from_numpy(np.concatenate(self.parts))], classes


def _within(numbers: np.ndarray, start: int, end: int) -> np.ndarray:
    """Those of the rising ``numbers`` from ``start`` to below ``end``, counted from ``start``."""
    return numbers[slice(*np.searchsorted(numbers, [start, end]))] - start


def _ahead(reads: Iterable[Callable[[], Batch]]) -> Iterator[Batch]:
    """What each read gives, the next being read while one is used."""
    with ThreadPoolExecutor(1) as reader:
        begun: deque[Future[Batch]] = deque()
        for read in reads:
            begun.append(reader.submit(read))
            if len(begun) == 2:
                yield begun.popleft().result()
        for last in begun:
            yield last.result()


def _rebatched(windows: Iterable[Batch], batch_size: int, skip: int) -> Iterator[Batch]:
    """The examples of the windows, after the first ``skip``, in batches."""
    left: list[Batch] = []
    for window in windows:
        start, end = skip, skip + batch_size - sum(len(piece.x) for piece in left)
        while end <= len(window.x):
            yield _joined([*left, window.at(slice(start, end))])
            left, start, end = [], end, end + batch_size
        left = [*left, window.at(slice(start, end))] if start < len(window.x) else left
        skip = 0
    if left:
        yield _joined(left)


def _joined(pieces: list[Batch]) -> Batch:
    if len(pieces) == 1:
        return pieces[0]
    x, labels = zip(*pieces, strict=True)
    return Batch(torch.cat(x), None if labels[0] is None else torch.cat(labels))
