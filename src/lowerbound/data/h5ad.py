"""AnnData's ``.h5ad`` files, of version 0.8 and later: X, and columns of obs beside it."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.data.arrow import row_name, table_raw
from lowerbound.data.columns import quoted
from lowerbound.data.conversion import Parts, Raw, check_array, check_memory
from lowerbound.data.reading import Reading
from lowerbound.data.sparse import dense
from lowerbound.data.tables import LABELS, choose
from lowerbound.errors import ConfigurationError, DataError, LowerboundError, brief, near
from lowerbound.extras import Deferred, pa
from lowerbound.logs import log

h5py = Deferred("h5py", "cells")

SPARSE = {"csr_matrix": "csr", "csc_matrix": "csc"}
WRITTEN = "write it again with anndata 0.8 or later"
TEXT_BYTES = 64
"""In memory of a short text."""
SECONDS = 60
PROBE = """
import sys
sys.path = sys.argv[2:]
import h5py

def see(name, node):
    dict(node.attrs)

with h5py.File(sys.argv[1], "r") as file:
    see("/", file)
    file.visititems(see)
"""
"""Meets all that a file says of its parts, on which HDF5 may turn for ever where it is damaged."""


def read_h5ad(path: Path, reading: Reading) -> Parts:
    """X (n, D) under the names of var; class labels and covariates are columns of obs.

    Raises:
        ConfigurationError: ``reading`` names no such column.
        DataError: another layout, a damaged file, or one that does not fit in memory.
    """
    opened = h5py.File  # or which extra brings it, before a process is started
    _refuse_endless(path)
    try:
        with opened(path, "r") as file:
            return {"all": _read(path, file, reading)}
    except LowerboundError:
        raise
    except (OSError, RuntimeError, KeyError, ValueError, TypeError) as error:
        raise DataError(
            f"{path}: expected an .h5ad file, got one that cannot be read ({brief(error)}); "
            f"{WRITTEN}"
        ) from None


def _refuse_endless(path: Path) -> None:
    """Raises DataError: HDF5, which cannot be stopped in this process, does not come to an end."""
    command = [sys.executable, "-c", PROBE, str(path), *sys.path]
    try:
        subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise DataError(
            f"{path}: expected an .h5ad file, got one that HDF5 did not open in {SECONDS} seconds, "
            f"as it may be damaged; {WRITTEN}"
        ) from None


def _read(path: Path, file: Any, reading: Reading) -> Raw:
    where = str(path)
    if _encoding(file) != "anndata":
        raise DataError(
            f"{where}: expected AnnData's layout of version 0.8 or later, got "
            f"{_encoding(file) or 'none or an older one'}; {WRITTEN}"
        )
    obs, var = (_frame(file, part, where) for part in ("obs", "var"))
    genes = tuple(map(str, _array(_in(var, str(_attribute(var, "_index")), where), where)))
    own = tuple(map(str, np.atleast_1d(obs.attrs["column-order"])))
    label = _label(where, own, reading)
    for name in (name for name in reading.given if name not in own):
        refusal = ConfigurationError if reading.columns is None else DataError
        raise refusal(
            f"{where}: expected given= (--given) to name columns of obs, got {name!r}; "
            f"{near(name, own)}"
        )
    if alike := [name for name in genes if name in reading.given]:
        log.info("%s: genes %s, called as what is given, are left out", path.name, quoted(alike))
    chosen = _genes(path, tuple(name for name in genes if name not in alike), reading)
    x = _values(file, where, len(genes))
    places = {name: i for i, name in enumerate(genes)}
    if (order := [places[name] for name in chosen]) != [*range(len(genes))]:
        x = x[:, order]
    forms, kinds = dict.fromkeys(chosen, ""), reading.kinds
    raw = Raw(x, where, columns=tuple(chosen), forms=forms, kinds=kinds)
    if not reading.given and label is None:
        return raw
    names = dict.fromkeys([*reading.given, *([] if label is None else [label])])
    table = pa.table({name: _column(obs, name, where, len(x)) for name in names})
    given, known = tuple(reading.given), reading.columns is not None
    told = table_raw(where, table, label, given, row_name, kinds=kinds, known=known)
    check_array(len(x) * (len(chosen) + len(given)), np.dtype(float), where)
    seen = None if told.observed is None else np.hstack([np.ones(x.shape, bool), told.observed])
    return Raw(
        np.hstack([x, told.x]) if given else x,
        *(where, told.labels, told.labels_from, (*chosen, *given), told.categories),
        forms={**forms, **told.forms},
        kinds=kinds,
        observed=seen,
    )


def _label(where: str, own: tuple[str, ...], reading: Reading) -> str | None:
    """The column of obs that holds class labels, if any."""
    if reading.labels is not None and reading.labels not in own:
        raise ConfigurationError(
            f"{where}: expected labels= to name a column of obs, got {reading.labels!r}; "
            f"{near(reading.labels, own)}"
        )
    likely = [name for name in own if name.lower() in LABELS and name not in reading.given]
    if reading.labels is None and likely:
        log.info("%s: column %r is taken for the class labels", Path(where).name, likely[0])
    return reading.labels or next(iter(likely), None)


def _genes(path: Path, genes: tuple[str, ...], reading: Reading) -> tuple[str, ...]:
    """Those to take, whatever they are called."""
    kinds = {name: kind for name, kind in reading.kinds.items() if name not in reading.given}
    told = replace(reading, labels=None, given=(), kinds=kinds)
    return choose(path, genes, told, lambda name: np.array([]), auto=False)[1]


def _values(file: Any, where: str, width: int) -> np.ndarray:
    """X, whatever its layout, as an array of real numbers."""
    node, encoding = _in(file, "X", where), _encoding(file["X"])
    if encoding in SPARSE:
        shape = np.asarray(node.attrs["shape"])
        known = {"format": np.array(SPARSE[encoding]), "shape": shape}

        def member(name: str) -> np.ndarray:
            return known[name] if name in known else _array(_in(node, name, where), where)

        x = dense([*known, *node], member, where, writer="anndata")
    elif encoding == "array":
        check_array(int(node.size), node.dtype, where)
        x = _array(node, where)
    else:
        raise DataError(
            f"{where}: expected X as an array, csr_matrix or csc_matrix, got "
            f"{encoding or 'an older layout'}; {WRITTEN}"
        )
    if x.ndim != 2 or x.shape[1] != width or x.dtype.kind not in "biuf":
        raise DataError(
            f"{where}: expected X of real numbers with a column for each of {width:,} names in "
            f"var, got {x.dtype} of shape {x.shape}; {WRITTEN}"
        )
    return x


def _frame(file: Any, name: str, where: str) -> Any:
    """The group of a data frame."""
    group = _in(file, name, where)
    if _encoding(group) != "dataframe" or str(_attribute(group, "encoding-version")) < "0.2.0":
        raise DataError(
            f"{where}: expected {name} as a data frame of version 0.2.0, got an older layout; "
            f"{WRITTEN}"
        )
    return group


def _column(obs: Any, name: str, where: str, rows: int) -> Any:
    """A column of obs as Arrow has it: numbers, truth values, text or categories."""
    node = _in(obs, name, where)
    encoding, missing = _encoding(node), None
    if encoding == "categorical":
        codes = _array(_in(node, "codes", where), where)
        names = _array(_in(node, "categories", where), where)
        if codes.dtype.kind not in "iu" or codes.max(initial=-1) >= len(names):
            raise _damaged(where, name)
        if len(codes) == rows:
            indices = pa.array(codes.astype(np.int64), mask=codes < 0)
            return pa.DictionaryArray.from_arrays(indices, pa.array(names))
        values = codes
    elif encoding.startswith("nullable"):
        values = _array(_in(node, "values", where), where)
        missing = _array(_in(node, "mask", where), where).astype(bool)
    elif encoding in ("array", "string-array"):
        values = _array(node, where)
    else:
        raise DataError(
            f"{where}: expected numbers, text or categories in column {name!r} of obs, got "
            f"{encoding or 'an older layout'}; {WRITTEN}"
        )
    if values.shape != (rows,) or (missing is not None and missing.shape != (rows,)):
        raise _damaged(where, name)
    return pa.array(values, mask=missing)


def _array(node: Any, where: str) -> np.ndarray:
    """The values of a dataset, once their size is known to fit."""
    if not isinstance(node, h5py.Dataset) or node.is_virtual or node.external:
        raise _damaged(where, "an array")
    is_text = h5py.check_string_dtype(node.dtype) is not None
    check_memory(int(node.size) * (TEXT_BYTES if is_text else node.dtype.itemsize), where)
    if is_text:
        return np.asarray(node.asstr()[()], dtype=object)
    if node.dtype.kind not in "biuf":
        raise _damaged(where, "numbers")
    return np.asarray(node[()])


def _in(group: Any, name: str, where: str) -> Any:
    """A member of a group that is in the file itself."""
    link = None if "/" in name else group.get(name, getlink=True)
    if not isinstance(link, h5py.HardLink):
        found = "none" if link is None else "a link to elsewhere"
        raise DataError(f"{where}: expected {name!r} in {group.name}, got {found}; {WRITTEN}")
    return group[name]


def _encoding(node: Any) -> str:
    return str(_attribute(node, "encoding-type"))


def _attribute(node: Any, name: str) -> Any:
    value = node.attrs.get(name, "")
    return value.decode() if isinstance(value, bytes) else value


def _damaged(where: str, what: str) -> DataError:
    return DataError(
        f"{where}: expected a whole .h5ad file, got one whose parts do not fit each other "
        f"({what}); {WRITTEN}"
    )
