"""A model → encoder.onnx, decoder.onnx, score.onnx and model.json, checked by onnxruntime."""

from __future__ import annotations

import copy
import json
import logging
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

import lowerbound
from lowerbound.data import Dataset, as_dataset
from lowerbound.data.schema import Field
from lowerbound.errors import ConfigurationError, LowerboundError, brief
from lowerbound.evaluation.bounds import measures
from lowerbound.export.functions import Decoder, Encoder, Function, Score, score
from lowerbound.export.translation import OPSET, Dynamic, run, translate
from lowerbound.extras import needs
from lowerbound.files import new_folder, write_atomic, write_json
from lowerbound.likelihoods import Heterogeneous
from lowerbound.notebooks import Printed
from lowerbound.streams import Stream, generator
from lowerbound.vae import VAE

FORMAT = 1
CHECKED = 64
"""Examples that the files are compared with the library on."""
DRAWS = 3
CLOSE = 1e-5
"""Of the largest number of a column, or of 1 where all are smaller."""
DYNAMIC: Dynamic = {
    "x": {0: "batch"},
    "z": {0: "batch"},
    "label": {0: "batch"},
    "given": {0: "batch"},
    "noise": {0: "draws", 1: "batch"},
}
MEANINGS = {
    "x": "data as they are kept, transformed inside",
    "label": "numbers of classes",
    "given": "covariates as they are kept",
    "z": "codes",
    "noise": "draws of N(0, 1) that make z ~ q(z|x)",
    "log_variance": "log σ² of q(z|x)",
    "L": "Cholesky factor of the covariance of q(z|x)",
    "elbo": "−reconstruction − kl, nats",
    "reconstruction": "−log p(x|z) on average over draws, x transformed without noise, nats",
    "kl": "KL(q(z|x) ‖ p(z)), at the draws where no closed form is known, nats",
}

MEAN = "mean of p(x|z) in the data's units; of categories and tokens the likeliest one's number"
Inputs = dict[str, Tensor]

log = logging.getLogger("lowerbound")


@dataclass(frozen=True)
class Exported(Printed):
    """What `to_onnx` wrote.

    Attributes:
        folder: where.
        files: the bytes of each file.
        examples: how many it was checked on.
        largest_difference: between onnxruntime and the library, relative to the largest
            number of its column.
    """

    folder: Path
    files: dict[str, int]
    examples: int
    largest_difference: float

    def __str__(self) -> str:
        sizes = ", ".join(f"{name} {size / 1e6:.2f} MB" for name, size in self.files.items())
        return (
            f"{self.folder}: {sizes}\n"
            f"largest difference between onnxruntime and lowerbound on {self.examples} examples: "
            f"{self.largest_difference:.1e}"
        )


def to_onnx(model: VAE, data: Any, folder: str | Path) -> Exported:
    """``model`` as ONNX files in a new ``folder``, which appears once all of them are right.

    ``encoder.onnx`` takes data x as they are kept, ``decoder.onnx`` codes z, and both labels of a
    conditional model; ``score.onnx`` takes x and standard normal noise, and is left out where the
    posterior makes no z from noise.  The transform is inside, and a batch may have any size.
    ``model.json`` tells what each file takes and returns, and so does each file itself.

    Args:
        model: the model; it is judged in evaluation mode, on the CPU.
        data: examples that the model takes, labels among them, whatever `data.as_dataset` takes;
            onnxruntime's numbers of some of them are compared with the library's.
        folder: a new one, or an empty one.

    Raises:
        MissingExtra: onnx, onnxscript or onnxruntime is not installed.
        ConfigurationError: a part has no form in ONNX; or what was made of it returns other
            numbers, by more than 10⁻⁵ of them, and so is not written.
        StorageError: the folder is not empty, or cannot be written to.
    """
    needs("onnxruntime", "export")
    with new_folder(Path(folder)) as made:
        judged = copy.deepcopy(model).cpu().eval()
        examples = judged.expect(as_dataset(data, "test")).take(CHECKED)
        told, contents, worst = _about(judged, examples), {}, 0.0
        for name, function, inputs in _functions(judged, examples):
            file = f"{name}.onnx"
            log.info("translating %s", file)
            proto, difference = _translated(name, function, inputs)
            worst = max(worst, difference)
            told["files"][file] = _told(function, inputs, difference)
            needs("onnx", "export").helper.set_model_props(
                proto, {"lowerbound": json.dumps(told | {"files": {file: told["files"][file]}})}
            )
            contents[file] = proto.SerializeToString()
            write_atomic(made / file, contents[file])
        write_json(made / "model.json", told)
    sizes = {file: len(content) for file, content in contents.items()}
    return Exported(Path(folder), sizes, len(examples), worst)


def _functions(model: VAE, examples: Dataset) -> Iterator[tuple[str, Function, Inputs]]:
    """Each file's name, its function, and examples of what it takes."""
    x, context = examples.x.cpu(), None if model.context is None else examples.context
    own = {} if context is None else {"label" if examples.given is None else "given": context}
    with torch.no_grad():
        q = model.encode(x, context)
        z = q.mean
    yield "encoder", Encoder(model), {"x": x, **own}
    yield "decoder", Decoder(model), {"z": z, **own}
    scored = score(model, q)
    if isinstance(scored, Score):
        drawn = torch.randn(DRAWS, *z.shape, generator=generator(0, Stream.EVALUATE), dtype=z.dtype)
        yield "score", scored, {"x": x, "noise": drawn, **own}
    elif scored is not None:
        yield "score", scored, {"x": x, **own}
    else:
        log.info("score.onnx is left out: %s makes no z from noise", type(model.posterior).__name__)


def _translated(name: str, function: Function, inputs: Inputs) -> tuple[Any, float]:
    """The ONNX model, and how far its numbers of many examples, and of one, are from ours."""
    model = function.model
    parts = {"encoder": (model.posterior,), "decoder": (model.likelihood,)}.get(
        name, (model.posterior, model.prior, model.likelihood)
    )
    named = f"the {name} of {', '.join(type(part).__name__ for part in parts)}"
    with torch.no_grad():
        outputs = list(function.named(*inputs.values()))
    try:
        proto = translate(function, inputs, outputs, DYNAMIC)
        content = proto.SerializeToString()
        found = [_difference(content, function, each) for each in (inputs, _one(inputs))]
    except LowerboundError:
        raise
    except Exception as error:  # whatever an exporter makes of operations that it does not know
        while isinstance(error.__cause__, Exception):
            error = error.__cause__
        raise ConfigurationError(
            f"expected parts that have a form in ONNX, got {named} ({brief(error)}); use the model "
            "with lowerbound, or train one of other parts"
        ) from None
    difference = max(found)
    if not difference <= CLOSE:
        raise ConfigurationError(
            f"expected {CLOSE:g} at most between onnxruntime and lowerbound, got {difference:.2g} "
            f"for {named}; use the model with lowerbound"
        )
    return proto, difference


def _one(inputs: Inputs) -> Inputs:
    """The first example, and the first draw, alone."""
    return {
        name: value[tuple(slice(1) for _ in DYNAMIC[name])].contiguous()
        for name, value in inputs.items()
    }


def _difference(content: bytes, function: Function, inputs: Inputs) -> float:
    """The largest between what onnxruntime and the library return.

    It is relative to the largest number of its column; of nats, to the largest term; of what else
    is no table, to the largest of all; or to 1.
    """
    with torch.no_grad():
        ours = [value.double().numpy() for value in function(*inputs.values())]
    nats = max((np.nanmax(np.abs(y), initial=1.0) for y in ours if y.ndim == 1), default=1.0)
    worst = 0.0
    for mine, theirs in zip(ours, run(content, inputs), strict=True):
        if mine.shape != theirs.shape:
            return math.inf
        same = (mine == theirs) | (np.isnan(mine) & np.isnan(theirs))
        own = np.nanmax(np.abs(mine), axis=0 if mine.ndim == 2 else None, initial=1.0)
        size = nats if mine.ndim == 1 else own
        with np.errstate(invalid="ignore"):
            relative = np.abs(mine - theirs) / size
        relative = np.where(same, 0.0, np.where(np.isnan(relative), math.inf, relative))
        worst = max(worst, float(relative.max(initial=0.0)))
    return worst


def _about(model: VAE, examples: Dataset) -> dict[str, Any]:
    """What is told of the model and its data."""
    names: Any = getattr(model.context, "names", None)
    return {
        "format": FORMAT,
        "versions": {
            "lowerbound": lowerbound.__version__,
            "torch": torch.__version__,
            "opset": str(OPSET),
        },
        "data": {
            "shape": list(model.shape),
            "fields": [_field(field) for field in examples.schema],
            "classes": None if names is None else list(names),
            "given": None if examples.given is None else list(map(_field, examples.given.schema)),
        },
        "transform": type(model.transform).__name__,
        "prior": type(model.prior).__name__,
        "posterior": type(model.posterior).__name__,
        "likelihood": type(model.likelihood).__name__,
        "families": _families(model),
        "latent_dim": model.latent_dim,
        "elbo_bounds": measures(model),
        "checked_examples": len(examples),
        "files": {},
    }


def _field(field: Field) -> dict[str, Any]:
    """What is known of a field; of one with a spike, that number alone is its level."""
    levels = None if field.levels is None else [n for n in field.levels if math.isfinite(n)]
    categories = None if field.categories is None else list(field.categories)
    known = {"name": field.name, "kind": field.kind, "form": field.form}
    return known | {"categories": categories, "levels": levels}


def _families(model: VAE) -> list[dict[str, Any]] | None:
    """Of rows whose fields are of several kinds, the likelihood of each group of columns."""
    likelihood = model.likelihood
    if not isinstance(likelihood, Heterogeneous):
        return None
    return [
        {"likelihood": type(family).__name__, "columns": list(columns)}
        for family, columns in zip(likelihood.families, likelihood.columns, strict=True)
    ]


def _told(function: Function, inputs: Inputs, difference: float) -> dict[str, Any]:
    """What a file takes and returns, and how far its numbers are from the library's."""
    with torch.no_grad():
        outputs = function.named(*inputs.values())
    return {
        "inputs": {name: _value(name, value, DYNAMIC[name]) for name, value in inputs.items()},
        "outputs": {
            name: _value(name, value, {0: "batch"}) | {"meaning": _meaning(function, name)}
            for name, value in outputs.items()
        },
        "largest_difference": difference,
    }


def _value(name: str, value: Tensor, dynamic: Mapping[int, str]) -> dict[str, Any]:
    shape = [dynamic.get(axis, size) for axis, size in enumerate(value.shape)]
    return {
        "type": str(value.dtype).removeprefix("torch."),
        "shape": shape,
        "meaning": MEANINGS.get(name, ""),
    }


def _meaning(function: Function, name: str) -> str:
    if isinstance(function, Decoder):
        return MEAN if name == "mean" else f"{name} of p(x|z), x as the transform brings it"
    return "mean of q(z|x)" if name == "mean" else MEANINGS[name]
