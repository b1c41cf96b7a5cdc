"""All that a run needs to go on, in one safetensors file, replaced atomically."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from lowerbound.errors import StorageError
from lowerbound.files import write_atomic

CHECKPOINT_FILE = "checkpoint.safetensors"
FORMAT = 2


def write(folder: Path, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    """Save groups of tensors and a JSON state."""
    flat = {
        f"{group}/{name}": tensor.detach().clone()  # tied weights are saved once for each name
        for group, members in tensors.items()
        for name, tensor in members.items()
    }
    metadata = {"state": json.dumps({"format": FORMAT, **state})}
    write_atomic(folder / CHECKPOINT_FILE, safetensors.torch.save(flat, metadata))


def read(folder: Path, device: torch.device) -> tuple[dict[str, dict[str, Tensor]], dict[str, Any]]:
    """What `write` saved.

    Raises:
        StorageError: there is no checkpoint, or it is damaged or newer.
    """
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        raise StorageError(f"expected a checkpoint to resume from, got no {path}")
    try:
        with safetensors.safe_open(path, "pt", device=str(device)) as file:
            state = json.loads((file.metadata() or {}).get("state", "null"))
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise StorageError(f"{path}: cannot be read ({error}); the file is damaged") from None
    if not isinstance(state, dict) or not isinstance(state.get("format"), int):
        raise StorageError(f"{path}: expected a training state in it; this is no checkpoint")
    if state["format"] != FORMAT:
        raise StorageError(
            f"{path}: expected format {FORMAT}, got {state['format']}; resume it with the version "
            "of lowerbound that began it"
        )
    tensors: dict[str, dict[str, Tensor]] = {}
    for name, tensor in flat.items():
        group, _, member = name.partition("/")
        tensors.setdefault(group, {})[member] = tensor
    return tensors, state
