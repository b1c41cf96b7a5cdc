"""log p(x|z) of many codes: on the threads that find a processor, and compiled where that pays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor, nn
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
    """

    def __init__(self, model: VAE, elements: float = 0.0) -> None:
        self.sharing, self.function = Sharing(), _LogLikelihood(model)
        named = (*self.function.named_parameters(), *self.function.named_buffers())
        self.fixed = {name: tensor.detach() for name, tensor in named}
        self.compiles = elements >= COMPILED_FROM
        self.graphs: dict[int, Graph] = {}
        self.calls: Counter[int] = Counter()
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
        """Whether codes come as the first ones did; the rest of a batch may be smaller."""
        if not self.compiles or torch.is_grad_enabled() or x.dtype == torch.float64:
            return False
        if self.shape is None:
            self.shape = x.shape, z.shape
        return self.shape == (x.shape, z.shape)

    def _compiled(
        self, changing: tuple[Tensor, Tensor | None, Tensor], eager: Callable[[Tensor], Tensor]
    ) -> Tensor:
        threads = torch.get_num_threads()
        if threads not in self.graphs:
            function = self.function

            def log_likelihood(
                fixed: dict[str, Tensor], changing: tuple[Tensor, Tensor | None, Tensor]
            ) -> Tensor:
                return functional_call(function, fixed, changing)

            self.graphs[threads] = Graph(log_likelihood, threads)
        try:
            found = self.graphs[threads](self.fixed, changing, same=self.calls[threads] > 0)
        except CannotCompile:
            self.compiles = False
            return eager(changing[-1])
        self.calls[threads] += 1
        if self.calls[threads] > COMPARED:
            return found
        expected = eager(changing[-1])
        self.compiles = torch.allclose(found, expected, equal_nan=True, **CLOSE)
        return found if self.compiles else expected


class _LogLikelihood(nn.Module):
    """log p(x|z), (k, batch), as a module, whose tensors compilers are given."""

    def __init__(self, model: VAE) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, context: Tensor | None, z: Tensor) -> Tensor:
        return self.model.given(x, context).log_likelihood(z)
