"""The bench on which a system is trained, measured and pictured."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lowerbound import plots, storage
from lowerbound.data import Dataset, Splits, load
from lowerbound.evaluation import Estimate, Evaluation, evaluate
from lowerbound.objectives import ELBO, Objective
from lowerbound.parts import build, describe
from lowerbound.reproduce.result import Better, Result, Row, Setting, Shown, parts
from lowerbound.training import CHECKPOINT_FILE, Record, Training, fit, read_history
from lowerbound.vae import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

QUICK_TRAIN, QUICK_TEST, QUICK_EPOCHS = 1000, 300, 1


class Bench:
    """Data, training with a cache of models, and a place for rows, pictures and notes.

    Args:
        folder: where this system's pictures go.
        models: where trained models are kept, for all systems.
        result: what the system's figures are added to.
        quick: a smoke run: the first 1,000 training and 300 test examples, one epoch.
        seed: of first weights, order and noise.
    """

    def __init__(
        self, folder: Path, models: Path, result: Result, quick: bool = False, seed: int = 0
    ) -> None:
        self.folder, self.models, self.result = folder, models, result
        self.quick, self.seed = quick, seed

    def data(self, name: str) -> Splits:
        """A known data set: all of its training and test examples, none held out."""
        splits = _load(name)
        if self.quick:
            train, test = splits.train.take(QUICK_TRAIN), splits.test.take(QUICK_TEST)
            return Splits(train, None, test)
        return splits

    def few(self, full: int, quick: int) -> int:
        """A number that is smaller in a smoke run."""
        return quick if self.quick else full

    def train(
        self,
        name: str,
        make: Callable[[], VAE],
        train: Dataset,
        objective: Objective = ELBO(),
        training: Training = Training(),
        test: Dataset | None = None,
    ) -> tuple[VAE, list[Record]]:
        """The trained model called ``name``, on the CPU, and its history.

        A model that is there already, trained in the same way on the same data, is loaded; a
        stopped one is resumed; one trained in another way is replaced.  ``test`` only adds curves:
        nothing is selected by it.
        """
        epochs = self.few(training.epochs, QUICK_EPOCHS)
        training = replace(training, epochs=epochs, seed=self.seed)
        torch.manual_seed(self.seed)
        model = make()
        folder = self.models / name
        if self._finished(folder, model, train, objective, training):
            model, history = storage.load(folder), read_history(folder)
        else:
            resume = (folder / CHECKPOINT_FILE).exists() and not is_model(folder)
            if not resume:
                shutil.rmtree(folder, ignore_errors=True)
            history = fit(model, train, test, objective, training, out=folder, resume=resume)
        self.result.training_seconds += history[-1]["seconds"]
        return model.cpu(), history

    @staticmethod
    def _finished(
        folder: Path, model: VAE, train: Dataset, objective: Objective, training: Training
    ) -> bool:
        """Whether ``folder`` holds this model, trained like this to its end."""
        if not is_model(folder):
            return False
        information = storage.read_information(folder)
        return (
            describe(build(information["model"])) == describe(model)
            and build(information["objective"]) == objective
            and build(information["training"]) == training
            and information["data"]["sha256"] == train.fingerprint
        )

    def evaluate(self, model: VAE, data: Dataset, samples: int = 10) -> Evaluation:
        """`lowerbound.evaluate` with the bench's seed."""
        return evaluate(model, data, samples=samples, seed=self.seed)

    def row(
        self,
        quantity: str,
        measured: Estimate | float,
        unit: str,
        *,
        document: float | None = None,
        goal: float | None = None,
        stretch: float | None = None,
        better: Better = "lower",
        setting: Setting = "ours",
    ) -> None:
        """Add a figure: see `Row`."""
        value, error = parts(measured)
        self.result.rows.append(
            Row(quantity, unit, value, error, document, goal, stretch, better, setting)
        )

    def picture(self, name: str, heading: str, caption: str, figure: Figure) -> None:
        """Add a picture, saved as ``name``.png."""
        plots.save(figure, self.folder / f"{name}.png")
        self.result.pictures.append(Shown(f"{name}.png", heading, caption))

    def note(self, text: str) -> None:
        """Add a sentence or two on what the figures mean."""
        self.result.notes.append(text)


def is_model(folder: Path) -> bool:
    """Whether a finished model is there."""
    return (folder / storage.MODEL_FILE).exists()


@cache
def _load(name: str) -> Splits:
    """A data set, read once for all systems."""
    return load(name)
