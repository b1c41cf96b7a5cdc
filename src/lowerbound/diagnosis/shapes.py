"""Does the model run on the data at all, and if not, which layer does not fit?"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from lowerbound.data import Dataset
from lowerbound.diagnosis.finding import Measured
from lowerbound.errors import ShapeError
from lowerbound.evaluation import prepared_batches
from lowerbound.vae import VAE


def runs(model: VAE, data: Dataset, device: torch.device) -> Measured:
    """One pass of two examples; where it fails, the linear layer at which it did."""
    misfits: list[nn.Linear] = []
    given: list[int] = []

    def note(layer: nn.Module, inputs: Any) -> None:
        if isinstance(layer, nn.Linear) and inputs[0].shape[-1] != layer.in_features:
            misfits.append(layer)
            given.append(inputs[0].shape[-1])

    watch = register_module_forward_pre_hook(note)
    try:
        x, context = next(prepared_batches(model, data.take(2), device))
        z = model.posterior(x, context).sample()
        model.likelihood(z, context).log_prob(x)
    except (RuntimeError, ValueError, ShapeError) as error:
        first = str(error).splitlines()[0]
        if not misfits:
            reason = first.rstrip(".")
            return Measured("error", "failed", error=first, reason=reason, passed=0)
        return Measured(
            "layer",
            "failed",
            error=first,
            layer=next(path for path, layer in model.named_modules() if layer is misfits[0]),
            takes=misfits[0].in_features,
            given=given[0],
        )
    finally:
        watch.remove()
    return Measured(parameters=sum(p.numel() for p in model.parameters()))
