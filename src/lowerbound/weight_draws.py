"""A posterior over weights: a part with M draws θ₁ … θ_M ~ p(θ|D) of its weights."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Size as Shape
from torch import Tensor, nn
from torch.distributions import Distribution
from torch.func import functional_call

from lowerbound.distributions.base import Unvalidated
from lowerbound.errors import ConfigurationError
from lowerbound.parts import Size, part

AT_ONCE = 2**20
"""Numbers that the draws evaluated together may return."""
TOLD = frozenset(
    (
        *("shape", "support", "takes", "takes_missing", "families", "columns", "levels"),
        *("vocabulary", "numbers", "by_name", "latent_dim", "sizes"),
    )
)
"""What a model asks of its likelihood and its posterior, which is the same for all weights."""


class _Within(nn.Module):
    """What is measured of a module, inside a call of a module, so that weights are lent for it."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, measure: Callable[..., Tensor], *beside: Tensor) -> Tensor:
        return measure(self.module, *beside)


@part
class WeightDraws(nn.Module):
    """(1/M) Σₘ p(x|z, θₘ), θₘ ~ p(θ|D): a likelihood, or a posterior, with M draws of its weights.

    In a `VAE` it stands where ``module`` stood.  Its parameters and buffers are those of
    ``module``, stacked, (M, …).

    Args:
        module: a likelihood or a posterior; it is copied, and its weights are taken for all draws.
        draws: M.
    """

    def __init__(self, module: nn.Module, draws: Size) -> None:
        super().__init__()
        self.draws, self.module = draws, copy.deepcopy(module).requires_grad_(requires_grad=False)
        for tensor in {id(tensor): tensor for tensor in self.stacked().values()}.values():
            tensor.data = tensor.data.expand(draws, *tensor.shape).clone()
        self.batched = True

    @classmethod
    def of(cls, module: nn.Module, states: Sequence[dict[str, Tensor]]) -> WeightDraws:
        """``module`` with the ``states``, each as ``module.state_dict()`` has it."""
        drawn = cls(module, len(states))
        drawn.module.load_state_dict(
            {name: torch.stack([state[name] for state in states]) for name in states[0]}
        )
        return drawn.train(module.training)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.module, name) if name in TOLD else super().__getattr__(name)

    def stacked(self) -> dict[str, Tensor]:
        """What has a value for each draw, (M, …), by its name in ``module``."""
        named: dict[str, Tensor] = dict(self.module.named_parameters(remove_duplicate=False))
        named |= dict(self.module.named_buffers(remove_duplicate=False))
        return {name: named[name] for name in self.module.state_dict()}

    def each(
        self,
        measure: Callable[..., Tensor],
        numbers: int | None = None,
        beside: Sequence[Tensor] = (),
    ) -> Iterator[Tensor]:
        """``measure`` of the module with the weights of every draw, (draws, …), chunk by chunk.

        It is given the module, and what each draw has of the tensors ``beside``, (M, …).  The draws
        of a chunk are evaluated together: as many as return 2²⁰ numbers, each of them ``numbers``.
        None evaluates them one by one, as where torch cannot batch what they do.
        """
        within, start = _Within(self.module), 0
        weights = {f"module.{name}": tensor for name, tensor in self.stacked().items()}
        at_once = 1 if numbers is None else max(1, AT_ONCE // max(1, numbers))

        def of_one(weights: dict[str, Tensor], beside: list[Tensor]) -> Tensor:
            # Weights that are shared inside the module are given under each of their names.
            return functional_call(within, weights, (measure, *beside), tie_weights=False)

        while start < self.draws:
            size = at_once if self.batched else 1
            here = slice(start, start + size) if size > 1 else start
            chunk = {name: tensor[here] for name, tensor in weights.items()}
            given = [tensor[here] for tensor in beside]
            if size == 1:
                yield of_one(chunk, given).unsqueeze(0)
            else:
                try:
                    together = torch.vmap(of_one, randomness="same")(chunk, given)
                except RuntimeError:
                    self.batched = False
                    continue
                yield together
            start += size

    def forward(self, given: Tensor, context: Tensor | None = None) -> Averaged:
        """The mixture: of a likelihood given z, (*batch, latent), of a posterior given x."""
        batch = given.shape[:-1] if hasattr(self.module, "shape") else given.shape[:1]
        return Averaged(self, (given, context), batch)


def weight_draws(model: nn.Module) -> int:
    """M of a model with draws of its weights.

    Raises:
        ConfigurationError: it has a single set of weights.
    """
    likelihood = model.likelihood
    if not isinstance(likelihood, WeightDraws):
        raise ConfigurationError(
            "expected a model with draws of its weights, got one of a single set of them; draw "
            "some with lowerbound train … --set sampler=SGHMC (Training(sampler=SGHMC()))"
        )
    return likelihood.draws


class Averaged(Unvalidated):
    """The equal mixture of what a module with M weight draws returns, of batch shape ``batch``.

    It is evaluated when it is asked, a bounded number of draws at a time.
    """

    has_rsample = True

    def __init__(self, drawn: WeightDraws, given: tuple[Tensor, Tensor | None], batch: Any) -> None:
        self.drawn, self.given = drawn, given
        module: Any = drawn.module
        event = module.shape if hasattr(module, "shape") else (module.latent_dim,)
        super().__init__(Shape(batch), Shape(event), validate_args=False)

    def _each(
        self, measure: Callable[[Distribution], Tensor], elements: int | None = None
    ) -> Iterator[Tensor]:
        """``measure`` of each draw's distribution; together, where the ``elements`` are told."""
        per_element = getattr(self.drawn, "numbers", 1)
        numbers = None if elements is None else elements * per_element
        return self.drawn.each(lambda module: measure(module(*self.given)), numbers)

    @property
    def mean(self) -> Tensor:
        """The mean over draws of their means; of categories and tokens, what most draws have."""
        mean, voted = torch.zeros(()), []
        codes = _codes(self.drawn.module)
        for means in self._each(lambda p: p.mean, math.prod(self._extended_shape())):
            mean = mean.to(means) + means.sum(0) / self.drawn.draws
            voted.append(means[..., codes])
        mean[..., codes] = torch.cat(voted).mode(0).values
        return mean

    def log_prob(self, value: Tensor) -> Tensor:
        """log (1/M) Σₘ pₘ(``value``)."""
        elements = max(value.numel(), math.prod(self._extended_shape()))
        each = torch.cat(list(self._each(lambda p: p.log_prob(value), elements)))
        return each.logsumexp(0) - math.log(self.drawn.draws)

    def rsample(self, sample_shape: Any = Shape()) -> Tensor:
        return self._picked(lambda p: p.rsample(sample_shape), sample_shape)

    @torch.no_grad()
    def sample(self, sample_shape: Any = Shape()) -> Tensor:
        return self._picked(lambda p: p.sample(sample_shape), sample_shape)

    def _picked(self, draw: Callable[[Distribution], Tensor], sample_shape: Any) -> Tensor:
        """What ``draw`` has of one weight draw, at random, for each sample of each example."""
        ones = (1,) * len(self.event_shape)
        shape = self._extended_shape(sample_shape)
        batch = shape[: len(shape) - len(ones)]
        which = torch.randint(self.drawn.draws, batch, device=self.given[0].device)
        which, start = which.reshape(1, *batch, *ones).expand(1, *shape), 0
        picked: Tensor | None = None
        for drawn in self._each(draw):
            index = (which - start).clamp(0, len(drawn) - 1)
            here = drawn.gather(0, index)
            picked = here if picked is None else torch.where(which >= start, here, picked)
            start += len(drawn)
        return picked[0]  # type: ignore[index]


def _codes(module: Any) -> list[int] | slice:
    """The last axis's places that hold codes of categories or tokens, which have no mean."""
    if hasattr(module, "families"):
        groups = zip(module.families, module.columns, strict=True)
        return [i for family, group in groups if family.support == "categories" for i in group]
    coded = getattr(module, "support", None) in ("categories", "tokens")
    return slice(None) if coded else []
