"""The one training loop."""

from __future__ import annotations

import gc
import math
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from lowerbound import devices, storage, streams
from lowerbound.data import Batch, Data, Splits, as_dataset
from lowerbound.environment import keep_freed_memory
from lowerbound.errors import ConfigurationError, DataError, Interrupted, StorageError
from lowerbound.files import to_json
from lowerbound.likelihoods.support import expect_digits, warn_of_scale
from lowerbound.objectives import ELBO, Objective
from lowerbound.parts import describe
from lowerbound.streams import Stream
from lowerbound.training import batches, checkpoint, history
from lowerbound.training.callbacks import Callback, ProgressBar, Record
from lowerbound.training.claim import Claim, claimed
from lowerbound.training.finite import expect_finite
from lowerbound.training.pace import Pace
from lowerbound.training.processes import Processes, joined, local_rank
from lowerbound.training.sampling import Sampling
from lowerbound.training.settings import Training
from lowerbound.training.signals import Stopped, StopRequest, stop_requests
from lowerbound.training.state import State
from lowerbound.training.step import EagerStep, Step, TermsOf, add, mixed
from lowerbound.vae import VAE

VALIDATION_BATCH = 1000
VALIDATION_BATCHES = 4
SECONDS_BETWEEN_CHECKPOINTS = 300


def fit(
    model: VAE,
    train: Any,
    validation: Any = None,
    objective: Objective = ELBO(),
    training: Training = Training(),
    *,
    out: str | Path | None = None,
    resume: bool = False,
    callbacks: Sequence[Callback] | None = None,
    device: str | torch.device | None = None,
) -> list[Record]:
    """Maximise ``objective`` over the model's parameters; return one record per epoch.

    A record holds ``epoch``, ``step``, ``learning_rate``, ``seconds``, and the means per example of
    the objective's terms, in nats, over ``train`` (as they were during the epoch) and, where given,
    ``validation`` (at its end).

    Under torchrun, every process takes its share of each batch.

    Args:
        model: is trained in place.
        train: data as kept: a data set in memory or on disk, a tensor (n, *shape), an array or a
            data frame (see `lowerbound.data.as_dataset`).  `Splits` bring their own validation
            data.
        validation: likewise, to measure each epoch by; None measures the training data alone.
        objective: what is maximised.
        training: epochs, batch size, learning rate and the rest.
        out: a folder that gets a checkpoint after each epoch, ``metrics.jsonl``, and in the end
            the model (see `lowerbound.load`).
        resume: go on from the checkpoint in ``out``, to weights that are bit-identical to those
            of a run that was never stopped.
        callbacks: told of each step and epoch; a progress bar if None.
        device: where it runs; a GPU, where there is one, if None.

    Raises:
        ConfigurationError, DataError: data that the model does not take, or no validation data for
            ``patience``.
        NonFiniteLoss: a term became NaN or infinite; the last good checkpoint stays.
        Interrupted: Ctrl-C or SIGTERM; the step was finished, and saved if there is ``out``.
        StorageError: ``out`` holds a run and ``resume`` is not set, or there is none to resume, or
            another process trains into it, or it is deleted meanwhile or cannot be written to.
    """
    if isinstance(train, Splits) and validation is None:
        validation = train.validation
    callbacks = [ProgressBar()] if callbacks is None else list(callbacks)
    where = devices.choose(device, local_rank())
    with joined(where) as processes, stop_requests() as stop:
        run = _Run(
            model.to(where),
            as_dataset(train).to(where),
            None if validation is None else as_dataset(validation).to(where),
            objective,
            training,
            None if out is None else Path(out),
            callbacks if processes.is_first else [],
            processes,
            where,
        )
        keep_freed_memory()
        with torch.random.fork_rng([where] if where.type == "cuda" else []):
            try:
                return run.go(stop, resume=resume)
            finally:
                run.leave()


class _Run:
    """One run of `fit`: its fixed choices, and its state."""

    def __init__(
        self,
        model: VAE,
        train: Data,
        validation: Data | None,
        objective: Objective,
        training: Training,
        out: Path | None,
        callbacks: Sequence[Callback],
        processes: Processes,
        device: torch.device,
    ) -> None:
        train = model.expect(train)
        expect_digits(model.transform, train, next(model.parameters()).dtype)
        warn_of_scale(model.likelihood, model.transform, train)
        validation = None if validation is None else model.expect(validation)
        if training.patience is not None and validation is None:
            raise ConfigurationError(
                "expected validation data, which patience needs to find the best epoch, got none"
            )
        self.model, self.train, self.validation = model, train, validation
        self.objective, self.training, self.out = objective, training, out
        self.callbacks, self.processes, self.device = callbacks, processes, device
        self.steps = batches.steps_per_epoch(len(train), training.batch_size)
        self.terms = TermsOf(model, objective)
        self.parallel: nn.Module = self.terms
        if processes.world > 1:
            self.parallel = DistributedDataParallel(
                self.terms, [device] if device.type == "cuda" else None
            )
        sampling = Sampling.of(model, training, train, self.steps)
        self.state = State(model, training, sampling)
        self.eager = EagerStep(self.parallel, self.state, self._share)
        self.take: Step = self.eager
        self.saved_at, self.threads = time.monotonic(), torch.get_num_threads()

    # The loop.

    def go(self, stop: StopRequest, *, resume: bool) -> list[Record]:
        with self._claimed(resume=resume) as self.claim:
            self._begin(resume=resume)
            self.course = history.Course(math.prod(self.train.shape), self.state.history)
            for callback in self.callbacks:
                callback.start(self.model, self.training.epochs, self.steps, self.state.step)
            self.take = self._pace(stop)
            try:
                while not self._finished():
                    self._epoch(stop)
            except Stopped:
                self._save()
                raise Interrupted(self._stopped_where()) from None
            finally:
                for callback in self.callbacks:
                    callback.end()
            self._end()
        return self.state.history

    def leave(self) -> None:
        """Give back what `Pace` took, and the processes' group, whose threads must end first."""
        torch.set_num_threads(self.threads)
        if isinstance(self.take, Pace):
            self.take.close()
        if self.processes.world > 1:
            self.parallel = self.eager.terms = self.terms
            gc.collect()

    def _epoch(self, stop: StopRequest) -> None:
        state, training, processes = self.state, self.training, self.processes
        epoch, first = divmod(state.step, self.steps)
        order = streams.key(training.seed, Stream.ORDER, epoch)
        started = time.perf_counter() - state.seconds
        self.model.train()
        for batch in self._batches(order, first):
            loss = self._step(batches.share(batch, processes.rank, processes.world))
            state.seconds = time.perf_counter() - started
            for callback in self.callbacks:
                callback.step(self.model, state.step, loss)
            if state.step % self.steps == 0:
                torch.set_num_threads(self.threads)
                self._close_epoch(epoch + 1)
            if not self._finished():
                self._save_or_stop(stop)

    def _batches(self, order: int, first: int) -> Iterator[Batch]:
        """Those of an epoch; where they cannot be read to the end, the work so far is saved."""
        try:
            yield from self.train.batches(self.training.batch_size, seed=order, start=first)
        except DataError as error:
            if self.state.step == 0 or self.processes.world > 1:  # others may be at another step
                raise
            self._save()
            raise DataError(f"{error}; {self._stopped_where()}") from None

    def _step(self, batch: Batch) -> float:
        """One update from this process's share of a batch; returns the mean loss, in nats."""
        state, training, rank = self.state, self.training, self.processes.rank
        now = state.step / self.steps
        streams.seed_noise(self.device, training.seed, Stream.NOISE, state.step, rank)
        with batches.of_two_or_more(len(self.train), training.batch_size):
            value = self.take(batch, now, training.learning_rate_at(now), state.sums)
        if not math.isfinite(value):
            found = {"the loss": torch.tensor(value), **state.sums}
            self._expect_finite(found, self._place(state.step))
        state.step += 1
        return value

    def _pace(self, stop: StopRequest) -> Step:
        if self.processes.world > 1:
            return self.eager
        return Pace(
            self.eager,
            self.terms,
            self.state,
            self.training,
            self.callbacks,
            steps=self.training.epochs * self.steps,
            rows=min(self.training.batch_size, len(self.train)),
            at_once=stop.at_once,
        )

    def _share(self) -> float:
        """By what a sum over this process's examples is multiplied, for the mean over all.

        DDP averages gradients over processes; the mean is over the examples of all of them.
        """
        start = (self.state.step % self.steps) * self.training.batch_size
        joint = min(self.training.batch_size, len(self.train) - start)
        return self.processes.world / joint

    def _close_epoch(self, epoch: int) -> None:
        state = self.state
        record: Record = {
            "epoch": epoch,
            "step": state.step,
            "learning_rate": self.training.learning_rate_at((state.step - 1) / self.steps),
            "train": self._means(state.sums, len(self.train)),
            "validation": self._validate(epoch),
            "seconds": round(state.seconds, 3),
        }
        if state.sampling is not None:
            record["draws"] = state.sampling.close_epoch(epoch)
        self._expect_finite(state.sums, self._place(state.step - 1))
        state.sums = {}
        state.history.append(record)
        if self.training.patience is not None and history.best_epoch(state.history) == epoch:
            state.keep_best()
        self._save()
        for callback in self.callbacks:
            callback.epoch(self.model, record)
        self._note(self.course.told(record, self.training))

    def _validate(self, epoch: int) -> dict[str, float] | None:
        data = self.validation
        if data is None:
            return None
        rank, world = self.processes.rank, self.processes.world
        sums: dict[str, Tensor] = {}
        self.model.eval()
        # Without gradients more fits into memory than in a step of training.
        size = min(VALIDATION_BATCH, VALIDATION_BATCHES * self.training.batch_size)
        with torch.no_grad(), self.state.averaged(), mixed(self.state, self.device):
            for i, batch in enumerate(data.batches(size)):
                noise = Stream.VALIDATION
                streams.seed_noise(self.device, self.training.seed, noise, epoch, i, rank)
                add(sums, self.terms(*batches.share(batch, rank, world), math.inf))
                self._expect_finite(sums, f"in validation after epoch {epoch}")
        return self._means(sums, len(data))

    def _finished(self) -> bool:
        if self.state.step >= self.training.epochs * self.steps:
            return True
        return history.out_of_patience(self.state.history, self.training.patience)

    # Beginning, saving, ending.

    def _claimed(self, *, resume: bool) -> AbstractContextManager[Claim | None]:
        """The folder for this run alone, once all that can be refused without it was."""
        if self.out is None:
            if resume:
                raise ConfigurationError("expected out, the folder to resume from, got none")
            return nullcontext()
        if self.out.exists() and not self.out.is_dir():
            raise StorageError(f"expected a folder, got {self.out}, which is a file")
        if resume and not self.out.exists():
            raise StorageError(f"expected a folder to resume from, got no {self.out}")
        to_json(self._settings())  # refuses what could not be saved, before any work
        return claimed(self.out) if self.processes.is_first else nullcontext()

    def _begin(self, *, resume: bool) -> None:
        if self.out is None:
            return
        if resume:
            first = self.processes.is_first
            self.state.restore(self.out, self._settings(), self.device, first=first)
            if self.training.epochs * self.steps < self.state.step:
                raise ConfigurationError(
                    f"expected at least {-(-self.state.step // self.steps)} epochs, which "
                    f"{self.out} has begun, got {self.training.epochs}"
                )
        elif (self.out / checkpoint.CHECKPOINT_FILE).exists():
            raise StorageError(
                f"expected a new folder, got {self.out}, which holds a run; "
                "resume it, or choose another"
            )
        self.processes.wait()

    def _settings(self) -> dict[str, Any]:
        """What must be the same for a resumed run to be the same run."""
        training = describe(self.training)
        if self.training.schedule == "constant":
            del training["epochs"]  # which may grow; a cosine's length is part of it
        return {
            "model": describe(self.model),
            "objective": describe(self.objective),
            "training": training,
            "data": [data and data.fingerprint for data in (self.train, self.validation)],
            "processes": self.processes.world,
        }

    def _save_or_stop(self, stop: StopRequest) -> None:
        """Save when it is time, and stop when any process was asked to; all agree on the step."""
        overdue = time.monotonic() - self.saved_at > SECONDS_BETWEEN_CHECKPOINTS
        if self.processes.world > 1:
            wishes = torch.tensor([float(stop.signal), float(overdue)], device=self.device)
            stop_wish, save_wish = self.processes.sum(wishes).tolist()
        else:
            stop_wish, save_wish = stop.signal, overdue
        if save_wish or stop_wish:
            self._save()
        if stop_wish:
            raise Interrupted(self._stopped_where())

    def _save(self) -> None:
        self.saved_at = time.monotonic()
        self._expect_finite(self.model.state_dict(), self._place(self.state.step - 1))
        if self.out is None:
            return
        sums = {name: self.processes.sum(v.clone()).item() for name, v in self.state.sums.items()}
        if self.claim is not None:
            self.claim.expect()
            self.state.save(self.out, self._settings(), sums)

    def _stopped_where(self) -> str:
        epoch, step = divmod(self.state.step, self.steps)
        place = f"step {step} of {self.steps} of epoch {epoch + 1}" if step else f"epoch {epoch}"
        if self.out is None:
            return f"stopped after {place}; the model keeps its weights, nothing was written"
        return f"stopped after {place}, and saved in {self.out}; resume=True goes on from there"

    def _end(self) -> None:
        kept = self.state.settle()
        self.model.eval()
        self._note(history.kept_early(self.state.history, self.training.patience))
        told = {}
        if self.state.sampling is not None and self.processes.is_first:
            data = self.validation or self.train
            told = self.state.sampling.told(self.model, data, self.callbacks)
        if self.out is not None and self.claim is not None:
            self.claim.expect()
            storage.save(
                self.model,
                self.out,
                objective=describe(self.objective),
                training=describe(self.training),
                data={"name": self.train.name, "sha256": self.train.fingerprint},
                metrics=kept,
                **told,
            )
            self.claim.expect()
        self.processes.wait()

    def _note(self, line: str | None) -> None:
        for callback in self.callbacks:
            if line:
                callback.note(line)

    def _means(self, sums: dict[str, Tensor], n: int) -> dict[str, float]:
        return {name: self.processes.sum(value).item() / n for name, value in sums.items()}

    def _place(self, step: int) -> str:
        """Where in the run the step after ``step`` others is."""
        epoch, within = divmod(step, self.steps)
        return f"at step {within + 1} of epoch {epoch + 1} (step {step + 1} in all)"

    def _expect_finite(self, tensors: dict[str, Tensor], place: str) -> None:
        kept = self.out is not None and (self.out / checkpoint.CHECKPOINT_FILE).exists()
        expect_finite(tensors, place, self.training, self.out if kept else None)
