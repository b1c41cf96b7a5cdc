"""Is the decoder's noise as large as its errors are?"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch.distributions import Distribution, Independent, Normal

from lowerbound.diagnosis.finding import SURE, Check, Finding
from lowerbound.diagnosis.subject import Subject
from lowerbound.distributions import OptimalNormal
from lowerbound.evaluation.bounds import estimate, prepared_batches

OFF = 1.25
"""Factor by which σ may miss the error's root mean square: each element of x then loses 0.05 nats
(½ (r² − 1 − log r²) at r = 1.25), some 40 nats for an image of 784.  A σ that was learned is
within 1.05."""


def decoder_noise(subject: Subject) -> Check:
    """σ of a Gaussian decoder beside the σ* that maximises the likelihood of the same means.

    σ*² = E (x − μ(z))², z ~ q(z|x), over all elements.  With r = σ*/σ the bound gains
    D (½ (r² − 1) − log r) nats from changing σ alone.  A decoder with a σ for each element is
    judged by its standardised errors, r² = E (x − μ(z))²/σ².
    """
    name, question = "decoder-noise", "Is the decoder's σ the size of its errors?"
    found = subject.noise
    if found is None:
        return Check(name, question, "not checked: the likelihood is no Gaussian")
    sigma, best, ratio = found.sigma, found.best, found.ratio
    error = found.standard_error
    answer = f"σ = {sigma:.4g}; the errors' root mean square is {best:.4g}"
    if not found.is_off:
        return Check(name, question, answer)
    size = math.prod(subject.model.shape)
    gain = size * (0.5 * (ratio**2 - 1) - math.log(ratio))

    def draw():
        from lowerbound import plots

        ends = (math.log10(min(sigma, best) / 1.3), math.log10(max(sigma, best) * 1.3))
        sigmas = torch.logspace(*ends, 100, dtype=torch.float64)
        lost = size * (0.5 * ((best / sigmas) ** 2 - 1) + (sigmas / best).log())
        return plots.curves(
            sigmas.numpy(),
            {"lost by σ": lost.numpy()},
            xlabel=f"σ (the model's {sigma:.3g}; the best {best:.3g})",
            ylabel=subject.unit,
            logx=True,
            title="What the bound loses by its σ, the decoder's means as they are",
        )

    finding = Finding(
        name,
        "warning",
        f"The decoder's σ is {sigma:.4g}, but the root mean square of its errors is {best:.4g}: "
        f"the bound loses {gain:,.1f} {subject.unit}, and the KL is as good as weighted by "
        f"{plain(found.weight)}.",
        sigma / best,
        "times the best σ",
        "Let the model learn its σ, or take the best one for each batch.",
        f'lb.Gaussian(network, shape, sigma="optimal")    # or sigma={best:.3g}; '
        "on the command line --set sigma=optimal",
        draw,
        standard_error=error / ratio**2,
        further={"sigma": sigma, "best sigma": best, "nats lost": gain},
    )
    return Check(name, question, answer, finding)


@dataclass(frozen=True)
class Noise:
    """σ of a Gaussian decoder, the ``ratio`` of the best one to it with its error, and the
    objective's β."""

    sigma: float
    ratio: float
    standard_error: float
    beta: float

    @property
    def best(self) -> float:
        return self.sigma * self.ratio

    @property
    def is_off(self) -> bool:
        """Whether σ is surely off by more than `OFF`."""
        sure = SURE * self.standard_error / self.ratio
        return abs(math.log(self.ratio)) - sure > math.log(OFF)

    @property
    def weight(self) -> float:
        """The KL's weight in units of the best σ's reconstruction: β (σ/σ*)²."""
        return self.beta / self.ratio**2


def plain(value: float) -> str:
    """Three digits, without an exponent.

    >>> plain(5818.3), plain(20.21)
    ('5,818', '20.2')
    """
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def noise(subject: Subject) -> Noise | None:
    """The decoder's σ beside its errors, on training data if there are any; None if no Gaussian."""
    data = subject.test if subject.train is None else subject.train
    errors, variances = [], []
    for x, context in prepared_batches(subject.model, data, subject.device):
        z = subject.model.posterior(x, context).sample()
        normal = gaussian(subject.model.likelihood(z, context))
        if normal is None:
            return None
        squared = (x.reshape(normal.mean.shape) - normal.mean) ** 2
        errors.append((squared / normal.variance).flatten(1).mean(1).cpu())
        variances.append(normal.variance.expand_as(squared).flatten(1).mean(1).cpu())
    ratio_squared = estimate(torch.cat(errors))
    ratio = math.sqrt(ratio_squared.value)
    sigma = math.sqrt(torch.cat(variances).double().mean().item())
    beta = subject.last_beta
    error = ratio_squared.standard_error / (2 * ratio)
    return Noise(sigma, ratio, error, 1.0 if math.isnan(beta) else beta)


def gaussian(p: Distribution) -> Distribution | None:
    """The elementwise Gaussian in p(x|z), if that is what it is."""
    elements = p.base_dist if isinstance(p, Independent) else p
    return elements if isinstance(elements, Normal | OptimalNormal) else None
