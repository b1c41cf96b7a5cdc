"""What training and evaluation go through: a data set, a bare tensor, or a file of examples."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.dataset import Dataset
from lowerbound.data.fingerprint import fingerprint
from lowerbound.data.stored import Stored
from lowerbound.errors import DataError

WINDOW_BYTES = 2**26
FEWEST_BLOCKS = 8

Batch = tuple[Tensor, Tensor | None]
"""x (batch, *shape) and labels (batch,) or None, compact as they are kept."""


class Shuffled(Protocol):
    """What `fit` trains on."""

    @property
    def name(self) -> str: ...

    @property
    def fingerprint(self) -> str: ...

    def __len__(self) -> int: ...

    def shuffled(self, seed: int, batch_size: int, start: int) -> Iterator[Batch]:
        """The batches of one pass in the order that ``seed`` gives, from the ``start``-th on."""


@dataclass(frozen=True)
class Examples:
    """x (n, *shape) and labels (n,) or None, on one device, compact as they are kept."""

    x: Tensor
    labels: Tensor | None
    name: str
    fingerprint: str

    def __len__(self) -> int:
        return len(self.x)

    def at(self, indices: Tensor) -> Batch:
        """The x and labels of a batch."""
        return self.x[indices], None if self.labels is None else self.labels[indices]

    def shuffled(self, seed: int, batch_size: int, start: int) -> Iterator[Batch]:
        """The batches of one pass: all examples, permuted."""
        order = permutation(len(self), seed).to(self.x.device)
        return map(self.at, order.split(batch_size)[start:])

    def in_order(self, batch_size: int) -> Iterator[Batch]:
        """The batches of one pass in the order that the data have."""
        return map(self.at, torch.arange(len(self), device=self.x.device).split(batch_size))


@dataclass(frozen=True)
class StoredExamples:
    """Examples on disk, read while the ones before them are trained on.

    A pass takes the file's blocks in a random order and joins them to windows of 64 MiB and at
    least 8 blocks; the examples of each window are permuted.  So examples that lie together in the
    file are met in the same 64 MiB, and each pass mixes other blocks.  Two windows are in
    memory, and at their change three.
    """

    stored: Stored
    device: torch.device

    @property
    def name(self) -> str:
        return self.stored.name

    @property
    def fingerprint(self) -> str:
        return self.stored.fingerprint

    def __len__(self) -> int:
        return len(self.stored)

    def shuffled(self, seed: int, batch_size: int, start: int) -> Iterator[Batch]:
        """The batches of one pass; only the windows from the ``start``-th batch on are read."""
        windows = self._windows(seed)
        ends = np.cumsum([self.stored.kept[window].sum() for window in windows])
        first = int(np.searchsorted(ends, start * batch_size, "right"))
        skipped = start * batch_size - (ends[first - 1] if first else 0)
        # The orders are drawn here: torch's parallel operations in a second thread would start
        # threads of their own, and with more threads than cores those that wait no longer spin.
        reads = (
            partial(
                self._window,
                windows[i],
                permutation(int(self.stored.kept[windows[i]].sum()), seed + i).numpy(),
            )
            for i in range(first, len(windows))
        )
        for x, labels in _rebatched(_ahead(reads), batch_size, int(skipped)):
            yield x.to(self.device), None if labels is None else labels.to(self.device)

    def _windows(self, seed: int) -> list[np.ndarray]:
        """The blocks of each window."""
        stored = self.stored
        item = torch.empty((), dtype=stored.dtype).element_size()
        size = len(stored) * int(np.prod(stored.shape)) * item
        blocks = permutation(len(stored.kept), seed).numpy()
        number = min(-(-size // WINDOW_BYTES), len(blocks) // FEWEST_BLOCKS)
        return np.array_split(blocks, max(1, number))

    def _window(self, blocks: np.ndarray, order: np.ndarray) -> Batch:
        """The examples of ``blocks``, the i-th of them at the place order[i]."""
        stored = self.stored
        x = torch.empty((len(order), *stored.shape), dtype=stored.dtype).numpy()
        labels = None if stored.labels is None else np.empty(len(order), np.int64)
        done = 0
        for block in blocks:
            rows, numbers = stored.read(int(block))
            places = order[done : done + len(rows)]
            x[places] = rows
            if labels is not None and numbers is not None:
                labels[places] = numbers
            done += len(rows)
        return torch.from_numpy(x), None if labels is None else torch.from_numpy(labels)


def permutation(n: int, seed: int) -> Tensor:
    """A permutation of n numbers, the same for the same seed on every device."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed))


def examples(data: Dataset | Stored | Tensor, device: torch.device) -> Examples:
    """``data`` on ``device``; a bare tensor has no labels.

    Raises:
        DataError: data on disk, neither a data set nor a tensor, no examples, or values that are
            not finite.
    """
    if isinstance(data, Dataset):
        labels = None if data.labels is None else data.labels.to(device)
        return Examples(data.x.to(device), labels, data.name, data.fingerprint)
    if isinstance(data, Stored):
        raise DataError(
            f"expected data in memory, got {data.name} on disk, which can only be trained on; take "
            "some of it with take(n)"
        )
    if not isinstance(data, Tensor):
        raise DataError(
            f"expected a Dataset or a tensor (n, ...), got {type(data).__module__}."
            f"{type(data).__name__}; lowerbound.data.from_arrays makes a data set of arrays"
        )
    if data.ndim < 2 or 0 in data.shape:
        raise DataError(f"expected a tensor of examples (n, ...), got shape {tuple(data.shape)}")
    if not data.isfinite().all():
        raise DataError("expected finite values, got NaN or infinity in the tensor")
    return Examples(data.to(device), None, "tensor", fingerprint(data, None))


def to_train_on(data: Dataset | Stored | Tensor, device: torch.device) -> Shuffled:
    """``data`` as `fit` trains on it: in memory on ``device``, or on disk.

    Raises:
        DataError: see `examples`.
    """
    return StoredExamples(data, device) if isinstance(data, Stored) else examples(data, device)


def _ahead(reads: Iterable[Callable[[], Batch]]) -> Iterator[Batch]:
    """What each read gives, the next being read while one is used."""
    with ThreadPoolExecutor(1) as reader:
        waiting = None
        for read in reads:
            begun = reader.submit(read)
            if waiting is not None:
                yield waiting.result()
            waiting = begun
        if waiting is not None:
            yield waiting.result()


def _rebatched(windows: Iterable[Batch], batch_size: int, skip: int) -> Iterator[Batch]:
    """The examples of the windows, after the first ``skip``, in batches."""
    pieces: list[Batch] = []
    missing = batch_size
    for x, labels in windows:
        while skip < len(x):
            end = min(skip + missing, len(x))
            pieces.append((x[skip:end], None if labels is None else labels[skip:end]))
            missing -= end - skip
            skip = end
            if missing == 0:
                yield _joined(pieces)
                pieces, missing = [], batch_size
        skip = 0
    if pieces:
        yield _joined(pieces)


def _joined(pieces: list[Batch]) -> Batch:
    if len(pieces) == 1:
        return pieces[0]
    labels = [labels for _, labels in pieces if labels is not None]
    return torch.cat([x for x, _ in pieces]), torch.cat(labels) if labels else None
