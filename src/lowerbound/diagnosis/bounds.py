"""Can the bound be believed: on new data, as a measure of log p(x), and with its samples?"""

from __future__ import annotations

import torch

from lowerbound.diagnosis.finding import SURE, Check, Finding, shown
from lowerbound.diagnosis.subject import SAMPLES, Subject, importance_weighted
from lowerbound.evaluation import Estimate
from lowerbound.evaluation.bounds import estimate
from lowerbound.evaluation.importance import effective_size

OVERFITTING = 0.15
"""Share of the KL by which the bound may be better on training data.  What is learned by heart is
learned through the code, whose size the KL is.  Models of all of MNIST with 20 dimensions are at
0.04 and below; one of 4,000 digits, after 60 epochs, is at 0.26."""

GAP = 0.5
"""Share of the KL by which the importance-weighted bound may exceed the ELBO.  Models of MNIST are
at 0.15 with 20 dimensions and 0.35 with 3; above, the ELBO ranks encoders rather than models."""

RISE = 0.5
"""Nats that the importance-weighted bound may rise by when its samples double: less than what
models of MNIST are told apart by."""

LEAST = 1.0
"""Nats below which no gap is a finding, so that a code of few nats gives no false alarm."""


def overfitting(subject: Subject) -> Check:
    """The ELBO on training data less that on held-out data, with its standard error."""
    name, question = "overfitting", "Is the bound as good on new data as on the training data?"
    if subject.known is None:
        return Check(name, question, "not checked: the data it was trained on are not at hand")
    known, new = subject.elbo(subject.known), subject.elbo(subject.held_out)
    train, test = estimate(known), estimate(new)
    error = (train.standard_error**2 + test.standard_error**2) ** 0.5
    gap = Estimate(train.value - test.value, error)
    answer = f"ELBO {shown(train)} on training data, {shown(test)} on held-out data"
    if gap.value - SURE * error <= max(LEAST, OVERFITTING * subject.kl.value):
        return Check(name, question, answer)

    def draw():
        from lowerbound import plots

        return plots.score_histograms(
            {"ELBO": {"training": known.numpy(), "held out": new.numpy()}},
            xlabel=subject.unit,
            title="The bound of each example",
        )

    best = _best_epoch(subject)
    corrupted = getattr(subject.objective, "corruption", None)
    corrupt = "" if corrupted else " corrupt what the encoder sees,"
    stop = f"; validation was best at epoch {best[0]} of {best[1]}" if best else ""
    finding = Finding(
        name,
        "warning",
        f"The bound is {shown(gap)} {subject.unit} better on training data than on held-out data: "
        f"the model has learned examples by heart{stop}.",
        gap.value,
        subject.unit,
        f"Stop when the validation bound is best,{corrupt} or take a smaller model or more data.",
        "lb.Training(patience=10), lb.ELBO(corruption=lb.BernoulliDraw())",
        draw,
        standard_error=error,
        further={"training": train.value, "held out": test.value},
    )
    return Check(name, question, answer, finding)


def _best_epoch(subject: Subject) -> tuple[int, int] | None:
    """The epoch with the best validation bound, and the last one; None without validation."""
    seen = [e for e in subject.history if e.get("validation")]
    if not seen:
        return None
    return max(seen, key=lambda e: e["validation"]["bound"])["epoch"], seen[-1]["epoch"]


def bound_gap(subject: Subject) -> Check:
    """The importance-weighted bound less the ELBO: at least this is KL(q(z|x) ‖ p(z|x))."""
    name, question = "bound-gap", "Is the ELBO close enough to log p(x) to compare models by?"
    log_w = subject.log_weights
    elbo, tighter = log_w.mean(0), importance_weighted(log_w)
    gap = estimate(tighter - elbo)
    answer = (
        f"the importance-weighted bound (k = {SAMPLES}) is {shown(gap)} {subject.unit} above the "
        f"ELBO of {shown(estimate(elbo))}"
    )
    if gap.value - SURE * gap.standard_error <= max(LEAST, GAP * subject.kl.value):
        return Check(name, question, answer)
    finding = Finding(
        name,
        "warning",
        f"The ELBO is at least {shown(gap)} {subject.unit} below log p(x): q(z|x) is far from the "
        "posterior, and a model with a higher ELBO need not be the better one.",
        gap.value,
        subject.unit,
        "Compare models by the importance-weighted bound; train the encoder longer, make it "
        "larger, or train with that bound.",
        "lowerbound evaluate RUN --samples 1000    # or train: --set objective=IWAE",
        lambda: _over_samples(subject),
        standard_error=gap.standard_error,
        further={"elbo": elbo.mean().item(), "importance-weighted": tighter.mean().item()},
    )
    return Check(name, question, answer, finding)


def importance_samples(subject: Subject) -> Check:
    """How much the bound still rises from k/2 to k samples, and the effective sample size.

    ESS = (Σ w)²/Σ w² of k weights, between 1 and k (Kong 1992).
    """
    name, question = "importance-samples", f"Are {SAMPLES} importance samples enough?"
    log_w = subject.log_weights
    half = SAMPLES // 2
    fewer = 0.5 * (importance_weighted(log_w[:half]) + importance_weighted(log_w[half:]))
    rise = estimate(importance_weighted(log_w) - fewer)
    size = effective_size(log_w)
    median = size.median().item()
    answer = (
        f"doubling them to {SAMPLES} raised the bound by {shown(rise)} nats; effective sample size "
        f"{median:.1f} (median)"
    )
    if rise.value - SURE * rise.standard_error <= RISE:
        return Check(name, question, answer)
    finding = Finding(
        name,
        "warning",
        f"Going from {half} to {SAMPLES} importance samples still raises the bound by "
        f"{shown(rise)} nats, as few draws carry it (effective sample size {median:.1f}): it is "
        "far below log p(x).",
        rise.value,
        "nats per doubling",
        "Take more samples until the bound settles.",
        f"lowerbound evaluate RUN --samples {50 * SAMPLES}",
        lambda: _over_samples(subject),
        standard_error=rise.standard_error,
        further={"effective sample size": median},
    )
    return Check(name, question, answer, finding)


def _over_samples(subject: Subject):
    """The bound over its number of samples: averages over as many groups as there are."""
    from lowerbound import plots

    log_w = subject.log_weights
    sizes = [k for k in (1, 2, 5, 10, 20, 50, 100) if k <= len(log_w)]
    bounds = [
        torch.stack([importance_weighted(group) for group in log_w.split(k)]).mean().item()
        for k in sizes
    ]
    return plots.curves(
        torch.tensor(sizes, dtype=torch.float64).numpy(),
        {"bound": torch.tensor(bounds).numpy()},
        xlabel="importance samples",
        ylabel=subject.unit,
        logx=True,
        title="The importance-weighted bound on held-out data",
    )
