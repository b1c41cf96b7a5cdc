"""Do the codes say anything, and did they from the start?"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from lowerbound.diagnosis.finding import TABLE, Measured, NotChecked, fill
from lowerbound.diagnosis.likelihood import decoder_noise, gaussian
from lowerbound.diagnosis.thresholds import CONSTANT, NOISE_OFF, VANISHED, VANISHED_SHARE
from lowerbound.diagnosis.trained import TrainedModel
from lowerbound.evaluation.bounds import ACTIVE_VARIANCE


def collapsed_dimensions(trained: TrainedModel) -> Measured:
    """Latent dimensions whose posterior mean hardly varies over the data.

    The criterion is that of `evaluate`, in units of the aggregate posterior, as a prior that is
    learned may be of any scale: the variance of E_q[z] over x is at most 0.01 of that of z (Burda,
    Grosse & Salakhutdinov 2015, arXiv 1509.00519).  It takes no more data as dimensions grow, and
    is far from both sides in practice: 10⁻⁴ where a dimension is unused, 0.1 to 1 where it is used.
    The codes of an autoencoder are points; there it is `CONSTANT` of the largest.
    """
    q = trained.codes
    variance = q.mean.double().var(0)
    if trained.is_autoencoder:
        share, reference, whole = CONSTANT, "the largest", variance.max()
    else:
        share, reference = ACTIVE_VARIANCE, "its own"
        whole = variance + q.variance.double().mean(0)
    active = variance > share * whole
    used, total = int(active.sum()), len(active)
    height, unit, answer = variance, "variance of the mean", "answer"
    values: dict[str, Any] = {}
    if q.kl_terms is not None:
        height, unit, answer = q.kl_terms.double().mean(0), trained.nats, "answer-with-kl"
        values["kl"] = trained.kl.value
    form = None if used == total else "some" if used else "all"
    if form and trained.is_autoencoder:
        form += "-of-an-autoencoder"
    elif form:
        values |= cause_of_collapse(trained)
        form += "-for-a-cause" if used and values["cause"] else ""
    return Measured(
        form,
        answer,
        used=used,
        total=total,
        collapsed=total - used,
        have="has" if total - used == 1 else "have",
        active=active,
        criterion=f"the variance of its mean > {share:g} of {reference}",
        height=height,
        height_unit=unit,
        **values,
    )


def vanishing_kl(trained: TrainedModel) -> Measured:
    """Epochs at which the training KL was next to nothing, counted in the history."""
    epochs = [(e["epoch"], e["train"]["kl"]) for e in trained.history if "kl" in e["train"]]
    if not epochs:
        raise NotChecked("no-history")
    number, course = np.array(epochs, float).T
    low, form, cause = course < VANISHED, None, {}
    first = int(number[low.argmax()])
    if low.mean() >= VANISHED_SHARE:
        form, cause = "lost" if low[-1] else "recovered", cause_of_collapse(trained, first)
    return Measured(
        form,
        vanished=VANISHED,
        low=int(low.sum()),
        epochs=len(course),
        first=first,
        last=float(course[-1]),
        epoch=number,
        course=course,
        **cause,
    )


def cause_of_collapse(trained: TrainedModel, epoch: float = math.inf) -> dict[str, str]:
    """What weights the KL up: the decoder's σ, or the objective's β, at ``epoch`` or in the end.

    With a code that says nothing, the encoder is the prior whatever the KL's weight is, so that
    `stated_weights` cannot tell it: the record of the run does.
    """
    beta, last = trained.beta(min(epoch, trained.epochs)), trained.beta(trained.epochs)
    is_gaussian = gaussian(trained.likelihood) is not None
    noise = decoder_noise(trained) if is_gaussian else Measured()
    values, cause = {"beta": beta, **noise.values}, "unknown"
    is_off = noise.form is not None
    if is_off and values["sigma"] > values["best"] and values["weight"] > NOISE_OFF**2:
        cause = "sigma"
    elif max(beta, last) > 1:
        cause, values["beta"] = "beta", max(beta, last)
    elif beta < last:
        cause = "rising-beta"
    return {part: fill(text, values) for part, text in TABLE["cause"][cause].items()}
