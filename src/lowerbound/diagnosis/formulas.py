"""Right and wrong formulas of a VAE's loss: what a user's own function is compared with.

All are sums over latent dimensions, or over elements of x, for each example: (batch,).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from lowerbound.distributions import LOG_2PI
from lowerbound.divergences import standard_normal_kl_terms, univariate_gaussian_kl

SCALES: dict[str, Callable[[Tensor], Tensor]] = {
    "log_variance": lambda s: s,
    "log_sigma": lambda s: 2 * s,
    "sigma": lambda s: 2 * s.log(),
    "variance": lambda s: s.log(),
}
"""log σ² from the second argument of a user's function, by what that argument is."""

WORDS = {"log_variance": "log σ²", "log_sigma": "log σ", "sigma": "σ", "variance": "σ²"}

STATED: dict[str, Callable[[Tensor], Tensor]] = {
    "log_variance": lambda v: v,
    "log_sigma": lambda v: v / 2,
    "sigma": lambda v: (v / 2).exp(),
    "variance": lambda v: v.exp(),
}
"""The inverse: that argument from log σ²."""


@dataclass(frozen=True, eq=False)
class Formula:
    """A formula, what is wrong with it (nothing, in the right one), and what to write instead."""

    wrong: str
    value: Callable[..., Tensor]
    is_squared: bool = False


def _sum(terms: Tensor) -> Tensor:
    return terms.flatten(1).sum(1)


def kl_formulas(scale: str) -> list[Formula]:
    """KL(N(μ, σ²) ‖ N(0, I)) as a function of μ and the argument s, the right one first."""
    read = SCALES[scale]

    def of(terms: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """A formula in μ and log σ² as one in μ and s."""
        return lambda mean, s: _sum(terms(mean, read(s)))

    def misread(other: str) -> Formula:
        return Formula(
            f"it takes its second argument for {WORDS[other]}, and it is {WORDS[scale]}",
            lambda mean, s: _sum(standard_normal_kl_terms(mean, SCALES[other](s))),
        )

    right = Formula("", of(standard_normal_kl_terms))
    misreadings = [
        misread(other)
        for other in SCALES
        if other != scale and not (scale.startswith("log") and not other.startswith("log"))
    ]
    return [
        right,
        *misreadings,
        Formula(
            "μ² + σ² − log σ − ½ lacks the ½ before μ² and σ²: it is ½ where q is the prior",
            of(lambda m, v: m**2 + v.exp() - v / 2 - 0.5),
        ),
        Formula(
            "−½ Σ (1 + log σ − σ − μ²) has σ where σ² is meant",
            of(lambda m, v: -0.5 * (1 + v / 2 - (v / 2).exp() - m**2)),
        ),
        Formula(
            "its logarithm is that of σ² and its variance is that of log σ: exp(2h) beside h",
            of(lambda m, v: 0.5 * ((2 * v).exp() + m**2 - 1 - v)),
        ),
        Formula(
            "its variance is σ beside log σ²: exp(½ h) beside h",
            of(lambda m, v: 0.5 * ((v / 2).exp() + m**2 - 1 - v)),
        ),
        Formula(
            "it lacks the logarithm of the variance",
            of(lambda m, v: 0.5 * (v.exp() + m**2 - 1)),
        ),
        Formula(
            "it is the KL of the prior from q, KL(p ‖ q), and not KL(q ‖ p)",
            of(lambda m, v: 0.5 * (v + (1 + m**2) * (-v).exp() - 1)),
        ),
        Formula(
            "it is KL(p ‖ q), with 2σ where 2σ² is meant in the denominator",
            of(lambda m, v: 0.5 * (v + (1 + m**2) * (-v / 2).exp() - 1)),
        ),
        Formula(
            "in ∫ q log p = −½ log 2π − ½ (σ² + μ²) the sign of the second term is lost",
            of(lambda m, v: -0.5 * (1 + LOG_2PI + v) + 0.5 * LOG_2PI - 0.5 * (v.exp() + m**2)),
        ),
    ]


def gaussian_kl_formulas(scale: str) -> list[Formula]:
    """KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) as a function of μ₁, s₁, μ₂, s₂, the right one first."""
    read = SCALES[scale]

    def of(terms: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
        return lambda m1, s1, m2, s2: _sum(
            terms(m1, (read(s1) / 2).exp(), m2, (read(s2) / 2).exp())
        )

    return [
        Formula("", of(univariate_gaussian_kl)),
        Formula(
            "it is the KL of the second from the first: the arguments are swapped",
            of(lambda m1, a, m2, b: univariate_gaussian_kl(m2, b, m1, a)),
        ),
        Formula(
            "its denominator is 2σ where 2σ² is meant: it is not 0 where both Gaussians are equal",
            of(lambda m1, a, m2, b: (b / a).log() + (a**2 + (m1 - m2) ** 2) / (2 * b) - 0.5),
        ),
        Formula(
            "its denominator is 2σ where 2σ² is meant, and its arguments are swapped: it is not 0 "
            "where both Gaussians are equal",
            of(lambda m1, a, m2, b: (a / b).log() + (b**2 + (m1 - m2) ** 2) / (2 * a) - 0.5),
        ),
        Formula(
            "in ∫ q log p the sign of the square is lost",
            of(lambda m1, a, m2, b: _entropy(a) + 0.5 * LOG_2PI + b.log() - _square(m1, a, m2, b)),
        ),
        Formula(
            "in ∫ q log p the sign of the logarithm is lost",
            of(lambda m1, a, m2, b: _entropy(a) - 0.5 * LOG_2PI - b.log() + _square(m1, a, m2, b)),
        ),
    ]


def _entropy(sigma: Tensor) -> Tensor:
    """∫ q log q, the negative entropy."""
    return -0.5 * (1 + LOG_2PI) - sigma.log()


def _square(mean_1: Tensor, sigma_1: Tensor, mean_2: Tensor, sigma_2: Tensor) -> Tensor:
    return (sigma_1**2 + (mean_1 - mean_2) ** 2) / (2 * sigma_2**2)


def reconstruction_formulas(decoder: str) -> list[Formula]:
    """−log p(x|z) as a function of the decoder's output y and x, the right ones first.

    ``decoder`` says what y is: "probabilities", "logits", or "means" of a Gaussian, whose squared
    error is right at any weight, up to a constant.
    """
    by_probability = Formula("", lambda y, x: _sum(_cross_entropy(y, x)))
    by_logit = Formula(
        "",
        lambda y, x: _sum(F.binary_cross_entropy_with_logits(y, x, reduction="none")),
    )
    squared = Formula("", lambda y, x: _sum((x - y) ** 2), is_squared=True)
    if decoder == "means":
        return [squared]
    if decoder == "logits":
        return [
            by_logit,
            Formula(
                "it is the squared error of logits, which are no values of x: take their sigmoid",
                squared.value,
                is_squared=True,
            ),
        ]
    return [
        by_probability,
        squared,
        Formula(
            "the logarithm is on x, the ground truth, and not on the reconstruction",
            lambda y, x: _sum(_cross_entropy(x, y)),
        ),
        Formula(
            "the sigmoid is taken twice: binary_cross_entropy_with_logits on probabilities",
            by_logit.value,
        ),
    ]


def _cross_entropy(y: Tensor, x: Tensor) -> Tensor:
    return -(x * y.log() + (1 - x) * (1 - y).log())


@dataclass(frozen=True)
class Sizes:
    """Elements of x, latent dimensions, and examples in a batch where that is known."""

    elements: int
    latent: int
    batch: int | None = None


def cause_of(factor: float, sizes: Sizes, tolerance: float = 0.01) -> str:
    """What makes the KL's weight wrong by this factor, if it is one of the known faults.

    >>> cause_of(784.0, Sizes(784, 20))
    'the reconstruction is averaged over the 784 elements of x'
    """
    elements, latent, batch = sizes.elements, sizes.latent, sizes.batch
    known = {
        float(elements): f"the reconstruction is averaged over the {elements:,} elements of x",
        1 / latent: f"the KL is averaged over the {latent} latent dimensions",
        elements / latent: (
            f"the reconstruction is averaged over the {elements:,} elements of x and the KL over "
            f"the {latent} latent dimensions"
        ),
        1 / elements: f"the KL is divided by the {elements:,} elements of x",
        2.0: "the KL lacks its factor ½",
        0.5: "a squared error lacks its factor ½, or the KL has its own twice",
        0.00025: "the magic weight kld_weight = 0.00025",
        0.00025 * elements: (
            "the magic weight kld_weight = 0.00025, on a reconstruction averaged over the "
            f"{elements:,} elements of x"
        ),
    }
    if batch is not None:
        known |= {
            float(batch): "the KL is summed over the batch and the reconstruction averaged over it",
            1 / batch: "the reconstruction is summed over the batch and the KL averaged over it",
            float(batch * elements): (
                "the reconstruction is averaged over elements and batch, and the KL summed"
            ),
            1 / (batch * latent): (
                "the KL is averaged over dimensions and batch, and the reconstruction summed"
            ),
        }
    nearest = min(known, key=lambda value: abs(math.log(factor / value)))
    return known[nearest] if near(factor, nearest, tolerance) else ""


def near(value: float, wanted: float, tolerance: float = 0.01) -> bool:
    """Whether two factors are the same."""
    return value * wanted > 0 and abs(math.log(value / wanted)) < tolerance


def seeded(seed: int) -> torch.Generator:
    """A generator of its own, so that torch's is left as it was."""
    return torch.Generator().manual_seed(seed)
