"""log p(x|z) of many codes: on the threads that find a processor, and compiled where that pays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.func import functional_call

from lowerbound.compiler import CannotCompile, Graph
from lowerbound.processors import Sharing
from lowerbound.vae import VAE, Conditioned

COMPILED_FROM = 4e9
"""Elements that are decoded in all, from which on the compiler's 10 seconds pay: it saves about 10
nanoseconds of each."""
CLOSE = {"rtol": 1e-5, "atol": 1e-3}  # of log p(x|z) in nats, compiled and not
COMPARED = 2  # calls of each graph: the first, and one as all others


class Decoding:
    """The decoder of one evaluation, on a processor; on other devices it stays as it is.

    Args:
        model: is left as it is until the end.
        elements: that will be decoded, in all.
        codes: for each example, that most calls decode; None for as many as the first does.
        rows: examples of most calls, likewise.
    """

    def __init__(
        self,
        model: VAE,
        elements: float = 0.0,
        codes: int | None = None,
        rows: int | None = None,
    ) -> None:
        self.sharing, self.function = Sharing(), _LogLikelihood(model)
        named = (*self.function.named_parameters(), *self.function.named_buffers())
        self.fixed = {name: tensor.detach() for name, tensor in named}
        self.compiles = elements >= COMPILED_FROM
        self.codes, self.rows = codes, rows
        self.graphs: dict[tuple[int, bool], Graph] = {}
        self.calls: Counter[tuple[int, bool]] = Counter()
        self.shape: tuple[torch.Size, torch.Size] | None = None

    def __enter__(self) -> Decoding:
        self.sharing.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self.sharing.__exit__()
        for graph in self.graphs.values():
            graph.close()

    def of(self, given: Conditioned, context: Tensor | None) -> Conditioned:
        """``given``, whose log-likelihood is worked out so."""
        if given.x.device.type != "cpu":
            return given
        eager = given.log_likelihood

        def log_likelihood(z: Tensor) -> Tensor:
            if self._is_compiled(given.x, z):
                return self._compiled((given.x, context, z), eager)
            return eager(z)

        return replace(given, log_likelihood=lambda z: self.sharing(log_likelihood, z))

    def _is_compiled(self, x: Tensor, z: Tensor) -> bool:
        """Whether codes come as most do; the rest of a batch may be smaller."""
        if not self.compiles or x.dtype == torch.float64:
            return False
        usual = self.codes in (None, len(z)) and self.rows in (None, len(x))
        if self.shape is None and usual:
            self.shape = x.shape, z.shape
        return self.shape == (x.shape, z.shape)

    def _compiled(
        self, changing: tuple[Tensor, Tensor | None, Tensor], eager: Callable[[Tensor], Tensor]
    ) -> Tensor:
        z = changing[-1]
        sloped = torch.is_grad_enabled() and z.requires_grad
        key = torch.get_num_threads(), sloped
        if key not in self.graphs:
            self.graphs[key] = Graph(_of(self.function, sloped=sloped), key[0])
        try:
            found = self.graphs[key](
                self.fixed, (*changing[:2], z.detach()), same=self.calls[key] > 0
            )
        except CannotCompile:
            self.compiles = False
            return eager(z)
        self.calls[key] += 1
        if self.calls[key] <= COMPARED:
            expected = _with_slope(eager, z.detach()) if sloped else eager(z)
            self.compiles = torch.allclose(found, expected, equal_nan=True, **CLOSE)
            found = found if self.compiles else expected
        return _Sloped.apply(z, found) if sloped else found  # type: ignore[no-untyped-call]


class _LogLikelihood(nn.Module):
    """log p(x|z), (k, batch), as a module, whose tensors compilers are given."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, context: Tensor | None, z: Tensor) -> Tensor:
        return self.model.given(x, context).log_likelihood(z)


class _Sloped(torch.autograd.Function):
    """Values (k, batch) whose gradients by z are known: with them, (k, batch, 1 + latent)."""

    @staticmethod
    def forward(ctx: Any, z: Tensor, found: Tensor) -> Tensor:
        ctx.save_for_backward(found[..., 1:])
        return found[..., 0]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor, None]:
        return slope.unsqueeze(-1) * ctx.saved_tensors[0], None


def _of(function: _LogLikelihood, *, sloped: bool) -> Callable[..., Tensor]:
    """log p(x|z) as graphs are made of it, with its gradient by z where that is asked for."""

    def log_likelihood(
        fixed: dict[str, Tensor], changing: tuple[Tensor, Tensor | None, Tensor]
    ) -> Tensor:
        x, context, z = changing

        def of(z: Tensor) -> Tensor:
            return functional_call(function, fixed, (x, context, z))

        return _with_slope(of, z) if sloped else of(z)

    return log_likelihood


def _with_slope(log_likelihood: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """log p(x|z), and its gradient by z after it, (k, batch, 1 + latent)."""

    def total(z: Tensor) -> tuple[Tensor, Tensor]:
        values = log_likelihood(z)
        return values.sum(), values

    slope, values = torch.func.grad(total, has_aux=True)(z)
    return torch.cat((values.unsqueeze(-1), slope), -1)
