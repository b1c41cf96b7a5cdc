"""The device that a user names, or the one to take when none is named."""

from __future__ import annotations

import torch

from lowerbound.errors import ConfigurationError


def choose(device: str | torch.device | None, index: int = 0) -> torch.device:
    """``device``, or a GPU where there is one, else the CPU; a GPU without number is ``index``.

    Raises:
        ConfigurationError: no such device, or none here.
    """
    if device is None:
        return torch.device("cuda", index) if torch.cuda.is_available() else torch.device("cpu")
    try:
        chosen = torch.device(device)
        if chosen.type == "cuda" and chosen.index is None:
            chosen = torch.device("cuda", index)
        torch.empty(0, device=chosen).tolist()  # which the device called meta cannot
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ConfigurationError(
            f"expected a device that torch can use here, got {str(device)!r}; "
            f"use {'cuda or ' if torch.cuda.is_available() else ''}cpu"
        ) from None
    return chosen


def multiplies_bfloat16(device: torch.device) -> bool:
    """Whether its matrix products are of bfloat16 itself, rather than of float32, rounded."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and (
        torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    )
