"""A user's own loss and KL, compared with the exact formulas on random inputs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from lowerbound.diagnosis.finding import Finding, found, listed, say
from lowerbound.diagnosis.formulas import (
    SCALES,
    Formula,
    ScaleName,
    cause_of,
    expect,
    kl_formulas,
    near,
    reconstruction_formulas,
)
from lowerbound.distributions.base import LOG_2PI
from lowerbound.errors import ConfigurationError, brief
from lowerbound.streams import Stream, generator

Decoder = Literal["probabilities", "logits", "means"]

BATCH = 13
"""Examples of each call: a prime, so that a factor that comes from the batch is seen as such."""

CALLS = 40
"""Calls of the function, on other random inputs each."""

EXACT = 1e-4
"""Share of the function's spread that a formula may miss: float32 misses 10⁻⁶, a wrong one 0.1."""

CONSTANT = 1e-3
"""Nats per latent dimension below which a constant is float32's rounding."""


@listed
def diagnose_loss(
    loss: Callable[..., Tensor],
    *,
    shape: tuple[int, ...] = (784,),
    latent_dim: int = 20,
    decoder: Decoder = "probabilities",
    scale: ScaleName = "log_variance",
    beta: float = 1.0,
    seed: int = 0,
) -> list[Finding]:
    """What is wrong with a loss function ``loss(y, x, mean, s)``; an empty list if nothing is.

    The function is called on random inputs, and what it returns (summed or averaged over
    the batch, or one value for each example) is explained as

        a · (−log p(x|z)) + b · KL(q(z|x) ‖ N(0, I)) + c

    with the right formulas or with known wrong ones.  b/a is the weight β that the KL has.  A
    squared error that is summed over elements may have the weight ½ or 1 (σ² = 1 or ½).

    Args:
        loss: of y, the decoder's output, x, (batch, *shape) each, and the encoder's two outputs
            mean and s, (batch, latent_dim) each.
        shape: of one x.
        latent_dim: dimensions of z.
        decoder: what y is: ``"probabilities"``, ``"logits"`` or ``"means"``.
        scale: what s is: ``"log_variance"``, ``"log_sigma"``, ``"sigma"`` or ``"variance"``.
        beta: the weight of the KL that is meant.
        seed: of the random inputs.

    Raises:
        ConfigurationError: the function takes other arguments, or returns no finite number; or an
            unknown scale or decoder.

    >>> def loss(y, x, mean, log_variance):
    ...     bce = torch.nn.functional.binary_cross_entropy(y, x)
    ...     kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
    ...     return bce + kl
    >>> for finding in diagnose_loss(loss):
    ...     print(finding.name, round(finding.number))
    loss-weight 784
    """
    expect("decoder", decoder, get_args(Decoder))
    inputs = _inputs(CALLS, shape, latent_dim, decoder, scale, seed)
    reconstructions, kls = reconstruction_formulas(decoder), kl_formulas(scale)
    fit = _fitted(loss, inputs, (reconstructions, slice(0, 2)), (kls, slice(2, 4)))
    if fit.left >= EXACT:
        return [found("loss-unknown", left=fit.left, percent=100 * fit.left)]
    (R, K), (a, b) = fit.formulas, fit.factors
    if a == 0:
        return [found("reconstruction-missing", factor=0.0)]
    findings = [_reconstruction(R, decoder)] if R.fault else []
    if a < 0:
        findings.append(found("reconstruction-sign", factor=a))
    if b == 0:
        return [*findings, found("kl-missing", factor=0.0)] if beta else findings
    if K.fault:
        findings.append(_kl_formula(K, scale, pair=False))
    # A squared error may itself be weighted by ½, and have a constant.
    allowed = [beta, 2 * beta] if R.is_squared else [beta]
    findings += _of_factor(b / abs(a), beta, allowed, math.prod(shape), latent_dim)
    return findings if R.is_squared else findings + _of_constant(fit.constant / abs(b), latent_dim)


@listed
def diagnose_kl(
    kl: Callable[..., Tensor],
    *,
    latent_dim: int = 20,
    scale: ScaleName = "log_variance",
    seed: int = 0,
) -> list[Finding]:
    """What is wrong with ``kl(mean, s)`` or ``kl(mean_1, s_1, mean_2, s_2)``; empty if nothing is.

    The first is KL(N(μ, σ²) ‖ N(0, I)), the second is KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)).

    Args:
        kl: takes two or four tensors (batch, latent_dim), and returns a sum or a mean over the
            batch, or a value for each example.
        latent_dim: dimensions of z.
        scale: what s is: ``"log_variance"``, ``"log_sigma"``, ``"sigma"`` or ``"variance"``.
        seed: of the random inputs.

    Raises:
        ConfigurationError: the function takes other arguments, or returns no finite number; or an
            unknown scale.

    >>> def kl(mean, log_variance):
    ...     return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)
    >>> diagnose_kl(kl)
    []
    """
    parameters = inspect.signature(kl).parameters.values()
    required = sum(parameter.default is parameter.empty for parameter in parameters)
    if required not in (2, 4):
        raise ConfigurationError(
            f"expected kl(mean, s) or kl(mean_1, s_1, mean_2, s_2), got {required} arguments"
        )
    pair = required == 4
    drawn = _inputs(CALLS * required // 2, (1,), latent_dim, "means", scale, seed)
    inputs = [each[2:] for each in drawn]
    if pair:
        inputs = [a + b for a, b in zip(inputs[::2], inputs[1::2], strict=True)]
    fit = _fitted(kl, inputs, (kl_formulas(scale, pair=pair), slice(required)))
    if fit.left >= EXACT:
        return [found("kl-unknown", left=fit.left, percent=100 * fit.left)]
    (K,), (b,) = fit.formulas, fit.factors
    findings = [_kl_formula(K, scale, pair=pair)] if K.fault else []
    findings += _of_kl_factor(b, latent_dim)
    return findings + _of_constant(fit.constant / abs(b), latent_dim)


Inputs = tuple[Tensor, ...]


def _inputs(
    calls: int, shape: tuple[int, ...], latent: int, decoder: str, scale: str, seed: int
) -> list[Inputs]:
    """y, x, μ, s of each call: of another spread at each, so that no term is constant."""
    expect("scale", scale, SCALES)
    options: dict[str, Any] = {"generator": generator(seed, Stream.CALLS), "dtype": torch.float64}

    def one() -> Inputs:
        spread = 0.2 + 1.5 * torch.rand(4, **options)
        sizes = (shape, shape, (latent,), (latent,))
        y, x, mean, v = (
            each * torch.randn(BATCH, *size, **options)
            for each, size in zip(spread, sizes, strict=True)
        )
        y = y.sigmoid() if decoder == "probabilities" else y
        return y, x.sigmoid(), mean, SCALES[scale].stated(0.7 * v - 0.5)

    return [one() for _ in range(calls)]


def _called(function: Callable[..., Any], inputs: Sequence[Inputs]) -> Tensor:
    """The function's values as one number each: a sum or a mean over the batch, as it has it."""
    name, values = getattr(function, "__name__", "the function"), []
    for arguments in inputs:
        try:
            value = function(*(argument.float() for argument in arguments))
        except (TypeError, RuntimeError, ValueError) as error:
            raise ConfigurationError(
                f"expected {name} to take {len(arguments)} tensors, the first of shape "
                f"{tuple(arguments[0].shape)}, got {type(error).__name__}: "
                f"{brief(error)}"
            ) from None
        if isinstance(value, tuple | list):
            value = value[0]
        if isinstance(value, dict):
            value = value.get("loss", next(iter(value.values())))
        value = torch.as_tensor(value).detach().double()
        if value.numel() not in (1, BATCH) or not value.isfinite().all():
            raise ConfigurationError(
                f"expected {name} to return one finite number, or one for each example, got shape "
                f"{tuple(value.shape)} with {int(value.isfinite().sum())} finite values"
            )
        values.append(value.mean())
    return torch.stack(values)


@dataclass(frozen=True)
class Fit:
    """A function as Σ factor × formula + constant, and the share of its spread left over."""

    formulas: tuple[Formula, ...]
    factors: tuple[float, ...]
    constant: float
    left: float


def _fitted(
    function: Callable[..., Any], inputs: Sequence[Inputs], *parts: tuple[list[Formula], slice]
) -> Fit:
    """Least squares on a formula of each part's inputs and a constant.

    The first choice of formulas that is exact, or else the nearest.
    """
    values, nearest = _called(function, inputs), None
    every = [
        [(f, torch.stack([f.value(*each[part]).mean() for each in inputs])) for f in formulas]
        for formulas, part in parts
    ]
    for choice in product(*every):
        formulas, columns = zip(*choice, strict=True)
        spread = torch.stack([column.std() for column in columns])
        design = torch.cat((torch.stack(columns) / spread[:, None], torch.ones(1, len(values)))).T
        if not design.isfinite().all():
            continue
        solution = torch.linalg.lstsq(design, values[:, None]).solution[:, 0]
        left = ((values - design @ solution).std() / values.std()).nan_to_num(nan=1.0).item()
        # A term that adds less than is left over is not there.
        there = solution[:-1].abs() >= EXACT * values.std()
        factors = torch.where(there, solution[:-1] / spread, 0.0)
        fit = Fit(formulas, tuple(factors.tolist()), solution[-1].item(), left)
        if left < EXACT:
            return fit
        nearest = fit if nearest is None or left < nearest.left else nearest
    assert nearest is not None
    return nearest


def _of_factor(
    factor: float, beta: float, allowed: list[float], elements: int, latent: int
) -> list[Finding]:
    """What is wrong with a KL's factor: its sign, or a weight that is none of those allowed."""
    findings = [found("kl-sign", factor=factor)] if factor < 0 else []
    weight = abs(factor)
    if any(near(weight, each) for each in allowed):
        return findings
    reasons = (cause_of(weight / each, elements, latent, BATCH) for each in allowed if each)
    reason = next(filter(None, reasons), "")
    return [*findings, found("loss-weight", ratio=weight, beta=beta, reason=reason)]


def _of_kl_factor(factor: float, latent: int) -> list[Finding]:
    """What is wrong with the factor of a KL that stands alone, a mean or a sum over the batch."""
    findings = [found("kl-sign", factor=factor)] if factor < 0 else []
    weight = min(abs(factor), abs(factor) / BATCH, key=lambda each: abs(math.log(each)))
    if near(weight, 1):
        return findings
    known = {1 / latent: "mean-over-dimensions", 2.0: "no-half", 0.5: "half-of-kl"}
    known |= {1 / (BATCH * latent): "mean-over-all-of-kl", 1 / BATCH: "mean-twice"}
    reasons = (say("weight", r, latent=latent) for value, r in known.items() if near(weight, value))
    reason = "".join(f": {each}" for each in reasons)
    return [*findings, found("kl-factor", factor=weight, reason=reason)]


def _of_constant(constant: float, latent: int) -> list[Finding]:
    """A constant that does not belong, for each latent dimension."""
    each = constant / latent
    if abs(each) < CONSTANT:
        return []
    reasons = {-LOG_2PI: "log-two-pi", 0.5: "lost-half", -0.5: "half-twice"}
    reason = next((": " + say("constant", r) for c, r in reasons.items() if near(each, c)), "")
    return [found("loss-constant", constant=constant, each=each, reason=reason)]


def _reconstruction(R: Formula, decoder: str) -> Finding:
    """A wrong formula of x's elements, by where it is smallest for x = 0.3."""
    x = torch.full((99, 1), 0.3, dtype=torch.float64)
    y = torch.linspace(0.01, 0.99, 99, dtype=torch.float64)[:, None]
    yours = R.value(y, x)
    best = (y if decoder == "probabilities" else y.logit())[yours.argmin()].item()
    lines = {"yours": yours, "exact": -(x * y.log() + (1 - x) * (1 - y).log())[:, 0]}
    shown: dict[str, Any] = {"x": y[:, 0], "lines": lines, "xlabel": "y, where x = 0.3"}
    return found("reconstruction-formula", fault=R.fault, best=best, **shown)


def _kl_formula(K: Formula, scale: str, *, pair: bool) -> Finding:
    """A wrong KL, by its value at μ = 0.5, σ = 2, or between equal Gaussians of σ = 2."""
    sigmas = torch.linspace(0.1, 3, 100, dtype=torch.float64)
    sigma = torch.cat((sigmas, sigmas.new_tensor([2.0])))
    s = SCALES[scale].stated(2 * sigma.log())[:, None]
    mean = torch.full_like(s, 0.0 if pair else 0.5)
    yours = K.value(mean, s, mean, s) if pair else K.value(mean, s)
    exact = torch.zeros(101) if pair else 0.5 * (sigma**2 - 0.75) - sigma.log()
    shown: dict[str, Any] = {
        "x": sigma[:-1],
        "lines": {"yours": yours[:-1], "exact": exact[:-1]},
        "xlabel": "σ of both Gaussians" if pair else "σ, where μ = 0.5",
    } | ({} if pair else {"exact": exact[-1].item()})
    form = "of-a-pair" if pair else ""
    return found("kl-formula", form, fault=K.fault, value=yours[-1].item(), **shown)
