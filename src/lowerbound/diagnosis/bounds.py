"""Can the bound be believed: on new data, as a measure of log p(x), and with its samples?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lowerbound.data import Dataset
from lowerbound.diagnosis.codes import difference
from lowerbound.diagnosis.encoder import expect_as_stated
from lowerbound.diagnosis.finding import Measured, NotChecked, say
from lowerbound.diagnosis.held_out import has_other_labels, other_data
from lowerbound.diagnosis.readings import STEPS, won
from lowerbound.diagnosis.thresholds import (
    GAP,
    LAST,
    LEARNING,
    LEAST_GAP,
    LEAST_LEARNED,
    LEAST_LEARNED_EARLY,
    OVERFITTING,
    RISE,
    SETTLED,
    surely_above,
)
from lowerbound.diagnosis.trained import SAMPLES, TrainedModel, subset
from lowerbound.evaluation import estimate
from lowerbound.evaluation.importance import effective_size
from lowerbound.objectives import IWAE, Renyi
from lowerbound.training import Course, criterion

COMPARED = 10_000
"""Examples of each split whose bounds are compared.  The spread between examples, 24 nats for MNIST
and up to 48 with few dimensions, is most of the error of the difference."""

COMPARED_SAMPLES = 10
"""Most draws of z per example there; fewer where there are many examples."""


def overfitting(trained: TrainedModel) -> Measured:
    """The ELBO on training data less that on held-out data, with its standard error."""
    if trained.training is None:
        raise NotChecked("no-training-data")
    if other_data(trained).form:
        raise NotChecked("other-data")
    if has_other_labels(trained):
        raise NotChecked("other-labels")
    known, new = _elbo(trained, trained.training), _elbo(trained, trained.held_out)
    gap = difference(known, new)
    stop = ""
    if seen := [e for e in trained.history if e.get("validation")]:
        best = max(seen, key=lambda e: criterion(e["validation"]))["epoch"]
        stop = say("overfitting", "stop", best=best, last=seen[-1]["epoch"])
    form = "corrupted" if getattr(trained.objective, "corruption", None) else ""
    is_found = surely_above(gap, max(LEAST_GAP, OVERFITTING * trained.kl.value))
    return Measured(
        form if is_found else None,
        train=estimate(known),
        test=estimate(new),
        gap=gap,
        stop=stop,
        elbo_of_each={"training": known, "held out": new},
    )


def _elbo(trained: TrainedModel, data: Dataset) -> Tensor:
    """The ELBO of each example of a split, (n,), from few draws."""
    data = subset(data, trained.seed, COMPARED)
    samples = min(COMPARED_SAMPLES, max(1, COMPARED // len(data)))
    return trained.log_weights(data, samples).mean(0)


def bound_gap(trained: TrainedModel) -> Measured:
    """The importance-weighted bound less the ELBO: at least this is KL(q(z|x) ‖ p(z|x))."""
    expect_as_stated(trained)
    log_w = trained.held_out_log_weights
    elbo, tighter = log_w.mean(0), importance_weighted(log_w)
    gap = estimate(tighter - elbo)
    form = "by-importance" if isinstance(trained.objective, IWAE | Renyi) else ""
    return Measured(
        form if surely_above(gap, max(LEAST_GAP, GAP * trained.kl.value)) else None,
        samples=SAMPLES,
        gap=gap,
        elbo=estimate(elbo),
        tighter=estimate(tighter),
        curve=_over_samples(log_w),
    )


def importance_samples(trained: TrainedModel) -> Measured:
    """How much the bound still rises from k/2 to k samples, and the effective sample size.

    ESS = (Σ w)²/Σ w² of k weights, between 1 and k (Kong 1992).
    """
    expect_as_stated(trained)
    log_w = trained.held_out_log_weights
    rise = estimate(importance_weighted(log_w) - importance_weighted(log_w, SAMPLES // 2))
    return Measured(
        "" if surely_above(rise, RISE) else None,
        samples=SAMPLES,
        half=SAMPLES // 2,
        more=50 * SAMPLES,
        rise=rise,
        size=effective_size(log_w).median().item(),
        curve=_over_samples(log_w),
    )


def importance_weighted(log_w: Tensor, k: int = SAMPLES) -> Tensor:
    """log (1/k) Σ w of each example, (n,): its mean over groups of k draws of log w (…, n)."""
    return torch.stack([each.logsumexp(0) - math.log(k) for each in log_w.split(k)]).mean(0)


def still_learning(trained: TrainedModel) -> Measured:
    """What the bound of the training data won over the last tenth of the epochs.

    After a training of few steps, or one epoch, what the objective would win by some more of them;
    what it lost, where that is most of what it had won.
    """
    kept = [e for e in trained.history if "bound" in e["train"]]
    can_go_on = trained.train is not None and math.isfinite(trained.steps)
    if not kept or (len(kept) < 2 and not can_go_on):
        raise NotChecked("no-course")
    epochs = [e["epoch"] for e in kept]
    bounds = [e["train"]["bound"] for e in kept]
    common = {
        "epoch": np.array(epochs, float),
        "course": np.array(bounds),
        "longer": 2 * epochs[-1],
    }
    course = Course(math.prod(trained.held_out.shape))
    if best := [course.lost(each) for each in kept][-1]:
        highest, now = best["train"]["bound"], bounds[-1]
        if trained.training is not None:  # which patience may have given back the best weights
            now = _elbo(trained, trained.training).mean().item()
        if now < (highest + bounds[-1]) / 2:
            found = {"best": best["epoch"], "lost": highest - now}
            return Measured("lost", "lost-answer", **found, **common)
    if can_go_on and (trained.steps < SETTLED or len(kept) < 2):

        def loss(*given: Any) -> Tensor:
            return -trained.objective(*given).objective

        more = estimate(won(trained, loss))
        form = "early" if surely_above(more, LEAST_LEARNED_EARLY) else None
        return Measured(form, "early-answer", won=more, more=STEPS, steps=trained.steps, **common)
    last = max(1, round(LAST * len(bounds)))
    rise = bounds[-1] - bounds[-1 - last]
    return Measured(
        "" if rise > max(LEARNING * trained.kl.value, LEAST_LEARNED) else None,
        won=rise,
        last=f"in epoch {epochs[-1]}" if last == 1 else f"in the last {last} epochs",
        **common,
    )


def _over_samples(log_w: Tensor) -> dict[int, float]:
    return {k: importance_weighted(log_w, k).mean().item() for k in (1, 2, 5, 10, 20, 50, 100)}
