"""``run.json``: what was asked for, and on what data it was trained."""

from __future__ import annotations

import datetime
import math
import os
import platform
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, cast

import pydantic
import torch

import lowerbound
from lowerbound.data import Data, Dataset, Splits, Stored, load
from lowerbound.data.kinds import told_kinds
from lowerbound.data.labels import label_column
from lowerbound.data.reading import Options
from lowerbound.data.stored import Progress
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.files import SEAL, read_json, validated, write_sealed
from lowerbound.music.windows import MetreName
from lowerbound.training import Training

RUN_FILE = "run.json"
Reading = Callable[[], AbstractContextManager[Progress | None]]


class DataSource(pydantic.BaseModel, frozen=True, extra="forbid"):
    """Where a run's data come from: the arguments of `lowerbound.data.load`."""

    source: str
    folder: str | None = None
    labels: str | None = None
    validation: float = 0.1
    test: float | None = None
    on_disk: bool = False
    header: bool | None = None
    crop: tuple[int, int] | None = None
    resize: tuple[int, int] | None = None
    skip_broken: bool = False
    bars: int = 2
    metre: MetreName = "4/4"
    track: str | None = None
    transpose: int = 5
    kinds: dict[str, str] = {}
    given: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of the data set or of its file, without folders."""
        return Path(self.source).name

    def load(self, seed: int, progress: Progress | None = None) -> Splits | Splits[Stored]:
        """The splits, the same for the same seed; see `lowerbound.data.load`."""
        arguments: dict[str, Any] = {
            "folder": None if self.folder is None else Path(self.folder),
            **self.reading(),
            "validation": _count_or_fraction(self.validation) or 0,
            "test": _count_or_fraction(self.test),
            "seed": seed,
        }
        if self.on_disk:
            return load(self.source, **arguments, on_disk=True, progress=progress)
        return load(self.source, **arguments)

    def reading(self) -> Options:
        """The options of `lowerbound.data.load` and `read` that choose how to read."""
        return cast(Options, self.model_dump(include=set(Options.__annotations__)))


class ValueRange(pydantic.BaseModel, frozen=True, extra="forbid"):
    """The kind of a run's values, and the divisor that takes them to [0, 1]."""

    kind: str
    scale: float

    def refuse_others(self, data: Data, source: str) -> None:
        """Raises DataError: the values of ``data``, read from ``source``, are not of this range."""
        kind, scale = self.kind, self.scale
        same = data.scale == scale or data.values.high == 0  # black is so on any scale
        by_column = ("ordinal", "zero-inflated", "mixed")  # whose values the likelihood checks
        fits = {
            "binary": data.kind == "binary" and same,
            "grey": data.kind in ("grey", "binary") and same,
            "unit": data.kind in ("unit", "binary", *by_column) and data.scale == 1,
            "counts": data.kind in ("counts", "grey", "binary", *by_column),
        }
        if not fits.get(kind, True):
            wanted = "counts" if kind == "counts" else f"{kind} values up to {scale:g}"
            raise DataError(
                f"{source}: expected {wanted}, as the run was trained on, got {data.told()}; "
                "bring them to that range"
            )


class RunDescription(pydantic.BaseModel, frozen=True, extra="forbid"):
    """What ``run.json`` holds: what was asked for and, once training has begun, on what data.

    ``kinds`` and ``forms`` are those of a table's columns by name, as `data.kinds.told_kinds` has
    them; ``label`` is the column of class labels.
    """

    recipe: str
    settings: dict[str, Any]
    source: DataSource
    command: str
    begun_from: str | None = None
    fingerprints: dict[str, str | None] = {}
    values: ValueRange | None = None
    classes: tuple[str, ...] | None = None
    label: str | None = None
    columns: tuple[str, ...] | None = None
    kinds: dict[str, str] = {}
    forms: dict[str, str] = {}
    data_summary: str = ""
    started: str = ""
    versions: dict[str, str] = {}

    @classmethod
    def read(cls, folder: Path) -> RunDescription:
        """The description in ``folder``.

        Raises:
            StorageError: there is none, or it is damaged, or was changed.
        """
        what = (
            "a run (as made by lowerbound train; beside another model, name its data with --data)"
        )
        path = folder / RUN_FILE
        values = read_json(path, what)
        values.pop(SEAL, None)
        return validated(path, cls, values)

    def write(self, folder: Path) -> None:
        """Write ``run.json`` into ``folder``."""
        write_sealed(folder / RUN_FILE, self.model_dump(mode="json"))

    @property
    def seed(self) -> int:
        """The seed of splits, first weights and training."""
        return Training(seed=self.settings.get("seed", 0)).seed

    @property
    def title(self) -> str:
        """The recipe and its data."""
        return f"{self.recipe} on {self.source.name}"

    def completed(self, splits: Splits | Splits[Stored]) -> RunDescription:
        """With what is known once the data are read: what they are, when, and by which versions."""
        train = splits.train
        kinds, forms = told_kinds(train)
        parts = {"train": train, "validation": splits.validation, "test": splits.test}
        held = [part for part in parts.values() if isinstance(part, Dataset)]
        return self.model_copy(
            update={
                "fingerprints": {name: part and part.fingerprint for name, part in parts.items()},
                "values": ValueRange(kind=train.kind, scale=train.scale),
                "classes": train.classes,
                "label": next((label_column(part.labels_from) for part in held), None),
                "columns": train.columns,
                "kinds": kinds,
                "forms": forms,
                "data_summary": splits.summary(),
                "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
                "versions": {
                    "lowerbound": lowerbound.__version__,
                    "torch": torch.__version__,
                    "python": platform.python_version(),
                    "cores": str(os.cpu_count()),
                },
            }
        )


def _count_or_fraction(value: float | None) -> int | float | None:
    """0.1 is a fraction, 5000.0 a number of examples."""
    if value is None:
        return None
    if not math.isfinite(value) or value < 0 or value == 1 or (value > 1 and value % 1):
        raise ConfigurationError(
            f"expected a fraction below 1 or a whole number of examples to hold out, got {value}"
        )
    return value if value < 1 else int(value)
