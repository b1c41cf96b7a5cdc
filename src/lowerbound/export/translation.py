"""A function of tensors → an ONNX model, by torch's exporter, and what onnxruntime makes of it."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from lowerbound.distributions.base import log_rising
from lowerbound.extras import needs

OPSET = 18
NONE = 0  # the reduction that is called "none"
Dynamic = Mapping[str, Mapping[int, str]]
"""Of each input, the axes of any size, and what they are called."""


def translate(
    function: nn.Module, inputs: Mapping[str, Tensor], outputs: list[str], dynamic: Dynamic
) -> Any:
    """The ONNX model of ``function`` at examples of its ``inputs``."""
    needs("onnx", "export")
    needs("onnxscript", "export")
    sizes = {name: torch.export.Dim(name) for axes in dynamic.values() for name in axes.values()}
    shapes = tuple(
        {axis: sizes[size] for axis, size in dynamic[name].items()} if name in dynamic else None
        for name in inputs
    )
    with torch.no_grad(), _silence():
        program = torch.export.export(
            function, tuple(inputs.values()), dynamic_shapes=(shapes,), strict=False
        ).run_decompositions(_exact())
        made = torch.onnx.export(
            program,
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=list(inputs),
            external_data=False,
        )
    assert made is not None
    return _named_sizes(_named_outputs(_bare(made.model_proto), outputs), dynamic)


def run(content: bytes, inputs: Mapping[str, Tensor]) -> list[np.ndarray]:
    """What onnxruntime makes of ``inputs`` by the model ``content``."""
    onnxruntime = needs("onnxruntime", "export")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(content, options, ["CPUExecutionProvider"])
    return session.run(None, {name: value.numpy() for name, value in inputs.items()})


def _exact() -> dict[Any, Any]:
    """Functions that ONNX lacks, or that its translation loses the last digits of."""
    aten = torch.ops.aten
    return {
        aten.lgamma.default: _lgamma,
        aten.log1p.default: _log1p,
        aten.expm1.default: _expm1,
        aten.logaddexp.default: _logaddexp,
        aten.softplus.default: _softplus,
        aten.log_sigmoid.default: _log_sigmoid,
        aten.cross_entropy_loss.default: _cross_entropy,
        aten.log_sigmoid_forward.default: lambda x: (_log_sigmoid(x), torch.zeros_like(x)),
    }


def _lgamma(x: Tensor) -> Tensor:
    """log Γ(x) = log Γ(1 + x)/Γ(1) − log x, for x > 0."""
    return log_rising(torch.ones_like(x), x).to(x.dtype) - x.log()


def _log1p(x: Tensor) -> Tensor:
    """log(1 + x) = log(y) x/(y − 1), y being 1 + x as it is rounded, of which the error cancels."""
    y = 1 + x
    small = torch.where(y == 1, 2, y)
    near = torch.where(y == 1, x, small.log() * (x / (small - 1)))
    return torch.where(x.abs() < 1, near, y.log())


def _expm1(x: Tensor) -> Tensor:
    """e^x − 1 = tanh(x/2) (e^x + 1)."""
    return torch.tanh(x / 2) * (x.exp() + 1)


def _logaddexp(a: Tensor, b: Tensor) -> Tensor:
    """log(e^a + e^b) = max(a, b) + log(1 + e^−|a − b|)."""
    distance = torch.where(a == b, 0, (a - b).abs())
    return torch.maximum(a, b) + _log1p((-distance).exp())


def _softplus(x: Tensor, beta: float = 1.0, threshold: float = 20.0) -> Tensor:
    """log(1 + e^βx)/β, which is x where βx is above the threshold."""
    scaled = beta * x
    soft = (scaled.clamp(min=0) + _log1p((-scaled.abs()).exp())) / beta
    return torch.where(scaled > threshold, x, soft)


def _log_sigmoid(x: Tensor) -> Tensor:
    """−log(1 + e^−x)."""
    return x.clamp(max=0) - _log1p((-x.abs()).exp())


def _cross_entropy(logits: Tensor, target: Tensor, weight: None, reduction: int) -> Tensor:
    """−log softmax(``logits``) of each ``target``, (n,), which exporters take the mean of."""
    if weight is not None or reduction != NONE:
        return NotImplemented
    return -logits.log_softmax(1).gather(1, target.unsqueeze(1)).squeeze(1)


@contextmanager
def _silence() -> Iterator[None]:
    """No warnings and no notes of torch and its exporter, which tell of its own affairs."""
    disabled = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(disabled)


def _bare(model: Any) -> Any:
    """``model`` without what the exporter notes in it of this machine, such as names of files."""
    graph = model.graph
    parts = (model, graph, *graph.node, *graph.initializer, *graph.value_info)
    for part in (*parts, *graph.input, *graph.output):
        part.ClearField("metadata_props")
        part.ClearField("doc_string")
    return model


def _named_outputs(model: Any, names: list[str]) -> Any:
    """``model`` with outputs of these ``names``, which nothing else in it has."""
    graph = model.graph
    called = {name: f"{name}_within" for name in names}
    called |= {value.name: name for value, name in zip(graph.output, names, strict=True)}
    for node in graph.node:
        for side in (node.input, node.output):
            side[:] = [called.get(name, name) for name in side]
    for value in (*graph.output, *graph.value_info, *graph.initializer):
        value.name = called.get(value.name, value.name)
    return model


def _named_sizes(model: Any, dynamic: Dynamic) -> Any:
    """``model`` with the sizes that may be any called as ``dynamic`` calls them."""
    graph = model.graph
    names: dict[str, str] = {}
    for value in graph.input:
        dims = value.type.tensor_type.shape.dim
        names |= {dims[axis].dim_param: name for axis, name in dynamic[value.name].items()}
    for value in (*graph.input, *graph.output, *graph.value_info):
        for dim in value.type.tensor_type.shape.dim:
            if dim.dim_param in names:
                dim.dim_param = names[dim.dim_param]
    return model
