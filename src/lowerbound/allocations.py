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
DRAWS = (torch.Tensor.normal_, torch.Tensor.log_normal_, torch.Tensor.exponential_)


class Allocations(TorchFunctionMode):
    """Inside the ``with``, tensors are made as long as they take at most ``most`` bytes in all.

    Those of the meta device, which have no elements, are neither initialised nor made by `arange`:
    for these torch would import its compiler first, which takes seconds.

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
        if function in DRAWS or getattr(function, "__module__", None) == "torch.nn.init":
            tensor = args[0] if args else kwargs["tensor"]
            if tensor.is_meta:
                return tensor
        if function in MAKERS:
            plan = {**kwargs, "device": "meta", "pin_memory": False}
            plan.pop("generator", None)
            try:
                planned = _like(function, args, plan)
                size = planned.nbytes
            except RuntimeError as error:
                if "overflow" not in str(error).lower():
                    raise
                size = 2**63
            self.wanted += size + self.overhead
            if self.wanted > self.most:
                raise self.refusal(self.wanted)
            if torch.device(kwargs.get("device") or torch.get_default_device()).type == "meta":
                return planned
        return function(*args, **kwargs)


def _like(function: Callable[..., Any], args: Any, plan: dict[str, Any]) -> torch.Tensor:
    """On the meta device, a tensor of the size and dtype of what ``function`` makes."""
    if function is torch.arange and all(isinstance(value, int) for value in args):
        dtype = plan.get("dtype") or torch.int64
        return torch.empty(len(range(*args)), device="meta", dtype=dtype)
    return (torch.empty if function is torch.randn else function)(*args, **plan)
