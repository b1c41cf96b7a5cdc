"""Sequences of tokens: whole numbers 0 … V − 1, the codes of a vocabulary's V names.

Sequences of several lengths are written one above the other with −1 after the end of each.  They
are kept with one more code there, V, called "<end>", the last of their vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from numbers import Integral

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lowerbound.data.columns import D, quoted
from lowerbound.data.dataset import Dataset
from lowerbound.data.schema import Field
from lowerbound.errors import DataError, near

END = "<end>"
WHOLE = ("binary", "grey", "counts")
"""Kinds whose numbers may be codes."""
MOST = 2**16
"""Names of a vocabulary."""
Encoded = tuple[list[np.ndarray], tuple[str, ...]]


def names_of(vocabulary: int | Sequence[str], where: str) -> tuple[str, ...]:
    """The names of a vocabulary, which of a number of tokens are their codes.

    Raises:
        DataError: no names, two tokens of one name, or more than 65,536.
    """
    if isinstance(vocabulary, np.ndarray):
        vocabulary = vocabulary.tolist()
    if isinstance(vocabulary, Integral) and not isinstance(vocabulary, bool):
        vocabulary = range(min(int(vocabulary), MOST + 1))  # type: ignore[assignment]
    names = tuple(map(str, vocabulary)) if isinstance(vocabulary, Sequence) else ()
    if not 0 < len(names) == len(set(names)) <= MOST or END in names:
        raise DataError(
            f"{where}: expected a vocabulary of 1 to {MOST:,} tokens, their number or different "
            f"names, none of them {END!r}, got {len(names):,} ({quoted(names)})"
        )
    return names


def encoded(arrays: Sequence[np.ndarray], vocabulary: Sequence[str], where: str) -> Encoded:
    """Sequences (n, T) of one ``vocabulary``, as they came, by codes; and the vocabulary then.

    Raises:
        DataError: other things than its codes; or −1 before the end of a sequence.
    """
    names = tuple(vocabulary)
    for x in arrays:
        if x.ndim != 2 or x.size == 0 or x.dtype.kind not in "buif" or (x != np.floor(x)).any():
            raise DataError(
                f"{where}: expected sequences of tokens, whole numbers (n, T), got "
                f"{x.dtype} of shape {x.shape}"
            )
        if x.min() < -1 or x.max() >= len(names):
            raise DataError(
                f"{where}: expected codes from 0 to {len(names) - 1}, or −1 after the end of a "
                f"sequence, got values from {x.min():g} to {x.max():g}; correct them or the "
                "vocabulary"
            )
    if not any((x < 0).any() for x in arrays):
        return [_compact(x, len(names)) for x in arrays], names
    filled = [_compact(np.where(x < 0, len(names), x), len(names) + 1) for x in arrays]
    for x in filled:
        _expect_ends(torch.from_numpy(x), len(names), where)
    return filled, (*names, END)


def _compact(x: np.ndarray, codes: int) -> np.ndarray:
    return x.astype(np.uint8 if codes <= 256 else np.int32, order="C")


def _expect_ends(x: Tensor, end: int, where: str) -> None:
    ended = x == end
    if (ended[:, :-1] & ~ended[:, 1:]).any():
        i = int((ended[:, :-1] & ~ended[:, 1:]).any(1).int().argmax())
        raise DataError(
            f"{where}: expected nothing after the end of a sequence, got a token there in row {i} "
            "(counted from 0); the places after a shorter sequence hold its end"
        )


def as_tokens(data: D) -> D:
    """``data`` of kind tokens; whole numbers of no declared vocabulary are their own codes.

    Raises:
        DataError: they are no sequences of whole numbers.
    """
    if data.kind == "tokens":
        return data
    if data.columns is not None or len(data.shape) != 1 or data.kind not in WHOLE or data.missing:
        raise DataError(
            f"{data.name}: expected sequences of tokens, whole numbers (n, T) from 0, got "
            f"{data.told()}; write them as an .npz file with x, where −1 follows the end of a "
            "shorter sequence, and vocabulary, how many tokens there are or their names"
        )
    names = names_of(int(data.values.high) + 1, data.name)
    return replace(data, schema=(Field("x", "tokens", data.shape, names),))  # type: ignore[type-var]


def expect_vocabulary(data: D, vocabulary: tuple[str, ...], length: int) -> D:
    """``data`` with their tokens numbered as in ``vocabulary``, by name, and T = ``length``.

    Whole numbers of no declared vocabulary are taken as codes; what is neither stays as it is.

    Raises:
        DataError: a token that is not in the vocabulary, or a sequence that is too long.
    """
    if data.columns is not None or len(data.shape) != 1 or data.missing:
        return data
    kind, given = data.kind, data.schema[0].categories or ()
    if kind in WHOLE and data.values.high < len(vocabulary):
        given = vocabulary
    elif kind != "tokens":
        return data
    ends = vocabulary[-1] == END
    if given == vocabulary and (not ends or not isinstance(data, Dataset)):
        return _declared(data, vocabulary)
    if not isinstance(data, Dataset):
        raise DataError(
            f"{data.name}: expected the vocabulary {quoted(vocabulary)}, as the model was made "
            f"for, got {quoted(given)}; write them so, or keep the data in memory"
        )
    x = data.x if given == vocabulary else _renumbered(data, given, vocabulary)
    if ends:
        end = len(vocabulary) - 1
        if data.shape[0] > length and (x[:, length:] != end).any():
            raise DataError(
                f"{data.name}: expected sequences of at most {length} tokens, as the model was "
                f"made for, got one of {data.shape[0]}; cut them"
            )
        x = F.pad(x, (0, length - data.shape[0]), value=end)
        _expect_ends(x, end, data.name)
    schema = (Field("x", "tokens", tuple(x.shape[1:]), vocabulary),)
    return replace(data, x=x, schema=schema)


def _declared(data: D, vocabulary: tuple[str, ...]) -> D:
    schema = (Field("x", "tokens", data.shape, vocabulary),)
    return data if data.schema == schema else replace(data, schema=schema)  # type: ignore[type-var]


def _renumbered(data: Dataset, given: tuple[str, ...], wanted: tuple[str, ...]) -> Tensor:
    """The codes among ``wanted`` of what ``given`` names."""
    numbers = {name: i for i, name in enumerate(wanted)}
    codes = data.x.long()
    for code in codes.unique().tolist():
        if given[code] not in numbers:
            raise DataError(
                f"{data.name}: expected the vocabulary {quoted(wanted)}, as the model was made "
                f"for, got {given[code]!r}; {near(given[code], wanted)}"
            )
    table = torch.tensor([numbers.get(name, 0) for name in given], device=codes.device)
    return table[codes].to(torch.uint8 if len(wanted) <= 256 else torch.float32)
