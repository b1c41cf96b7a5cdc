"""A model that does not fit in memory is refused before it takes any."""

from __future__ import annotations

from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from lowerbound.data.conversion import memory
from lowerbound.errors import ConfigurationError

MAKERS = (torch.empty, torch.zeros, torch.ones, torch.full, torch.rand, torch.randn, torch.eye)
COPIES = 4
"""Of every weight in training: itself, its gradient, and Adam's two moments."""
OVERHEAD = 4096
"""Bytes of the objects around one tensor."""


class WithinMemory(TorchFunctionMode):
    """Inside the ``with``, tensors are made as long as training them would fit in memory.

    Raises:
        ConfigurationError: the tensors made so far, and the next, would not.
    """

    def __init__(self) -> None:
        super().__init__()
        self._bytes, self._memory = 0, memory()

    def __torch_function__(
        self, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if function in MAKERS:
            self._count(function, args, kwargs)
        return function(*args, **kwargs)

    def _count(self, function: Any, args: Any, kwargs: dict[str, Any]) -> None:
        plan = {**kwargs, "device": "meta", "pin_memory": False}
        try:
            size = function(*args, **plan).nbytes
        except RuntimeError as error:
            if "overflow" not in str(error).lower():
                raise
            size = 2**63
        self._bytes += COPIES * (size + OVERHEAD)
        if self._bytes > self._memory:
            raise ConfigurationError(
                f"expected a model that can be trained in memory ({self._memory / 1e9:,.1f} GB), "
                f"got sizes that need {self._bytes / 1e9:,.1f} GB or more; choose smaller "
                "ones, such as latent_dim or hidden, or the convolutional recipe"
            )
