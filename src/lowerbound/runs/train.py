"""Training what a description says, in a folder of its own."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path

import torch

from lowerbound import devices, storage
from lowerbound.errors import LowerboundError, StorageError
from lowerbound.files import write_json
from lowerbound.recipes import prepare
from lowerbound.runs.description import RUN_FILE, Reading, RunDescription
from lowerbound.training import CHECKPOINT_FILE, Callback, Record, fit
from lowerbound.training.processes import joined, local_rank
from lowerbound.vae import VAE


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
        StorageError: the folder is occupied.
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
            announce(f"{description.recipe}: {_summary(experiment.model)}")
            if resume and (folder / storage.MODEL_FILE).exists():
                announce("the run is finished already: nothing is left to train")
            if not resume:
                write_json(folder / RUN_FILE, description.completed(splits).model_dump(mode="json"))
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


def _summary(model: VAE) -> str:
    return (
        f"{type(model.transform).__name__} transform, {type(model.likelihood).__name__} "
        f"likelihood, {model.latent_dim} latent dimensions, "
        f"{sum(p.numel() for p in model.parameters()):,} parameters"
    )


def refuse_occupied(folder: Path) -> None:
    """Raises StorageError: ``folder`` holds something, or cannot be made."""
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
