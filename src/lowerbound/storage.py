"""A model ⇄ a folder: ``model.json`` (what it is) and safetensors (its weights).  No pickle.

``model.json`` names the weights file and its SHA-256, holds a SHA-256 of itself, and is written
last, so that a crash leaves the old model or the new one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import pydantic
import safetensors
import safetensors.torch
import torch
from torch import Tensor

import lowerbound

# Their parts must be registered for `load` to find them.
from lowerbound import (  # noqa: F401
    context,
    devices,
    hub,
    likelihoods,
    networks,
    posteriors,
    priors,
    transforms,
    weight_draws,
)
from lowerbound.allocations import Allocations
from lowerbound.errors import ConfigurationError, StorageError, brief
from lowerbound.files import (
    HALF,
    read_json,
    read_regular,
    to_json,
    validated,
    write_atomic,
    write_sealed,
)
from lowerbound.parts import build, describe
from lowerbound.vae import VAE

FORMAT = 1
MODEL_FILE = "model.json"
OWN_WEIGHTS = f"weights-{16 * '[0-9a-f]'}.safetensors"
OVERHEAD, COPIES, SPARE = 2**16, 4, 2**28
"""A model may take so many times the bytes of its weights, with an overhead for each, and more."""


class WeightsFile(pydantic.BaseModel):
    """The weights' file in ``model.json``."""

    file: Annotated[str, pydantic.Field(pattern=r"^[\w-][\w.-]*$", max_length=200)]
    sha256: str


class Information(pydantic.BaseModel, extra="allow"):
    """What `load` needs of ``model.json``; `save` is given the rest."""

    format: Annotated[int, pydantic.Field(ge=1)]
    model: dict[str, Any]
    weights: WeightsFile
    versions: dict[str, str]


def save(model: VAE, folder: str | Path, **information: Any) -> Path:
    """Write ``model`` to ``folder``, replacing a model that is there; return the folder.

    ``information`` (the data's fingerprint, metrics, …) goes into ``model.json`` as it is.

    Raises:
        ConfigurationError: a part of the model is not registered, or ``information`` holds what
            JSON cannot.
        StorageError: a weight is not finite, or the folder cannot be written to.
    """
    folder = Path(folder)
    # Tied weights are saved once for each name.
    tensors = {name: t.detach().cpu().clone() for name, t in model.state_dict().items()}
    refuse_non_finite(tensors, f"to save in {folder}", "train with a lower learning_rate")
    weights = safetensors.torch.save(tensors)
    digest = hashlib.sha256(weights).hexdigest()
    name = f"weights-{digest[:16]}.safetensors"
    values = {
        "format": FORMAT,
        "versions": {"lowerbound": lowerbound.__version__, "torch": torch.__version__},
        "model": describe(model),
        "weights": {"file": name, "sha256": digest},
        **information,
    }
    to_json(values)  # refuses what could not be written, before anything is
    write_atomic(folder / name, weights)
    write_sealed(folder / MODEL_FILE, values)
    for old in (*folder.glob(OWN_WEIGHTS), *folder.glob(f".{OWN_WEIGHTS}*{HALF}")):
        if old.name != name:
            old.unlink(missing_ok=True)
    return folder


def load(folder: str | Path, device: str | torch.device | None = "cpu") -> VAE:
    """The model saved in ``folder``, in evaluation mode on ``device``.

    ``device=None`` takes a GPU where there is one.  A ``folder`` hf://owner/name is one on the
    Hugging Face hub, which keeps a copy in its cache, and hf://owner/name@revision one of its
    revisions.

    Parts of your own must be imported first; nothing in the folder is executed.

    Raises:
        StorageError: a file is missing, damaged, or of a newer format, or a part is unknown; or the
            hub cannot be reached.
        MissingExtra: huggingface_hub is not installed.
    """
    on_hub = isinstance(folder, str) and folder.startswith(hub.SCHEME)
    folder, device = hub.fetch(str(folder)) if on_hub else Path(folder), devices.choose(device)
    information = read_information(folder)
    tensors = _read_weights(folder, information["weights"])
    _refuse_misfit(folder, information["model"], tensors)
    with _allocations(folder, tensors):
        model = _built(folder, information["model"])
    refuse_other_shapes(model.state_dict(), tensors, _misfit(folder))
    own = {**dict(model.named_parameters(remove_duplicate=False)), **dict(model.named_buffers())}
    for name, tensor in tensors.items():
        own[name].data = own[name].data.to(tensor.dtype)
    model.load_state_dict(tensors)
    return model.to(device).eval()


def read_information(folder: str | Path) -> dict[str, Any]:
    """The contents of ``model.json``, checked for what `load` needs.

    Raises:
        StorageError: there is none, or it is damaged, or of a newer format.
    """
    path = Path(folder) / MODEL_FILE
    if str(folder).startswith("hf:"):
        raise StorageError(
            f"expected a folder, got the hub's address {str(folder)!r}; a program loads it as "
            'text: lb.load("hf://owner/name"), a command takes a copy of the folder'
        )
    information = read_json(path, "a saved model")
    if "model" not in information and "checked_examples" in information:
        raise StorageError(
            f"expected a saved model in {folder}, got ONNX files of one; name the folder that they "
            "were exported from, or open them with onnxruntime"
        )
    newest = validated(path, Information, information).format
    if newest > FORMAT:
        raise StorageError(
            f"{path}: expected format {FORMAT} or older, got {newest}; upgrade lowerbound "
            f"(this is {lowerbound.__version__})"
        )
    return information


def refuse_non_finite(tensors: Mapping[str, Tensor], where: str, remedy: str) -> None:
    """Raises StorageError: a tensor holds NaN or infinity."""
    for name, tensor in tensors.items():
        if not tensor.isfinite().all():
            what = "NaN" if tensor.isnan().any() else "infinity"
            raise StorageError(f"expected finite weights {where}, got {what} in {name}; {remedy}")


def refuse_other_shapes(
    expected: Mapping[str, Tensor], found: Mapping[str, Tensor], refusal: str
) -> None:
    """Raises StorageError: names, shapes or the kinds of numbers are not the ``expected`` ones."""

    def told(tensors: Mapping[str, Tensor], name: str) -> str:
        if name not in tensors:
            return "nothing"
        kind = "numbers" if tensors[name].is_floating_point() else str(tensors[name].dtype)
        return f"{kind} of shape {tuple(tensors[name].shape)}"

    for name in sorted(expected.keys() | found.keys()):
        wanted, got = told(expected, name), told(found, name)
        if wanted != got:
            raise StorageError(f"{refusal}: {name}: expected {wanted}, got {got}")


def _refuse_misfit(folder: Path, description: Any, tensors: Mapping[str, Tensor]) -> None:
    """Compare the sizes of a model, before it takes any memory, with those of its weights."""
    try:
        with torch.device("meta"), _allocations(folder, tensors):
            planned = _built(folder, description).state_dict()
    except StorageError as error:
        if error.__cause__ is None:
            raise
        return  # a part that reads its numbers as it is made, such as a flow
    refuse_other_shapes(planned, tensors, _misfit(folder))


def _misfit(folder: Path) -> str:
    return f"{folder}: the weights do not fit the model"


def _allocations(folder: Path, tensors: Mapping[str, Tensor]) -> Allocations:
    """Inside the ``with``, tensors are made as long as they do not take far more than these."""
    most = SPARE + COPIES * sum(tensor.nbytes + OVERHEAD for tensor in tensors.values())
    return Allocations(
        most, OVERHEAD, lambda wanted: StorageError(f"{_misfit(folder)}, which is far larger")
    )


def _built(folder: Path, description: Any) -> VAE:
    """The model of that description, with weights of its own."""
    path = folder / MODEL_FILE
    try:
        model = build(description)
    except ConfigurationError as error:
        raise StorageError(f"{path}: {error}") from None
    except StorageError:
        raise
    except Exception as error:  # whatever a constructor makes of arguments that are none
        raise StorageError(
            f"{path}: expected parts and sizes that fit in memory and together "
            f"({brief(error)}); the file is damaged"
        ) from error
    if not isinstance(model, VAE):
        raise StorageError(f"{path}: expected a VAE, got {type(model).__name__}")
    return model


def _read_weights(folder: Path, weights: Mapping[str, Any]) -> dict[str, Tensor]:
    path, digest = folder / weights["file"], weights["sha256"]
    content = read_regular(path, "the model's weights")
    found = hashlib.sha256(content).hexdigest()
    if found != digest:
        raise StorageError(
            f"{path}: the file is damaged (expected SHA-256 {digest}, got {found}); "
            "restore it, or train again"
        )
    try:
        tensors = safetensors.torch.load(content)
    except safetensors.SafetensorError as error:
        raise StorageError(f"{path}: not a safetensors file ({brief(error)})") from None
    refuse_non_finite(tensors, f"in {path}", "restore the file, or train again")
    return tensors
