"""Class labels to class numbers."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from decimal import Decimal
from numbers import Real
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data.conversion import dtype_name
from lowerbound.errors import DataError, shown


def number_labels(
    parts: Sequence[np.ndarray], where: str, rows: Sequence[int] | None = None
) -> tuple[list[Tensor], tuple[str, ...]]:
    """Class labels as numbers 0…K−1 in int64, and the K names; whole numbers sort as numbers.

    ``rows`` are the numbers of the labels' rows, for messages, where those are not all.

    Raises:
        DataError: labels that are neither whole numbers nor text, or not one per example.

    >>> number_labels([np.array(["10", "9", "9"])], "x")
    ([tensor([1, 0, 0])], ('9', '10'))
    """
    flat = [_one_per_example(part, where, rows) for part in parts]
    cuts = np.cumsum([len(part) for part in flat])[:-1]
    if any(part.dtype.kind == "U" for part in flat):
        joined = _as_whole(np.concatenate([part.astype(np.str_) for part in flat]))
    else:
        joined = np.concatenate(flat)
    names, numbers = np.unique(joined, return_inverse=True)
    tensors = [torch.from_numpy(part.astype(np.int64)) for part in np.split(numbers, cuts)]
    return tensors, tuple(str(name) for name in names)


def label_column(labels_from: str | None) -> str | None:
    """The name of the column that class labels came from, see `Raw`; None where it was no column.

    >>> label_column("column 'species'"), label_column("array 'y'")
    ('species', None)
    """
    what, _, name = (labels_from or "").partition(" ")
    return str(ast.literal_eval(name)) if what == "column" else None


def _one_per_example(
    labels: np.ndarray, where: str, rows: Sequence[int] | None = None
) -> np.ndarray:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.ndim != 1 or labels.dtype.kind not in "biufUSO":
        raise DataError(
            f"{where}: expected one class label per example, whole numbers or text of shape (n,), "
            f"got {dtype_name(labels.dtype)} of shape {labels.shape}"
        )
    if labels.dtype.kind in "SO":
        labels = _of_one_type(labels.tolist(), where)
    if labels.dtype.kind == "U":
        return labels
    whole = np.ones(len(labels), bool)
    if labels.dtype.kind == "f":
        whole = np.isfinite(labels) & (labels == np.floor(labels)) & (abs(labels) <= 2**53)
    elif labels.dtype.kind == "u":
        whole = labels < 2**63
    if not whole.all():
        row = int((~whole).argmax())
        raise DataError(
            f"{where}: expected class labels, whole numbers that int64 holds or text, got "
            f"{labels[row]} in row {rows[row] if rows else row} (counted from 0); a quantity is no "
            "class"
        )
    return labels.astype(np.int64)


def _of_one_type(labels: list[Any], where: str) -> np.ndarray:
    """Python objects, or bytes, as an array of text or of whole numbers."""
    for row, label in enumerate(labels):
        if isinstance(label, bytes):
            try:
                labels[row] = label.decode()
            except UnicodeDecodeError:
                raise _no_label(where, row, label, "decode them (numpy.char.decode)") from None
        elif _is_missing(label):
            raise _no_label(where, row, None, "remove that row or fill the label in")
    if all(isinstance(label, str) for label in labels):
        return np.array(labels, np.str_)
    for row, label in enumerate(labels):
        if not isinstance(label, Real | Decimal | np.bool_):
            raise _no_label(where, row, label, "turn all of them into text, or into numbers")
        if not (-(2**63) <= label < 2**63 and label % 1 == 0):  # type: ignore[operator]
            raise _no_label(where, row, label, "a quantity is no class")
    return np.array([int(label) for label in labels], np.int64)


def _is_missing(label: object) -> bool:
    if isinstance(label, Real | Decimal):
        return bool(label != label)
    return label is None or type(label).__name__ in ("NAType", "NaTType", "MaskedConstant")


def _no_label(where: str, row: int, label: object, remedy: str) -> DataError:
    return DataError(
        f"{where}: expected class labels, whole numbers that int64 holds or text (bytes in UTF-8), "
        f"got {'none' if label is None else shown(label)} in row {row} (counted from 0); {remedy}"
    )


def _as_whole(text: np.ndarray) -> np.ndarray:
    """Text that is whole numbers throughout, as numbers; other text as it is."""
    try:
        numbers = text.astype(np.int64)
    except (ValueError, OverflowError):
        return text
    return numbers if (numbers.astype(np.str_) == text).all() else text
