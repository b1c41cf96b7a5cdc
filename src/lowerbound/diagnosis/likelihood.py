"""Does the likelihood fit the data?"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Bernoulli, Distribution, Independent

from lowerbound import likelihoods
from lowerbound.diagnosis.alternatives import STEPS, alternatives, bits_of_alternatives
from lowerbound.diagnosis.finding import SURE, Check, Finding
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
    wrong = _unfit(family, x, subject.test.kind)
    if subject.train is None:
        bits: dict[str, Tensor] = {}
    else:
        bits = bits_of_alternatives(subject)
    means = {key: estimate(value) for key, value in bits.items()}
    listed = ", ".join(f"{key} {value.value:.3f}" for key, value in means.items())
    compared = f"held-out bits per dimension: {listed}" if listed else "no training data to compare"
    answer = f"{family} on {subject.test.kind} values; {compared}"
    if wrong:
        share, why = wrong
        ranked = sorted(means, key=lambda key: means[key].value)
        best = (ranked or [alternatives(subject.test)[0].name])[0]
        finding = Finding(
            name,
            "warning",
            f"A {family} likelihood on {subject.test.kind} values: {why}. {_advice(means)}",
            share,
            "of the elements of x",
            "Take a likelihood that is a density, or a probability, of such data.",
            _code(best),
            lambda: _picture({key: value.value for key, value in means.items()}, share),
            further={f"bits per dimension, {key}": value.value for key, value in means.items()},
        )
        return Check(name, question, answer, finding)
    others = {key: value for key, value in means.items() if key != family}
    if family not in bits or not others:
        return Check(name, question, answer)
    best = min(others, key=lambda key: others[key].value)
    saved = estimate(bits[family] - bits[best])
    if saved.value - SURE * saved.standard_error <= BETTER:
        return Check(name, question, answer)
    finding = Finding(
        name,
        "warning",
        f"The {family} likelihood does not fit: {best} codes the held-out data in "
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


def _unfit(family: str, x: Tensor, kind: str) -> tuple[float, str] | None:
    """The share of elements that the family gives no density to, and why; None if it fits."""
    binary = (x == 0) | (x == 1)
    if family == "Bernoulli" and not binary.all():
        share = (~binary).double().mean().item()
        return share, (
            f"{100 * share:.0f} % of the elements are neither 0 nor 1, where it has no "
            "probability, so the bound is one for randomly binarised images and not for these"
        )
    if family in ("Gaussian", "ContinuousBernoulli") and kind == "binary" and binary.all():
        return 1.0, (
            "a density has no value at which two points are worth their probability, and the bound "
            "grows without end as it narrows around them"
        )
    outside = (x < 0) | (x > 1)
    if family == "ContinuousBernoulli" and outside.any():
        share = outside.double().mean().item()
        return (
            share,
            f"{100 * share:.0f} % of the elements are outside of [0, 1], where it has none",
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
