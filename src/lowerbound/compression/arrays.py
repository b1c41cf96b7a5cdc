"""Arrays as a user keeps them ⇄ the symbols that are coded: 0 and 1, or the grey levels 0–255."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lowerbound.data.inference import CHANNELS
from lowerbound.errors import DataError

DTYPES = (
    "|b1",
    "|u1",
    "|i1",
    *(f"{o}{k}" for k in ("u2", "i2", "i4", "i8", "f4", "f8") for o in "<>"),
)


@dataclass(frozen=True)
class Layout:
    """dtype and shape of an array; ``white`` is the value of the symbol 1: 1, or 255 in binary."""

    dtype: str
    shape: tuple[int, ...]
    white: int

    def symbols(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """The symbols, uint8 of shape (n, *shape)."""
        symbols = (array / self.white if self.white > 1 else array).astype(np.uint8)
        return np.ascontiguousarray(self._moved(symbols, shape).reshape(-1, *shape))

    def array(self, symbols: np.ndarray) -> np.ndarray:
        """The array whose symbols these are."""
        values = (symbols * np.uint8(self.white)).astype(self.dtype)
        if self._channels_last(symbols.shape[1:]):
            values = np.moveaxis(values, 1, -1)
        return np.ascontiguousarray(values.reshape(self.shape))

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether these are examples of this shape: (C, H, W) may be kept (H, W) or (H, W, C)."""
        example = self.shape[1:]
        return example == shape or (1, *example) == shape or self._channels_last(shape)

    def _channels_last(self, shape: tuple[int, ...]) -> bool:
        example = self.shape[1:]
        return (
            example != shape
            and len(example) == 3
            and example[-1] in CHANNELS
            and (example[-1], *example[:-1]) == shape
        )

    def _moved(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        return np.moveaxis(array, -1, 1) if self._channels_last(shape) else array


def _names() -> list[str]:
    """The dtypes that are kept, whatever their byte order: bool, uint8, …, float64."""
    return list(dict.fromkeys(np.dtype(kept).newbyteorder("=").name for kept in DTYPES))


def layout_of(array: np.ndarray, shape: tuple[int, ...], levels: int) -> Layout:
    """The layout of ``array`` as examples of ``shape`` with ``levels`` values for each element.

    Raises:
        DataError: another shape, or values that the model has no probabilities for.
    """
    kept = Layout(array.dtype.str, array.shape, 1)
    wanted = "×".join(map(str, shape))
    if array.ndim < 2 or not array.size or not kept.fits(shape):
        raise DataError(
            f"expected examples (n, {', '.join(map(str, shape))}), as the model was trained on "
            f"{wanted}, got an array of shape {array.shape}"
        )
    if array.dtype.str not in DTYPES:
        *names, last = _names()
        raise DataError(
            f"expected an array of {', '.join(names)} or {last}, got one of {array.dtype}; "
            "convert it, to uint8 say"
        )
    low, high = array.min(), array.max()
    if levels > 2:
        whole = array.dtype.kind in "bui" or bool((array == np.floor(array)).all())
        if not (whole and low >= 0 and high < levels):
            raise DataError(
                f"expected grey levels 0–{levels - 1}, got values from {low} to {high}"
                f"{'' if whole else ', not all whole'}; bring them to uint8"
            )
        return kept
    white = 255 if high == 255 else 1
    if not ((array == 0) | (array == white)).all():
        raise DataError(
            f"expected binary images (0 and 1, or 0 and 255), as the model's pixels are black or "
            f"white, got values from {low} to {high}; binarise them (x > 127, say), or train a "
            "model of grey levels (lowerbound train … --set likelihood=Categorical)"
        )
    return Layout(array.dtype.str, array.shape, white)
