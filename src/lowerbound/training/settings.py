"""How to train: one frozen value, checked when it is made."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Annotated, Literal

import pydantic

from lowerbound.errors import ConfigurationError
from lowerbound.parts import Finite, Positive, Size, part
from lowerbound.training.sghmc import SGHMC

FromZero = Annotated[Finite, pydantic.Field(ge=0)]


@part
@dataclass(frozen=True)
class Training:
    """Settings of `fit`.

    Attributes:
        epochs: passes over the training set, at least 1.
        batch_size: examples per step, over all processes together, at least 1.
        optimizer: ``"adam"``, or ``"adamw"``, which decays the weights.
        learning_rate: the highest reached, above 0.
        weight_decay: a step of ``"adamw"`` takes the fraction learning_rate × weight_decay off
            every weight.
        schedule: keeps the learning rate, or lets it fall to 0 by a cosine.
        warmup_epochs: epochs of linear rise to the learning rate.
        clip_norm: largest norm of the gradient, above 0; None does not clip.
        patience: stop after so many epochs, at least 1, without a better validation bound (or, of
            an objective that has none, without a better objective), and keep the best weights;
            None trains to the end and keeps the last.
        ema: decay of the exponential average of weights that is validated and kept, such as 0.999;
            None keeps the weights themselves.
        precision: ``"bfloat16"`` runs the networks in mixed precision; weights, densities and the
            optimiser stay in float32.  ``"auto"`` does so where the hardware multiplies bfloat16
            itself, which is decided before the first step.
        compile: whether to compile a step as a whole, which takes some 10 to 20 seconds before the
            first, and a few once the same was compiled before; ``"auto"`` compiles on a processor
            where 10,000 steps or more are planned.  A step that cannot be compiled, or of several
            processes, is taken as without.  Results agree to rounding.
        seed: of the order of examples and of all noise, from 0 to 2⁶³ − 1.
        sampler: draws weights from their posterior, p(θ|D), where the optimiser would train them;
            None trains all.
    """

    epochs: Size = 20
    batch_size: Size = 128
    optimizer: Literal["adam", "adamw"] = "adam"
    learning_rate: Positive = 1e-3
    weight_decay: FromZero = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    warmup_epochs: FromZero = 0.0
    clip_norm: Annotated[float, pydantic.Field(gt=0)] | None = None
    patience: Size | None = None
    ema: Annotated[float, pydantic.Field(gt=0, lt=1)] | None = None
    precision: Literal["float32", "bfloat16", "auto"] = "float32"
    compile: Literal["auto", True, False] = "auto"
    seed: Annotated[int, pydantic.Field(ge=0, le=2**63 - 1)] = 0
    sampler: SGHMC | None = None

    def __post_init__(self) -> None:
        if self.optimizer == "adam" and self.weight_decay:
            raise ConfigurationError(
                "expected optimizer='adamw' for a weight_decay, got 'adam'; set one of them"
            )
        if self.sampler is not None:
            self._expect_to_sample(self.sampler)

    def _expect_to_sample(self, sampler: SGHMC) -> None:
        unfit = {"clip_norm": None, "patience": None, "ema": None, "compile": "auto"}
        for name, value in unfit.items():
            if getattr(self, name) not in (value, False):
                raise ConfigurationError(
                    f"expected no {name} with a sampler, whose draws are of the posterior at the "
                    f"gradients as they are, got {getattr(self, name)}; leave it out"
                )
        if not sampler.draws(self.epochs):
            raise ConfigurationError(
                f"expected at least {sampler.burn_in + sampler.thinning} epochs, to keep a draw "
                f"after burn_in={sampler.burn_in}, got {self.epochs}; set more epochs, or a "
                "shorter sampler.burn_in"
            )

    def learning_rate_at(self, time: float) -> float:
        """The learning rate at ``time`` epochs.

        >>> settings = Training(epochs=11, learning_rate=1.0, schedule="cosine", warmup_epochs=1)
        >>> [round(settings.learning_rate_at(t), 3) for t in (0, 0.5, 1, 6, 11)]
        [0.0, 0.5, 1.0, 0.5, 0.0]
        """
        if time < self.warmup_epochs:
            return self.learning_rate * time / self.warmup_epochs
        if self.schedule == "constant":
            return self.learning_rate
        span = max(self.epochs - self.warmup_epochs, 1e-12)
        progress = min(1.0, (time - self.warmup_epochs) / span)
        return self.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))
