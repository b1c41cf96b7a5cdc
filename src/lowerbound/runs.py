"""A run: a folder that holds what was trained on what, its checkpoint, its model and its figures.

run.json                 recipe, settings, data, command, versions
checkpoint.safetensors   the state of training
metrics.jsonl            a record per epoch
model.json, weights-….safetensors
evaluation.json          what `evaluate` measured
report/                  the page and its pictures
"""

from __future__ import annotations

import dataclasses
import datetime
import os
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch

import lowerbound
from lowerbound import devices, storage
from lowerbound.data import Dataset, Splits, Stored
from lowerbound.data import load as load_data
from lowerbound.data import read as read_data
from lowerbound.data.stored import Progress
from lowerbound.errors import ConfigurationError, DataError, LowerboundError, StorageError
from lowerbound.evaluation import Evaluation
from lowerbound.files import write_json
from lowerbound.recipes import prepare
from lowerbound.training import CHECKPOINT_FILE, Callback, Record, fit
from lowerbound.training.processes import joined, local_rank
from lowerbound.vae import VAE

RUN_FILE = "run.json"
EVALUATION_FILE = "evaluation.json"
SplitName = Literal["train", "validation", "test"]


@dataclass(frozen=True)
class Source:
    """Where a run's data come from; the arguments of `lowerbound.data.load`."""

    source: str
    folder: str | None = None
    labels: str | None = None
    validation: float = 0.1
    test: float | None = None
    on_disk: bool = False

    def load(self, seed: int, progress: Progress | None = None) -> Splits | Splits[Stored]:
        """The splits, the same for the same seed; see `lowerbound.data.load`."""
        arguments: dict[str, Any] = {
            "folder": None if self.folder is None else Path(self.folder),
            "labels": self.labels,
            "validation": _count_or_fraction(self.validation) or 0,
            "test": _count_or_fraction(self.test),
            "seed": seed,
        }
        if self.on_disk:
            return load_data(self.source, **arguments, on_disk=True, progress=progress)
        return load_data(self.source, **arguments)


@dataclass(frozen=True)
class Run:
    """What ``run.json`` holds."""

    recipe: str
    settings: dict[str, Any]
    source: Source
    command: str
    fingerprints: dict[str, str | None] = field(default_factory=dict)
    values: dict[str, Any] = field(default_factory=dict)
    classes: list[str] | None = None
    columns: list[str] | None = None
    data_summary: str = ""
    started: str = ""
    versions: dict[str, str] = field(default_factory=dict)

    @property
    def seed(self) -> int:
        """The seed of splits, first weights and training."""
        return int(self.settings.get("seed", 0))


def train(
    run: Run,
    folder: Path,
    *,
    resume: bool = False,
    callbacks: list[Callback] | None = None,
    device: str | None = None,
    announce: Callable[[str], None] = lambda line: None,
    reading: Progress | None = None,
) -> list[Record]:
    """Train ``run`` in ``folder``; return its records.

    ``announce`` is given lines for people, and ``reading`` the examples read and their number,
    where data on disk are checked.

    Raises:
        StorageError: the folder is occupied, or, to resume, holds no run.
    """
    with joined(devices.choose(device, local_rank())) as processes:
        if processes.is_first and not resume:
            refuse_occupied(folder)
        splits = run.source.load(run.seed, reading)
        torch.manual_seed(run.seed)
        experiment = prepare(run.recipe, splits.train, run.settings)
        if processes.is_first:
            announce(splits.summary())
            announce(f"{run.recipe}: {_described(experiment.model)}")
            if resume and (folder / storage.MODEL_FILE).exists():
                announce("the run is finished already: nothing is left to train")
            if not resume:
                _write(folder, run, splits)
        try:
            return fit(
                experiment.model,
                splits.train,
                splits.validation,
                experiment.objective,
                experiment.training,
                out=folder,
                resume=resume and (folder / CHECKPOINT_FILE).exists(),
                callbacks=callbacks,
                device=device,
            )
        except LowerboundError:
            if processes.is_first and not (folder / CHECKPOINT_FILE).exists():
                (folder / RUN_FILE).unlink(missing_ok=True)  # nothing was begun
            raise


def _described(model: VAE) -> str:
    return (
        f"{type(model.transform).__name__} transform, {type(model.likelihood).__name__} "
        f"likelihood, {model.latent_dim} latent dimensions, "
        f"{sum(p.numel() for p in model.parameters()):,} parameters"
    )


def read(folder: Path) -> Run:
    """The run in ``folder``.

    Raises:
        StorageError: there is none, or its description is damaged.
    """
    values = storage.read_json(folder / RUN_FILE, "a run (as made by lowerbound train)")
    try:
        values["source"] = Source(**values["source"])
        return Run(**values)
    except (KeyError, TypeError) as error:
        raise StorageError(f"{folder / RUN_FILE}: damaged ({error})") from None


def load_model(folder: Path, device: str | None = None) -> VAE:
    """The trained model of a run, or any saved model."""
    if not (folder / storage.MODEL_FILE).exists() and (folder / CHECKPOINT_FILE).exists():
        raise StorageError(
            f"expected a finished run, got {folder}, which was stopped before its end; go on with: "
            f"lowerbound train --resume --out {folder}"
        )
    return storage.load(folder, device)


def split_of(run: Run, name: SplitName, reading: Progress | None = None) -> Dataset:
    """The named part of a run's data: see `splits_of`."""
    return splits_of(run, name, reading=reading)[0]


def splits_of(run: Run, *names: SplitName, reading: Progress | None = None) -> list[Dataset]:
    """The named parts of a run's data, checked to be what they were when the run was trained.

    ``reading`` is given the examples read and their number, where data on disk are checked.

    Raises:
        DataError: the data have changed, or the run has no such part.
    """
    if "train" in names and run.source.on_disk:
        raise DataError(
            f"expected data in memory, got the training data of {run.source.source}, which are on "
            "disk; choose the validation or test split"
        )
    splits = run.source.load(run.seed, reading)
    return [_unchanged(run, name, getattr(splits, name)) for name in names]


def _unchanged(run: Run, name: SplitName, data: Dataset | None) -> Dataset:
    if data is None:
        raise DataError(f"expected a run with a {name} split, got one trained without")
    expected = run.fingerprints.get(name)
    if data.fingerprint != expected:
        raise DataError(
            f"{run.source.source}: expected the {name} data that the run was made with (SHA-256 "
            f"{expected}), got {data.fingerprint}; the data have changed since, so pass them with "
            "--data to use them all the same"
        )
    return data


def expect_shape(data: Dataset, model: VAE, source: str) -> None:
    """Refuse examples of another shape than the model's.

    Raises:
        DataError: ``data``, read from ``source``, have one.
    """
    if data.shape != tuple(model.shape):
        what = "the size" if len(model.shape) == 3 else "the columns"
        raise DataError(
            f"{source}: expected examples of shape {tuple(model.shape)}, as the model was trained "
            f"on, got {data.summary()}; bring them to {what} of its data"
        )


def other_data(run: Run, source: str, labels: str | None, conditional: bool) -> Dataset:
    """All the examples of ``source``, in the units and with the classes of the run's data.

    Raises:
        DataError: their values are of another kind, or, for a conditional model, their classes are
            not the run's.
    """
    data = read_data(source, labels=labels)
    kind, scale = run.values["kind"], run.values["scale"]
    fitting = {
        "binary": data.kind == "binary" and data.scale == scale,
        "grey": data.kind in ("grey", "binary") and data.scale == scale,
        "unit": data.kind in ("unit", "binary") and data.scale == 1,
        "counts": data.kind in ("counts", "grey", "binary"),
    }
    if not fitting.get(kind, True):
        wanted = "counts" if kind == "counts" else f"{kind} values up to {scale:g}"
        raise DataError(
            f"{source}: expected {wanted}, as the run was trained on, got {data.summary()}; "
            "bring them to that range"
        )
    if not conditional or data.labels is None or run.classes is None or data.classes is None:
        return data
    unknown = sorted(set(data.classes) - set(run.classes))
    if unknown:
        raise DataError(
            f"{source}: expected the run's classes {', '.join(run.classes)}, got {unknown[0]!r}"
        )
    places = torch.tensor([run.classes.index(name) for name in data.classes])
    return dataclasses.replace(data, labels=places[data.labels], classes=tuple(run.classes))


def keep_evaluation(folder: Path, result: Evaluation, seed: int) -> None:
    """Write what was measured on all of the run's test set to ``evaluation.json``."""
    weights = storage.read_information(folder)["weights"]["sha256"]
    figures = {"data": "test", "seed": seed, "weights": weights, **result.as_dict()}
    write_json(folder / EVALUATION_FILE, figures)


def evaluation_of(folder: Path) -> dict[str, Any] | None:
    """What `evaluate` kept, if it is all that it measures, of the weights that are there now."""
    path = folder / EVALUATION_FILE
    if not path.exists():
        return None
    figures = storage.read_json(path, "an evaluation")
    weights = storage.read_information(folder)["weights"]["sha256"]
    wanted = {field.name for field in dataclasses.fields(Evaluation)}
    return figures if figures.get("weights") == weights and wanted <= figures.keys() else None


def refuse_occupied(folder: Path) -> None:
    """Refuse a folder that holds anything.

    Raises:
        StorageError: it does.
    """
    if (folder / RUN_FILE).exists():
        raise StorageError(
            f"expected a new folder, got {folder}, which holds a run; choose another, or go on "
            f"with it: lowerbound train --resume --out {folder}"
        )
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise StorageError(f"expected a new or empty folder, got {folder}; choose another")
    above = next(parent for parent in folder.absolute().parents if parent.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        reason = "may not be written to" if above.is_dir() else "is a file"
        raise StorageError(
            f"expected a folder that can be made, got {folder}, but {above} {reason}; "
            "choose another"
        )


def _write(folder: Path, run: Run, splits: Splits | Splits[Stored]) -> None:
    parts = {"train": splits.train, "validation": splits.validation, "test": splits.test}
    description = asdict(run) | {
        "fingerprints": {name: part and part.fingerprint for name, part in parts.items()},
        "values": {"kind": splits.train.kind, "scale": splits.train.scale},
        "classes": splits.train.classes,
        "columns": splits.train.columns,
        "data_summary": splits.summary(),
        "started": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "versions": {
            "lowerbound": lowerbound.__version__,
            "torch": torch.__version__,
            "python": platform.python_version(),
            "cores": str(os.cpu_count()),
        },
    }
    write_json(folder / RUN_FILE, description)


def _count_or_fraction(value: float | None) -> int | float | None:
    """0.1 is a fraction, 5000.0 a number of examples."""
    if value is None:
        return None
    if value < 0 or (value > 1 and value != int(value)) or value == 1:
        raise ConfigurationError(
            f"expected a fraction below 1 or a whole number of examples to hold out, got {value}"
        )
    return value if value < 1 else int(value)
