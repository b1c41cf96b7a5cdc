"""Do the codes say anything, and did they from the start?"""

from __future__ import annotations

import numpy as np

from lowerbound.diagnosis.finding import Check, Finding
from lowerbound.diagnosis.subject import VANISHED, Subject
from lowerbound.evaluation.bounds import ACTIVE_VARIANCE

VANISHED_SHARE = 0.2
"""Share of the epochs with a vanished KL that makes a finding.  At its start any model first learns
the mean image, which needs no code; that takes a few steps, not a fifth of the training."""


def collapsed_dimensions(subject: Subject) -> Check:
    """Latent dimensions whose posterior mean hardly varies over the data.

    The criterion is that of `evaluate`: the variance of E_q[z] over x is at most 0.01 (Burda,
    Grosse & Salakhutdinov 2015, arXiv 1509.00519).  It takes no more data as dimensions grow, and
    is far from both sides in practice: 10⁻⁴ where a dimension is unused, 0.1 to 1 where it is used.
    """
    name, question = "collapsed-dimensions", "Does every latent dimension say something about x?"
    codes = subject.codes
    variance = codes.mean.double().var(0)
    active = variance > ACTIVE_VARIANCE
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
            criterion=f"the variance of its mean > {ACTIVE_VARIANCE}",
            unit="variance of the mean" if codes.kl is None else subject.unit,
        )

    collapsed = total - used
    if used == 0:
        severity, sentence, remedy, code = (
            "fault",
            f"All {total} latent dimensions have collapsed: the code says nothing about x, and "
            f"every {subject.what} is reconstructed as the same one.",
            "Sum the reconstruction loss over the elements of x (lb.diagnose_loss checks a loss "
            "function), let a Gaussian decoder learn its σ, and raise the KL's weight slowly.",
            "lb.fit(model, data, objective=lb.ELBO(beta=lb.Linear(start=0, duration=10)))",
        )
    else:
        severity, sentence, remedy, code = (
            "note",
            f"{collapsed} of {total} latent dimensions have collapsed: they are noise to the "
            "decoder. A model that does not need them drops them so; nothing else is wrong.",
            "Take fewer dimensions, or, if they should carry more, leave them some nats free.",
            f"lowerbound train … --set latent_dim={used}    # or --set objective.free_bits=0.1",
        )
    finding = Finding(
        name,
        severity,  # type: ignore[arg-type]
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
    finding = Finding(
        name,
        "warning" if recovered else "fault",
        f"The KL was below {VANISHED} nats from epoch {first} on, for {epochs_low}, {end}: the "
        "decoder learned to do without a code.",
        int(low.sum()),
        f"of {len(kl)} epochs",
        "Start with a KL weight of 0 and raise it over the first quarter of the training.",
        f"lowerbound train … --set objective.beta=Linear --set objective.beta.start=0 "
        f"--set objective.beta.duration={max(1, len(kl) // 4)}",
        draw,
        further={"first epoch": first, "last kl": float(kl[-1])},
    )
    return Check(name, question, answer, finding)
