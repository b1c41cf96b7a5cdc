"""A function of tensors as one compiled graph, which is called at little cost."""

from __future__ import annotations

import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lowerbound.compiler.recording import CannotRecord, Recording
from lowerbound.compiler.rewriting import converted, simplified
from lowerbound.errors import brief


class CannotCompile(Exception):
    """Why a function is not compiled, or its graph no longer fits, in words."""


class Graph:
    """``function(fixed, changing)``, of nests of tensors to one tensor, compiled once.

    A call looks first whether all that the graph was captured from is as it was, such as the
    layers of a network, which may take longer than a small network itself.  A call with ``same``
    does not look: it hands the graph the tensors of the call before, and the new ``changing``.
    On a GPU such calls are recorded once and played from then on.

    Args:
        function: is captured whole when it is first called.
        threads: how many the compiled code has, on a processor; None on another device.
    """

    def __init__(self, function: Callable[..., Tensor], threads: int | None) -> None:
        self.inner: Callable[..., Any] | None = None
        self.given: list[Any] = []
        self.fixed: Any = None
        self.results: Any = None
        self.places: list[list[int]] | None = None
        self.recording: Recording | None = None

        def backend(graph: Any, examples: list[Any]) -> Callable[..., Any]:
            from torch._dynamo import lookup_backend

            options: dict[str, Any] = {"fallback_random": True} | IN_ORDER
            floats: list[int] = []
            if threads is not None:
                options |= {"cpp.threads": threads, "post_grad_custom_post_pass": simplified()}
                floats = converted(graph, examples)
            compiled = lookup_backend("inductor")(
                graph,
                examples,
                config_patches=options,  # type: ignore[call-arg]
            )

            def inner(*given: Any) -> Any:
                seen = list(given)
                for place in floats:
                    seen[place] = seen[place].float()
                return compiled(*seen)

            def run(*given: Any) -> Any:
                self.inner, self.given = inner, list(given)
                self.results = inner(*given)
                return self.results

            return run

        self.call = torch.compile(_own(function), fullgraph=True, dynamic=False, backend=backend)

    def __call__(self, fixed: Any, changing: tuple[Tensor | None, ...], *, same: bool) -> Tensor:
        """The result.

        Raises:
            CannotCompile: the function cannot be captured, there is no compiler, or what was
                captured has changed.
        """
        if same and self.places is not None and fixed is self.fixed:
            for tensor, places in zip(changing, self.places, strict=True):
                for place in places:
                    self.given[place] = tensor
            if self.recording is not None:
                try:
                    return self.recording(self.given)
                except CannotRecord as error:
                    raise CannotCompile(str(error)) from error
            return self.inner(*self.given)[0]  # type: ignore[misc]
        first, self.results = self.inner is None, None
        try:
            with torch.compiler.set_stance("default" if first else FAIL), warnings.catch_warnings():
                warnings.filterwarnings("ignore", "TensorFloat32")  # float32 is what was asked for
                result = self.call(fixed, changing)
        except Exception as error:
            if first:
                raise CannotCompile(_told(error)) from error
            if FAIL not in str(error):
                raise
            raise CannotCompile(CHANGED) from error
        if self.results is None:
            raise CannotCompile("torch's compiler is switched off in the environment")
        # What else than its result the graph returns, Python has to store somewhere.
        alone = len(self.results) == 1 and self.results[0] is result
        self.fixed, self.places = fixed, None
        if alone:
            self.places = [
                [i for i, one in enumerate(self.given) if one is tensor and one is not None]
                for tensor in changing
            ]
            if result.is_cuda and (self.recording is None or not self.recording.fits(self.given)):
                assert self.inner is not None
                moving = {place for places in self.places for place in places}
                self.recording = Recording(self.inner, self.given, moving)
        return result

    def close(self) -> None:
        """Let go of all tensors and of what was compiled."""
        self.given, self.fixed, self.places, self.results = [], None, None, None
        self.recording = None
        self.inner = self.call = None  # type: ignore[assignment]


FAIL = "fail_on_recompile"
# Noise as without compilation: in torch before 2.13 nothing else keeps draws in their order.
REORDERS = ("reorder_for_locality", "reorder_for_peak_memory")
BEFORE = tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13)
IN_ORDER = dict.fromkeys(REORDERS if BEFORE else (), False)
TORCH = str(Path(torch.__file__).parent)
CHANGED = "the model has changed since the step was compiled"


def _own(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """``function`` with code of its own: torch's compiler keeps what it compiled by the code."""
    assert isinstance(function, types.FunctionType)
    return types.FunctionType(
        function.__code__.replace(),
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )


def _told(error: Exception) -> str:
    """What torch's compiler says, and of which line of the model, in one line."""
    lines = [line.strip() for line in str(error).splitlines()]
    places = [line for line in lines if line.startswith("File ") and TORCH not in line]
    return brief(getattr(error, "inner_exception", error)) + (f" ({places[-1]})" if places else "")
