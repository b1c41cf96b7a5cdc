"""Adam, each step one pass over the weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from lowerbound.errors import ConfigurationError

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
SCALES = 10.0


class Moments(NamedTuple):
    """What Adam keeps of a parameter, and whether that is the logarithm of a scale."""

    m: Tensor
    v: Tensor
    is_scale: bool


def written_out(
    parameter: Tensor, gradient: Tensor, m: Tensor, v: Tensor, numbers: Tensor, moves: Tensor
) -> None:
    """`Adam`'s step in place, operation by operation, for a compiler to join.

    ``numbers`` are those of `at_step`; nothing changes unless ``moves``.
    """
    rate, root, kept = numbers.unbind()
    gradient = torch.where(moves, gradient, 0.0)
    m.lerp_(gradient, torch.where(moves, 1 - BETA_1, 0.0))
    v.mul_(torch.where(moves, BETA_2, 1.0)).addcmul_(gradient, gradient, value=1 - BETA_2)
    step = rate * m / (v.sqrt() * root + EPSILON)
    parameter.mul_(torch.where(moves, kept, 1.0)).sub_(torch.where(moves, step, 0.0))


def at_step(t: float, learning_rate: float, weight_decay: float) -> list[float]:
    """α/(1 − β₁ᵗ), 1/√(1 − β₂ᵗ) and 1 − αλ."""
    return [
        learning_rate / (1 - BETA_1**t),
        (1 - BETA_2**t) ** -0.5,
        1 - learning_rate * weight_decay,
    ]


class Adam:
    """m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  θ ← θ − α m̂ / (√v̂ + ε).

    m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ) at step t.  With ``weight_decay`` λ also θ ← θ − αλθ
    (AdamW).

    Steps are of about α, however far θ has to go.  ``scales`` are those of ``parameters`` that are
    logarithms of scales, which may have far to go: their α is tenfold, and they do not decay.

    On torch's fused kernel, but without `torch.optim`, which takes more than a second to load what
    only compilers need, and more time in each step than the kernel does.

    Sources: Kingma & Ba 2014, arXiv 1412.6980; Loshchilov & Hutter 2017, arXiv 1711.05101.
    """

    def __init__(
        self,
        parameters: Iterable[nn.Parameter],
        weight_decay: float = 0.0,
        scales: Iterable[nn.Parameter] = (),
    ) -> None:
        self.parameters = [p for p in parameters if p.requires_grad]
        for p in self.parameters:
            # The kernel walks over memory, and would count the gaps of a strided view.
            if (
                sum((n - 1) * step for n, step in zip(p.shape, p.stride(), strict=True))
                >= p.numel()
            ):
                raise ConfigurationError(
                    f"expected parameters without gaps in memory, got one of shape "
                    f"{tuple(p.shape)} with strides {p.stride()}; make it contiguous"
                )
        self.weight_decay = weight_decay
        self.scales = {id(p) for p in scales}
        self.m = [torch.zeros_like(p) for p in self.parameters]
        self.v = [torch.zeros_like(p) for p in self.parameters]
        self.t = torch.zeros(())

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """One update of all parameters that have a gradient."""
        self.t += 1
        rows = zip(self.parameters, self.m, self.v, strict=True)
        moved = [(p, p.grad, m, v) for p, m, v in rows if p.grad is not None]
        scales = [row for row in moved if id(row[0]) in self.scales]
        others = [row for row in moved if id(row[0]) not in self.scales]
        self._update(others, learning_rate, self.weight_decay)
        self._update(scales, SCALES * learning_rate, 0.0)

    def _update(
        self, rows: list[tuple[Any, ...]], learning_rate: float, weight_decay: float
    ) -> None:
        if not rows:
            return
        parameters, gradients, m, v = map(list, zip(*rows, strict=True))
        t = torch.full((), self.t.item(), device=parameters[0].device)
        torch._fused_adamw_(
            parameters,
            gradients,
            m,
            v,
            [],
            [t for _ in rows],
            lr=learning_rate,
            beta1=BETA_1,
            beta2=BETA_2,
            weight_decay=weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def moments(self, parameter: nn.Parameter) -> Moments:
        """What belongs to ``parameter``."""
        i = next(i for i, p in enumerate(self.parameters) if p is parameter)
        return Moments(self.m[i], self.v[i], id(parameter) in self.scales)

    def state(self) -> dict[str, Tensor]:
        """All moments, and the count of steps, by name."""
        groups = {"m": self.m, "v": self.v}
        named = {f"{k}/{i}": x for k, members in groups.items() for i, x in enumerate(members)}
        return {"t": self.t, **named}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
