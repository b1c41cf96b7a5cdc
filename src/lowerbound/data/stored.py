"""A training set that stays on disk."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.blocks import Blocks
from lowerbound.data.dataset import Dataset
from lowerbound.data.inference import Kind, Values, number_labels, to_tensor
from lowerbound.data.moments import Moments
from lowerbound.errors import DataError

Progress = Callable[[int, int], None]


@dataclass(frozen=True, eq=False, repr=False)
class Stored:
    """Examples in a file too large for memory, all but those held out of it.

    It has what `fit` and the recipes need of a `Dataset`; `take` gives the first examples as one.

    Attributes:
        blocks: where they are read from.
        held: numbers of the examples left out, in rising order.
        shape: of one example.
        dtype: of the values, uint8 or float32.
        values: what is known of all values.
        moments: mean and variance of the examples: of each column of a table, else of all values.
        labels: class numbers of all examples, the held out ones among them.
        fingerprint: SHA-256, in hex, of the values and class labels as they are in the file, and of
            what is held out.
    """

    blocks: Blocks
    held: np.ndarray
    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    values: Values
    moments: Moments
    labels: Tensor | None
    classes: tuple[str, ...] | None
    columns: tuple[str, ...] | None
    fingerprint: str

    def __len__(self) -> int:
        return int(self.kept.sum())

    def __repr__(self) -> str:
        return f"Stored({self.summary()})"

    @property
    def kind(self) -> Kind:
        """What the values are."""
        return self.values.kind

    @property
    def scale(self) -> float:
        """The divisor that takes binary and grey values to [0, 1]; 1 for other kinds."""
        return self.values.scale

    @cached_property
    def starts(self) -> np.ndarray:
        """The number of each block's first example, and that of all examples."""
        return np.concatenate([[0], np.cumsum(self.blocks.rows)])

    @cached_property
    def kept(self) -> np.ndarray:
        """How many examples each block has that are not held out."""
        held = np.diff(np.searchsorted(self.held, self.starts))
        return np.array(self.blocks.rows) - held

    def read(self, block: int) -> tuple[np.ndarray, np.ndarray | None]:
        """The values and class numbers of a block's examples that are not held out."""
        first, end = self.starts[block], self.starts[block + 1]
        arrays = self.blocks.read(block)
        x = to_tensor(arrays.x, arrays.where, arrays.columns).to(self.dtype).numpy()
        kept = np.ones(len(x), bool)
        kept[_within(self.held, first, end)] = False
        labels = None if self.labels is None else self.labels.numpy()[first:end][kept]
        return x[kept], labels

    def take(self, n: int) -> Dataset:
        """The first ``n`` examples, or all where there are fewer, in memory."""
        needed = int(np.searchsorted(np.cumsum(self.kept), n)) + 1
        parts = [self.read(block) for block in range(min(needed, len(self.kept)))]
        x = torch.from_numpy(np.concatenate([x for x, _ in parts])[:n])
        labels = None
        if self.labels is not None:
            labels = torch.from_numpy(np.concatenate([y for _, y in parts if y is not None])[:n])
        return Dataset(x, labels, self.name, self.classes, self.columns, declared_kind=self.kind)

    def summary(self) -> str:
        """One line: how many examples, on disk; and of the first of them, what they are."""
        return f"{len(self):,} examples on disk, like those of {self.take(1000).summary()}"


TrainingSet = Dataset | Stored
"""What recipes are made for, and `fit` trains on."""


def survey(
    blocks: Blocks,
    name: str,
    held: Mapping[str, np.ndarray],
    progress: Progress | None = None,
) -> tuple[Stored, dict[str, Dataset]]:
    """The examples of ``blocks``, read once to check them.

    ``held`` are the numbers of those to hold out, by part, in rising order; ``progress`` is called
    with the examples read and their number.

    Raises:
        DataError: see `lowerbound.data.Dataset`.
    """
    out = np.sort(np.concatenate(list(held.values()))) if held else np.array([], int)
    picked: dict[str, Tensor] = {}
    values: Values | None = None
    moments, digest, labels = Moments(), hashlib.sha256(), []
    dtypes, shape, columns, labels_from = set(), None, None, None
    start, total = 0, sum(blocks.rows)
    for block, rows in enumerate(blocks.rows):
        arrays = blocks.read(block)
        x = to_tensor(arrays.x, arrays.where, arrays.columns)
        of_block = Values.of(x)
        values = of_block if values is None else values | of_block
        dtypes.add(x.dtype)
        shape, columns, labels_from = tuple(x.shape[1:]), arrays.columns, arrays.labels_from
        digest.update(np.ascontiguousarray(arrays.x).view(np.uint8).data)
        if arrays.labels is not None:
            labels.append(arrays.labels)
        for part, numbers in held.items():
            # Into one tensor: small ones of every block would keep the heap from being given back.
            if part not in picked:
                picked[part] = torch.empty(len(numbers), *shape, dtype=torch.float32)
            first, end = np.searchsorted(numbers, [start, start + rows])
            picked[part][first:end] = x[torch.from_numpy(numbers[first:end] - start)].float()
        kept = torch.ones(rows, dtype=torch.bool)
        kept[torch.from_numpy(_within(out, start, start + rows))] = False
        if kept.any():
            moments.add(x[kept] if x.ndim == 2 else x[kept].reshape(-1, 1))
        start += rows
        if progress:
            progress(start, total)
    assert values is not None
    assert shape is not None
    dtype = torch.uint8 if dtypes == {torch.uint8} else torch.float32
    numbers_of, classes = None, None
    if labels:
        parts, classes = number_labels(labels, f"{blocks.where} labels")
        numbers_of = torch.cat(parts)
        digest.update(numbers_of.numpy().data)
    digest.update(f"{shape} {dtype} {classes}".encode() + out.tobytes())
    stored = Stored(
        blocks, out, name, shape, dtype, values, moments, numbers_of, classes, columns,
        digest.hexdigest(),
    )  # fmt: skip
    return stored, {
        part: Dataset(
            tensor.to(dtype),
            None if numbers_of is None else numbers_of[torch.from_numpy(held[part])],
            f"{name} {part}",
            classes,
            columns,
            labels_from,
            values.kind,
        )
        for part, tensor in picked.items()
    }


def _within(numbers: np.ndarray, start: int, end: int) -> np.ndarray:
    """Those of the rising ``numbers`` from ``start`` to below ``end``, counted from ``start``."""
    return numbers[slice(*np.searchsorted(numbers, [start, end]))] - start


def some(total: int, count: int, seeds: tuple[int, int], without: np.ndarray) -> np.ndarray:
    """``count`` numbers below ``total`` that are not in ``without``, drawn alike, in rising order.

    In memory of the order of ``count``, however large ``total`` is.

    Raises:
        DataError: there are not so many.
    """
    if count + len(without) >= total:
        raise DataError(f"expected more than {count + len(without):,} examples, got {total:,}")
    # RandomState: its stream is frozen for good, unlike those of torch and of numpy's Generator.
    random = np.random.RandomState(seeds)
    found = np.array([], np.int64)
    while len(found) < count:
        drawn = random.randint(0, total, 2 * count, np.int64)
        found = np.setdiff1d(np.concatenate([found, drawn]), without)
    return np.sort(random.permutation(found)[:count])
