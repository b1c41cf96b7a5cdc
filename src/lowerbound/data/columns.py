"""Columns by their names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import torch
from torch import Tensor

from lowerbound.data.dataset import Data, Dataset
from lowerbound.errors import DataError, closest, near
from lowerbound.logs import log

D = TypeVar("D", bound=Data)


SHOWN = 5


def pick(where: Path | str, names: Sequence[str], wanted: Sequence[str]) -> list[int]:
    """The places of the ``wanted`` names; what else there is, is told.

    Raises:
        DataError: one of them is not there.
    """
    places = {name: i for i, name in enumerate(names)}
    if missing := [name for name in wanted if name not in places]:
        taken = set(wanted)
        others = [name for name in names if name not in taken]
        more = f" and {len(missing) - 1:,} others" if len(missing) > 1 else ""
        close = bool(closest(missing[0], others))
        hint = near(missing[0], others) if close else f"it has {quoted(names)}"
        raise DataError(
            f"{where}: expected the columns {quoted(wanted)}, got none called {missing[0]!r}"
            f"{more}; {hint}"
        )
    taken = set(wanted)
    if left := [name for name in names if name not in taken]:
        plural = "" if len(left) == 1 else "s"
        log.info("%s: column%s %s left out", Path(where).name, plural, quoted(left))
    return [places[name] for name in wanted]


def by_name(data: D, columns: Sequence[str] | None) -> D:
    """``data`` with these columns, by name and in this order, where they have names.

    Raises:
        DataError: one of them is not there; or data on disk that have others, or another order.

    >>> from lowerbound.data import from_arrays
    >>> by_name(from_arrays([[1, 2, 3]], columns=["a", "b", "c"]), ("c", "a")).x
    tensor([[3., 1.]])
    """
    if columns is None or data.columns is None or data.columns == tuple(columns):
        return data
    places = pick(data.name, data.columns, columns)
    if not isinstance(data, Dataset):
        raise DataError(
            f"{data.name}: expected the columns {quoted(columns)} in this order, as the model was "
            f"made for, got {quoted(data.columns)}; write them so, or keep the data in memory"
        )
    fields = data.x.split([field.size for field in data.schema], dim=1)
    return replace(
        data,
        x=torch.cat([fields[i] for i in places], dim=1),
        schema=tuple(data.schema[i] for i in places),
    )


def by_category(data: D, categories: Mapping[int, tuple[str, ...]]) -> D:
    """``data``, the categories of some fields, by their numbers, numbered as these are.

    Raises:
        DataError: an example is of another category.
    """
    schema, places, start = list(data.schema), dict[range, Tensor](), 0
    for number, field in enumerate(data.schema):
        columns = range(start, start := start + field.size)
        if number not in categories:
            continue
        wanted, names = categories[number], field.categories or ()
        numbers = {name: i for i, name in enumerate(wanted)}
        for name in (names[code] for code in data.codes(columns).tolist()):
            if name not in numbers:
                close = f"{near(name, wanted)} Or else " if closest(name, wanted) else ""
                raise DataError(
                    f"{data.name}: expected the categories {quoted(wanted)} in {field.name!r}, as "
                    f"the model was made for, got {name!r}; {close}leave such rows out or their "
                    "cells empty, or train anew"
                )
        places[columns] = torch.tensor([numbers.get(name, -1) for name in names])
        schema[number] = replace(field, categories=wanted)
    return data.recoded(places, tuple(schema)) if places else data


def quoted(names: Sequence[str]) -> str:
    """The first few names."""
    shown = ", ".join(map(repr, names[:SHOWN]))
    return shown + (f" and {len(names) - SHOWN:,} others" if len(names) > SHOWN else "")
