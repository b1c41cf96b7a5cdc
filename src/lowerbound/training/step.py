"""A step of training: the terms of a batch, their gradients, and the update."""

from __future__ import annotations

import copy
import math
import random
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from lowerbound import streams
from lowerbound.compiler.graph import CannotCompile
from lowerbound.data import Batch
from lowerbound.errors import brief
from lowerbound.objectives import Objective, Terms
from lowerbound.streams import Stream
from lowerbound.training.state import State
from lowerbound.vae import VAE

Step = Callable[[Batch, float, float, dict[str, Tensor]], float]
"""From a batch, the time in epochs, the learning rate and the sums of each term, to which those of
the batch are added in float64, to the loss.  The weights have moved, unless it is not finite."""


class TermsOf(nn.Module):
    """Data to terms, as a module, which is what DistributedDataParallel and compilers take."""

    def __init__(self, model: VAE, objective: Objective) -> None:
        super().__init__()
        self.model, self.objective = model, objective

    def forward(self, x: Tensor, labels: Tensor | None, time: float | Tensor) -> Terms:
        x, context = self.model.prepare(x, labels)
        return self.objective(self.model, x, context, time)  # type: ignore[arg-type]


def mixed(state: State, device: torch.device) -> AbstractContextManager[None]:
    """Within, networks run in the precision of the run."""
    if state.precision == "float32":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def totals(terms: Terms) -> Tensor:
    """The sum of each term over the batch, in float64, in the order of `Terms.named`."""
    each = torch.stack([term.detach() for term in terms.named().values()])
    return each.sum(1, dtype=torch.float64)


class EagerStep:
    """One operation after the other, as Python comes to them.

    ``share`` tells by what the sum of the objective over this process's share of a batch is
    multiplied.
    """

    def __init__(self, terms: nn.Module, state: State, share: Callable[[], float]) -> None:
        self.terms, self.state, self.share = terms, state, share

    def __call__(
        self, batch: Batch, time: float, learning_rate: float, sums: dict[str, Tensor]
    ) -> float:
        with mixed(self.state, batch.x.device):
            terms = self.terms(*batch, time)
        loss = -terms.objective.sum() * self.share()
        add(sums, terms)
        value = loss.item()
        if math.isfinite(value):
            self.state.update(loss, learning_rate)
        return value


class Trial(NamedTuple):
    """What a step would do.

    Attributes:
        loss: the batch mean of −objective.
        terms: names of the objective's terms.
        gradients: of the parameters that have one.
        buffers: those that the step changes, as they are after it.
    """

    loss: float
    terms: list[str]
    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]


def trial(terms: TermsOf, state: State, batch: Batch, *, rounded: bool = True) -> Trial:
    """What a step at the end of training would do, with noise that is always the same.

    It runs in the precision of the run where it is ``rounded``, in float32 otherwise.
    The model, and all random numbers, stay as they are.

    Raises:
        CannotCompile: the model cannot be copied, to try it, or puts new buffers in place of old.
    """
    try:
        twin = copy.deepcopy(terms)
    except Exception as error:
        raise CannotCompile(f"the model cannot be copied ({brief(error)})") from error
    before = {name: (buffer, buffer.clone()) for name, buffer in twin.named_buffers()}
    with undisturbed(batch.x.device):
        with mixed(state, batch.x.device) if rounded else nullcontext():
            found = twin(*batch, math.inf)
        loss = -found.objective.mean()
        loss.backward()
    if state.clip_norm is not None:
        nn.utils.clip_grad_norm_(twin.parameters(), state.clip_norm)
    after = dict(twin.named_buffers())
    if any(after.get(name) is not buffer for name, (buffer, _) in before.items()):
        raise CannotCompile("it puts new buffers in place of old; change them in place")
    return Trial(
        loss.item(),
        list(found.named()),
        {name: p.grad for name, p in twin.named_parameters() if p.grad is not None},
        {n: b for n, b in after.items() if not torch.equal(b, before[n][1])},
    )


@contextmanager
def undisturbed(device: torch.device) -> Iterator[None]:
    """Within, noise is always the same; after, all random numbers go on as if nothing was drawn."""
    python, numpy = random.getstate(), np.random.get_state()
    try:
        with streams.seeded(device, 0, Stream.TRIAL):
            yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def add(sums: dict[str, Tensor], terms: Terms) -> None:
    """Add the sum of each term over the batch, in place."""
    for name, total in zip(terms.named(), totals(terms).unbind(), strict=True):
        if name in sums:
            sums[name] += total
        else:
            sums[name] = total
