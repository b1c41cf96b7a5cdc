"""A folder with a trained model, and all that is in it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, cast

import pydantic
import torch
from torch import Tensor

from lowerbound import storage
from lowerbound.context import Labels
from lowerbound.covariates import Covariates
from lowerbound.data import Data, Dataset, Splits, Stored, read
from lowerbound.data.columns import D
from lowerbound.data.formats import is_large, options_of
from lowerbound.data.reading import Options
from lowerbound.data.schema import Field, Schema
from lowerbound.errors import ConfigurationError, DataError, StorageError
from lowerbound.evaluation import Evaluation
from lowerbound.files import SEAL, read_json, write_sealed
from lowerbound.likelihoods import Heterogeneous
from lowerbound.logs import log
from lowerbound.music.windows import MetreName
from lowerbound.objectives import Objective
from lowerbound.parts import build
from lowerbound.runs.description import RUN_FILE, Reading, RunDescription
from lowerbound.training import CHECKPOINT_FILE, METRICS_FILE, Record, read_history
from lowerbound.training.checkpoint import state_of
from lowerbound.vae import VAE

EVALUATION_FILE = "evaluation.json"
SplitName = Literal["train", "validation", "test"]
KEPT = 2**26
"""Bytes of a file of other examples up to which they are kept in memory."""


@dataclass(frozen=True, eq=False)
class Run:
    """A folder with a trained model, each thing in it read when it is first asked for.

    The library saves models without a description: of those, `description` and `data` say that
    there is no run.

    Attributes:
        device: where the model goes; None takes a GPU where there is one.
        reading: what to enter while data are read; it may give a function to be called with the
            examples read and their number, where data on disk are checked.
    """

    folder: Path
    device: str | None = None
    reading: Reading = nullcontext

    @classmethod
    def open(
        cls, folder: str | Path, device: str | None = None, reading: Reading = nullcontext
    ) -> Run:
        """The run in ``folder``; nothing is read yet."""
        return cls(Path(folder), device, reading)

    @property
    def is_described(self) -> bool:
        """Whether ``run.json`` is there."""
        return (self.folder / RUN_FILE).exists()

    @cached_property
    def description(self) -> RunDescription:
        """What was trained on what."""
        return RunDescription.read(self.folder)

    @cached_property
    def information(self) -> dict[str, Any]:
        """The contents of ``model.json``: the model, its objective, its training."""
        return storage.read_information(self.folder)

    @cached_property
    def model(self) -> VAE:
        """The trained model.

        Raises:
            StorageError: there is none, or training was stopped before its end.
        """
        folder = self.folder
        if not (folder / storage.MODEL_FILE).exists() and (folder / CHECKPOINT_FILE).exists():
            raise StorageError(
                f"expected a finished run, got {folder}, which was stopped before its end; go on "
                f"with: lowerbound train --resume --out {folder}"
            )
        self._compare_with_checkpoint()
        model = storage.load(folder, self.device)
        if self.is_described and self.description.classes and isinstance(model.context, Labels):
            model.context = Labels(self.description.classes)  # of which older models know no names
        return model

    def _compare_with_checkpoint(self) -> None:
        """Raises StorageError: a model.json without a seal is not of the model that was trained."""
        saved, information = state_of(self.folder), self.information
        if saved is None:
            return
        if SEAL not in information and saved["settings"].get("model") != information["model"]:
            raise StorageError(
                f"{self.folder / storage.MODEL_FILE}: was changed after it was written, as "
                f"{CHECKPOINT_FILE} describes another model; restore the file"
            )
        kept = information.get("training")
        epochs = kept.get("epochs") if isinstance(kept, dict) else None
        if isinstance(epochs, int) and len(saved["history"]) > epochs:
            log.info(
                "%s: the model is that of %d epochs, and training for more was stopped; finish it "
                "with: lowerbound train --resume --out %s",
                *(self.folder, epochs, self.folder),
            )

    @property
    def title(self) -> str:
        """The recipe and its data, or the folder's name where there is no run."""
        return self.description.title if self.is_described else self.folder.resolve().name

    @property
    def metre(self) -> MetreName:
        """That of its data, where they are melodies."""
        return self.description.source.metre if self.is_described else "4/4"

    @property
    def label(self) -> str | None:
        """The column of its class labels, where they are in one."""
        return self.description.label if self.is_described else None

    @property
    def history(self) -> list[Record]:
        """The records of training, one per epoch; none of a model that `fit` did not keep."""
        if not self.is_described and not (self.folder / METRICS_FILE).exists():
            return []
        return read_history(self.folder)

    @cached_property
    def _splits(self) -> Splits | Splits[Stored]:
        with self.reading() as progress:
            return self.description.source.load(self.description.seed, progress)

    @property
    def objective(self) -> Objective | None:
        """What training maximised; None where ``model.json`` does not say it."""
        objective = build(self.information.get("objective"))
        if objective is None or isinstance(objective, Objective):
            return objective
        raise StorageError(
            f"{self.folder / storage.MODEL_FILE}: expected an objective, got {objective!r:.60}"
        )

    def training_data(self, other: str | None = None) -> Dataset | None:
        """The training data; None where they are not in memory, or have moved beside ``other``."""
        if not self.is_described or self.description.source.on_disk:
            return None
        try:
            return self.data("train")
        except DataError:
            if other is None:
                raise
            return None

    def data(self, split: SplitName) -> Dataset:
        """The split as it was when the run was trained.

        Raises:
            DataError: the data have changed or are on disk, or the run has no such split.
        """
        source = self.description.source
        if split == "train" and source.on_disk:
            raise DataError(
                f"expected data in memory, got the training data of {source.source}, which are on "
                "disk; choose the validation or test split"
            )
        data: Dataset | None = getattr(self._splits, split)
        if data is None:
            raise DataError(f"expected a run with a {split} split, got one trained without")
        expected = self.description.fingerprints.get(split)
        if data.fingerprint != expected:
            raise DataError(
                f"{source.source}: expected the {split} data that the run was made with (SHA-256 "
                f"{expected}), got {data.fingerprint}; the data have changed since, so pass them "
                "with --data to use them all the same"
            )
        return data

    def held_out(self, besides: Data | None = None) -> Dataset:
        """The test split, or the validation split where that is ``besides`` or there is none.

        Raises:
            DataError: there is no other.
        """
        known = self.description.fingerprints if self.is_described else {}
        for split in ("test", "validation"):
            if known.get(split) not in (None, besides and besides.fingerprint):
                return self.data(split)
        raise DataError(
            "expected a run with test or validation data that others can be compared with, got "
            f"none{f' but {besides.name}' if besides else ''}; name held-out examples that belong "
            "with --inliers"
        )

    def other(self, source: str, labels: str | None = None) -> Dataset:
        """All the examples of ``source``, in the units and with the classes of the run's data.

        Columns are taken by name where both have names, else by position; and what the run says of
        how its data are read holds for these too.

        Raises:
            DataError: their values are of another kind, their shape is not the model's, or, for a
                conditional model, their classes are not the run's.
        """
        return cast(Dataset, self._other(source, labels, on_disk=False))

    def _other(self, source: str, labels: str | None, *, on_disk: bool) -> Data:
        how: Options = {}
        if self.is_described:
            own = self.description.source.reading()
            takes = set(options_of(source)) - {"labels"}
            how = cast(Options, {name: value for name, value in own.items() if name in takes})
            if "kinds" in how:
                how["kinds"] = self.description.kinds
        elif isinstance(self.model.context, Covariates) and "given" in options_of(source):
            how["given"] = self.model.context.columns
        columns, how = self.model.columns, how | {"labels": labels}
        data: Data
        if on_disk:
            with self.reading() as progress:
                data = read(source, columns=columns, on_disk=True, progress=progress, **how)
        else:
            data = read(source, columns=columns, **how)
        if columns is not None and data.columns is None:
            log.info("%s: its columns have no names, and are taken in the model's order", source)
        return self.expect(data, source)

    def expect(self, data: D, source: str) -> D:
        """``data``, read from ``source``, with the run's columns and classes, by their names.

        Raises:
            DataError: as in `other`.
        """
        data = self.model.by_name(data)
        self.expect_shape(data, source)
        if self.is_described and self.description.values is not None and data.kind != "tokens":
            self.description.values.refuse_others(data, source)
        if self.is_described and self.description.classes and self.model.takes_labels:
            data = Labels(self.description.classes).expect(data)
        return data

    @property
    def fields(self) -> Schema | None:
        """The columns of its table, as its data wrote them; None where they have no names."""
        columns, likelihood = self.model.columns, self.model.likelihood
        if columns is None:
            return None
        names = likelihood.categories_of() if isinstance(likelihood, Heterogeneous) else {}
        return column_fields(columns, names, self.description.forms if self.is_described else {})

    def expect_shape(self, data: Data, source: str) -> None:
        """Raises DataError: ``data``, read from ``source``, are not of the model's shape."""
        shape = tuple(self.model.shape)
        if data.shape != shape:
            image = len(shape) == 3
            remedy = f"bring them to the {'size' if image else 'columns'} of its data"
            if image != (len(data.shape) == 3):
                remedy = f"name {'images' if image else 'a table or an array of rows'}"
            raise DataError(
                f"{source}: expected {'images' if image else 'examples'} of shape {shape}, as the "
                f"model was trained on, got {data.told()}; {remedy}"
            )

    def examples(
        self, split: SplitName, other: str | None = None, labels: str | None = None
    ) -> Dataset:
        """The run's own split, or all the examples of ``other`` in its place."""
        if other is not None:
            return self.other(other, labels)
        return self._own(split, labels)

    def streamed(
        self, split: SplitName, other: str | None = None, labels: str | None = None
    ) -> Data:
        """The same, but examples of large files of others stay on disk."""
        if other is not None:
            most = math.inf if isinstance(self.model.context, Covariates) else KEPT
            return self._other(other, labels, on_disk=is_large(other, most))
        return self._own(split, labels)

    def _own(self, split: SplitName, labels: str | None) -> Dataset:
        if labels is not None:
            raise ConfigurationError("expected --labels with --data, whose labels they are")
        return self.data(split)

    def labels(self, n: int, name: str | None = None) -> Tensor | None:
        """Labels of n examples to draw: of the class ``name``, else of all classes in turn.

        None for a model that is not conditional.
        """
        context: Any = self.model.context
        if not self.model.takes_labels:
            if name is not None:
                raise ConfigurationError("expected no --label, as this model is not conditional")
            return None
        if name is None:
            return torch.arange(n) % context.classes
        return context.numbers([name] * n)

    @property
    def evaluation(self) -> Evaluation | None:
        """What `keep` wrote, if it is of these weights and has all that is measured today."""
        path = self.folder / EVALUATION_FILE
        if not path.exists():
            return None
        figures = read_json(path, "an evaluation")
        if figures.get("weights") != self.information["weights"]["sha256"]:
            return None
        try:
            return pydantic.TypeAdapter(Evaluation).validate_python(figures)
        except pydantic.ValidationError:
            return None

    def keep(self, evaluation: Evaluation, seed: int) -> None:
        """Write what was measured on the whole test split to ``evaluation.json``."""
        weights = self.information["weights"]["sha256"]
        kept = {"data": "test", "seed": seed, "weights": weights, **evaluation.as_dict()}
        write_sealed(self.folder / EVALUATION_FILE, kept)


def column_fields(
    columns: Sequence[str],
    categories: Mapping[int, tuple[str, ...] | None],
    forms: Mapping[str, str],
) -> Schema:
    """Columns as their data wrote them, by their names, categories and forms."""
    return tuple(
        Field(column, "categories", categories=names)
        if (names := categories.get(j))
        else Field(column, "real", form=forms.get(column, ""))
        for j, column in enumerate(columns)
    )
