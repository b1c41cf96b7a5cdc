"""Right and wrong formulas of a VAE's loss, and wrong weights: what a user's own is compared with.

Formulas are sums over latent dimensions, or over elements of x, for each example: (batch,).  What
is wrong is named as in ``words.toml``, formulas under ``[formula]`` and weights under ``[weight]``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from itertools import chain
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from lowerbound.diagnosis.finding import say
from lowerbound.distributions.base import LOG_2PI
from lowerbound.divergences import standard_normal_kl_terms, univariate_gaussian_kl
from lowerbound.errors import ConfigurationError

Terms = Callable[..., Tensor]
ScaleName = Literal["log_variance", "log_sigma", "sigma", "variance"]


@dataclass(frozen=True)
class Scale:
    """What a user's function takes as its second argument s: log σ² of s, and s of log σ²."""

    symbol: str
    log_variance: Callable[[Tensor], Tensor]
    stated: Callable[[Tensor], Tensor]


SCALES = {
    "log_variance": Scale("log σ²", lambda s: s, lambda v: v),
    "log_sigma": Scale("log σ", lambda s: 2 * s, lambda v: v / 2),
    "sigma": Scale("σ", lambda s: 2 * s.log(), lambda v: (v / 2).exp()),
    "variance": Scale("σ²", torch.log, torch.exp),
}


def expect(name: str, given: str, known: Iterable[str]) -> None:
    """Raises ConfigurationError: an argument is none of the ``known`` words."""
    if given not in (words := tuple(known)):
        raise ConfigurationError(f"expected {name}= one of {', '.join(words)}, got {given!r}")


@dataclass(frozen=True, eq=False)
class Formula:
    """A formula, and what is wrong with it: nothing, in the right one."""

    fault: str
    value: Terms
    is_squared: bool = False


def _sum(terms: Tensor) -> Tensor:
    return terms.flatten(1).sum(1)


WRONG_KLS: dict[str, Terms] = {
    "half": lambda m, v: m**2 + v.exp() - v / 2 - 0.5,
    "sigma": lambda m, v: -0.5 * (1 + v / 2 - (v / 2).exp() - m**2),
    "log-sigma-as-variance": lambda m, v: 0.5 * ((2 * v).exp() + m**2 - 1 - v),
    "sigma-as-variance": lambda m, v: 0.5 * ((v / 2).exp() + m**2 - 1 - v),
    "no-logarithm": lambda m, v: 0.5 * (v.exp() + m**2 - 1),
    "reversed": lambda m, v: 0.5 * (v + (1 + m**2) * (-v).exp() - 1),
    "reversed-sigma": lambda m, v: 0.5 * (v + (1 + m**2) * (-v / 2).exp() - 1),
    "lost-sign": lambda m, v: -0.5 * (1 + LOG_2PI + v) + 0.5 * LOG_2PI - 0.5 * (v.exp() + m**2),
}
"""In place of KL(N(μ, σ²) ‖ N(0, I)), of μ and log σ²."""


def misread(row: str, read: str, stated: str) -> str:
    """That the second argument is taken for what it is not."""
    return say(row, "misread", read=SCALES[read].symbol, stated=SCALES[stated].symbol)


def _square(m1: Tensor, a: Tensor, m2: Tensor) -> Tensor:
    return (a**2 + (m1 - m2) ** 2) / 2


WRONG_PAIR_KLS: dict[str, Terms] = {
    "swapped": lambda m1, a, m2, b: univariate_gaussian_kl(m2, b, m1, a),
    "denominator": lambda m1, a, m2, b: (b / a).log() + _square(m1, a, m2) / b - 0.5,
    "swapped-denominator": lambda m1, a, m2, b: (a / b).log() + _square(m1, b, m2) / a - 0.5,
    "lost-sign-of-square": lambda m1, a, m2, b: (b / a).log() - 0.5 - _square(m1, a, m2) / b**2,
    "lost-sign-of-logarithm": lambda m1, a, m2, b: (
        -0.5 - LOG_2PI - (a * b).log() + _square(m1, a, m2) / b**2
    ),
}
"""In place of KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)), of μ₁, σ₁, μ₂, σ₂."""


def kl_formulas(scale: str, *, pair: bool = False) -> list[Formula]:
    """KL(N(μ, σ²) ‖ N(0, I)) as a function of μ and the argument s, the right one first.

    With ``pair``, KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)) as one of μ₁, s₁, μ₂, s₂.
    """

    def formula(fault: str, terms: Terms, read: str = scale) -> Formula:
        def value(*inputs: Tensor) -> Tensor:
            log_variances = [SCALES[read].log_variance(s) for s in inputs[1::2]]
            second = [(v / 2).exp() for v in log_variances] if pair else log_variances
            return _sum(terms(*chain(*zip(inputs[::2], second, strict=True))))

        return Formula(fault, value)

    right = univariate_gaussian_kl if pair else standard_normal_kl_terms
    misreadings = [
        formula(misread("formula", other, scale), right, other)
        for other in SCALES
        if not pair and other != scale and (other.startswith("log") or not scale.startswith("log"))
    ]
    wrong = (WRONG_PAIR_KLS if pair else WRONG_KLS).items()
    faulty = [formula(say("formula", name), terms) for name, terms in wrong]
    return [formula("", right), *misreadings, *faulty]


def reconstruction_formulas(decoder: str) -> list[Formula]:
    """−log p(x|z) as a function of the decoder's output y and x, the right ones first.

    ``decoder`` says what y is: "probabilities", "logits", or "means" of a Gaussian, whose squared
    error is right at any weight, up to a constant.
    """

    def by_probability(y: Tensor, x: Tensor) -> Tensor:
        return _sum(-(x * y.log() + (1 - x) * (1 - y).log()))

    def by_logit(y: Tensor, x: Tensor) -> Tensor:
        return _sum(F.binary_cross_entropy_with_logits(y, x, reduction="none"))

    squared = Formula("", lambda y, x: _sum((x - y) ** 2), is_squared=True)
    if decoder == "means":
        return [squared]
    if decoder == "logits":
        return [Formula("", by_logit), replace(squared, fault=say("formula", "squared-logits"))]
    return [
        Formula("", by_probability),
        squared,
        Formula(say("formula", "logarithm-of-x"), lambda y, x: by_probability(x, y)),
        Formula(say("formula", "sigmoid-twice"), by_logit),
    ]


def cause_of(
    factor: float, elements: int, latent: int, batch: int | None = None, tolerance: float = 0.01
) -> str:
    """What makes the KL's weight wrong by this factor, as a clause, if it is a known fault.

    It follows from the elements of x, the latent dimensions, and the examples in a batch where that
    is known.

    >>> cause_of(784.0, 784, 20)
    ': the reconstruction is averaged over the 784 elements of x'
    """
    known = {
        elements: "mean-over-elements",
        1 / latent: "mean-over-dimensions",
        elements / latent: "mean-over-both",
        1 / elements: "kl-per-element",
        2.0: "no-half",
        0.5: "half",
        0.00025: "magic",
        0.00025 * elements: "magic-per-element",
    }
    if batch is not None:
        known |= {
            batch: "summed-kl",
            1 / batch: "summed-reconstruction",
            batch * elements: "mean-over-all",
            1 / (batch * latent): "mean-over-dimensions-and-batch",
        }
    if factor <= 0:
        return ""
    nearest = min(known, key=lambda value: abs(math.log(factor / value)))
    if not near(factor, nearest, tolerance):
        return ""
    return ": " + say("weight", known[nearest], elements=elements, latent=latent)


def near(value: float, wanted: float, tolerance: float = 0.01) -> bool:
    """Whether two factors are the same."""
    return value * wanted > 0 and abs(math.log(value / wanted)) < tolerance
