"""What a reader of files hands over: arrays as they came, by part."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

Part = Literal["all", "train", "validation", "test"]


@dataclass(frozen=True)
class Arrays:
    """The values and class labels of one part.

    Attributes:
        x: the values, laid out as they came.
        where: the file, folder or array, for messages.
        labels: whole numbers or text, one per example.
        labels_from: where the labels came from.
        columns: the names of a table's columns.
    """

    x: np.ndarray
    where: str
    labels: np.ndarray | None = None
    labels_from: str | None = None
    columns: tuple[str, ...] | None = None


Parts = dict[Part, Arrays]
"""Either "all", to be divided, or "train" and perhaps "validation" and "test"."""

FOLDER_NAMES: dict[Part, tuple[str, ...]] = {
    "train": ("train",),
    "validation": ("validation", "val", "valid"),
    "test": ("test",),
}
"""What the parts are called in names of folders and arrays."""
