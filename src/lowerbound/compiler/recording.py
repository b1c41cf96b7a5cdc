"""A call's kernels on a GPU, recorded once and launched together: a CUDA graph."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from lowerbound.errors import brief


class CannotRecord(Exception):
    """Why kernels are not recorded, in words."""


class Tape(NamedTuple):
    """Kernels, the tensors that they read, and the one that they write their result to."""

    graph: torch.cuda.CUDAGraph
    held: list[Any]
    result: Tensor


class Recording:
    """``function(*given)[0]`` on a GPU, which launches many kernels, as one launch.

    The kernels are recorded with their places in memory; a call copies what is at the ``moving``
    places of ``given`` to where they read it, and plays them.  Noise comes from torch's generator,
    as it is seeded then.

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
        self.tape: Tape | None = None

    def fits(self, given: Sequence[Any]) -> bool:
        """Whether what does not move is in the places in memory that were recorded."""
        return self.places == self._of(given)

    def __call__(self, given: Sequence[Any]) -> Tensor:
        """The result, which the next call overwrites.

        Raises:
            CannotRecord: the function waits for the GPU, or does something else that a recording
                cannot hold.
        """
        with torch.cuda.device(self.device):
            tape = self.tape = self.tape or self._recorded(given)
            for place in self.moving:
                tape.held[place].copy_(given[place], non_blocking=True)
            tape.graph.replay()
        return tape.result

    def _recorded(self, given: Sequence[Any]) -> Tape:
        held = [one.clone() if i in self.moving else one for i, one in enumerate(given)]
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, stream=_stream(self.device)):
                result = self.function(*held)[0]
        except RuntimeError as error:
            torch.cuda.set_stream(before)  # what failed may have left another, and its generator
            noise = torch.cuda.default_generators[self.device.index]
            noise.graphsafe_set_state(torch.Generator(self.device).graphsafe_get_state())
            raise CannotRecord(brief(error)) from error
        return Tape(graph, held, result)

    def _of(self, given: Sequence[Any]) -> list[int]:
        tensors = [one for i, one in enumerate(given) if i not in self.moving]
        return [one.data_ptr() for one in tensors if isinstance(one, Tensor)]


@functools.cache
def _stream(device: torch.device) -> torch.cuda.Stream:
    """The one on which kernels are recorded: products keep memory for each stream."""
    return torch.cuda.Stream(device)
