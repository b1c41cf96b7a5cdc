"""Training what a description says, in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch

from lowerbound import devices, storage
from lowerbound.data.kinds import column_table
from lowerbound.errors import ConfigurationError, StorageError
from lowerbound.files import HALF
from lowerbound.likelihoods import Heterogeneous
from lowerbound.parts import describe
from lowerbound.recipes import prepare
from lowerbound.runs.description import RUN_FILE, Reading, RunDescription
from lowerbound.training import (
    CHECKPOINT_FILE,
    LOCK_FILE,
    Callback,
    ProgressBar,
    Record,
    Training,
    fit,
    read_history,
)
from lowerbound.training.history import out_of_patience
from lowerbound.training.processes import joined, local_rank
from lowerbound.vae import VAE

MOST_CLASSES = 20
"""So many are told by their names."""


def train(
    description: RunDescription,
    folder: Path,
    *,
    resume: bool = False,
    callbacks: list[Callback] | None = None,
    device: str | None = None,
    announce: Callable[[str], None] = lambda line: None,
    reading: Reading = nullcontext,
) -> list[Record]:
    """Train what is described in ``folder``; return its records.

    ``announce`` is given lines for people, and ``reading`` is entered while data are read, as in
    `Run`.

    Raises:
        StorageError: the folder is occupied, or there is no model to begin from.
        ConfigurationError: more epochs for a run that patience ended, or another model to begin
            from than the one that is described.
    """
    with joined(devices.choose(device, local_rank())) as processes:
        if processes.is_first and not resume:
            refuse_occupied(folder)
        with reading() as progress:
            splits = description.source.load(description.seed, progress)
        torch.manual_seed(description.seed)
        experiment = prepare(description.recipe, splits.train, description.settings)
        if processes.is_first:
            announce(splits.summary())
            if (named := splits.train.classes) and len(named) <= MOST_CLASSES:
                announce(f"classes: {', '.join(named)}")
            if splits.train.columns is not None:
                for line in column_table(splits.train, _families(experiment.model)):
                    announce(f"  {line}")
            announce(f"{description.recipe}: {_summary(experiment.model)}")
        watching = [ProgressBar()] if callbacks is None else callbacks
        resume = resume and (folder / CHECKPOINT_FILE).exists()
        if description.begun_from is not None and not resume:
            begin_from(Path(description.begun_from), experiment.model)
        begin = _Begin(description.completed(splits), experiment.training, folder, resume, announce)
        return fit(
            experiment.model,
            splits.train,
            splits.validation,
            experiment.objective,
            experiment.training,
            out=folder,
            resume=resume,
            callbacks=[begin, *watching],
            device=device,
        )


def _families(model: VAE) -> list[str]:
    """The likelihood of each column of a table."""
    likelihood = model.likelihood
    if not isinstance(likelihood, Heterogeneous):
        return [type(likelihood).__name__] * model.shape[0]
    return [type(family).__name__ for _, family in sorted(likelihood.family_of().items())]


def begin_from(folder: Path, model: VAE) -> None:
    """Give ``model`` the weights of the one in ``folder``.

    Raises:
        ConfigurationError: that is another model.
    """
    trained = storage.load(folder)
    if describe(trained) != describe(model):
        raise ConfigurationError(
            f"expected a run of the same model to begin from, got {folder}, which was trained with "
            "other parts or on other data; give both the same recipe, settings and --data"
        )
    model.load_state_dict(trained.state_dict())


@dataclass
class _Begin(Callback):
    """Writes ``run.json`` once training may begin in its folder."""

    description: RunDescription
    training: Training
    folder: Path
    resume: bool
    announce: Callable[[str], None]

    def start(self, model: VAE, epochs: int, steps: int, step: int) -> None:
        if not self.resume:
            self.description.write(self.folder)
            return
        before, settings = RunDescription.read(self.folder), self.description.settings
        records, patience = read_history(self.folder), self.training.patience
        ended = out_of_patience(records, patience)
        if before.settings != settings:
            if ended:
                raise ConfigurationError(
                    f"expected a run that may go on, got {self.folder}, which patience={patience} "
                    f"ended after epoch {len(records)}; train anew with a higher patience"
                )
            before.model_copy(update={"settings": settings}).write(self.folder)
        if ended:
            self.announce(
                f"the run is finished already: patience={patience} ended it after epoch "
                f"{len(records)}"
            )
        elif step >= epochs * steps:
            more = f"; for more epochs add --set epochs={2 * epochs}"
            self.announce(
                "the run is finished already: nothing is left to train"
                + (more if self.training.schedule == "constant" else "")
            )


def _summary(model: VAE) -> str:
    return (
        f"{type(model.transform).__name__} transform, {type(model.likelihood).__name__} "
        f"likelihood, {model.latent_dim} latent dimensions, "
        f"{sum(p.numel() for p in model.parameters()):,} parameters"
    )


def refuse_occupied(folder: Path) -> None:
    """Raises StorageError: ``folder`` holds something, or cannot be made.

    What a start left that was killed before its first checkpoint may be there.
    """
    begun = (folder / RUN_FILE).exists()
    if begun and any((folder / name).exists() for name in (CHECKPOINT_FILE, storage.MODEL_FILE)):
        raise StorageError(
            f"expected a new folder, got {folder}, which holds a run; choose another, or go on "
            f"with it: lowerbound train --resume --out {folder}"
        )
    left = {LOCK_FILE, RUN_FILE, *(["tensorboard"] if begun else [])}
    if folder.exists() and (
        not folder.is_dir()
        or any(path.name not in left and path.suffix != HALF for path in folder.iterdir())
    ):
        raise StorageError(f"expected a new or empty folder, got {folder}; choose another")
    above = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        reason = "may not be written to" if above.is_dir() else "is a file"
        raise StorageError(
            f"expected a folder that can be made, got {folder}, but {above} {reason}; "
            "choose another"
        )
