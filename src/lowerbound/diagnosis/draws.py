"""A user's own draws z ~ q(z|x), compared with the distribution they should have."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lowerbound.diagnosis.finding import Finding, found, listed, say
from lowerbound.diagnosis.formulas import SCALES, ScaleName, expect, misread, near
from lowerbound.errors import ConfigurationError, brief
from lowerbound.streams import Stream, seeded

DRAWN = 20_000
"""Draws at each variance: their deviation is then within 2 % (four standard errors)."""

CLOSE = 0.03
"""Relative error of a deviation that draws may show."""

LOG_VARIANCES = (-3.0, -1.5, -0.5, 0.5, 1.5)
"""The log σ² at which a sampler is tried: both sides of 0, no two of them alike when misread."""

MEAN = 0.7


@listed
def diagnose_draws(
    draw: Callable[[Tensor, Tensor], Tensor], *, scale: ScaleName = "log_variance", seed: int = 0
) -> list[Finding]:
    """What is wrong with ``draw(mean, s)``, which should give z = μ + σ ε; empty if nothing is.

    The draws' mean and deviation are measured at five variances, and whether gradients reach both
    arguments.

    Args:
        draw: takes two tensors of one shape and returns one of that shape.
        scale: what s is: ``"log_variance"``, ``"log_sigma"``, ``"sigma"`` or ``"variance"``.
        seed: of the noise.

    Raises:
        ConfigurationError: the function takes other arguments, or returns another shape; or an
            unknown scale.

    >>> def draw(mean, log_variance):
    ...     return mean + torch.exp(log_variance) * torch.randn_like(mean)
    >>> print(diagnose_draws(draw)[0].sentence)
    The draws do not have the standard deviation σ: the second argument is taken for log σ, ...
    """
    expect("scale", scale, SCALES)
    log_variances = torch.tensor(LOG_VARIANCES)
    s = SCALES[scale].stated(log_variances).expand(DRAWN, -1).clone().requires_grad_()
    mean = torch.full_like(s, MEAN).requires_grad_()
    with seeded(mean.device, seed, Stream.DRAWS):
        try:
            z = draw(mean, s)
        except (TypeError, RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"expected draw(mean, s) to take two tensors (batch, latent), got "
                f"{type(error).__name__}: {brief(error)}"
            ) from None
    if not isinstance(z, Tensor) or z.shape != mean.shape:
        raise ConfigurationError(
            f"expected draws of the shape of the mean, {tuple(mean.shape)}, got "
            f"{tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__}"
        )
    findings = []
    reached = 0
    if z.requires_grad:
        gradients = torch.autograd.grad(z.square().sum(), (mean, s), allow_unused=True)
        reached = sum(each is not None and bool((each != 0).any()) for each in gradients)
    if reached < 2:
        findings.append(found("draws-gradient", reached=reached))
    drawn = z.detach().double()
    means, deviations = drawn.mean(0), drawn.std(0)
    wanted = (0.5 * log_variances).double().exp()
    if ((means - MEAN) / (wanted + deviations)).abs().max() > CLOSE * 2:
        worst = means[int((means - MEAN).abs().argmax())].item()
        findings.append(found("draws-mean", drawn=worst, mean=MEAN, means=means))
    pairs = zip(deviations.tolist(), wanted.tolist(), strict=True)
    if not all(near(deviation, sigma, CLOSE) for deviation, sigma in pairs):
        findings.append(_deviation(deviations, wanted, s[0].detach().double(), scale))
    return findings


def _deviation(deviations: Tensor, wanted: Tensor, s: Tensor, scale: str) -> Finding:
    known = {
        misread("draws", other, scale): (0.5 * read.log_variance(s)).exp()
        for other, read in SCALES.items()
        if other != scale
    } | {
        say("draws", "scaled-noise"): 0.1 * wanted**2,
        say("draws", "small-noise"): 0.1 * wanted,
        say("draws", "no-noise"): torch.zeros_like(wanted),
    }
    reasons = (
        f": {reason}"
        for reason, value in known.items()
        if torch.allclose(deviations, value, rtol=CLOSE, atol=1e-6)
    )
    ratio = deviations / wanted
    worst = int(ratio.clamp(min=1e-9).log().abs().argmax())
    return found(
        "draws-deviation",
        ratio=ratio[worst].item(),
        sigma=wanted[worst].item(),
        drawn=deviations[worst].item(),
        reason=next(reasons, ""),
        wanted=wanted,
        deviations=deviations,
    )
