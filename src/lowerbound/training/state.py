"""What changes during a run: weights, optimiser, averages, history; and its checkpoint."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lowerbound import storage
from lowerbound.devices import multiplies_bfloat16
from lowerbound.errors import ConfigurationError
from lowerbound.likelihoods.base import Likelihood
from lowerbound.training import checkpoint, history
from lowerbound.training.adam import Adam
from lowerbound.training.averaging import WeightAverage
from lowerbound.training.callbacks import Record
from lowerbound.training.sampling import Sampling
from lowerbound.training.settings import Training


class State:
    """``step`` counts updates; ``sums`` are those of the terms in the epoch so far.

    ``precision`` is that of the networks; ``compiled`` whether steps are compiled, None before that
    is decided.  What ``sampling`` samples is not the optimiser's.
    """

    def __init__(
        self, model: nn.Module, training: Training, sampling: Sampling | None = None
    ) -> None:
        self.model, self.clip_norm, self.sampling = model, training.clip_norm, sampling
        sampled = set() if sampling is None else sampling.parameters
        likelihoods = (module for module in model.modules() if isinstance(module, Likelihood))
        scales = [scale for likelihood in likelihoods for scale in likelihood.scales]
        trained = [p for p in model.parameters() if p not in sampled]
        self.optimizer = Adam(trained, training.weight_decay, scales)
        self.average = None if training.ema is None else WeightAverage(model, training.ema)
        self.step = 0
        self.precision = _precision(training, next(model.parameters()).device)
        self.compiled: bool | None = None
        self.seconds = 0.0
        self.sums: dict[str, Tensor] = {}
        self.history: list[Record] = []
        self.best: dict[str, Tensor] = {}

    def update(self, loss: Tensor, learning_rate: float) -> None:
        """Move the weights down the gradient of ``loss``."""
        self.optimizer.zero_grad()
        loss.backward()
        if self.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.clip_norm)
        self.optimizer.step(learning_rate)
        if self.sampling is not None:
            self.sampling.chain.step(self.step)
        if self.average is not None:
            self.average.update(self.step)

    def averaged(self) -> AbstractContextManager[None]:
        """The model with the weights that are to be judged, inside the ``with``."""
        return nullcontext() if self.average is None else self.average.swapped_in()

    def keep_best(self) -> None:
        """Remember the weights as they are as the best so far."""
        with self.averaged():
            self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def settle(self) -> Record:
        """Give the model the weights to keep; return the record of their epoch."""
        if self.sampling is not None:
            self.sampling.settle(self.model)
        if self.best:
            self.model.load_state_dict(self.best)
            return self.history[history.best_epoch(self.history) - 1]
        if self.average is not None:
            self.average.copy_to_model()
        return self.history[-1]

    def save(self, folder: Path, settings: dict[str, Any], sums: dict[str, float]) -> None:
        """Write the checkpoint, and the history as JSON lines."""
        state = {
            "step": self.step,
            "compiled": bool(self.compiled),
            "precision": self.precision,
            "seconds": self.seconds,
            "sums": sums,
            "history": self.history,
            "settings": settings,
        }
        checkpoint.write(folder, self._groups() | {"best": self.best}, state)
        history.write_history(folder, self.history)

    def restore(
        self, folder: Path, settings: dict[str, Any], device: torch.device, *, first: bool
    ) -> None:
        """Take up what `save` wrote; the ``first`` process has the sums and writes the history.

        Raises:
            ConfigurationError: it was written under other ``settings``.
            StorageError: it is damaged.
        """
        tensors, state = checkpoint.read(folder)
        for name, value in settings.items():
            before = state["settings"].get(name)
            if before != value:
                raise ConfigurationError(
                    f"expected the {name} that {folder} was started with, "
                    f"{_difference(before, value)}; resume with the same, or start in a new folder"
                )
        path = folder / checkpoint.CHECKPOINT_FILE
        self.best = {name: tensor.to(device) for name, tensor in tensors.get("best", {}).items()}
        groups = self._groups() | {"best": self.model.state_dict() if self.best else {}}
        if self.sampling is not None:
            groups["draws"] = self.sampling.expected(len(state["history"]))
        for group, members in groups.items():
            found = tensors.get(group, {})
            storage.refuse_other_shapes(members, found, f"{path}: damaged in its part {group}")
        self.model.load_state_dict(tensors["model"])
        self.optimizer.restore(tensors["optimizer"])
        if self.average is not None:
            self.average.restore(tensors["average"])
        if self.sampling is not None:
            self.sampling.chain.restore(tensors["chain"])
            self.sampling.restore(tensors.get("draws", {}))
        self.step, self.seconds = state["step"], state["seconds"]
        self.compiled, self.precision = state["compiled"], state["precision"]
        self.history = history.checked(path, state["history"])
        self.sums = {
            name: torch.tensor(value if first else 0.0, dtype=torch.float64, device=device)
            for name, value in state["sums"].items()
        }
        if first:
            history.write_history(folder, self.history)

    def _groups(self) -> dict[str, dict[str, Tensor]]:
        sampling = self.sampling
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state(),
            "average": {} if self.average is None else self.average.state(),
            "chain": {} if sampling is None else sampling.chain.state(),
            "draws": {} if sampling is None else sampling.state(),
        }


def _precision(training: Training, device: torch.device) -> Literal["float32", "bfloat16"]:
    if training.precision != "auto":
        return training.precision
    return "bfloat16" if multiplies_bfloat16(device) else "float32"


def _difference(before: Any, now: Any) -> str:
    """The first place where two descriptions differ.

    >>> _difference({"seed": 0, "ema": None}, {"seed": 1, "ema": None})
    'seed: 0, got 1'
    """
    if isinstance(before, dict) and isinstance(now, dict):
        for name in before | now:
            if before.get(name) != now.get(name):
                inner = _difference(before.get(name), now.get(name))
                return f"{name}: {inner}"
    return f"{before!r}, got {now!r}"
