"""A call's kernels on a GPU, recorded once and launched together: a CUDA graph."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor


class Recording:
    """``function(*given)[0]`` on a GPU, which launches many kernels, as one launch.

    The first call records the kernels, with their places in memory; a call copies what is at the
    ``moving`` places of ``given`` to where they read it.  Noise comes from torch's generator, as
    it is seeded when the kernels are played.  What cannot be recorded is called as it is.

    Args:
        function: has been called with tensors of these shapes before, and is compiled.
        given: on one GPU, or None.
        moving: the places of the tensors that are others in each call.
    """

    def __init__(
        self, function: Callable[..., Any], given: Sequence[Any], moving: set[int]
    ) -> None:
        self.function, self.moving = function, moving
        self.device = next(t.device for t in given if isinstance(t, Tensor) and t.is_cuda)
        self.places = self._of(given)
        self.held: list[Any] = []
        self.graph: torch.cuda.CUDAGraph | None = None
        self.result: Tensor | None = None
        self.refused = False

    def fits(self, given: Sequence[Any]) -> bool:
        """Whether what does not move is in the places in memory that were recorded."""
        return self.places == self._of(given)

    def __call__(self, given: Sequence[Any]) -> Tensor:
        """The result, which the next call overwrites."""
        if self.graph is None and not self.refused:
            self._record(given)
        if self.graph is None:
            return self.function(*given)[0]
        for place in self.moving:
            self.held[place].copy_(given[place], non_blocking=True)
        with torch.cuda.device(self.device):
            self.graph.replay()
        assert self.result is not None
        return self.result

    def _record(self, given: Sequence[Any]) -> None:
        held = [one.clone() if i in self.moving else one for i, one in enumerate(given)]
        graph, state = torch.cuda.CUDAGraph(), torch.cuda.get_rng_state(self.device)
        try:
            with (
                torch.cuda.device(self.device),
                torch.cuda.graph(graph, stream=torch.cuda.Stream()),
            ):
                result = self.function(*held)[0]
        except RuntimeError:
            self.refused = True
            torch.cuda.set_rng_state(state, self.device)
        else:
            self.graph, self.held, self.result = graph, held, result

    def _of(self, given: Sequence[Any]) -> list[int]:
        tensors = [one for i, one in enumerate(given) if i not in self.moving]
        return [one.data_ptr() for one in tensors if isinstance(one, Tensor)]
