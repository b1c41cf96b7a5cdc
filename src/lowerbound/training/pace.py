"""How the steps of a run are taken: compiled or not, and with how many threads."""

from __future__ import annotations

import gc
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from time import perf_counter

import torch
from torch import Tensor

from lowerbound.compiler.graph import CannotCompile
from lowerbound.data import Batch
from lowerbound.processors import threads
from lowerbound.training.callbacks import Callback, ProgressBar
from lowerbound.training.compiled import FROM_STEPS, CompiledStep
from lowerbound.training.settings import Training
from lowerbound.training.state import State
from lowerbound.training.step import EagerStep, TermsOf, trial
from lowerbound.training.threads import Threads


class Pace:
    """Takes a run's batches fast, in ways that leave its weights alone.

    Compiled and not, a step's results differ in their last digits.  So which it is, is decided
    before the first step, and kept in ``state``: a run that is resumed goes on as it was begun.
    The number of threads may change where results do not depend on it.

    Args:
        eager: takes what is not compiled.
        terms: of the model that is trained.
        state: of the run.
        training: its settings.
        callbacks: told, in a line, of what takes time or cannot be.
        steps: planned in all.
        rows: of a full batch; the last one of an epoch, if it is smaller, is not compiled.
        at_once: within, Ctrl-C does not wait for the end of a step.
    """

    def __init__(
        self,
        eager: EagerStep,
        terms: TermsOf,
        state: State,
        training: Training,
        callbacks: Sequence[Callback],
        *,
        steps: int,
        rows: int,
        at_once: Callable[[], AbstractContextManager[None]],
    ) -> None:
        self.eager, self.terms, self.state, self.training = eager, terms, state, training
        self.callbacks, self.rows, self.at_once = callbacks, rows, at_once
        self.resumed = state.compiled is not None
        if state.compiled is None:
            here = next(terms.parameters()).device.type == "cpu"
            pays = here and steps >= FROM_STEPS and training.sampler is None
            state.compiled = pays if training.compile == "auto" else training.compile
        self.compiled: CompiledStep | None = None
        self.threads: Threads | None = None
        self.frozen = False

    def __call__(
        self, batch: Batch, time: float, learning_rate: float, sums: dict[str, Tensor]
    ) -> float:
        """See `Step`."""
        if len(batch.x) != self.rows:
            return self._rest(batch, time, learning_rate, sums)
        if self.threads is None:
            self.threads = self._begin(batch)
        if torch.get_num_threads() != self.threads.now:
            torch.set_num_threads(self.threads.now)
        started = perf_counter()
        try:
            loss = (self.compiled or self.eager)(batch, time, learning_rate, sums)
        except CannotCompile as error:
            self._do_without(error)
            self.threads = self._begin(batch)
            return self.eager(batch, time, learning_rate, sums)
        self.threads.took(perf_counter() - started)
        return loss

    def _rest(
        self, batch: Batch, time: float, learning_rate: float, sums: dict[str, Tensor]
    ) -> float:
        """The last batch of an epoch, with the threads that torch had."""
        with nullcontext() if self.threads is None else threads(self.threads.most):
            return self.eager(batch, time, learning_rate, sums)

    def _begin(self, batch: Batch) -> Threads:
        if self.state.compiled:
            self._compile(batch)
            # What the compiler leaves behind is not looked through again at each collection.
            if self.compiled is not None and gc.get_freeze_count() == 0:
                gc.collect()
                gc.freeze()
                self.frozen = True
        compiled = self.compiled

        def results() -> list[Tensor]:
            if compiled is not None:
                loss, gradients, buffers = compiled.trial(batch)
                return [torch.tensor(loss), *gradients, *buffers]
            eager = trial(self.terms, self.state, batch)
            return [*eager.gradients.values(), *eager.buffers.values()]

        def same(count: int) -> bool:
            """Whether a step with ``count`` threads is that with the present number, to the bit."""
            if batch.x.device.type != "cpu" or self.training.clip_norm is not None:
                return False  # a norm may be summed by threads, and need not show in one step
            if any(m._forward_hooks or m._forward_pre_hooks for m in self.terms.modules()):
                return False  # which would see the trials
            if compiled is not None:
                self._note(f"compiling the training step for {count} threads, as others are busy")
            try:
                with self.at_once():
                    ours = results()
                    with threads(count):
                        alike = all(map(torch.equal, ours, results()))
            except CannotCompile:
                alike = False
            if compiled is not None and not alike:
                compiled.forget(count)
            return alike

        return Threads(same, costly=compiled is not None)

    def close(self) -> None:
        """Let go of what was compiled."""
        if self.compiled is not None:
            self.compiled.forget()
        if self.frozen:
            gc.unfreeze()
            self.frozen = False

    def _compile(self, batch: Batch) -> None:
        self._note("compiling the training step: some 20 seconds, or a few if it was done before")
        # Others than these may change the model after any step.
        watched = any(type(c).step not in (Callback.step, ProgressBar.step) for c in self.callbacks)
        parts = self.terms, self.state, self.training, batch
        try:
            with self.at_once():
                self.compiled = CompiledStep(*parts, watched=watched)
        except CannotCompile as error:
            self._do_without(error)

    def _do_without(self, error: CannotCompile) -> None:
        self.close()
        self.compiled, self.state.compiled = None, False
        again = "; the weights will differ in last digits from a run's that was not stopped"
        self._note(f"training goes on without: {error}{again if self.resumed else ''}")

    def _note(self, text: str) -> None:
        for callback in self.callbacks:
            callback.note(text)
