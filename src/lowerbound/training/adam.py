"""Adam, each step one pass over the weights."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from lowerbound.errors import ConfigurationError

BETA_1, BETA_2, EPSILON = 0.9, 0.999, 1e-8
SCALES = 10.0


class Adam:
    """m ← β₁ m + (1 − β₁) g,  v ← β₂ v + (1 − β₂) g²,  θ ← θ − α m̂ / (√v̂ + ε).

    m̂ = m/(1 − β₁ᵗ) and v̂ = v/(1 − β₂ᵗ).  With ``weight_decay`` λ also θ ← θ − αλθ (AdamW).

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
        self.t = [torch.zeros((), device=p.device) for p in self.parameters]

    def zero_grad(self) -> None:
        """Forget the gradients."""
        for parameter in self.parameters:
            parameter.grad = None

    @torch.no_grad()
    def step(self, learning_rate: float) -> None:
        """One update of all parameters that have a gradient."""
        rows = zip(self.parameters, self.m, self.v, self.t, strict=True)
        moved = [(p, p.grad, m, v, t) for p, m, v, t in rows if p.grad is not None]
        scales = [row for row in moved if id(row[0]) in self.scales]
        others = [row for row in moved if id(row[0]) not in self.scales]
        self._update(others, learning_rate, self.weight_decay)
        self._update(scales, SCALES * learning_rate, 0.0)

    @staticmethod
    def _update(rows: list[tuple[Any, ...]], learning_rate: float, weight_decay: float) -> None:
        if not rows:
            return
        parameters, gradients, m, v, t = map(list, zip(*rows, strict=True))
        torch._foreach_add_(t, 1)
        torch._fused_adamw_(
            parameters,
            gradients,
            m,
            v,
            [],
            t,
            lr=learning_rate,
            beta1=BETA_1,
            beta2=BETA_2,
            weight_decay=weight_decay,
            eps=EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def state(self) -> dict[str, Tensor]:
        """All moments and counts by name."""
        groups = {"m": self.m, "v": self.v, "t": self.t}
        return {f"{name}/{i}": x for name, members in groups.items() for i, x in enumerate(members)}

    @torch.no_grad()
    def restore(self, state: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
