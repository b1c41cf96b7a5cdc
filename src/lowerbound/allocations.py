"""Tensors that would take too much memory are refused before they take any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

MAKERS: tuple[Callable[..., Any], ...] = (
    *(torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye),
    torch.arange,
)


class Allocations(TorchFunctionMode):
    """Inside the ``with``, tensors are made as long as they take at most ``most`` bytes in all.

    Args:
        most: bytes.
        overhead: bytes to count for each tensor beside its elements.
        refusal: of the bytes that are wanted, the error to raise.
    """

    def __init__(self, most: float, overhead: int, refusal: Callable[[int], Exception]) -> None:
        super().__init__()
        self.most, self.overhead, self.refusal = most, overhead, refusal
        self.wanted = 0

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in MAKERS:
            plan = {**kwargs, "device": "meta", "pin_memory": False}
            try:
                size = function(*args, **plan).nbytes
            except RuntimeError as error:
                if "overflow" not in str(error).lower():
                    raise
                size = 2**63
            self.wanted += size + self.overhead
            if self.wanted > self.most:
                raise self.refusal(self.wanted)
        return function(*args, **kwargs)
