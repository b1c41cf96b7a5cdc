"""The bench on which a system is trained, measured and pictured."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Unpack

import torch

from documents.bench.result import Picture, Result, Row, Targets
from lowerbound import plots, storage
from lowerbound.data import Dataset, Splits, load
from lowerbound.evaluation import Estimate, Evaluation, evaluate
from lowerbound.objectives import ELBO, Objective
from lowerbound.parts import build, describe
from lowerbound.training import CHECKPOINT_FILE, Record, Training, fit, read_history
from lowerbound.vae import VAE

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NATS = "nats per image"
QUICK_TRAIN, QUICK_TEST = 1000, 300


class Bench:
    """Data, training with a cache of models, and a place for rows, pictures and notes.

    Args:
        folder: where this system's pictures go.
        models: where trained models are kept, for all systems.
        result: what the system's figures are added to.
        quick: a smoke run: the first 1,000 training and 300 test examples, one epoch, or two draws.
        seed: of first weights, order and noise.
    """

    def __init__(
        self, folder: Path, models: Path, result: Result, *, quick: bool = False, seed: int = 0
    ) -> None:
        self.folder, self.models, self.result = folder, models, result
        self.quick, self.seed = quick, seed

    def data(self, name: str = "mnist", **how: Any) -> Splits:
        """A known data set, read as `load` is told: all of its examples, none for validation."""
        splits = _load(name, **how)
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
        objective: Objective = ELBO(),
        training: Training = Training(),
        data: Dataset | None = None,
        test: Dataset | None = None,
    ) -> VAE:
        """The model called ``name``, trained on ``data`` (MNIST, unless given), on the CPU.

        A model that is there already, trained in the same way on the same data, is loaded; a
        stopped one is resumed; one trained in another way is replaced.  ``test`` only adds curves:
        nothing is selected by it.
        """
        data = self.data().train if data is None else data
        epochs = self.few(training.epochs, 1 if training.sampler is None else 3)
        training = replace(training, epochs=epochs, seed=self.seed)
        torch.manual_seed(self.seed)
        model, folder = make(), self.models / name
        if _finished(folder, model, data, objective, training):
            model = storage.load(folder)
        else:
            resume = (folder / CHECKPOINT_FILE).exists() and not is_model(folder)
            if not resume:
                shutil.rmtree(folder, ignore_errors=True)
            fit(model, data, test, objective, training, out=folder, resume=resume)
        self.result.training_seconds += self.history(name)[-1]["seconds"]
        return model.cpu()

    def history(self, name: str) -> list[Record]:
        """The training of the model called ``name``, epoch by epoch."""
        return read_history(self.models / name)

    def evaluate(self, model: VAE, data: Dataset | None = None, samples: int = 10) -> Evaluation:
        """`lowerbound.evaluate` with the bench's seed, on MNIST's test set unless given another."""
        data = self.data().test if data is None else data
        return evaluate(model, data, samples=samples, seed=self.seed)

    def row(
        self,
        quantity: str,
        measured: Estimate | float | None,
        unit: str = "",
        **targets: Unpack[Targets],
    ) -> float:
        """Add a figure, and return it: see `Row`.  None is one that the model should have had."""
        assert measured is not None, f"{self.result.id}: no {quantity}"
        if isinstance(measured, Estimate):
            value, error = measured.value, measured.standard_error
        else:
            value, error = float(measured), None
        self.result.rows.append(Row(quantity, unit, value, error, **targets))
        return value

    def exact(
        self, quantity: str, measured: float, unit: str = "", **targets: Unpack[Targets]
    ) -> None:
        """Add a figure that depends on no training."""
        targets["setting"] = "exact"
        self.row(quantity, measured, unit, **targets)

    def picture(self, name: str, heading: str, caption: str, figure: Figure) -> None:
        """Add a picture, saved as ``name``.png."""
        plots.save(figure, self.folder / f"{name}.png")
        self.result.pictures.append(Picture(f"{name}.png", heading, caption))

    def reconstructions(
        self,
        models: Mapping[str, VAE],
        name: str = "reconstructions",
        heading: str = "Reconstructions",
        *,
        images: Dataset | None = None,
        caption: str = "The first ten test images.",
        **options: Any,
    ) -> None:
        """Add a picture of ``images`` (MNIST's, unless given) and what each model makes of them."""
        x = self.data().test.take(10).x if images is None else images.x
        rows = {"original": x} | {name: model.reconstruct(x) for name, model in models.items()}
        shown = {name: row.numpy() for name, row in rows.items()}
        figure = plots.reconstructions(shown, value_range=(0, 255), **options)
        self.picture(name, heading, caption, figure)

    def note(self, text: str) -> None:
        """Add a sentence or two on what the figures mean."""
        self.result.notes.append(text)


def cost(evaluation: Evaluation) -> Estimate:
    """−ELBO, the sum of reconstruction and KL."""
    assert evaluation.elbo is not None
    return evaluation.elbo.scaled(-1)


def is_model(folder: Path) -> bool:
    """Whether a finished model is there."""
    return (folder / storage.MODEL_FILE).exists()


def _finished(
    folder: Path, model: VAE, data: Dataset, objective: Objective, training: Training
) -> bool:
    """Whether ``folder`` holds this model, trained like this to its end."""
    if not is_model(folder):
        return False
    information = storage.read_information(folder)
    return (
        describe(build(_undrawn(information["model"]))) == describe(model)
        and build(information["objective"]) == objective
        and build(information["training"]) == training
        and information["data"]["sha256"] == data.fingerprint
    )


def _undrawn(model: dict[str, Any]) -> dict[str, Any]:
    """The model's description as it was before a sampler drew weights of its decoder."""
    likelihood = model["likelihood"]
    drawn = likelihood["part"] == "WeightDraws"
    return model | {"likelihood": likelihood["module"] if drawn else likelihood}


@cache
def _load(name: str, **how: Any) -> Splits:
    """A data set, read once for all systems."""
    return load(name, **how)
