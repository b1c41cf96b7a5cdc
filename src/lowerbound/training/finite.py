"""Terms and weights that are to be finite."""

from __future__ import annotations

from pathlib import Path

from torch import Tensor

from lowerbound.errors import NonFiniteLoss
from lowerbound.training.settings import Training


def slower(training: Training) -> str:
    """What may keep a loss from growing."""
    if training.sampler is not None:
        return "a lower sampler.step_size or learning_rate, or train the model without first"
    return "a lower learning_rate, clip_norm=1 or some warmup_epochs"


def expect_finite(
    tensors: dict[str, Tensor], place: str, training: Training, kept: Path | None
) -> None:
    """Name the first tensor that is not finite, a term before the objective made of it.

    ``place`` is where in the run that is, and ``kept`` the folder of the last good checkpoint.

    Raises:
        NonFiniteLoss: there is one.
    """
    for name, tensor in reversed(tensors.items()):
        if tensor.isfinite().all():
            continue
        what = "NaN" if tensor.isnan().any() else "infinite"
        raise NonFiniteLoss(
            f"{name} became {what} {place}; try {slower(training)}, or look for outliers in "
            "the data" + ("" if kept is None else f"; the last good checkpoint is kept in {kept}")
        )
