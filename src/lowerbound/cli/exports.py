"""Arrays written to the files that a user names."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

import numpy as np

from lowerbound.errors import ConfigurationError
from lowerbound.extras import needs
from lowerbound.files import write_atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import Tensor


def expect_examples(out: Path, shape: Sequence[int]) -> None:
    """Raises ConfigurationError: ``out`` is no file for examples of this shape."""
    if len(shape) == 3:
        _expect(out, (".png", ".npy"), "images")
    else:
        _expect(out, (".npy", ".csv"), "rows of numbers")


def write_examples(
    out: Path,
    values: np.ndarray,
    columns: Sequence[str] | None,
    draw: Callable[[ModuleType], Figure],
    classes: np.ndarray | None = None,
) -> None:
    """Examples as .npy, .csv (a table), or .png (images, drawn by ``draw`` with `plots`).

    A table also has the names of their ``classes``, if there are any, as a last column.
    """
    if out.suffix == ".npy":
        write_array(out, values)
    elif out.suffix == ".csv":
        names = columns or [f"x{i}" for i in range(values.shape[1])]
        table = {name: values[:, i] for i, name in enumerate(names)}
        if classes is not None:
            table["class" if "label" in table else "label"] = classes
        write_table(out, table)
    else:
        from lowerbound import plots

        plots.save(draw(plots), out)


def value_range(images: np.ndarray) -> tuple[float, float]:
    """Black and white for images in the data's units: 0–1, 0–255, or their own range.

    >>> value_range(np.array([0.0, 200.0])), value_range(np.array([-1.0, 2.0]))
    ((0.0, 255.0), (-1.0, 2.0))
    """
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 255:
        return low, high
    return (0.0, 255.0) if high > 1 else (0.0, 1.0)


def expect_codes(out: Path) -> None:
    """Raises ConfigurationError: ``out`` is no file for codes."""
    _expect(out, (".npy", ".csv"), "codes")


def write_codes(
    out: Path, codes: np.ndarray, labels: Tensor | None, classes: Sequence[str] | None
) -> None:
    """Latent codes as .npy, or as .csv with the names of their classes in a last column."""
    if out.suffix == ".npy":
        write_array(out, codes)
        return
    table = {f"z{i}": codes[:, i] for i in range(codes.shape[1])}
    if labels is not None:
        numbers = labels.numpy()
        table["label"] = np.asarray(classes)[numbers] if classes else numbers
    write_table(out, table)


def write_array(out: Path, values: np.ndarray) -> None:
    """An .npy file."""
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    write_atomic(out, buffer.getvalue())


def write_table(out: Path, columns: dict[str, np.ndarray]) -> None:
    """A .csv file with a header."""
    pa, csv = needs("pyarrow", "tables"), needs("pyarrow.csv", "tables")
    buffer = io.BytesIO()
    csv.write_csv(pa.table(columns), buffer)
    write_atomic(out, buffer.getvalue())


def _expect(out: Path, known: tuple[str, ...], what: str) -> None:
    if out.suffix not in known or out.is_dir():
        raise ConfigurationError(
            f"expected --out to be a file ending in {' or '.join(known)} for {what}, got "
            f"{str(out)!r}"
        )
    if out.suffix == ".csv":
        needs("pyarrow", "tables")
