"""Arrays to tensors: layout, dtype, finite numbers."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from decimal import Decimal
from numbers import Real
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.schema import Field, Kind, Levels, Schema, Values
from lowerbound.errors import DataError, brief, shown

if TYPE_CHECKING:
    from lowerbound.data.dataset import Data

CHANNELS = (1, 3, 4)
CONTAINER = Path("/sys/fs/cgroup/memory.max")
LARGEST = 1e150
"""Numbers are below it in size, as float64 must hold their squares."""
AT_ONCE = 2**17
NONE_THERE = ("",)
"""The categories of a column of which there is no value."""

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
        forms: by column, how it is written, as in `Field`, or "time" for instants.
        kinds: by column, its kind where that was said.
        observed: which values there are, of x's shape, where some may be missing.
        classes: the names of labels 0…K−1, where they are known beforehand.
        groups: numbers of what examples are from, such as tunes, which are held out whole.
        vocabulary: the names of the tokens 0…V−1 in x, sequences (n, T); see `data.tokens`.
    """

    x: np.ndarray
    where: str
    labels: np.ndarray | None = None
    labels_from: str | None = None
    columns: tuple[str, ...] | None = None
    categories: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    forms: Mapping[str, str] = field(default_factory=dict)
    kinds: Mapping[str, str] = field(default_factory=dict)
    observed: np.ndarray | None = None
    classes: tuple[str, ...] | None = None
    vocabulary: tuple[str, ...] | None = None
    groups: np.ndarray | None = None

    def only(self, columns: Sequence[str]) -> Raw:
        """These columns of a table alone."""
        own = self.columns or ()
        places, left = [own.index(name) for name in columns], {*own}.difference(columns)
        return replace(
            self,
            x=self.x[:, places],
            columns=tuple(columns),
            categories={name: c for name, c in self.categories.items() if name not in left},
            forms={name: form for name, form in self.forms.items() if name not in left},
            kinds={name: kind for name, kind in self.kinds.items() if name not in left},
            observed=None if self.observed is None else self.observed[:, places],
        )

    def schema(
        self, kind: Kind, shape: tuple[int, ...], kinds: Sequence[tuple[Kind, Levels]] | None = None
    ) -> Schema:
        """One field for x, or one for each named column, whose ``kinds`` and levels may differ."""
        if self.vocabulary is not None:
            return (Field("x", "tokens", shape, self.vocabulary),)
        if self.columns is None:
            return (Field("x", kind, shape),)
        named, forms = self.categories, self.forms
        return tuple(
            Field(column, "categories", categories=named[column] or NONE_THERE)
            if column in named
            else Field(column, each, levels=levels, form=forms.get(column, ""))
            for column, (each, levels) in zip(
                self.columns, kinds or [(kind, None)] * len(self.columns), strict=True
            )
        )


Parts = dict[Part, Raw]
"""Either "all", to be divided, or "train" and perhaps "validation" and "test"."""


def part_folders(folder: Path) -> dict[Part, Path]:
    """The folders in one that hold its parts, or itself, undivided."""
    found: dict[Part, Path] = {
        part: path
        for part, names in PART_NAMES.items()
        for name in reversed(names)  # so that the first of them that is there is taken
        if (path := folder / name).is_dir()
    }
    return found if "train" in found else {"all": folder}


def to_tensor(array: np.ndarray, where: str, columns: Sequence[str] | None = None) -> Tensor:
    """``array`` as a table (n, D) or images (n, C, H, W), see `numbers`.

    ====================  ============================================================
    (n, D)                a table
    (n, H, W)             images of one channel
    (n, C, H, W)          kept, unless the last axis is 1, 3 or 4 and the second is not, or, where
    (n, H, W, C)          neither is, the last is the shortest: these channels come to the front
    ====================  ============================================================

    Images of whole numbers in 0–255 become uint8.

    Raises:
        DataError: another shape, no values, or see `numbers`.

    >>> to_tensor(np.zeros((5, 28, 28, 3), np.int64), "x").shape
    torch.Size([5, 3, 28, 28])
    """
    array = to_layout(real_numbers(array, where), where)
    if array.ndim == 4 and array.min() >= 0 and array.max() <= 255 and _is_whole(array):
        return torch.from_numpy(array.astype(np.uint8, order="C"))
    return numbers(array, where, columns)


def converted(raw: Raw, observed: np.ndarray | None) -> tuple[Tensor, Values]:
    """x with NaN for what is missing, and what is known of all values but codes of categories."""
    if observed is None:
        known = x = to_tensor(raw.x, raw.where, raw.columns)
    else:
        filled = np.where(observed, raw.x, np.zeros((), raw.x.dtype))
        x = to_tensor(filled, raw.where, raw.columns)
        mask = torch.from_numpy(np.ascontiguousarray(to_layout(observed, raw.where)))
        known, dtype = x[mask], torch.promote_types(x.dtype, torch.float32)
        x = x.to(dtype).masked_fill(~mask, torch.nan)
    if raw.categories:
        numeric = [j for j, name in enumerate(raw.columns or ()) if name not in raw.categories]
        known = x[:, numeric]
    return x, Values.of(known)


def numbers(array: np.ndarray, where: str, columns: Sequence[str] | None = None) -> Tensor:
    """Real numbers in the smallest of uint8 (and bool), float32 and float64 that holds them.

    So float64 is kept where float32 would round: what a model sees is rounded once it is centred.

    Raises:
        DataError: values that are not finite real numbers, or are 10¹⁵⁰ or larger in size.  The
            message begins with ``where`` and names the place.

    >>> numbers(np.array([1e8, 1e8 + 1]), "x").dtype, numbers(np.array([0.5, 2.0]), "x").dtype
    (torch.float64, torch.float32)
    """
    array = real_numbers(array, where)
    if array.dtype in (np.bool_, np.uint8):
        return torch.from_numpy(np.array(array, np.uint8, order="C"))
    dtype = np.float32 if _fits_float32(array) else np.float64
    with np.errstate(over="ignore"):
        x = torch.from_numpy(array.astype(dtype, order="C"))
    largest = max(abs(end.item()) for end in x.aminmax())
    if not math.isfinite(largest):
        check_finite(array, where, columns)
    if largest >= LARGEST:
        index = _first((x.abs() >= LARGEST).numpy())
        raise DataError(
            f"{where}: expected numbers below {LARGEST:g} in size, got {array[index]} in "
            f"{place(index, columns)}; rescale the data"
        )
    return x


def real_numbers(array: np.ndarray, where: str) -> np.ndarray:
    """``array``, or Python's numbers in one as float64, NaN for None.

    Raises:
        DataError: anything else.
    """
    if array.dtype.kind == "O":
        known = (v for v in array.flat if v is not None)
        other = next((v for v in known if not isinstance(v, Real | Decimal | np.bool_)), None)
        if other is not None:
            raise DataError(
                f"{where}: expected real numbers, got {shown(other)} among Python objects; turn "
                "them into numbers"
            )
        try:
            return array.astype(np.float64)
        except (OverflowError, ValueError, TypeError) as error:
            raise DataError(
                f"{where}: expected numbers that float64 holds, got {brief(error)}"
            ) from None
    if array.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: expected real numbers, got an array of {dtype_name(array.dtype)}; "
            "save it as uint8 or float32"
        )
    return array


def _fits_float32(array: np.ndarray) -> bool:
    """Whether float32 holds every number exactly; told by the first few where it does not."""
    if np.can_cast(array.dtype, np.float32):
        return True
    rows = max(1, AT_ONCE // max(1, array[0].size))
    parts = (array[start : start + rows] for start in range(0, len(array), rows))
    with np.errstate(over="ignore"):
        return all(np.array_equal(p.astype(np.float32), p, equal_nan=True) for p in parts)


def check_resolution(data: Data, where: str) -> None:
    """Refuse columns of numbers so large that float64 does not tell them apart.

    Raises:
        DataError: there is one.
    """
    if not data.values.is_vast:
        return
    moments = data.moments
    lost = (moments.mean.abs() >= 2**53) & (moments.n > 1) & moments.constant()
    if lost.any():
        j = int(lost.int().argmax())
        name = repr(data.columns[j]) if data.columns else f"{j} (counted from 0)"
        raise DataError(
            f"{where}: expected numbers that float64 tells apart, got ones near "
            f"{moments.mean[j].item():.6g} in column {name}, which differ in their last digits if "
            "at all; subtract their smallest first, or leave the column out if it only numbers the "
            "rows"
        )


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
    return np.moveaxis(array, 3, 1) if array.ndim == 4 and _is_last(array.shape) else array


def _is_last(shape: tuple[int, ...]) -> bool:
    """Whether the channels are the last axis of (n, H, W, C), not the second of (n, C, H, W)."""
    _, second, third, last = shape
    if second in CHANNELS or last in CHANNELS:
        return second not in CHANNELS
    return last < min(second, third)


def check_finite(
    values: np.ndarray | Tensor,
    where: str,
    columns: Sequence[str] | None = None,
    row_name: Callable[[int], str] | None = None,
) -> None:
    """Refuse NaN and infinities, naming the first one's place, its row by ``row_name``."""
    finite = values.isfinite().cpu().numpy() if isinstance(values, Tensor) else np.isfinite(values)
    if finite.all():
        return
    index = _first(~finite)
    if row_name and columns:
        wanted, found = "a finite number", f"{row_name(index[0])}, column {columns[index[1]]!r}"
    else:
        wanted, found = "finite numbers", place(index, columns)
    raise DataError(
        f"{where}: expected {wanted}, got {float(values[index])} in {found}; remove that row or "
        "fill the value in"
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


def _is_whole(array: np.ndarray) -> bool:
    return array.dtype.kind in "iu" or bool((array == np.floor(array)).all())


def dtype_name(dtype: np.dtype) -> str:
    """A type of elements, in words."""
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

    What is kept, uint8, float32 or float64, is divided into its parts once the array as it came is
    let go.
    """
    kept = 1 if dtype.itemsize == 1 else 4 if dtype.itemsize <= 4 else 8
    check_memory(elements * (max(dtype.itemsize, kept) + kept), where)


def check_memory(size: int, where: str) -> None:
    """Refuse data that need ``size`` bytes, all copies together, where there is less memory."""
    if size > memory():
        raise DataError(
            f"{where}: expected data that fit in memory ({memory() / 1e9:.1f} GB), got "
            f"data that need {size / 1e9:,.1f} GB while they are read; use fewer or smaller "
            "examples, or an .npy file or a table with on_disk=True (--on-disk)"
        )
