"""Arrays to tensors: layout, dtype, labels, and the kind of values they hold."""

from __future__ import annotations

import functools
import math
import operator
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lowerbound.errors import DataError

Kind = Literal["binary", "grey", "unit", "real", "counts"]
"""What the values are:

========  ==================================================================
binary    only 0 and 1, or only 0 and 255
grey      levels 0–255 in uint8, of one channel or several
counts    other whole numbers from 0
unit      other numbers in [0, 1]
real      all others
========  ==================================================================
"""

CHANNELS = (1, 3, 4)


@dataclass(frozen=True)
class Values:
    """What is to be known of values to tell their kind; ``a | b`` is of both together.

    Attributes:
        low, high: the smallest and the largest.
        levels: they are uint8.
        whole: they are whole numbers.
        tops: those of 1 and 255 for which all values are 0 or it.
    """

    low: float
    high: float
    levels: bool
    whole: bool
    tops: frozenset[int]

    @classmethod
    def of(cls, x: Tensor) -> Values:
        low, high = (value.item() for value in torch.aminmax(x))
        levels = x.dtype == torch.uint8
        whole = levels or (low >= 0 and bool((x == x.floor()).all()))
        tops = (1, 255) if high == 0 else (1,) if high == 1 else (255,) if high == 255 else ()
        two_valued = low >= 0 and bool(tops) and bool(((x == 0) | (x == high)).all())
        return cls(low, high, levels, whole, frozenset(tops if two_valued else ()))

    def __or__(self, other: Values) -> Values:
        return Values(
            min(self.low, other.low),
            max(self.high, other.high),
            self.levels and other.levels,
            self.whole and other.whole,
            self.tops & other.tops,
        )

    @property
    def kind(self) -> Kind:
        if self.tops:
            return "binary"
        if self.levels:
            return "grey"
        if self.low < 0:
            return "real"
        if self.whole:
            return "counts"
        return "unit" if self.high <= 1 else "real"

    @property
    def scale(self) -> float:
        """The divisor that takes binary and grey values to [0, 1]; 1 for other kinds."""
        two_valued = self.kind == "binary" and self.high > 1
        return 255.0 if self.kind == "grey" or two_valued else 1.0


def infer_kind(*parts: Tensor) -> Kind:
    """The kind of the values of all ``parts`` together.

    >>> infer_kind(torch.tensor([0.0, 1.0]))
    'binary'
    >>> infer_kind(torch.tensor([0.0, 1.0]), torch.tensor([0.5]))
    'unit'
    """
    return functools.reduce(operator.or_, map(Values.of, parts)).kind


def to_tensor(array: np.ndarray, where: str, columns: Sequence[str] | None = None) -> Tensor:
    """``array`` as a table (n, D) or images (n, C, H, W), in uint8 or float32.

    ====================  ============================================================
    (n, D)                a table
    (n, H, W)             images of one channel
    (n, C, H, W)          kept, unless the last axis is 1, 3 or 4 and the second is not:
    (n, H, W, C)          then the channels are moved to the front
    ====================  ============================================================

    uint8 is kept, and bool becomes uint8; images of whole numbers in 0–255 become uint8; all else
    becomes float32.

    Raises:
        DataError: another shape, no values, values that are not finite real numbers, or numbers
            too large for float32.  The message begins with ``where`` and names the place.

    >>> to_tensor(np.zeros((5, 28, 28, 3), np.int64), "x").shape
    torch.Size([5, 3, 28, 28])
    """
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: expected real numbers, got an array of {_dtype_name(array.dtype)}; "
            "save it as uint8 or float32"
        )
    array = _to_layout(array, where)
    if array.dtype in (np.bool_, np.uint8):
        return torch.from_numpy(np.array(array, np.uint8, order="C"))
    if array.ndim == 4 and array.min() >= 0 and array.max() <= 255 and _is_whole(array):
        return torch.from_numpy(array.astype(np.uint8, order="C"))
    check_finite(array, where, columns)
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float32, order="C")
    if not np.isfinite(narrow).all():
        index = first_index(~np.isfinite(narrow))
        raise DataError(
            f"{where}: expected numbers that fit float32 (up to 3.4e38), got {array[index]} in "
            f"{place(index, columns)}; rescale the data"
        )
    return torch.from_numpy(narrow)


def _to_layout(array: np.ndarray, where: str) -> np.ndarray:
    if array.ndim not in (2, 3, 4):
        raise DataError(
            f"{where}: expected a table (n, D) or images (n, H, W), (n, C, H, W) or (n, H, W, C), "
            f"got shape {array.shape}; reshape it, with one example per row of the first axis"
        )
    if array.size == 0:
        raise DataError(
            f"{where}: expected at least one example with at least one value, got shape "
            f"{array.shape}; check how the data were written"
        )
    if array.ndim == 3:
        return array[:, None]
    if array.ndim == 4 and array.shape[3] in CHANNELS and array.shape[1] not in CHANNELS:
        return np.moveaxis(array, 3, 1)
    return array


def check_finite(
    values: np.ndarray | Tensor, where: str, columns: Sequence[str] | None = None
) -> None:
    """Refuse NaN and infinities, naming the first one's place."""
    finite = torch.isfinite(values) if isinstance(values, Tensor) else np.isfinite(values)
    if finite.all():
        return
    index = first_index(~np.asarray(finite))
    raise DataError(
        f"{where}: expected finite numbers, got {float(values[index])} in {place(index, columns)}; "
        "remove that row or fill the value in"
    )


def first_index(mask: np.ndarray) -> tuple[int, ...]:
    """The index of the first True."""
    return tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))


def place(index: tuple[int, ...], columns: Sequence[str] | None = None) -> str:
    """``index`` in words, counted from 0.

    >>> place((3, 1), ["age", "height"])
    "row 3, column 'height' (counted from 0)"
    """
    if len(index) == 4:
        image, channel, y, x = index
        return f"image {image}, channel {channel}, y {y}, x {x} (counted from 0)"
    row, column = index
    name = repr(columns[column]) if columns else str(column)
    return f"row {row}, column {name} (counted from 0)"


def number_labels(parts: Sequence[np.ndarray], where: str) -> tuple[list[Tensor], tuple[str, ...]]:
    """Class labels as numbers 0…K−1 in int64, and the K names; whole numbers sort as numbers.

    Raises:
        DataError: labels that are neither whole numbers nor text, or not one per example.

    >>> number_labels([np.array(["10", "9", "9"])], "x")
    ([tensor([1, 0, 0])], ('9', '10'))
    """
    flat = [_one_per_example(part, where) for part in parts]
    cuts = np.cumsum([len(part) for part in flat])[:-1]
    if any(part.dtype.kind == "U" for part in flat):
        joined = _as_whole(np.concatenate([part.astype(np.str_) for part in flat]))
    else:
        joined = np.concatenate(flat)
    names, numbers = np.unique(joined, return_inverse=True)
    tensors = [torch.from_numpy(part.astype(np.int64)) for part in np.split(numbers, cuts)]
    return tensors, tuple(str(name) for name in names)


def _one_per_example(labels: np.ndarray, where: str) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "biufUS":
        raise DataError(
            f"{where}: expected one class label per example, whole numbers or text of shape (n,), "
            f"got {_dtype_name(labels.dtype)} of shape {labels.shape}"
        )
    if labels.dtype.kind in "US":
        return labels.astype(np.str_)
    if labels.dtype.kind == "f":
        whole = np.isfinite(labels) & (labels == np.floor(labels))
        if not whole.all():
            row = int((~whole).argmax())
            raise DataError(
                f"{where}: expected class labels, whole numbers or text, got {labels[row]} in row "
                f"{row} (counted from 0); a quantity is no class"
            )
    return labels.astype(np.int64)


def _as_whole(text: np.ndarray) -> np.ndarray:
    """Text that is whole numbers throughout, as numbers; other text as it is."""
    try:
        numbers = text.astype(np.int64)
    except (ValueError, OverflowError):
        return text
    return numbers if (numbers.astype(np.str_) == text).all() else text


def _is_whole(array: np.ndarray) -> bool:
    return array.dtype.kind in "iu" or bool((array == np.floor(array)).all())


def _dtype_name(dtype: np.dtype) -> str:
    return {"O": "Python objects", "U": "text", "S": "bytes", "c": "complex numbers"}.get(
        dtype.kind, str(dtype)
    )


def memory() -> float:
    """The machine's memory in bytes; infinity where that is not to be known."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return math.inf


def check_memory(size: int, where: str) -> None:
    """Refuse data of ``size`` bytes where the machine has less memory."""
    if size > memory():
        raise DataError(
            f"{where}: expected data that fit in memory ({memory() / 1e9:.1f} GB), got "
            f"{size / 1e9:,.1f} GB; use fewer or smaller examples, or an .npy file or Parquet with "
            "on_disk=True (--on-disk)"
        )
