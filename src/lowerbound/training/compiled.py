"""A step as one compiled graph: terms, gradients, Adam and averages in a single call.

torch's compiler joins the operations between matrix products into few passes over memory, and what
is left of Python is one call.  Noise is drawn as in `EagerStep`, from the same generators.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lowerbound import streams
from lowerbound.data import Batch
from lowerbound.objectives import Objective
from lowerbound.schedules import Schedule
from lowerbound.streams import Stream
from lowerbound.training.adam import BETA_1, SCALES, at_step, written_out
from lowerbound.training.graph import CannotCompile, Graph
from lowerbound.training.settings import Training
from lowerbound.training.state import State
from lowerbound.training.step import TermsOf, Trial, mixed, totals, trial

FROM_STEPS = 10_000
"""``compile="auto"`` compiles a run of so many steps or more: about what the compiler's 10 to 20
seconds are worth."""
CLOSE = {"float32": 1e-3, "bfloat16": 0.1}
"""How near the gradients of one step, compiled and not, must be, as part of their norm."""


class Moved(NamedTuple):
    """What a step moves, in place: weights, moments, averages, buffers, and sums of the terms."""

    weights: dict[str, Tensor]
    m: list[Tensor]
    v: list[Tensor]
    averages: list[Tensor]
    buffers: dict[str, Tensor]
    sums: Tensor


class CompiledStep:
    """What `EagerStep` does for batches of the shape of ``batch``, compiled.

    Args:
        terms: of the model that is trained.
        state: of the run; its tensors are moved in place.
        training: its settings.
        batch: the first of those to come.
        watched: whether others may change the model between the steps of an epoch.

    Raises:
        CannotCompile: the step cannot be captured, there is no compiler, or the compiled step has
            another loss or other gradients than `EagerStep`; when it is called, the model is not
            what it was.
    """

    def __init__(
        self, terms: TermsOf, state: State, training: Training, batch: Batch, *, watched: bool
    ) -> None:
        self.state, self.training, self.batch, self.watched = state, training, batch, watched
        self.epoch = -1
        objective, self.schedules = _held(terms.objective)
        self.terms = TermsOf(terms.model, objective)
        eager = trial(terms, training, batch)
        parameters = {n: p for n, p in terms.named_parameters() if n in eager.gradients}
        moments = [state.optimizer.moments(p) for p in parameters.values()]
        self.are_scales = [each.is_scale for each in moments]
        self.moved = Moved(
            {name: p.detach() for name, p in parameters.items()},
            [each.m for each in moments],
            [each.v for each in moments],
            [] if (a := state.average) is None else [a.of(p) for p in parameters.values()],
            {n: b for n, b in terms.named_buffers() if n in eager.buffers},
            torch.zeros(len(eager.terms), dtype=torch.float64, device=batch.x.device),
        )
        self.views = dict(zip(eager.terms, self.moved.sums.unbind(), strict=True))
        self.graphs: dict[int, Graph] = {}
        self._compare(eager)

    def takes(self, batch: Batch) -> bool:
        """Whether ``batch`` is of the shape that was compiled."""
        return batch.x.shape == self.batch.x.shape

    def __call__(
        self, batch: Batch, time: float, learning_rate: float, sums: dict[str, Tensor]
    ) -> float:
        """See `Step`."""
        same, self.epoch = int(time) == self.epoch and not self.watched, int(time)
        for name, view in self.views.items():
            if sums.get(name) is not view:
                view.copy_(sums[name]) if name in sums else view.zero_()
                sums[name] = view
        loss = self._run(self.moved, batch, time, learning_rate, same=same).item()
        if math.isfinite(loss):
            self.state.optimizer.t += 1
        return loss

    def trial(self, batch: Batch) -> tuple[float, list[Tensor]]:
        """The loss and gradients of a step with as many threads as torch has; nothing moves."""
        real = self.moved
        copies = Moved(
            {name: w.clone() for name, w in real.weights.items()},
            [torch.zeros_like(m) for m in real.m],
            [v.clone() for v in real.v],
            [a.clone() for a in real.averages],
            real.buffers,
            real.sums.clone(),
        )
        with _undisturbed(self.terms, batch.x.device):
            loss = self._run(copies, batch, 0.0, 0.0, same=False)
        return loss.item(), [m / (1 - BETA_1) for m in copies.m]

    def _run(
        self, moved: Moved, batch: Batch, time: float, learning_rate: float, *, same: bool
    ) -> Tensor:
        threads = torch.get_num_threads()
        if threads not in self.graphs:
            self.graphs[threads] = Graph(self._function(), self._options(threads))
        for held in self.schedules:
            held.value.fill_(held.schedule(time))
        t, average = self.state.optimizer.t.item() + 1, self.state.average
        numbers = [
            *at_step(t, learning_rate, self.training.weight_decay),
            *at_step(t, SCALES * learning_rate, 0.0),
            0.0 if average is None else average.weight(self.state.step),
            time,
        ]
        changing = torch.tensor(numbers, dtype=torch.float64), *batch
        return self.graphs[threads](moved, changing, same=same)

    def _compare(self, eager: Trial) -> None:
        """Refuse a compiled step that does not do what an eager one does."""
        loss, gradients = self.trial(self.batch)
        self.trial(self.batch)  # is refused where the step itself has changed the model
        close = CLOSE[self.training.precision]
        if abs(loss - eager.loss) > close * abs(eager.loss) + 1e-4:
            raise CannotCompile(f"compiled, the loss was {loss:.6g} instead of {eager.loss:.6g}")
        largest = max((g.norm().item() for g in eager.gradients.values()), default=0.0)
        for (name, expected), found in zip(eager.gradients.items(), gradients, strict=True):
            if (found - expected).norm() > close * (expected.norm() + 1e-3 * largest):
                raise CannotCompile(f"compiled, the gradient of {name} was another one")

    def _options(self, threads: int) -> dict[str, Any]:
        """Noise as without compilation; on a processor, kernels for so many ``threads``."""
        if self.batch.x.device.type != "cpu":
            return {"fallback_random": True}
        return {"fallback_random": True, "cpp.threads": threads}

    def _function(self) -> Callable[..., Tensor]:
        """The whole step as a function of tensors."""
        from torch.func import functional_call, grad_and_value

        terms, training, are_scales = self.terms, self.training, self.are_scales
        device = self.batch.x.device

        def loss(
            weights: dict[str, Tensor],
            buffers: dict[str, Tensor],
            x: Tensor,
            labels: Tensor | None,
            time: Tensor,
        ) -> tuple[Tensor, tuple[Tensor, dict[str, Tensor]]]:
            changed = {name: b.clone() for name, b in buffers.items()}
            with mixed(training, device):
                found = functional_call(terms, {**weights, **changed}, (x, labels, time))
            return -found.objective.mean(), (totals(found), changed)

        def step(moved: Moved, changing: tuple[Tensor, Tensor, Tensor | None]) -> Tensor:
            weights, m, v, averages, buffers, sums = moved
            numbers, x, labels = changing
            others, scales, weight, time = numbers[:3], numbers[3:6], numbers[6], numbers[7]
            found, (value, (more, changed)) = grad_and_value(loss, has_aux=True)(
                weights, buffers, x, labels, time
            )
            moves, own = value.isfinite(), list(found.values())
            if training.clip_norm is not None:
                norm = torch.stack([g.square().sum() for g in own]).sum().sqrt()
                share = (training.clip_norm / (norm + 1e-6)).clamp(max=1.0)
                own = [share * g for g in own]
            for i, parameter in enumerate(weights.values()):
                rates = scales if are_scales[i] else others
                written_out(parameter, own[i], m[i], v[i], rates, moves)
                if averages:
                    averages[i].lerp_(parameter, torch.where(moves, weight, 0.0))
            for name, buffer in buffers.items():
                buffer.copy_(changed[name])
            sums += more
            return value

        return step


class _Held(Schedule):
    """A schedule's value at the present step, as a tensor that a compiled step reads."""

    def __init__(self, schedule: Schedule) -> None:
        self.schedule, self.value = schedule, torch.zeros(())

    def __call__(self, t: float) -> float:
        return self.value  # type: ignore[return-value]


def _held(objective: Objective) -> tuple[Objective, list[_Held]]:
    """A copy whose schedules are held; and these."""
    objective, held = copy.copy(objective), []
    for name, value in vars(objective).items():
        if isinstance(value, Schedule):
            held.append(_Held(value))
            object.__setattr__(objective, name, held[-1])
    return objective, held


@contextmanager
def _undisturbed(terms: TermsOf, device: torch.device) -> Iterator[None]:
    """Within, noise is always the same; after, buffers and attributes are as they were."""
    kept = [(vars(module), dict(vars(module))) for module in terms.modules()]
    buffers = [(buffer, buffer.clone()) for buffer in terms.buffers()]
    try:
        with streams.seeded(device, 0, Stream.TRIAL):
            yield
    finally:
        for now, before in kept:
            now.clear()
            now.update(before)
        for buffer, value in buffers:
            buffer.copy_(value)
