"""Frames of pandas, polars and Arrow: made, and changed in some of their columns."""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from lowerbound.data.rewriting import with_cells
from lowerbound.data.tables import arrow_table, is_frame
from lowerbound.extras import pa, pc

MAKERS = {"pandas": "DataFrame", "polars": "DataFrame", "pyarrow": "table"}
"""What makes a frame of columns by their names, in each library."""


def library(X: Any) -> str | None:
    """Which of the three makes frames like X, Arrow those of others; None of arrays."""
    name = type(X).__module__.partition(".")[0]
    return (name if name in MAKERS else "pyarrow") if is_frame(X) else None


def frame_of(name: str, columns: Mapping[str, Any]) -> Any:
    """A frame of the library of that ``name``, of columns by their names."""
    return getattr(importlib.import_module(name), MAKERS[name])(columns)


def missing(X: Any) -> np.ndarray:
    """Which cells of an array or a frame are NaN or null, bool, (n, D)."""
    if not is_frame(X):
        return np.isnan(X)
    table = arrow_table(X, "X").select(names_of(X))
    return np.stack([pc.is_null(c, nan_is_null=True).to_numpy() for c in table.columns], 1)


def names_of(X: Any) -> list[str]:
    """The names of a frame's columns, as text."""
    return [str(name) for name in (X.column_names if library(X) == "pyarrow" else X.columns)]


def is_numeric(frame: Any, place: int) -> bool:
    """Whether a frame's column at ``place`` holds numbers, by its type."""
    types = pa.types
    of = arrow_table(frame, "X").select(names_of(frame)).schema.types[place]
    return types.is_integer(of) or types.is_floating(of)


def take(X: Any, kept: np.ndarray) -> Any:
    """The columns of an array or a frame that are ``kept``, bool, (D,)."""
    if kept.all():
        return X
    places = kept.nonzero()[0].tolist()
    match library(X):
        case "pandas":
            return X.iloc[:, places]
        case "pyarrow":
            return X.select(places)
    return X[:, places]


def filled(frame: Any, place: int, gaps: np.ndarray, cells: np.ndarray) -> Any:
    """A frame whose column at ``place`` has these cells at the gaps, of the type that it had."""
    gone = torch.from_numpy(gaps)
    match library(frame):
        case "pandas":
            column = frame.iloc[:, place]
            dense = column.sparse.to_dense() if hasattr(column.dtype, "fill_value") else column
            arrow = pa.chunked_array([pa.array(dense, from_pandas=True)])
            whole = with_cells(arrow, gone, cells).to_pandas()
            frame = frame.copy(deep=False)
            frame.isetitem(place, whole.set_axis(frame.index).astype(column.dtype))
            return frame
        case "polars":
            column = frame[:, place]
            whole = with_cells(pa.chunked_array([column.to_arrow()]), gone, cells)
            return frame.with_columns(type(column)(column.name, whole).cast(column.dtype))
    column = frame.column(place)
    return frame.set_column(place, frame.field(place), with_cells(column, gone, cells))


def beside(frame: Any, columns: Mapping[str, np.ndarray]) -> Any:
    """A frame with more columns, after its own."""
    match library(frame):
        case "pandas":
            return frame.assign(**columns)
        case "polars":
            return frame.hstack(frame_of("polars", columns))
    for name, column in columns.items():
        frame = frame.append_column(name, pa.array(column))
    return frame
