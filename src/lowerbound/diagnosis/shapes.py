"""Does the model run on the data at all, and if not, which layer does not fit?"""

from __future__ import annotations

from typing import Any

from torch import nn
from torch.nn.modules.module import register_module_forward_pre_hook

from lowerbound.diagnosis.finding import Measured
from lowerbound.diagnosis.trained import TrainedModel
from lowerbound.errors import ShapeError, brief
from lowerbound.evaluation.walk import prepared_batches


def runs(trained: TrainedModel) -> Measured:
    """One pass of two examples; where it fails, the linear layer at which it did."""
    model, misfits = trained.model, list[tuple[nn.Linear, int]]()

    def note(layer: nn.Module, inputs: Any) -> None:
        if isinstance(layer, nn.Linear) and inputs[0].shape[-1] != layer.in_features:
            misfits.append((layer, inputs[0].shape[-1]))

    watch = register_module_forward_pre_hook(note)
    try:
        two = trained.held_out.take(2)
        x, context = next(prepared_batches(model, two, trained.device, trained.seed))
        z = model.posterior(x, context).sample()
        model.likelihood(z, context).log_prob(x)
    except (RuntimeError, ValueError, ShapeError) as error:
        first = brief(error)
        if not misfits:
            return Measured("error", "failed", error=first, reason=first.rstrip("."), passed=0)
        layer, given = misfits[0]
        path = next(path for path, each in model.named_modules() if each is layer)
        takes = layer.in_features
        return Measured("layer", "failed", error=first, layer=path, takes=takes, given=given)
    finally:
        watch.remove()
    return Measured(parameters=sum(p.numel() for p in model.parameters()))
