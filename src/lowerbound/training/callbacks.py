"""What can watch a run.  A callback overrides the hooks it needs."""

from __future__ import annotations

import math
import time
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from lowerbound.extras import needs
from lowerbound.vae import VAE

Record = dict[str, Any]
FEW, SECONDS = 20, 2.0
"""So many epochs have a line each; of more, one has after so many seconds of training."""


class Callback:
    """Hooks of `fit`, called in the first process only."""

    def start(self, model: VAE, epochs: int, steps: int, step: int) -> None:
        """Training of ``model`` begins at ``step`` of ``epochs`` × ``steps``."""

    def note(self, text: str) -> None:
        """``text`` says in a line what else takes time, or cannot be."""

    def step(self, model: VAE, step: int, loss: float) -> None:
        """A ``step`` of ``model`` is done; ``loss`` is the batch mean of −objective, nats."""

    def epoch(self, model: VAE, record: Record) -> None:
        """An epoch of ``model`` is validated; ``record`` is its line of ``metrics.jsonl``."""

    def end(self) -> None:
        """Training ends, for whatever reason."""


def format_record(record: Record) -> str:
    """One line for people.

    >>> format_record({"epoch": 2, "train": {"bound": -110.5, "reconstruction": 85.5, "kl": 25.0}})
    'epoch 2: −bound 110.50 = reconstruction 85.50 + KL 25.00'
    >>> format_record({"epoch": 2, "train": {"objective": -85.5, "reconstruction": 85.5}})
    'epoch 2: reconstruction (−log p(x|z)) 85.50'
    """
    line = f"epoch {record['epoch']}: {_terms(record['train'])}"
    if record.get("validation"):
        terms = record["validation"]
        line += (
            f"; validation {-terms['bound'] if 'bound' in terms else terms['reconstruction']:.2f}"
        )
    if "draws" in record:
        line += f"; {record['draws']} weight draws" if record["draws"] else "; burn-in"
    return line


def _terms(terms: dict[str, float]) -> str:
    if "bound" not in terms:
        return f"reconstruction (−log p(x|z)) {terms['reconstruction']:.2f}"
    text = f"−bound {-terms['bound']:.2f}"
    if "kl" in terms and abs(terms["bound"] + terms["reconstruction"] + terms["kl"]) < 1e-3:
        text += f" = reconstruction {terms['reconstruction']:.2f} + KL {terms['kl']:.2f}"
    return text


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        return Text(f"{task.speed:.0f} steps/s" if task.speed else "")


class ProgressBar(Callback):
    """A bar over all steps, and lines of epochs; the lines alone where nobody looks on.

    Of more than 20 epochs one has a line every two seconds, as have the first and the last.
    """

    def __init__(self) -> None:
        self.console = Console(stderr=True, highlight=False)
        self.refreshed = 0.0

    def start(self, model: VAE, epochs: int, steps: int, step: int) -> None:
        self.apart, self.told = SECONDS * (epochs > FEW), -math.inf
        self.untold: Record | None = None
        self.bar = _InNotebook() if self.console.is_jupyter else _InTerminal(self.console)
        self.bar.begin(epochs * steps, step)

    def step(self, model: VAE, step: int, loss: float) -> None:
        now = time.monotonic()
        if now - self.refreshed > 0.2:
            self.refreshed = now
            self.bar.move(step, f"loss {loss:8.2f}")

    def note(self, text: str) -> None:
        self.console.print(text, soft_wrap=True)

    def epoch(self, model: VAE, record: Record) -> None:
        self.bar.move(record["step"])
        self.untold = record
        if record["seconds"] - self.told >= self.apart:
            self._tell(record)

    def end(self) -> None:
        if self.untold is not None:
            self._tell(self.untold)
        self.bar.stop()

    def _tell(self, record: Record) -> None:
        self.told, self.untold = record["seconds"], None
        # Not wrapped, so that each epoch is a line of a file, too.
        self.console.print(format_record(record), soft_wrap=True)


class _InTerminal(Progress):
    def __init__(self, console: Console) -> None:
        super().__init__(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            _Speed(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
            auto_refresh=False,
        )

    def begin(self, total: int, done: int) -> None:
        self.start()
        self.add_task("training", total=total, completed=done)

    def move(self, done: int, text: str | None = None) -> None:
        self.update(self.task_ids[0], completed=done, description=text, refresh=True)


class _InNotebook:
    """IPython's own, which needs no widgets."""

    def begin(self, total: int, done: int) -> None:
        from IPython.display import ProgressBar

        self.bar = ProgressBar(total)
        self.bar.display()

    def move(self, done: int, text: str | None = None) -> None:
        self.bar.progress = done

    def stop(self) -> None:
        pass


class TensorBoard(Callback):
    """Each epoch's terms as TensorBoard scalars in ``folder``; needs the extra of that name."""

    def __init__(self, folder: str | Path) -> None:
        needs("tensorboard", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self.folder, self.open = str(folder), SummaryWriter

    def start(self, model: VAE, epochs: int, steps: int, step: int) -> None:
        self.writer = self.open(self.folder)

    def epoch(self, model: VAE, record: Record) -> None:
        for split in ("train", "validation"):
            for term, value in (record.get(split) or {}).items():
                self.writer.add_scalar(f"{term}/{split}", value, record["epoch"])
        self.writer.add_scalar("learning_rate", record["learning_rate"], record["epoch"])
        self.writer.flush()

    def end(self) -> None:
        self.writer.close()
