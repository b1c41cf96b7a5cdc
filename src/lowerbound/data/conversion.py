"""Arrays to tensors: layout, dtype, finite numbers; labels to class numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.schema import Field, Kind, Schema
from lowerbound.errors import DataError

CHANNELS = (1, 3, 4)
CONTAINER = Path("/sys/fs/cgroup/memory.max")

Part = Literal["all", "train", "validation", "test"]
PART_NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}
"""What the parts are called in names of folders and arrays."""


@dataclass(frozen=True)
class Raw:
    """What a reader hands over: the values and class labels of one part as they came.

    Attributes:
        x: the values, laid out as they came.
        where: the file, folder or array, for messages.
        labels: whole numbers or text, one per example.
        labels_from: where the labels came from.
        columns: the names of a table's columns.
        categories: by column, the names of its categories, whose codes are in x.
        observed: which values there are, of x's shape, where some may be missing.
        classes: the names of labels 0…K−1, where they are known beforehand.
    """

    x: np.ndarray
    where: str
    labels: np.ndarray | None = None
    labels_from: str | None = None
    columns: tuple[str, ...] | None = None
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    observed: np.ndarray | None = None
    classes: tuple[str, ...] | None = None

    def schema(
        self, kind: Kind, shape: tuple[int, ...], kinds: Sequence[Kind] | None = None
    ) -> Schema:
        """One field for x, or one for each named column, whose ``kinds`` may differ."""
        if self.columns is None:
            return (Field("x", kind, shape),)
        named = self.categories
        return tuple(
            Field(column, "categories", categories=named[column])
            if column in named
            else Field(column, kind)
            for column, kind in zip(self.columns, kinds or [kind] * len(self.columns), strict=True)
        )


Parts = dict[Part, Raw]
"""Either "all", to be divided, or "train" and perhaps "validation" and "test"."""


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
    array = to_layout(array, where)
    if array.dtype in (np.bool_, np.uint8):
        return torch.from_numpy(np.array(array, np.uint8, order="C"))
    if array.ndim == 4 and array.min() >= 0 and array.max() <= 255 and _is_whole(array):
        return torch.from_numpy(array.astype(np.uint8, order="C"))
    with np.errstate(over="ignore"):
        x = torch.from_numpy(array.astype(np.float32, order="C"))
    if not is_finite(x):
        check_finite(array, where, columns)
        index = _first(~x.isfinite().numpy())
        raise DataError(
            f"{where}: expected numbers that fit float32 (up to 3.4e38), got {array[index]} in "
            f"{place(index, columns)}; rescale the data"
        )
    return x


def is_finite(x: Tensor) -> bool:
    """Whether no element is infinite or NaN."""
    return x.dtype == torch.uint8 or all(math.isfinite(end.item()) for end in x.aminmax())


def to_layout(array: np.ndarray, where: str) -> np.ndarray:
    """``array`` as a table or images with the channels in front, see `to_tensor`."""
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
    values: np.ndarray | Tensor,
    where: str,
    columns: Sequence[str] | None = None,
    row_name: Callable[[int], str] | None = None,
    observed: np.ndarray | None = None,
) -> None:
    """Refuse NaN and infinities, naming the first one's place, its row by ``row_name``."""
    finite = values.isfinite().cpu().numpy() if isinstance(values, Tensor) else np.isfinite(values)
    if finite.all():
        return
    index = _first(~finite)
    value = str(float(values[index])) if observed is None or observed[index] else "no value"
    if row_name and columns:
        wanted, found = "a finite number", f"{row_name(index[0])}, column {columns[index[1]]!r}"
    else:
        wanted, found = "finite numbers", place(index, columns)
    raise DataError(
        f"{where}: expected {wanted}, got {value} in {found}; remove that row or fill the value in"
    )


def _first(mask: np.ndarray) -> tuple[int, ...]:
    """The index of the first True."""
    return tuple(int(i) for i in np.unravel_index(int(mask.argmax()), mask.shape))


def place(index: tuple[int, ...], columns: Sequence[str] | None = None) -> str:
    """``index`` in words, counted from 0.

    >>> place((3, 1), ["age", "height"])
    "row 3, column 'height' (counted from 0)"
    """
    if len(index) == 2:
        name = repr(columns[index[1]]) if columns else str(index[1])
        return f"row {index[0]}, column {name} (counted from 0)"
    if len(index) == 4:
        image, channel, y, x = index
        return f"image {image}, channel {channel}, y {y}, x {x} (counted from 0)"
    return f"example {index[0]}, element {index[1:]} (counted from 0)"


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
    if labels.dtype.kind == "O" and all(isinstance(label, str) for label in labels.flat):
        labels = labels.astype(np.str_)
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
    """The memory in bytes that this process may use; infinity where the system does not say."""
    limits = [math.inf]
    with suppress(AttributeError, ValueError, OSError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    with suppress(ValueError, OSError):
        limits.append(int(CONTAINER.read_text()))  # "max" where there is none
    return min(limits)


def check_array(elements: int, dtype: np.dtype, where: str) -> None:
    """Refuse an array that does not fit in memory as it came together with what is kept of it.

    What is kept, uint8 or float32, is divided into its parts once the array as it came is let go.
    """
    kept = 1 if dtype.itemsize == 1 else 4
    check_memory(elements * (max(dtype.itemsize, kept) + kept), where)


def check_memory(size: int, where: str) -> None:
    """Refuse data that need ``size`` bytes, all copies together, where there is less memory."""
    if size > memory():
        raise DataError(
            f"{where}: expected data that fit in memory ({memory() / 1e9:.1f} GB), got "
            f"data that need {size / 1e9:,.1f} GB while they are read; use fewer or smaller "
            "examples, or an .npy file or Parquet with on_disk=True (--on-disk)"
        )
