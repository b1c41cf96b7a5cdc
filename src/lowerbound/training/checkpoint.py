"""All that a run needs to go on, in one safetensors file, replaced atomically."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pydantic
import safetensors
import safetensors.torch
from torch import Tensor
from typing_extensions import TypedDict

from lowerbound.errors import StorageError, brief
from lowerbound.files import hash_tensors, parse_json, to_json, validated, write_atomic

CHECKPOINT_FILE = "checkpoint.safetensors"
FORMAT = 5


class Saved(TypedDict):
    """The JSON state in a checkpoint."""

    format: int
    step: pydantic.NonNegativeInt
    compiled: bool
    precision: Literal["float32", "bfloat16"]
    seconds: pydantic.NonNegativeFloat
    sums: dict[str, pydantic.FiniteFloat]
    history: list[dict[str, Any]]
    settings: dict[str, Any]


def write(folder: Path, tensors: dict[str, dict[str, Tensor]], state: dict[str, Any]) -> None:
    """Save groups of tensors and a JSON state, with a SHA-256 of both."""
    flat = {
        f"{group}/{name}": tensor.detach().clone()  # tied weights are saved once for each name
        for group, members in tensors.items()
        for name, tensor in members.items()
    }
    text = to_json({"format": FORMAT, **state})
    metadata = {"state": text, "sha256": _seal(text, flat)}
    write_atomic(folder / CHECKPOINT_FILE, safetensors.torch.save(flat, metadata))


def read(folder: Path) -> tuple[dict[str, dict[str, Tensor]], Saved]:
    """What `write` saved.

    Raises:
        StorageError: there is no checkpoint, or it is damaged, or of another format.
    """
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        raise StorageError(f"expected a checkpoint to resume from, got no {path}")
    try:
        with safetensors.safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (safetensors.SafetensorError, ValueError, OSError) as error:
        raise StorageError(
            f"{path}: cannot be read ({brief(error)}); the file is damaged"
        ) from None
    state = parse_json(path, metadata.get("state", "null"))
    if not isinstance(state, dict) or not isinstance(state.get("format"), int):
        raise StorageError(f"{path}: expected a training state in it; this is no checkpoint")
    if state["format"] != FORMAT:
        raise StorageError(
            f"{path}: expected format {FORMAT}, got {state['format']}; resume it with the version "
            "of lowerbound that began it"
        )
    if metadata.get("sha256") != _seal(metadata["state"], flat):
        raise StorageError(
            f"{path}: the file is damaged (its SHA-256 does not match); restore it, or train again"
        )
    tensors: dict[str, dict[str, Tensor]] = {}
    for name, tensor in flat.items():
        group, _, member = name.partition("/")
        tensors.setdefault(group, {})[member] = tensor
    return tensors, validated(path, Saved, state)


def state_of(folder: Path) -> Saved | None:
    """The JSON state alone; None where there is no checkpoint that can be read."""
    path = folder / CHECKPOINT_FILE
    if not path.is_file():
        return None
    try:
        with safetensors.safe_open(path, "pt") as file:
            state = parse_json(path, (file.metadata() or {}).get("state", "null"))
        return validated(path, Saved, state)
    except (safetensors.SafetensorError, ValueError, OSError):
        return None


def _seal(text: str, tensors: dict[str, Tensor]) -> str:
    return hash_tensors(text, dict(sorted(tensors.items()))).hex()
