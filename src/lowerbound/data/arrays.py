"""NumPy's own files, ``.npy`` and ``.npz``; no pickled objects.

The arrays of an ``.npz`` are found by their names, in upper or lower case:

=================================  ==========================================================
``x``, ``data``, ``images``        the values, to be divided here; or the only array there is
``y``, ``labels``, ``class``, …    their class labels, unless ``labels=`` names another array
``x_train``, ``train_images``, …   the training part; ``test`` and ``validation`` likewise
``y_train``, ``train_labels``, …   the labels of each part
=================================  ==========================================================
"""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from lowerbound.data.inference import check_memory
from lowerbound.data.parts import FOLDER_NAMES, Arrays, Part, Parts
from lowerbound.errors import ConfigurationError, DataError, near

T = TypeVar("T")
VALUES = ("x", "data", "images")
LABELS = ("y", "label", "labels", "class", "classes", "target", "targets")


def read_npy(path: Path) -> np.ndarray:
    """The array in an ``.npy`` file, mapped into memory rather than read.

    Raises:
        DataError: a damaged file, or one of Python objects.
    """
    return _guarded(path, lambda: np.lib.format.open_memmap(path, mode="r"))


def read_npz(path: Path, labels: str | None = None) -> Parts:
    """The arrays in an ``.npz`` file, by part.

    Raises:
        ConfigurationError: ``labels`` names no array of the file.
        DataError: a damaged file, or one whose arrays cannot be told apart.
    """
    arrays = _guarded(path, lambda: _members(path))
    layout: Mapping[Part, tuple[str, ...]] = FOLDER_NAMES
    if _find(arrays, VALUES, FOLDER_NAMES["train"]) is None:
        layout = {"all": ("",)}
    parts: Parts = {}
    for part, words in layout.items():
        y = _find(arrays, LABELS if labels is None else (labels,), words)
        x = _find(arrays, VALUES, words) or (_only(path, arrays, y) if part == "all" else None)
        if x is None:
            continue
        if labels is not None and y is None:
            raise ConfigurationError(
                f"{path}: expected labels= to name an array for the labels of {x!r}, "
                f"got {labels!r}; {near(labels, arrays)}"
            )
        parts[part] = Arrays(
            arrays[x],
            f"{path}, array {x!r}",
            arrays[y] if y else None,
            f"array {y!r}" if y else None,
        )
    return parts


def _members(path: Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        check_memory(sum(member.file_size for member in archive.infolist()), str(path))
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _find(
    arrays: Mapping[str, np.ndarray], bases: Sequence[str], words: Sequence[str]
) -> str | None:
    """The first array called ``base_word`` or ``word_base``; or ``base``, for the word ""."""
    by_lower = {name.lower(): name for name in arrays}
    for word in words:
        for base in (base.lower() for base in bases):
            for name in (f"{base}_{word}", f"{word}_{base}") if word else (base,):
                if name in by_lower:
                    return by_lower[name]
    return None


def _only(path: Path, arrays: Mapping[str, np.ndarray], labels: str | None) -> str:
    others = [name for name in arrays if name != labels]
    if len(others) != 1:
        shapes = ", ".join(f"{name} {arrays[name].shape}" for name in arrays) or "no array"
        raise DataError(
            f"{path}: expected one array of values, or one called x, got {shapes}; call it x, or "
            "x_train and x_test"
        )
    return others[0]


def _guarded(path: Path, read: Callable[[], T]) -> T:
    try:
        return read()
    except (DataError, MemoryError, PermissionError):
        raise
    except Exception as error:  # numpy parses headers as Python: a damaged one can raise anything
        if "allow_pickle" in str(error) or "Python objects" in str(error):
            raise DataError(
                f"{path}: expected numbers, got pickled Python objects, which are not read; "
                "save it as an array of uint8 or float32"
            ) from None
        raise DataError(
            f"{path}: expected a whole {path.suffix} file, got one that is truncated or damaged "
            f"({str(error) or type(error).__name__}); write it again with "
            f"numpy.save{'z' if path.suffix == '.npz' else ''}"
        ) from None
