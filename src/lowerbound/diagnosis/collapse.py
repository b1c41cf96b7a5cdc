"""Do the codes say anything, and did they from the start?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from lowerbound.diagnosis.finding import Check, Finding, Severity
from lowerbound.diagnosis.noise import OFF, plain
from lowerbound.diagnosis.subject import VANISHED, Subject
from lowerbound.evaluation.bounds import ACTIVE_VARIANCE

CONSTANT = 1e-6
"""Variance of an autoencoder's dimension, over that of its largest, below which it says nothing."""

VANISHED_SHARE = 0.2
"""Share of the epochs with a vanished KL that makes a finding.  At its start any model first learns
the mean image, which needs no code; that takes a few steps, not a fifth of the training."""


def collapsed_dimensions(subject: Subject) -> Check:
    """Latent dimensions whose posterior mean hardly varies over the data.

    The criterion is that of `evaluate`, in units of the aggregate posterior, as a prior that is
    learned may be of any scale: the variance of E_q[z] over x is at most 0.01 of that of z (Burda,
    Grosse & Salakhutdinov 2015, arXiv 1509.00519).  It takes no more data as dimensions grow, and
    is far from both sides in practice: 10⁻⁴ where a dimension is unused, 0.1 to 1 where it is used.
    The codes of an autoencoder are points; there it is `CONSTANT` of the largest.
    """
    name, question = "collapsed-dimensions", "Does every latent dimension say something about x?"
    codes = subject.codes
    variance = codes.mean.double().var(0)
    if subject.is_autoencoder:
        active = variance > CONSTANT * variance.max()
        criterion = f"the variance of its mean > {CONSTANT:g} of the largest"
    else:
        active = variance > ACTIVE_VARIANCE * (variance + codes.variance.double().mean(0))
        criterion = f"the variance of its mean > {ACTIVE_VARIANCE:g} of its own"
    used, total = int(active.sum()), len(active)
    answer = f"{used} of {total} dimensions are active"
    if codes.kl is not None:
        answer += f"; KL {subject.kl.value:.2f} {subject.unit}"
    if used == total:
        return Check(name, question, answer)
    values = variance if codes.kl is None else codes.kl.double().mean(0)

    def draw():
        from lowerbound import plots

        return plots.kl_per_dimension(
            values.numpy(),
            active=active.numpy(),
            criterion=criterion,
            unit="variance of the mean" if codes.kl is None else subject.unit,
        )

    collapsed = total - used
    severity: Severity = "note" if used else "fault"
    if used == 0 and subject.is_autoencoder:
        sentence = (
            f"All {total} latent dimensions are constant: every {subject.what} has the same code, "
            "and is reconstructed as the same one."
        )
        remedy = "Train longer, with another learning rate or other first weights."
        code = "lb.fit(model, data, training=lb.Training(learning_rate=1e-3))"
    elif used == 0:
        all_of_them = cause_of_collapse(subject)
        remedy, code = all_of_them.remedy, all_of_them.code
        sentence = (
            f"All {total} latent dimensions have collapsed: the code says nothing about x, and "
            f"every {subject.what} is reconstructed as the same one.{all_of_them.why}"
        )
    else:
        cause = None if subject.is_autoencoder else cause_of_collapse(subject)
        fewer = f"lowerbound train … --set latent_dim={used}"
        have = "has" if collapsed == 1 else "have"
        sentence = f"{collapsed} of {total} latent dimensions {have} collapsed: "
        if cause is None:
            sentence += "what they are for one x they are for all."
            remedy, code = "Take fewer dimensions.", fewer
        elif cause.why:
            sentence += f"they are noise to the decoder.{cause.why}"
            remedy, code = cause.remedy, cause.code
        else:
            sentence += (
                "they are noise to the decoder. A model that does not need them drops them so; "
                "nothing else is wrong."
            )
            remedy = "Take fewer dimensions, or, if they should carry more, leave them nats free."
            code = f"{fewer}    # or --set objective.free_bits=0.1"
    finding = Finding(
        name,
        severity,
        sentence,
        collapsed,
        f"of {total} dimensions",
        remedy,
        code,
        draw,
        further={"active": used, "kl": subject.kl.value} if codes.kl is not None else {},
    )
    return Check(name, question, answer, finding)


def vanishing_kl(subject: Subject) -> Check:
    """Epochs at which the training KL was next to nothing, counted in the history."""
    name, question = "vanishing-kl", "Did the code carry information throughout training?"
    epochs = [(e["epoch"], e["train"]["kl"]) for e in subject.history if "kl" in e["train"]]
    if not epochs:
        return Check(name, question, "not checked: there is no history with a KL")
    number, kl = (np.array(column, float) for column in zip(*epochs, strict=True))
    low = kl < VANISHED
    share = low.mean()
    epochs_low = f"{int(low.sum())} of {len(kl)} epochs"
    answer = f"KL below {VANISHED} nats in {epochs_low}; at last {kl[-1]:.2f}"
    if share < VANISHED_SHARE:
        return Check(name, question, answer)

    def draw():
        from lowerbound import plots

        return plots.curves(
            number,
            {"KL": kl, f"{VANISHED} nats": np.full(len(kl), VANISHED)},
            xlabel="epoch",
            ylabel=subject.unit,
            title="KL of the training data",
        )

    first = int(number[low][0])
    recovered = not low[-1]
    end = f"and came back, to {kl[-1]:.2f}" if recovered else "and never came back"
    cause = cause_of_collapse(subject, first)
    finding = Finding(
        name,
        "warning" if recovered else "fault",
        f"The KL was below {VANISHED} nats from epoch {first} on, for {epochs_low}, {end}: the "
        f"decoder learned to do without a code.{cause.why}",
        int(low.sum()),
        f"of {len(kl)} epochs",
        cause.remedy,
        cause.code,
        draw,
        further={"first epoch": first, "last kl": float(kl[-1])},
    )
    return Check(name, question, answer, finding)


@dataclass(frozen=True)
class Cause:
    """Why the KL went to nothing, where the model or its objective tells, and what to do."""

    why: str
    remedy: str
    code: str


def cause_of_collapse(subject: Subject, epoch: float = math.inf) -> Cause:
    """What weighs the KL up: the decoder's σ, or the objective's β, at ``epoch`` or in the end.

    With a code that says nothing, the encoder is the prior whatever the KL's weight is, so that
    `stationarity` cannot tell it: the record of the run does.
    """
    found = subject.noise
    if found is not None and found.is_off and found.ratio < 1 and found.weight > OFF**2:
        return Cause(
            f" Its σ is {found.sigma:.4g} where errors are {found.best:.2g}, which weighs the KL "
            f"by {plain(found.weight)}.",
            "Sum a squared error over the elements of x, as a mean over them is such a σ, and let "
            "the decoder learn its σ.",
            'lb.Gaussian(network, shape, sigma="optimal")    # --set sigma=optimal',
        )
    beta, last = subject.beta(min(epoch, subject.epochs)), subject.beta(subject.epochs)
    if max(beta, last) > 1:
        return Cause(
            f" The objective weighs the KL by {max(beta, last):g}.",
            "Weigh the KL by 1, or by less.",
            "lb.fit(model, data, objective=lb.ELBO(beta=1.0))    # --set objective.beta=1",
        )
    if beta < last:
        return Cause(
            f" The KL's weight had come to {beta:.2g} then.",
            "Raise the KL's weight later or to less, or leave each dimension some nats free; "
            "lb.diagnose_loss checks a loss function of your own.",
            "lb.fit(model, data, objective=lb.ELBO(free_bits=0.1))    "
            "# --set objective.free_bits=0.1",
        )
    return Cause(
        "",
        "Start with a KL weight of 0 and raise it over the first quarter of the training; "
        "lb.diagnose_loss checks a loss function of your own.",
        "lb.fit(model, data, objective=lb.ELBO(beta=lb.Linear(start=0, duration=10)))    "
        "# --set objective.beta=Linear",
    )
