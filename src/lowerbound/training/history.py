"""The records of a run, an epoch each: ``metrics.jsonl``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from statistics import median_low
from typing import Annotated, Any, NotRequired

import pydantic
from typing_extensions import TypedDict

from lowerbound.errors import StorageError
from lowerbound.files import (
    MAX_JSON_BYTES,
    parse_json,
    read_regular,
    to_json,
    validated,
    write_atomic,
)
from lowerbound.training import checkpoint
from lowerbound.training.callbacks import Record
from lowerbound.training.finite import slower
from lowerbound.training.settings import Training

METRICS_FILE = "metrics.jsonl"
LOST, LEAST_LOST, OF_EACH = 0.5, 10.0, 0.1
"""Share of what training had won, nats, and nats for each element of x, from which it is lost."""
BEGINNING = 3


def write_history(folder: Path, history: list[Record]) -> None:
    """Write ``metrics.jsonl``."""
    lines = "".join(f"{to_json(record)}\n" for record in history)
    write_atomic(folder / METRICS_FILE, lines.encode())


def read_history(folder: Path) -> list[Record]:
    """The records of the run in ``folder``, from its ``metrics.jsonl``.

    Raises:
        StorageError: the file is missing or damaged, or its checkpoint knows other records.
    """
    path = folder / METRICS_FILE
    lines = read_regular(path, "a run's records", MAX_JSON_BYTES).splitlines()
    found = [parse_json(path, line) for line in lines]
    records = checked(path, found)
    saved = checkpoint.state_of(folder)
    if saved is not None and saved["history"][: len(found)] != found:
        raise StorageError(
            f"{path}: expected the records that {checkpoint.CHECKPOINT_FILE} has, got others; "
            "the file was changed: write it anew with lowerbound train --resume"
        )
    return records


def checked(path: Path, records: Any) -> list[Record]:
    """Records that stand in the file at ``path``.

    Raises:
        StorageError: they are no records of an epoch each.
    """
    validated(path, list[_Record], records)
    if [record["epoch"] for record in records] != list(range(1, len(records) + 1)):
        raise StorageError(f"{path}: damaged (expected a record for each epoch from 1 on)")
    return list(records)


def best_epoch(records: list[Record]) -> int:
    """The epoch of the best validation so far, by `criterion`; 0 before the first."""
    values = [criterion(record["validation"]) for record in records]
    return 1 + values.index(max(values)) if values else 0


def out_of_patience(records: list[Record], patience: int | None) -> bool:
    """Whether the last ``patience`` epochs brought no better validation."""
    return patience is not None and len(records) - best_epoch(records) >= patience


def kept_early(records: list[Record], patience: int | None) -> str | None:
    """Which epoch's weights are kept, in words, where they are not the last one's."""
    if patience is None or (best := best_epoch(records)) == len(records):
        return None
    why = f": {patience} more were no better" if out_of_patience(records, patience) else ""
    kept = records[best - 1]["validation"]
    value = f", {-kept['bound']:.2f}" if "bound" in kept else ""
    return f"the weights of epoch {best} of {len(records)} are kept, by its validation{value}{why}"


class Course:
    """How training goes, epoch by epoch, on its own data.

    Args:
        elements: those of x, of an example.
        records: of the epochs so far.
    """

    def __init__(self, elements: int, records: Sequence[Record] = ()) -> None:
        self.least = max(LEAST_LOST, OF_EACH * elements)
        self.began: list[dict[str, float]] = []
        self.best: Record | None = None
        self.is_told = False
        for record in records:
            self.is_told |= self.lost(record) is not None

    def lost(self, record: Record) -> Record | None:
        """The best epoch, where the next one, ``record``, has lost most of what was won until then.

        Both bound and objective must have fallen so far: while the KL's weight rises the objective
        falls alone, and without that weight the bound.  What was won is counted from the median of
        the first three epochs, as the first may be far from all others.
        """
        now, began = record["train"], self.began
        if self.best is None or criterion(now) >= criterion(self.best["train"]):
            self.best = record
        best = self.best["train"]
        is_lost = self.best is not record and all(
            best[name] - now[name]
            > max(LOST * (best[name] - median_low(r[name] for r in began)), self.least)
            for name in ("objective", "bound")
            if name in now
        )
        if len(began) < BEGINNING:
            began.append(now)
        return self.best if is_lost else None

    def told(self, record: Record, training: Training) -> str | None:
        """In words, once in a run, what is `lost` in the next epoch."""
        best = self.lost(record)
        if best is None or self.is_told:
            return None
        self.is_told = True
        before, now = (
            f"{cost:,.2f}" if abs(cost) < 1e6 else f"{cost:.3g}"
            for cost in (-criterion(each["train"]) for each in (best, record))
        )
        return (
            f"the loss on training data was {before} in epoch {best['epoch']} and is {now} in "
            f"epoch {record['epoch']}: most of what was learned is lost; training goes on, but if "
            f"the loss does not come down again, stop it, and try {slower(training)}"
        )


def criterion(terms: dict[str, float]) -> float:
    """What the best epoch has the most of: the bound, or where there is none the objective."""
    return terms["bound" if "bound" in terms else "objective"]


def _with_objective(terms: dict[str, float]) -> dict[str, float]:
    if "objective" not in terms:
        raise ValueError("expected the objective among the terms")
    return terms


_Terms = Annotated[dict[str, pydantic.FiniteFloat], pydantic.AfterValidator(_with_objective)]


class _Record(TypedDict):
    __pydantic_config__ = pydantic.ConfigDict(strict=True)  # type: ignore[misc]

    epoch: int
    step: pydantic.PositiveInt
    learning_rate: pydantic.FiniteFloat
    train: _Terms
    validation: _Terms | None
    seconds: pydantic.NonNegativeFloat
    draws: NotRequired[pydantic.NonNegativeInt]
