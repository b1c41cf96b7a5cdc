"""A user's own draws z ~ q(z|x), compared with the distribution they should have."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor

from lowerbound.diagnosis.finding import Finding
from lowerbound.diagnosis.formulas import SCALES, STATED, WORDS, near
from lowerbound.errors import ConfigurationError

DRAWN = 20_000
"""Draws at each variance: their deviation is then within 2 % (four standard errors)."""

CLOSE = 0.03
"""Relative error of a deviation that draws may show."""

LOG_VARIANCES = (-3.0, -1.5, -0.5, 0.5, 1.5)
"""The log σ² at which a sampler is tried: both sides of 0, no two of them alike when misread."""

MEAN = 0.7


def diagnose_draws(
    draw: Callable[[Tensor, Tensor], Tensor],
    *,
    scale: Literal["log_variance", "log_sigma", "sigma", "variance"] = "log_variance",
    seed: int = 0,
) -> list[Finding]:
    """What is wrong with ``draw(mean, s)``, which should give z = μ + σ ε; empty if nothing is.

    ``scale`` says what s is.  The draws' mean and deviation are measured at five variances, and
    whether gradients reach both arguments.

    Raises:
        ConfigurationError: the function takes other arguments, or returns another shape.

    >>> def draw(mean, log_variance):
    ...     return mean + torch.exp(log_variance) * torch.randn_like(mean)
    >>> print(diagnose_draws(draw)[0].sentence)
    The draws have not the deviation σ: the second argument is taken for log σ, and it is log ...
    """
    log_variances = torch.tensor(LOG_VARIANCES)
    s = STATED[scale](log_variances).expand(DRAWN, -1).clone().requires_grad_()
    mean = torch.full_like(s, MEAN).requires_grad_()
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            z = draw(mean, s)
        except (TypeError, RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"expected draw(mean, s) to take two tensors (batch, latent), got "
                f"{type(error).__name__}: {str(error).splitlines()[0]}"
            ) from None
    if not isinstance(z, Tensor) or z.shape != mean.shape:
        raise ConfigurationError(
            f"expected draws of the shape of the mean, {tuple(mean.shape)}, got "
            f"{tuple(z.shape) if isinstance(z, Tensor) else type(z).__name__}"
        )
    findings = []
    reached = _gradients(z, mean, s)
    if reached < 2:
        findings.append(_no_gradient(reached))
    found = z.detach().double()
    wanted = (0.5 * log_variances).double().exp()
    deviation = found.std(0)
    shift = (found.mean(0) - MEAN) / (wanted + deviation)
    if shift.abs().max() > CLOSE * 2:
        findings.append(_shifted(found.mean(0)))
    if not all(near(d, w, CLOSE) for d, w in zip(deviation.tolist(), wanted.tolist(), strict=True)):
        findings.append(_deviation(deviation, wanted, STATED[scale](log_variances).double(), scale))
    return findings


def _gradients(z: Tensor, mean: Tensor, s: Tensor) -> int:
    """How many of the two arguments a gradient reaches."""
    if not z.requires_grad:
        return 0
    gradients = torch.autograd.grad(z.square().sum(), (mean, s), allow_unused=True)
    return sum(gradient is not None and bool((gradient != 0).any()) for gradient in gradients)


def _deviation(deviation: Tensor, wanted: Tensor, s: Tensor, scale: str) -> Finding:
    known = {
        f"the second argument is taken for {WORDS[other]}, and it is {WORDS[scale]}": _sigma(
            other, s
        )
        for other in SCALES
        if other != scale
    }
    known |= {
        "the noise has the deviation 0.1 and is scaled by exp(h), h being log σ²": 0.1 * wanted**2,
        "the noise has the deviation 0.1": 0.1 * wanted,
        "there is no noise": torch.zeros_like(wanted),
    }
    cause = next(
        (
            f": {cause}"
            for cause, value in known.items()
            if torch.allclose(deviation, value, rtol=CLOSE, atol=1e-6)
        ),
        "",
    )
    ratio = deviation / wanted
    worst = int(ratio.clamp(min=1e-9).log().abs().argmax())
    return Finding(
        "draws-deviation",
        "fault",
        f"The draws have not the deviation σ{cause}. Where σ is {wanted[worst]:.3f} they have "
        f"{deviation[worst]:.3f}.",
        ratio[worst].item(),
        "times σ",
        "Draw with the deviation whose KL is paid.",
        "z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)",
        lambda: _curve(wanted, {"yours": deviation, "right": wanted}),
        further={"sigma": wanted[worst].item(), "drawn": deviation[worst].item()},
    )


def _sigma(scale: str, s: Tensor) -> Tensor:
    """σ from s, read as ``scale``; NaN where it cannot be."""
    return (0.5 * SCALES[scale](s)).exp()


def _shifted(means: Tensor) -> Finding:
    worst = means[int((means - MEAN).abs().argmax())].item()
    return Finding(
        "draws-mean",
        "fault",
        f"The draws have not the mean μ: where it is {MEAN} they have {worst:.3f}.",
        worst,
        f"where μ = {MEAN}",
        "Add noise of mean 0 to μ.",
        "z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)",
        lambda: _curve(torch.arange(len(means)).double(), {"yours": means}),
    )


def _no_gradient(reached: int) -> Finding:
    return Finding(
        "draws-gradient",
        "fault",
        f"Gradients reach {reached} of the two arguments: the encoder's other output is never "
        "trained by the reconstruction.",
        reached,
        "of 2 arguments",
        "Write the draw as a function of both, with noise from outside (rsample, not sample).",
        "z = mean + (0.5 * log_variance).exp() * torch.randn_like(mean)",
        lambda: _curve(torch.arange(2).double(), {"reached": torch.tensor([1.0, reached - 1.0])}),
    )


def _curve(x: Tensor, lines: dict[str, Tensor]):
    from lowerbound import plots

    return plots.curves(
        x.numpy(),
        {name: line.numpy() for name, line in lines.items()},
        xlabel="σ that q(z|x) states",
        ylabel="deviation of the draws",
        title="Draws from q(z|x)",
    )
