"""A model ⇄ a folder: ``model.json`` (what it is) and safetensors (its weights).  No pickle.

``model.json`` names the weights file and its SHA-256, and is written last, so that a crash leaves
the old model or the new one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch

import lowerbound

# Their parts must be registered for `load` to find them.
from lowerbound import context, devices, likelihoods, networks, posteriors, priors, transforms  # noqa: F401
from lowerbound.errors import ConfigurationError, StorageError
from lowerbound.files import write_atomic, write_json
from lowerbound.parts import build, describe
from lowerbound.vae import VAE

FORMAT = 1
MODEL_FILE = "model.json"
MAX_JSON_BYTES = 64 * 2**20


def save(model: VAE, folder: str | Path, **information: Any) -> Path:
    """Write ``model`` to ``folder``, replacing a model that is there; return the folder.

    ``information`` (the data's fingerprint, metrics, …) goes into ``model.json`` as it is.

    Raises:
        ConfigurationError: a part of the model is not registered.
    """
    folder = Path(folder)
    description = describe(model)
    # Tied weights are saved once for each name.
    tensors = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
    weights = safetensors.torch.save(tensors)
    digest = hashlib.sha256(weights).hexdigest()
    name = f"weights-{digest[:16]}.safetensors"
    write_atomic(folder / name, weights)
    write_json(
        folder / MODEL_FILE,
        {
            "format": FORMAT,
            "versions": {"lowerbound": lowerbound.__version__, "torch": torch.__version__},
            "model": description,
            "weights": {"file": name, "sha256": digest},
            **information,
        },
    )
    for old in folder.glob("weights-*.safetensors"):
        if old.name != name:
            old.unlink()
    return folder


def load(folder: str | Path, device: str | torch.device | None = "cpu") -> VAE:
    """The model saved in ``folder``, in evaluation mode on ``device``.

    ``device=None`` takes a GPU where there is one.

    Parts of your own must be imported first; nothing in the folder is executed.

    Raises:
        StorageError: a file is missing, damaged, or of a newer format, or a part is unknown.
    """
    folder, device = Path(folder), devices.choose(device)
    information = read_information(folder)
    try:
        model = build(information["model"])
    except ConfigurationError as error:
        raise StorageError(f"{folder / MODEL_FILE}: {error}") from None
    except (RuntimeError, TypeError) as error:
        raise StorageError(
            f"{folder / MODEL_FILE}: expected parts and sizes that fit in memory "
            f"({str(error).splitlines()[0]:.100}); the file is damaged"
        ) from None
    if not isinstance(model, VAE):
        raise StorageError(f"{folder / MODEL_FILE}: expected a VAE, got {type(model).__name__}")
    tensors = _read_weights(folder, information["weights"])
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        reason = " ".join(str(error).split())
        raise StorageError(f"{folder}: the weights do not fit the model: {reason}") from None
    return model.to(device).eval()


def read_information(folder: str | Path) -> dict[str, Any]:
    """The contents of ``model.json``, checked for its format."""
    path = Path(folder) / MODEL_FILE
    information = read_json(path, "a saved model")
    newest = information.get("format")
    if not isinstance(newest, int) or newest < 1:
        raise StorageError(f"{path}: expected a format number, got {newest!r}; the file is damaged")
    if newest > FORMAT:
        raise StorageError(
            f"{path}: expected format {FORMAT} or older, got {newest}; upgrade lowerbound "
            f"(this is {lowerbound.__version__})"
        )
    weights = information.get("weights")
    if "model" not in information or not isinstance(weights, dict):
        raise StorageError(f"{path}: expected keys 'model' and 'weights'; the file is damaged")
    return information


def read_json(path: Path, what: str) -> dict[str, Any]:
    """A JSON object from a file that holds ``what``.

    Raises:
        StorageError: the file is missing, too large, or no JSON object.
    """
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise StorageError(f"{path}: expected at most {MAX_JSON_BYTES} bytes of JSON")
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        missing = f"no {path.name} there" if path.parent.is_dir() else "no such folder"
        raise StorageError(f"expected {what} in {path.parent}, got {missing}") from None
    except (ValueError, OSError, RecursionError) as error:
        raise StorageError(f"{path}: cannot be read ({error}); the file is damaged") from None
    if not isinstance(value, dict):
        raise StorageError(f"{path}: expected a JSON object, got {type(value).__name__}")
    return value


def _read_weights(folder: Path, weights: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    name, digest = str(weights.get("file")), weights.get("sha256")
    if not re.fullmatch(r"[\w-][\w.-]*", name):
        raise StorageError(f"{folder}: expected weights inside the folder, got {name!r}")
    try:
        content = (folder / name).read_bytes()
    except OSError as error:
        raise StorageError(
            f"{folder / name}: cannot be read ({error.strerror}); restore the file, or train again"
        ) from None
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise StorageError(
            f"{folder / name}: the file is damaged (expected SHA-256 {digest}, got {found}); "
            "restore it, or train again"
        )
    try:
        return safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise StorageError(f"{folder / name}: not a safetensors file ({error})") from None
