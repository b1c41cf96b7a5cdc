"""Cells of a table that were filled in, on disk until they are written."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor


class Filled:
    """Tables that differ in some of their cells, taken in and given back a block of rows at a time.

    Attributes:
        tables: how many there are.
        rows: how many each has.
        cells: how many of each column are filled in, (D,).
        holed: how many rows have such a cell.
    """

    def __init__(self, tables: int = 1) -> None:
        self.tables, self.rows, self.holed = tables, 0, 0
        self.cells = torch.zeros((), dtype=torch.int64)
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # deleted with this
        self._blocks: list[list[int]] = []

    def add(self, gaps: Tensor, tables: Sequence[Tensor]) -> None:
        """Take in the next rows: what is filled in, (rows, D), and each table, (rows, D)."""
        self.rows += len(gaps)
        self.holed += int(gaps.any(1).sum())
        self.cells = self.cells + gaps.sum(0)
        self._blocks.append([self._save(array) for array in (gaps, *(x[gaps] for x in tables))])

    def _save(self, array: Tensor) -> int:
        place = self._file.tell()
        np.save(self._file, array.numpy(), allow_pickle=False)
        return place

    def table(self, number: int) -> Iterator[tuple[Tensor, Tensor]]:
        """Of each block, what is filled in and the table of this ``number``, NaN elsewhere."""
        for places in self._blocks:
            gaps, values = (self._load(places[i]) for i in (0, 1 + number))
            x = torch.full(gaps.shape, torch.nan, dtype=values.dtype)
            x[gaps] = values
            yield gaps, x

    def _load(self, place: int) -> Tensor:
        self._file.seek(place)
        return torch.from_numpy(np.load(self._file, allow_pickle=False))
