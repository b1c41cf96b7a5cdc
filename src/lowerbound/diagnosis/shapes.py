"""Does the model run on the data at all, and if not, where does it fail?"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook

from lowerbound.diagnosis.finding import Measured
from lowerbound.diagnosis.trained import TrainedModel
from lowerbound.errors import ShapeError, brief
from lowerbound.evaluation.walk import finite, prepared_batches


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
    return _not_finite(trained) or Measured(parameters=sum(p.numel() for p in model.parameters()))


def _not_finite(trained: TrainedModel) -> Measured | None:
    """Examples whose codes, or whose log p(x|z), are not numbers."""

    def of(x: Tensor, context: Tensor | None) -> dict[str, Tensor]:
        q = trained.model.posterior(x, context)
        z = q.sample()
        fit = trained.model.likelihood(z, context).log_prob(x)
        return {"mean": q.mean, "z": z, "fit": torch.where(fit.isinf(), 0.0, fit)}

    for which, data in (("held-out", trained.test), ("training", trained.train)):
        if data is None:
            continue
        found = trained.columns(data, of)
        lost, total = int((~finite(found)).sum()), len(data)
        if lost:
            weights = trained.model.state_dict().items()
            bad = next((name for name, weight in weights if not weight.isfinite().all()), None)
            cause = f"{bad} is not finite itself" if bad else "its networks overflow"
            whose = f"{lost:,} of {total:,} {which} {trained.example}s"
            error = f"{whose} {'has' if lost == 1 else 'have'} no finite code or likelihood"
            values = {"lost": lost, "total": total, "which": which, "cause": cause}
            return Measured("not-finite", "failed", error=error, **values)
    return None
