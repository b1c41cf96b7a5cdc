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

import numpy as np
import torch
from torch import Tensor

from lowerbound.compiler.graph import CannotCompile, Graph
from lowerbound.data import Batch
from lowerbound.objectives import Objective
from lowerbound.schedules import Schedule
from lowerbound.training.adam import BETA_1, SCALES, at_step, written_out
from lowerbound.training.settings import Training
from lowerbound.training.state import State
from lowerbound.training.step import TermsOf, Trial, mixed, totals, trial, undisturbed

FROM_STEPS = 10_000
"""``compile="auto"`` compiles a run of so many steps or more: about what the compiler's 10 to 20
seconds are worth."""
CLOSE = {"float32": 1e-3, "bfloat16": 1e-2}
"""How near the gradients of one step, compiled and not, must be, as part of their norm.

In bfloat16 both are rounded, differently.  There the compiled one may be farther from the gradient
in float32 than this, by one and a half times as much as the other one is.
"""
CHANGEABLE = (list, dict, set)  # what attributes may be changed in place


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
        objective, self.schedules = _held(terms.objective, batch.x.device)
        self.terms = TermsOf(terms.model, objective)
        eager = trial(terms, state, batch)
        ours = {id(p) for p in state.optimizer.parameters}
        parameters = {n: p for n, p in terms.named_parameters() if id(p) in ours}
        parameters = {n: p for n, p in parameters.items() if n in eager.gradients}
        self.parameters = list(parameters.values())
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
        single = state.precision == "float32"
        self._compare(eager, eager if single else trial(terms, state, batch, rounded=False))

    def __call__(
        self, batch: Batch, time: float, learning_rate: float, sums: dict[str, Tensor]
    ) -> float:
        """See `Step`."""
        same, self.epoch = int(time) == self.epoch and not self.watched, int(time)
        held = self.moved.weights.values()
        if not same and any(
            p.data_ptr() != w.data_ptr() for p, w in zip(self.parameters, held, strict=True)
        ):
            raise CannotCompile("the model has other tensors than when the step was compiled")
        for name, view in self.views.items():
            if sums.get(name) is not view:
                view.copy_(sums[name]) if name in sums else view.zero_()
                sums[name] = view
        loss = self._run(self.moved, batch, time, learning_rate, same=same).item()
        if math.isfinite(loss):
            self.state.optimizer.t += 1
        return loss

    def trial(self, batch: Batch) -> tuple[float, list[Tensor], list[Tensor]]:
        """The loss, gradients and buffers of a step with as many threads as torch has.

        Nothing moves.
        """
        copies = self._copies()
        with _unchanged(self.terms), undisturbed(batch.x.device):
            loss = self._run(copies, batch, math.inf, 0.0, same=False).item()
            buffers = [b.clone() for b in copies.buffers.values()]
        return loss, [m / (1 - BETA_1) for m in copies.m], buffers

    def _copies(self) -> Moved:
        """What `_run` may move in place of what is trained; buffers are to be put back."""
        real = self.moved
        return Moved(
            {name: w.clone() for name, w in real.weights.items()},
            [torch.zeros_like(m) for m in real.m],
            [v.clone() for v in real.v],
            [a.clone() for a in real.averages],
            real.buffers,
            real.sums.clone(),
        )

    def forget(self, threads: int | None = None) -> None:
        """Let go of what was compiled for so many ``threads``, or of all."""
        for count in list(self.graphs) if threads is None else [threads]:
            if count in self.graphs:
                self.graphs.pop(count).close()

    def _run(
        self, moved: Moved, batch: Batch, time: float, learning_rate: float, *, same: bool
    ) -> Tensor:
        threads = torch.get_num_threads()
        if threads not in self.graphs:
            here = batch.x.device.type == "cpu"
            self.graphs[threads] = Graph(self._function(), threads if here else None)
        for held in self.schedules:
            held.value.fill_(held.schedule(time))
        t, average = self.state.optimizer.t.item() + 1, self.state.average
        numbers = [
            *at_step(t, learning_rate, self.training.weight_decay),
            *at_step(t, SCALES * learning_rate, 0.0),
            0.0 if average is None else average.weight(self.state.step),
            time,
        ]
        changing = torch.from_numpy(np.array(numbers)).to(batch.x.device), *batch
        return self.graphs[threads](moved, changing, same=same)

    def _expect_same_recorded(self) -> None:
        """Refuse a recording that does something else at another batch, time and noise."""
        x, labels = self.batch
        other = Batch(x.flip(0), None if labels is None else labels.flip(0))
        copies, found = self._copies(), []
        for batch, time, draws, same in (
            (self.batch, math.inf, 0, False),
            (self.batch, math.inf, 0, True),  # is recorded
            (other, 1.0, 1, True),
            (other, 1.0, 1, False),
        ):
            for m in copies.m:
                m.zero_()
            with _unchanged(self.terms), undisturbed(x.device):
                torch.rand(draws, device=x.device)
                loss = self._run(copies, batch, time, 0.0, same=same)
                found.append(torch.cat([loss.reshape(1), *(m.flatten() for m in copies.m)]))
        played, called = found[2:]
        if not (played - called).norm() <= CLOSE["float32"] * called.norm():
            raise CannotCompile("recorded for the GPU, the step was another")

    def _compare(self, eager: Trial, exact: Trial) -> None:
        """Refuse a compiled step that does not do what an eager one does, but for rounding."""
        if self.batch.x.is_cuda:
            self._expect_same_recorded()
        loss, gradients, buffers = self.trial(self.batch)
        self.trial(self.batch)  # is refused where the step itself has changed the model
        if not (math.isfinite(loss) or math.isfinite(eager.loss)):
            return
        close = CLOSE[self.state.precision]
        rounding = close * abs(exact.loss) + 1.5 * abs(eager.loss - exact.loss)
        if not abs(loss - exact.loss) <= rounding + 1e-4:
            raise CannotCompile(f"compiled, the loss was {loss:.6g} instead of {eager.loss:.6g}")
        largest = max((g.norm().item() for g in exact.gradients.values()), default=0.0)
        names = [*self.moved.weights, *self.moved.buffers]
        theirs, true = (one.gradients | one.buffers for one in (eager, exact))
        for name, found in zip(names, [*gradients, *buffers], strict=True):
            value = true[name].double()
            far, rounding = ((a.double() - value).norm() for a in (found, theirs[name]))
            if not far <= close * (value.norm() + 1e-3 * largest) + 1.5 * rounding:
                raise CannotCompile(f"compiled, what it does to {name} was something else")

    def _function(self) -> Callable[..., Tensor]:
        """The whole step as a function of tensors."""
        from torch.func import functional_call, grad_and_value

        terms, state, training, are_scales = self.terms, self.state, self.training, self.are_scales
        device = self.batch.x.device

        def loss(
            weights: dict[str, Tensor],
            buffers: dict[str, Tensor],
            x: Tensor,
            labels: Tensor | None,
            time: Tensor,
        ) -> tuple[Tensor, tuple[Tensor, dict[str, Tensor]]]:
            changed = {name: b.clone() for name, b in buffers.items()}
            with mixed(state, device):
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

    def __init__(self, schedule: Schedule, device: torch.device) -> None:
        self.schedule, self.value = schedule, torch.zeros((), device=device)

    def __call__(self, t: float) -> float:
        return self.value  # type: ignore[return-value]


def _held(objective: Objective, device: torch.device) -> tuple[Objective, list[_Held]]:
    """A copy whose schedules are held; and these."""
    objective, held = copy.copy(objective), []
    for name, value in vars(objective).items():
        if isinstance(value, Schedule):
            held.append(_Held(value, device))
            object.__setattr__(objective, name, held[-1])
    return objective, held


@contextmanager
def _unchanged(terms: TermsOf) -> Iterator[None]:
    """After the ``with``, the model's buffers and attributes are as they were.

    Raises:
        CannotCompile: attributes were others, which a graph would not change again.
    """
    kept = [
        (
            vars(module),
            {k: copy.copy(v) if isinstance(v, CHANGEABLE) else v for k, v in vars(module).items()},
        )
        for module in terms.modules()
    ]
    buffers = [(buffer, buffer.clone()) for buffer in terms.buffers()]
    try:
        yield
        for now, before in kept:
            for name in now.keys() | before.keys():
                if not _same(now.get(name), before.get(name)):
                    raise CannotCompile(f"each step changes the model's {name}; use a buffer")
    finally:
        for now, before in kept:
            now.clear()
            now.update(before)
        for buffer, value in buffers:
            buffer.copy_(value)


def _same(a: Any, b: Any) -> bool:
    """Whether two attributes are the same, or containers of the same."""
    if isinstance(a, dict) and isinstance(b, dict):
        a, b = [*a, *a.values()], [*b, *b.values()]
    if isinstance(a, list | set) and isinstance(b, list | set):
        return len(a) == len(b) and all(map(_same, a, b))
    return a is b or (isinstance(a, int | float | str) and type(a) is type(b) and a == b)
