"""Does the likelihood fit the data?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent

from lowerbound import likelihoods
from lowerbound.diagnosis.alternatives import STEPS, alternatives, bits_of_alternatives
from lowerbound.diagnosis.finding import SURE, Check, Finding, Severity
from lowerbound.diagnosis.noise import gaussian
from lowerbound.diagnosis.subject import Subject
from lowerbound.evaluation.bounds import estimate, prepared_batches

BETTER = 0.1
"""Bits per dimension by which another likelihood must be better: a tenth of a bit for each element
is more than what deeper networks usually win."""

FAMILIES = {
    Bernoulli: "Bernoulli",
    torch.distributions.ContinuousBernoulli: "ContinuousBernoulli",
    torch.distributions.Poisson: "Poisson",
    torch.distributions.NegativeBinomial: "NegativeBinomial",
    torch.distributions.StudentT: "StudentT",
}
"""What likelihoods of a user's own may return."""


def likelihood_fit(subject: Subject) -> Check:
    """Whether p(x|z) is a density of such data, and whether another likelihood codes them shorter.

    See `alternatives` for what is trained to compare.
    """
    name, question = "likelihood", "Does the likelihood fit the data?"
    x, family = _first_batch(subject)
    seen = "binarised" if _is_binary(x) and subject.test.kind != "binary" else subject.test.kind
    wrong = _unfit(family, x, subject.test.kind)
    known = {alternative.name for alternative in alternatives(subject.test)}
    if not wrong and (family not in known or len(known) == 1):
        return Check(name, question, f"{family} on {seen} values, of which it is a probability")
    if subject.train is None:
        bits: dict[str, Tensor] = {}
    else:
        bits = bits_of_alternatives(subject)
    means = {key: estimate(value) for key, value in bits.items()}
    listed = ", ".join(f"{key} {value.value:.3f}" for key, value in means.items())
    compared = f"held-out bits per dimension: {listed}" if listed else "no training data to compare"
    answer = f"{family} on {seen} values; {compared}"
    if wrong:
        ranked = sorted(means, key=lambda key: means[key].value)
        best = (ranked or [alternatives(subject.test)[0].name])[0]
        finding = Finding(
            name,
            wrong.severity,
            f"A {family} likelihood on {seen} values: {wrong.why}. {_advice(means)}".rstrip(),
            wrong.share,
            "of the elements of x",
            wrong.remedy,
            _code(best) + wrong.instead,
            lambda: _picture({key: value.value for key, value in means.items()}, wrong.share),
            further={f"bits per dimension, {key}": value.value for key, value in means.items()},
        )
        return Check(name, question, answer, finding)
    others = {key: value for key, value in means.items() if key != family}
    if family not in bits:
        return Check(name, question, answer)
    best = min(others, key=lambda key: others[key].value)
    saved = estimate(bits[family] - bits[best])
    if saved.value - SURE * saved.standard_error <= BETTER:
        return Check(name, question, answer)
    finding = Finding(
        name,
        "warning" if subject.test.kind == "counts" else "note",
        f"{best} fits the data better than the {family} likelihood: it codes the held-out data in "
        f"{saved.value:.3f} bits per dimension less ({means[best].value:.3f} against "
        f"{means[family].value:.3f}), with small decoders trained on the same codes for both.",
        saved.value,
        "bits per dimension",
        f"Take the {best} likelihood.",
        _code(best),
        lambda: _picture({key: value.value for key, value in means.items()}, 0.0),
        standard_error=saved.standard_error,
        further={f"bits per dimension, {key}": value.value for key, value in means.items()},
    )
    return Check(name, question, answer, finding)


def _first_batch(subject: Subject) -> tuple[Tensor, str]:
    """Prepared x, and the name of the likelihood's family."""
    x, context = next(prepared_batches(subject.model, subject.test, subject.device))
    z = subject.model.posterior(x, context).mean
    own = type(subject.model.likelihood).__name__
    if hasattr(likelihoods, own):
        return x, own
    return x, _family(subject.model.likelihood(z, context))


def _family(p: Distribution) -> str:
    """What p(x|z) is, elementwise."""
    if gaussian(p) is not None:
        return "Gaussian"
    elements = p.base_dist if isinstance(p, Independent) else p
    return FAMILIES.get(type(elements), type(elements).__name__)


@dataclass(frozen=True)
class Unfit:
    """The share of elements that a likelihood gives no density to, why, and what to do."""

    share: float
    why: str
    severity: Severity = "warning"
    remedy: str = "Take a likelihood that is a density, or a probability, of such data."
    instead: str = ""


def _is_binary(x: Tensor) -> bool:
    return bool(((x == 0) | (x == 1)).all())


def _unfit(family: str, x: Tensor, kind: str) -> Unfit | None:
    """What is wrong with a family for such data; None if it fits."""
    outside = ((x < 0) | (x > 1)).double().mean().item()
    if family in ("Bernoulli", "ContinuousBernoulli") and outside:
        return Unfit(
            outside,
            f"{100 * outside:.0f} % of the elements are outside of [0, 1], where it has none",
            "fault" if family == "Bernoulli" else "warning",
        )
    if family == "Bernoulli" and not _is_binary(x):
        between = ((x > 0) & (x < 1)).double().mean().item()
        return Unfit(
            between,
            f"{100 * between:.0f} % of the elements are between 0 and 1, so its bound is one for "
            "images binarised at random with these as probabilities, and not for the grey levels",
            "note",
            "Codes, reconstructions and sampled means do not suffer. Tell the bound as one for "
            "binarised images, and beside no other likelihood's; to train on such images, "
            "binarise; for a probability of the grey levels, take another likelihood.",
            ", or --set binarise=true",
        )
    if family in ("Gaussian", "ContinuousBernoulli") and kind == "binary" and _is_binary(x):
        return Unfit(
            1.0,
            "a density has no value at which two points are worth their probability, and the bound "
            "grows without end as it narrows around them",
        )
    return None


def _advice(means: dict) -> str:
    if not means:
        return ""
    ranked = sorted(means.items(), key=lambda item: item[1].value)
    listed = ", ".join(f"{key} {value.value:.3f}" for key, value in ranked)
    return (
        f"Held-out bits per dimension on the same codes, with small decoders trained for {STEPS:,} "
        f"steps: {listed}."
    )


def _code(best: str) -> str:
    return f"lb.VAE(…, likelihood=lb.{best}(network, shape))    # --set likelihood={best}"


def _picture(means: dict[str, float], share: float):
    from lowerbound import plots

    if not means:
        return plots.ranked_bars(
            np.array([100 * share]),
            ["without density"],
            ylabel="% of elements",
            title="Elements of x",
        )
    return plots.ranked_bars(
        np.array(list(means.values())),
        list(means),
        ylabel="held-out bits per dimension",
        xlabel="likelihood (less is better)",
        title="Small decoders on the same codes",
    )
