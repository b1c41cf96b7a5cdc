"""A file that was dropped on the page, as one example of the run's data."""

from __future__ import annotations

import re
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lowerbound.data import Dataset, read
from lowerbound.data.images import SUFFIXES as IMAGES
from lowerbound.data.numpy_files import read_npy
from lowerbound.errors import DataError
from lowerbound.explorer.space import Space
from lowerbound.music.reading import SUFFIXES as MELODIES

MOST_BYTES = 32 * 2**20
ROWS = (".csv", ".parquet")
SHOWN = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".webp")
"""Images that browsers can decode, all of them."""
LUMA = torch.tensor([0.299, 0.587, 0.114])


def accepted(space: Space, *, by_browser: bool = False) -> tuple[tuple[str, ...], str]:
    """The suffixes of the files that can be encoded, and in words what becomes of them.

    Those are fewer if no Python is there to read them, but a browser alone.
    """
    kind, shape = space.form.about["kind"], space.model.shape
    if kind == "image":
        size = f"{shape[2]} × {shape[1]} pixels, {'grey' if shape[0] == 1 else 'in colour'}"
        takes = f"Drop an image, brought to {size}, or an .npy array, whose first one is taken."
        return (*(SHOWN if by_browser else sorted(IMAGES)), ".npy"), takes
    if kind == "melody" and not by_browser:
        return (
            *MELODIES,
            ".npy",
        ), "Drop a MIDI, MusicXML, ABC or .npy file; its first bars are taken."
    if kind == "row" and len(shape) == 1:
        rows = (*(ROWS[:1] if by_browser else ROWS), ".npy")
        named = " with the columns of the data" if space.run.fields else ""
        takes = f"Drop a {', '.join(rows[:-1])} or .npy file{named}; its first row is taken."
        return rows, takes
    return (".npy",), "Drop an .npy array; its first example is taken."


def example_of(space: Space, name: str, content: bytes, label: int) -> tuple[Dataset, int]:
    """The first example of a file called ``name``, and how many there are in it.

    It is of class ``label`` for a conditional model.

    Raises:
        DataError: it is none of the kinds that are taken, or cannot be read, or does not fit.
    """
    suffixes, _ = accepted(space)
    suffix = Path(name).suffix.lower()
    if suffix not in suffixes:
        raise DataError(f"expected a file ending in {', '.join(suffixes)}, got {name!r:.80}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, f"file{suffix}")
        path.write_bytes(content)
        try:
            if suffix == ".npy":
                _with_batch(path, space.model.shape)
            is_image = suffix in IMAGES
            found = _image(space, path) if is_image else space.run.other(str(path))
            first = found.take(1)
            if not is_image:
                space.model.expect(first)
        except DataError as error:
            own = rf"({re.escape(folder)}/)?{re.escape(path.name)}|{re.escape(folder)}"
            raise DataError(re.sub(own, lambda _: name, str(error))) from None
    context = space.context(label)
    classes = None if context is None else tuple(space.classes)
    # Its values are copied, as they may be of a file that is gone.
    return replace(first, x=first.x.clone(), labels=context, classes=classes), len(found)


def _image(space: Space, path: Path) -> Dataset:
    """An image in the size, channels and levels of the run's."""
    channels, height, width = space.model.shape
    x = read(path.parent, resize=(width, height)).x
    share = x.float() / 255 if x.dtype == torch.uint8 else x.float()
    if channels == 1 and share.shape[1] == 3:
        share = (share * LUMA[:, None, None]).sum(1, keepdim=True)
    return _in_units(space, share.expand(-1, channels, -1, -1).contiguous(), path.name)


def _in_units(space: Space, share: Tensor, name: str) -> Dataset:
    """Levels in [0, 1] as the run's data have them."""
    low, high = space.form.low, space.form.high  # type: ignore[attr-defined]
    values = low + share * (high - low)
    data = space.data
    if data is None:
        return Dataset(values, name=name)
    if data.kind == "binary":
        values = (share >= 0.5) * high
    elif data.dtype == torch.uint8:
        values = values.round()
    return Dataset(values.to(data.dtype), name=name, schema=data.schema)


def _with_batch(path: Path, shape: tuple[int, ...]) -> None:
    """Make a single example in an .npy file, such as (28, 28), one of several."""
    array = read_npy(path)
    if array.size == np.prod(shape) and array.shape[1:] != shape:
        np.save(path, np.array(array).reshape(1, *shape), allow_pickle=False)
