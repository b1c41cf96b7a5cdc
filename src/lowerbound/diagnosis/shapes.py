"""Does the model run on the data at all, and if not, which layer does not fit?"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from lowerbound.data import Dataset
from lowerbound.diagnosis.finding import Check, Finding
from lowerbound.errors import ShapeError
from lowerbound.evaluation.bounds import prepared_batches
from lowerbound.vae import VAE


@dataclass(frozen=True)
class Misfit:
    """A linear layer that was given another number of features than it takes."""

    layer: str
    takes: int
    given: int


def runs(model: VAE, data: Dataset, device: torch.device) -> Check:
    """One pass of two examples; where it fails, the linear layer at which it did."""
    name, question = "shapes", "Does the model run on the data?"
    seen: list[Misfit] = []
    hooks = [
        layer.register_forward_pre_hook(_watch(path, seen))
        for path, layer in model.named_modules()
        if isinstance(layer, nn.Linear)
    ]
    try:
        x, context = next(prepared_batches(model, data.take(2), device))
        z = model.posterior(x, context).sample()
        model.likelihood(z, context).log_prob(x)
    except (RuntimeError, ValueError, ShapeError) as error:
        first = str(error).splitlines()[0]
        return Check(name, question, f"no: {first}", _finding(name, seen, first))
    finally:
        for hook in hooks:
            hook.remove()
    parameters = sum(p.numel() for p in model.parameters())
    return Check(name, question, f"yes, with {parameters:,} parameters")


def _watch(path: str, seen: list[Misfit]):
    """A hook that notes a layer whose input has the wrong number of features."""

    def note(layer: nn.Module, inputs: tuple) -> None:
        assert isinstance(layer, nn.Linear)
        if inputs[0].shape[-1] != layer.in_features:
            seen.append(Misfit(path, layer.in_features, inputs[0].shape[-1]))

    return note


def _finding(name: str, seen: list[Misfit], error: str) -> Finding:
    if not seen:
        return Finding(
            name,
            "fault",
            f"The model does not run on the data: {error.rstrip('.')}.",
            0,
            "examples passed",
            "Give the last layer of each network the size that its part needs.",
            "lb.MLP(64, (64,), 2 * latent_dim)    # the encoder: mean and log σ²",
            lambda: _picture({"passed": 0}),
        )
    misfit = seen[0]
    return Finding(
        name,
        "fault",
        f"The model does not run on the data: {misfit.layer} takes {misfit.takes:,} features and "
        f"is given {misfit.given:,}.",
        misfit.given,
        "features",
        "Give the layer the features that reach it: each convolution of kernel k without padding "
        "takes k − 1 from height and width, the second one too.",
        f"torch.nn.Linear({misfit.given}, …)",
        lambda: _picture({"takes": misfit.takes, "is given": misfit.given}),
        further={"takes": misfit.takes},
    )


def _picture(values: dict[str, float]):
    import numpy as np

    from lowerbound import plots

    return plots.ranked_bars(
        np.array(list(values.values()), float),
        list(values),
        ylabel="features",
        title="The layer that does not fit",
    )
