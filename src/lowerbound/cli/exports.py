"""Arrays written to the files that a user names."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lowerbound.cli.output import note
from lowerbound.data.schema import Field, Schema
from lowerbound.errors import ConfigurationError
from lowerbound.extras import needs, pa
from lowerbound.files import replacing, write_atomic
from lowerbound.music import VOCABULARY
from lowerbound.music.midi import midi_bytes
from lowerbound.music.sound import wave_bytes
from lowerbound.music.tokens import FIRST
from lowerbound.music.windows import BAR, MetreName

if TYPE_CHECKING:
    from torch import Tensor

    from lowerbound.vae import VAE


ROWS = 2**16
"""Rows of a table that are written at a time."""


def is_melodic(model: VAE) -> bool:
    """Whether what it models are melodies."""
    return getattr(model.likelihood, "vocabulary", None) == VOCABULARY


def expect_examples(out: Path, model: VAE, *, beside: bool = False) -> None:
    """Raises ConfigurationError: ``out`` is no file for examples of this model.

    ``beside`` data, rows may be a picture too.
    """
    if is_melodic(model):
        expect_file(out, (".mid", ".wav", ".png", ".npy"), "melodies")
    elif len(model.shape) == 3:
        expect_file(out, (".png", ".npy"), "images")
    else:
        expect_file(out, (".npy", ".csv", *[".png"] * (beside and len(model.shape) == 1)), "rows")


def expect_file(out: Path, known: tuple[str, ...], what: str) -> None:
    """Raises ConfigurationError: ``out`` is no file of ``what``, whose suffixes are ``known``."""
    if out.suffix not in known or out.is_dir():
        raise ConfigurationError(
            f"expected --out to be a file ending in {' or '.join(known)} for {what}, got "
            f"{str(out)!r}"
        )
    if out.suffix == ".csv":
        needs("pyarrow", "tables")


def write_examples(
    out: Path,
    values: np.ndarray,
    model: VAE,
    drawn: dict[str, np.ndarray] | None = None,
    *,
    metre: MetreName = "4/4",
    titles: Sequence[str] = (),
    fields: Schema | None = None,
    more: Mapping[str, Any] | None = None,
) -> None:
    """Examples as .npy, .csv (a table), .png, .mid or .wav (melodies, one after the other).

    A picture shows all that is ``drawn``, by name one above the other, with ``titles`` above; a
    melody is heard after what stands above it.  A table is written as the ``fields`` of its data
    are, and also has the columns ``more``, such as the examples' classes.
    """
    rows = drawn or {"": values}
    if is_melodic(model) and (silent := int((values < FIRST).all(1).sum())):
        note(f"{silent:,} of {len(values):,} have no note: such a model may need more training")
    if out.suffix == ".npy":
        write_array(out, values)
    elif out.suffix == ".csv":
        names = model.columns or [f"x{i}" for i in range(values.shape[1])]
        fields = fields or tuple(Field(name, "real") for name in names)
        columns = zip(fields, torch.from_numpy(values).unbind(1), strict=True)
        table: dict[str, Any] = {field.name: field.column(column) for field, column in columns}
        _add(table, more or {})
        write_table(out, table)
    elif out.suffix == ".png":
        from lowerbound import plots

        if is_melodic(model):
            figure = plots.piano_rolls(rows, bar=BAR[metre], titles=titles)
        else:
            span = value_range(next(iter(rows.values())))
            figure = (
                plots.reconstructions(rows, labels=titles or None, value_range=span)
                if drawn
                else plots.image_grid(values, value_range=span)
            )
        plots.save(figure, out)
    else:
        in_turn = np.stack(list(rows.values()), 1).reshape(-1, values.shape[1]).astype(np.uint8)
        played = wave_bytes(in_turn) if out.suffix == ".wav" else midi_bytes(in_turn, metre=metre)
        write_atomic(out, played)


def value_range(images: np.ndarray) -> tuple[float, float]:
    """Black and white for images in the data's units: 0–1, 0–255, or their own range.

    >>> value_range(np.array([0.0, 200.0])), value_range(np.array([-1.0, 2.0]))
    ((0.0, 255.0), (-1.0, 2.0))
    """
    low, high = float(images.min()), float(images.max())
    if low < 0 or high > 255:
        return low, high
    return (0.0, 255.0) if high > 1 else (0.0, 1.0)


@contextmanager
def codes_file(
    out: Path, classes: Sequence[str] | None, label: str | None, rows: int
) -> Iterator[Callable[[np.ndarray, Tensor | None], None]]:
    """A file for ``rows`` latent codes, by what writes some of them, and their labels.

    As .npy, or as .csv with the names of their classes in a column ``label``.
    """
    if out.suffix == ".npy":
        with array_file(out, rows) as write_rows:
            yield lambda codes, labels: write_rows(codes)
        return
    with table_file(out) as write_table:

        def write(codes: np.ndarray, labels: Tensor | None) -> None:
            table: dict[str, Any] = {f"z{i}": codes[:, i] for i in range(codes.shape[1])}
            if labels is not None:
                numbers = labels.numpy()
                named = np.asarray(classes)[numbers] if classes else numbers
                _add(table, {label or "label": named})
            write_table(table)

        yield write


def _add(table: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Further columns, of their own names where these are free."""
    for name, column in more.items():
        while name in table:
            name += "_"
        table[name] = column


def write_array(out: Path, values: np.ndarray) -> None:
    """An .npy file."""
    with array_file(out, len(values)) as write:
        write(values)


@contextmanager
def array_file(out: Path, rows: int) -> Iterator[Callable[[np.ndarray], None]]:
    """An .npy file of an array of so many ``rows``, by what writes some of them."""
    begun = False
    with replacing(out) as file:

        def write(values: np.ndarray) -> None:
            nonlocal begun
            values = np.ascontiguousarray(values)
            if not begun:
                header = np.lib.format.header_data_from_array_1_0(values)
                header["shape"] = (rows, *values.shape[1:])
                np.lib.format.write_array_header_1_0(file, header)
            file.write(values.data)
            begun = True

        yield write


@contextmanager
def table_file(out: Path) -> Iterator[Callable[[Mapping[str, Any]], None]]:
    """A .csv file with a header, by what writes some rows, as columns by their names."""
    csv = needs("pyarrow.csv", "tables")
    begun = False
    with replacing(out) as file:

        def write(columns: Mapping[str, Any]) -> None:
            nonlocal begun
            buffer = io.BytesIO()
            csv.write_csv(
                pa.table(dict(columns)), buffer, csv.WriteOptions(include_header=not begun)
            )
            file.write(buffer.getbuffer())
            begun = True

        yield write


def write_table(out: Path, columns: Mapping[str, Any]) -> None:
    """A .csv file with a header."""
    with table_file(out) as write:
        for start in range(0, max(1, len(next(iter(columns.values())))), ROWS):
            write({name: column[start : start + ROWS] for name, column in columns.items()})
