"""Coders: distributions over whole numbers that put symbols on a stack and take them off.

What the networks return is rounded to grids so coarse that the last bits of a float cannot matter,
and so fine that the loss does not show: an error e costs at most e²/8 nats for each binary pixel in
a logit, or e²/2 for each grey one in log p; the mean of e² is 1/12 of the grid's step, squared.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.distributions import Bernoulli, Distribution

from lowerbound.compression.exact_arithmetic import exp_on_grid
from lowerbound.distributions import GreyDistribution
from lowerbound.extras import needs

constriction = needs("constriction", "compress")
Stack = constriction.stream.stack.AnsCoder
families = constriction.stream.model
LOGIT, LOGIT_STEPS = (-16, 16), 64
LOG_LEVEL, LEVEL_STEPS = (-17, 0), 32


class Model(NamedTuple):
    """One of constriction's families of distributions, and n rows of its parameters."""

    family: Any
    parameters: tuple[np.ndarray, ...]


@dataclass(frozen=True)
class Coder:
    """Distributions of n independent whole numbers, each of a model around a centre of its own.

    Attributes:
        centres: (n,), int32.
        parts: which of the n places have which model; places without one hold their centre, which
            takes no bits.
    """

    centres: np.ndarray
    parts: Sequence[tuple[slice | np.ndarray, Model]] = ()

    @classmethod
    def joining(cls, *models: Model) -> Coder:
        """The models one after another, around 0."""
        ends = list(accumulate((len(model.parameters[0]) for model in models), initial=0))
        places = map(slice, ends, ends[1:])
        return cls(np.zeros(ends[-1], np.int32), list(zip(places, models, strict=True)))

    def push(self, stack: Any, symbols: np.ndarray) -> int:
        """Put symbols, (n,) and int32, on the stack; returns the words it then holds."""
        for places, model in reversed(self.parts):
            offsets = symbols[places] - self.centres[places]
            stack.encode_reverse(offsets, model.family, *model.parameters)
        return stack.num_words()

    def pop(self, stack: Any) -> np.ndarray:
        """Take symbols off again, (n,) and int32; from bits of any other kind, draw them."""
        symbols = self.centres.copy()
        for places, model in self.parts:
            symbols[places] += stack.decode(model.family, *model.parameters)
        return symbols


def pixels(elements: Distribution) -> Model:
    """p(x|z), pixel by pixel."""
    if isinstance(elements, Bernoulli):
        odds = exp_on_grid(elements.logits, *LOGIT, LOGIT_STEPS).ravel()
        return Model(families.Bernoulli(perfect=False), (odds / (1 + odds),))
    assert isinstance(elements, GreyDistribution)
    return _categorical(elements.level_log_probs())


def choices(log_p: Tensor) -> Coder:
    """One of K for each row of log p, (n, K), in nats and up to a constant for each row."""
    if log_p.shape[-1] == 1:
        return Coder(np.zeros(len(log_p), np.int32))
    return Coder.joining(_categorical(log_p - log_p.amax(-1, keepdim=True)))


def _categorical(log_p: Tensor) -> Model:
    p = exp_on_grid(log_p, *LOG_LEVEL, LEVEL_STEPS)
    return Model(families.Categorical(perfect=False), (p.reshape(-1, p.shape[-1]),))
