"""From a fitted loss or KL to findings."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lowerbound.diagnosis.finding import Finding
from lowerbound.diagnosis.formulas import STATED, Formula, Sizes, cause_of, near
from lowerbound.distributions import LOG_2PI

CONSTANT = 1e-3
"""Nats per latent dimension below which a constant is float32's rounding."""

EXACT_KL = "-0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()"
EXACT_LOSS = 'F.binary_cross_entropy(y, x, reduction="none").flatten(1).sum(1).mean() + KL'


@dataclass(frozen=True)
class Fit:
    """A function as Σ factor × formula + constant, and the share of its spread left over."""

    formulas: tuple[Formula, ...]
    factors: tuple[float, ...]
    constant: float
    left: float


def loss_findings(fit: Fit, sizes: Sizes, decoder: str, scale: str, beta: float) -> list[Finding]:
    """What is wrong with a loss that is a · R + b · K + c."""
    (R, K), (a, b) = fit.formulas, fit.factors
    if a == 0:
        return [_missing("reconstruction")]
    findings = []
    if R.wrong:
        findings.append(_reconstruction(R, decoder))
    if a < 0:
        findings.append(_sign("reconstruction", a))
    if b == 0:
        return [*findings, _missing("KL")] if beta else findings
    if K.wrong:
        findings.append(_kl_formula(K, scale))
    if b < 0:
        findings.append(_sign("KL", b / abs(a)))
    if not any(near(abs(b / a), allowed) for allowed in _allowed(beta, R.is_squared)):
        findings.append(_weight(abs(b / a), beta, sizes, R.is_squared))
    if not R.is_squared:
        findings += _constant(fit.constant / abs(b), sizes.latent)
    return findings


def kl_findings(fit: Fit, sizes: Sizes, scale: str, pairs: int) -> list[Finding]:
    """What is wrong with a KL that is b · K + c."""
    (K,), (b,) = fit.formulas, fit.factors
    findings = []
    if K.wrong:
        findings.append(_kl_formula(K, scale) if pairs == 1 else _pair_formula(K, scale))
    if b < 0:
        findings.append(_sign("KL", b))
    if not any(near(abs(b), allowed) for allowed in (1.0, float(sizes.batch or 1))):
        findings.append(_weight(abs(b), 1.0, sizes, False))
    return findings + _constant(fit.constant / abs(b), sizes.latent)


def unknown(fit: Fit, what: str, values: Tensor) -> Finding:
    """No known formula explains the function."""
    return Finding(
        f"{what.lower()}-unknown",
        "fault",
        f"The {what} is neither the exact one nor one with a known fault: the nearest formula "
        f"leaves {100 * fit.left:.2g} % of its spread.",
        fit.left,
        "of its spread",
        "Compare it with the exact formula on a few inputs, or give diagnose_loss the meaning of "
        "its arguments (decoder=, scale=).",
        EXACT_KL if what == "KL" else EXACT_LOSS,
        lambda: _curve(torch.arange(len(values)).double(), {what: values.sort().values}, "call"),
    )


def _reconstruction(R: Formula, decoder: str) -> Finding:
    x = torch.full((99, 1), 0.3, dtype=torch.float64)
    y = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)[:, None]
    best = (y if decoder == "probabilities" else y.logit())[R.value(y, x).argmin()].item()
    exact = -(x * y.log() + (1 - x) * (1 - y).log())[:, 0]
    return Finding(
        "reconstruction-formula",
        "fault",
        f"The reconstruction loss is wrong: {R.wrong}. For an element x = 0.3 it is least at "
        f"y = {best:.2f}, and should be at 0.30.",
        best,
        "is the best y for x = 0.3",
        "Take the cross-entropy of x under y, summed over elements.",
        EXACT_LOSS,
        lambda: _curve(y[:, 0], {"yours": R.value(y, x), "exact": exact}, "y, where x = 0.3"),
    )


def _kl_formula(K: Formula, scale: str) -> Finding:
    def at(mean: float, sigma: Tensor) -> Tensor:
        s = STATED[scale](2 * sigma.log())[:, None]
        return K.value(torch.full_like(s, mean), s)

    two = torch.tensor([2.0], dtype=torch.float64)
    told, exact = at(0.5, two).item(), _exact_kl(0.5, two).item()
    sigmas = torch.linspace(0.1, 3, 100, dtype=torch.float64)
    return Finding(
        "kl-formula",
        "fault",
        f"The KL is wrong: {K.wrong}. At μ = 0.5, σ = 2 it is {told:.4f} and should be "
        f"{exact:.4f} nats.".replace("it is -", "it is −"),
        told,
        "nats at μ = 0.5, σ = 2",
        "Use the closed form.",
        "lb.divergences.standard_normal_kl_terms(mean, log_variance).sum(1).mean()",
        lambda: _curve(
            sigmas, {"yours": at(0.5, sigmas), "exact": _exact_kl(0.5, sigmas)}, "σ, where μ = 0.5"
        ),
        further={"exact": exact},
    )


def _exact_kl(mean: float, sigma: Tensor) -> Tensor:
    return 0.5 * (mean**2 + sigma**2 - 1) - sigma.log()


def _pair_formula(K: Formula, scale: str) -> Finding:
    sigmas = torch.linspace(0.1, 3, 100, dtype=torch.float64)

    def equal(sigma: Tensor) -> Tensor:
        """The formula where both Gaussians have this deviation and the mean 0."""
        s = STATED[scale](2 * sigma.log())[:, None]
        return K.value(torch.zeros_like(s), s, torch.zeros_like(s), s)

    told = equal(torch.tensor([2.0], dtype=torch.float64)).item()
    return Finding(
        "kl-formula",
        "fault",
        f"The KL is wrong: {K.wrong}. Of two equal Gaussians of σ = 2 it is {told:.4f}, and a KL "
        "is 0 there.".replace("it is -", "it is −"),
        told,
        "nats between equal Gaussians of σ = 2",
        "Use the closed form.",
        "lb.divergences.univariate_gaussian_kl(mean_1, sigma_1, mean_2, sigma_2)",
        lambda: _curve(
            sigmas, {"yours": equal(sigmas), "exact": torch.zeros(100)}, "σ of both Gaussians"
        ),
    )


def _sign(what: str, factor: float) -> Finding:
    why = (
        "∫ q log(p/q) is the negative of the KL, ∫ q log(q/p)"
        if what == "KL"
        else "minimising it makes reconstructions worse"
    )
    return Finding(
        f"{what.lower()}-sign",
        "fault",
        f"The {what} has the wrong sign, a factor of {factor:.4g}: {why}.".replace("-", "−", 1),
        factor,
        "times the right one",
        f"Turn the sign of the {what}.",
        EXACT_KL if what == "KL" else EXACT_LOSS,
        lambda: _bars({"yours": factor, "right": abs(factor)}, "factor"),
    )


def _missing(what: str) -> Finding:
    return Finding(
        f"{what.lower()}-missing",
        "fault",
        f"The loss has no {what}"
        + (": it trains an autoencoder, whose prior is never used." if what == "KL" else "."),
        0.0,
        f"times the {what}",
        f"Add the {what}.",
        EXACT_LOSS.replace("KL", EXACT_KL),
        lambda: _bars({"yours": 0.0, "right": 1.0}, f"weight of the {what}"),
    )


def _allowed(beta: float, squared: bool) -> tuple[float, ...]:
    """The KL's weight per unit of reconstruction; a squared error may itself be weighed by ½."""
    return (beta, 2 * beta) if squared else (beta,)


def _weight(ratio: float, beta: float, sizes: Sizes, squared: bool) -> Finding:
    causes = [cause_of(ratio / each, sizes) for each in _allowed(beta, squared) if each]
    cause = next(filter(None, causes), "")
    return Finding(
        "loss-weight",
        "fault",
        f"The KL is weighed by {ratio:.4g} and not by {beta:g}{': ' + cause if cause else ''}.",
        ratio,
        "nats of reconstruction per nat of KL",
        "Sum over elements and over latent dimensions, and take the mean over the batch, once.",
        EXACT_LOSS,
        lambda: _bars({"yours": ratio, "right": beta}, "weight β of the KL"),
        further={"wanted": beta},
    )


def _constant(constant: float, latent: int) -> list[Finding]:
    """A constant that does not belong, for each latent dimension."""
    each = constant / latent
    if abs(each) < CONSTANT:
        return []
    cause = ""
    if near(each, -LOG_2PI):
        cause = ": the sign of ½ log 2π in ∫ q log p is lost"
    elif near(abs(each), 0.5):
        cause = ": the −½ of the KL is lost" if each > 0 else ": the −½ of the KL is there twice"
    return [
        Finding(
            "loss-constant",
            "warning",
            f"The loss has a constant of {constant:.4g} nats ({each:.4g} for each latent dimension)"
            f"{cause}. Training does not notice, but every figure is off by it.".replace("-", "−"),
            constant,
            "nats",
            "Use the closed form of the KL, which is 0 where q is the prior.",
            EXACT_KL,
            lambda: _bars({"yours": constant, "right": 0.0}, "nats where q is the prior"),
            further={"per latent dimension": each},
        )
    ]


def _curve(x: Tensor, lines: dict[str, Tensor], xlabel: str):
    from lowerbound import plots

    return plots.curves(
        x.numpy(),
        {name: line.numpy() for name, line in lines.items()},
        xlabel=xlabel,
        ylabel="nats",
        title="Your function beside the exact one" if len(lines) > 1 else "Your function",
    )


def _bars(values: dict[str, float], ylabel: str):
    import numpy as np

    from lowerbound import plots

    return plots.ranked_bars(
        np.array(list(values.values())), list(values), ylabel=ylabel, title="Your loss"
    )
