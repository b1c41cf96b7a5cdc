"""Arrays as users keep them ⇄ the symbols that are coded: 0 and 1, or the grey levels 0–255."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from lowerbound.data.conversion import CHANNELS
from lowerbound.errors import DataError

Shape = tuple[int, ...]
DTYPES = (
    "|b1",
    "|u1",
    "|i1",
    *(f"{o}{k}" for k in ("u2", "i2", "i4", "i8", "f4", "f8") for o in "<>"),
)


class Layout(NamedTuple):
    """dtype and shape of an array; ``white`` is the value of the symbol 1: 1, or 255 in binary.

    Examples of shape (C, H, W) may be kept as (H, W, C) or, with one channel, (H, W).
    """

    dtype: str
    shape: Shape
    white: int

    def symbols(self, array: np.ndarray, shape: Shape) -> np.ndarray:
        """The symbols of ``array``, uint8 of shape (n, *shape)."""
        symbols = (array / self.white if self.white > 1 else array).astype(np.uint8)
        if self._channels_last(shape):
            symbols = np.moveaxis(symbols, -1, 1)
        return np.ascontiguousarray(symbols.reshape(-1, *shape))

    def array(self, symbols: np.ndarray) -> np.ndarray:
        """The array that has these symbols, (n, *shape)."""
        values = (symbols * np.uint8(self.white)).astype(self.dtype)
        if self._channels_last(symbols.shape[1:]):
            values = np.moveaxis(values, 1, -1)
        return np.ascontiguousarray(values.reshape(self.shape))

    def fits(self, shape: Shape) -> bool:
        """Whether the examples are of this shape."""
        example = self.shape[1:]
        return shape in (example, (1, *example)) or self._channels_last(shape)

    def _channels_last(self, shape: Shape) -> bool:
        moved = (*shape[1:], *shape[:1])
        return (
            len(shape) == 3 and shape[0] in CHANNELS and self.shape[1:] == moved and moved != shape
        )


def layout_of(array: np.ndarray, shape: Shape, levels: int) -> Layout:
    """The layout of ``array`` as examples of ``shape`` with ``levels`` values for each element.

    Raises:
        DataError: another shape, or values that the model has no probabilities for.
    """
    layout = Layout(array.dtype.str, array.shape, 1)
    if array.ndim < 2 or not array.size or not layout.fits(shape):
        raise DataError(
            f"expected examples (n, {', '.join(map(str, shape))}), as the model was trained on "
            f"{'×'.join(map(str, shape))}, got an array of shape {array.shape}"
        )
    if layout.dtype not in DTYPES:
        *names, last = dict.fromkeys(np.dtype(known).name for known in DTYPES)
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
                f"{'' if whole else ', not all whole'}; convert them to uint8"
            )
        return layout
    white = 255 if high == 255 else 1
    if not ((array == 0) | (array == white)).all():
        raise DataError(
            "expected binary images (0 and 1, or 0 and 255), as the model's pixels are black or "
            f"white, got values from {low} to {high}; binarise them (x > 127, say), or train a "
            "model of grey levels (lowerbound train … --set likelihood=Categorical)"
        )
    return layout._replace(white=white)
