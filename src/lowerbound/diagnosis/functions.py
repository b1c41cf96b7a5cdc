"""A user's own loss, KL and draws, compared with the exact formulas on random inputs."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor

from lowerbound.diagnosis.finding import Finding
from lowerbound.diagnosis.formulas import (
    STATED,
    Formula,
    Sizes,
    gaussian_kl_formulas,
    kl_formulas,
    reconstruction_formulas,
    seeded,
)
from lowerbound.diagnosis.verdicts import Fit, kl_findings, loss_findings, unknown
from lowerbound.errors import ConfigurationError

Scale = Literal["log_variance", "log_sigma", "sigma", "variance"]
Decoder = Literal["probabilities", "logits", "means"]

BATCH = 13
"""Examples of each call: a prime, so that a factor that comes from the batch is seen as such."""

CALLS = 40
"""Calls of the function, on other random inputs each."""

EXACT = 1e-4
"""Share of the function's spread that a formula may miss: float32 misses 10⁻⁶, a wrong one 0.1."""


def diagnose_loss(
    loss: Callable[..., Tensor],
    *,
    shape: tuple[int, ...] = (784,),
    latent_dim: int = 20,
    decoder: Decoder = "probabilities",
    scale: Scale = "log_variance",
    beta: float = 1.0,
    seed: int = 0,
) -> list[Finding]:
    """What is wrong with a loss function ``loss(y, x, mean, s)``; an empty list if nothing is.

    y is the decoder's output, which ``decoder`` says the meaning of, and s is the encoder's second
    output, which ``scale`` does.  The function is called on random inputs, and what it returns
    (summed or averaged over the batch, or one value for each example) is explained as

        a · (−log p(x|z)) + b · KL(q(z|x) ‖ N(0, I)) + c

    with the right formulas or with known wrong ones.  b/a is the weight β that the KL has.  A
    squared error that is summed over elements may have the weight ½ or 1 (σ² = 1 or ½).

    Raises:
        ConfigurationError: the function takes other arguments, or returns no finite number.

    >>> def loss(y, x, mean, log_variance):
    ...     bce = torch.nn.functional.binary_cross_entropy(y, x)
    ...     kl = -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1).mean()
    ...     return bce + kl
    >>> for finding in diagnose_loss(loss):
    ...     print(finding.name, round(finding.number))
    loss-weight 784
    """
    generator = seeded(seed)
    inputs = [_inputs(shape, latent_dim, decoder, scale, generator) for _ in range(CALLS)]
    values = torch.stack([_called(loss, each) for each in inputs])
    reconstructions = {
        formula: _batch_means(formula, [each[:2] for each in inputs])
        for formula in reconstruction_formulas(decoder)
    }
    kls = {
        formula: _batch_means(formula, [each[2:] for each in inputs])
        for formula in kl_formulas(scale)
    }
    fits = [
        _fitted(values, {reconstruction: R, kl: K})
        for reconstruction, R in reconstructions.items()
        for kl, K in kls.items()
    ]
    fit = next((fit for fit in fits if fit.left < EXACT), None)
    if fit is None:
        return [unknown(min(fits, key=lambda fit: fit.left), "loss", values)]
    size = math.prod(shape)
    return loss_findings(fit, Sizes(size, latent_dim, BATCH), decoder, scale, beta)


def diagnose_kl(
    kl: Callable[..., Tensor],
    *,
    latent_dim: int = 20,
    scale: Scale = "log_variance",
    seed: int = 0,
) -> list[Finding]:
    """What is wrong with ``kl(mean, s)`` or ``kl(mean_1, s_1, mean_2, s_2)``; empty if nothing is.

    The first is KL(N(μ, σ²) ‖ N(0, I)), the second is KL(N(μ₁, σ₁²) ‖ N(μ₂, σ₂²)); ``scale`` says
    what s is.  It may return a sum or a mean over the batch, or a value for each example.

    Raises:
        ConfigurationError: the function takes other arguments, or returns no finite number.

    >>> def kl(mean, log_variance):
    ...     return -0.5 * (1 + log_variance - mean**2 - log_variance.exp()).sum(1)
    >>> diagnose_kl(kl)
    []
    """
    generator = seeded(seed)
    required = [
        parameter
        for parameter in inspect.signature(kl).parameters.values()
        if parameter.default is parameter.empty
    ]
    if len(required) not in (2, 4):
        raise ConfigurationError(
            f"expected kl(mean, s) or kl(mean_1, s_1, mean_2, s_2), got {len(required)} arguments"
        )
    pairs = len(required) // 2
    inputs = [
        tuple(
            tensor
            for _ in range(pairs)
            for tensor in _inputs((1,), latent_dim, "means", scale, generator)[2:]
        )
        for _ in range(CALLS)
    ]
    values = torch.stack([_called(kl, each) for each in inputs])
    formulas = kl_formulas(scale) if pairs == 1 else gaussian_kl_formulas(scale)
    fits = [_fitted(values, {formula: _batch_means(formula, inputs)}) for formula in formulas]
    fit = next((fit for fit in fits if fit.left < EXACT), None)
    if fit is None:
        return [unknown(min(fits, key=lambda fit: fit.left), "KL", values)]
    return kl_findings(fit, Sizes(1, latent_dim, BATCH), scale, pairs)


def _inputs(
    shape: tuple[int, ...], latent: int, decoder: str, scale: str, generator: torch.Generator
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """y, x, μ, s: of another spread at each call, so that no term is constant."""
    spread = 0.2 + 1.5 * torch.rand(4, generator=generator, dtype=torch.float64)

    def normal(*size: int) -> Tensor:
        return torch.randn(*size, generator=generator, dtype=torch.float64)

    y = spread[0] * normal(BATCH, *shape)
    x = (spread[1] * normal(BATCH, *shape)).sigmoid()
    mean = spread[2] * normal(BATCH, latent)
    log_variance = 0.7 * spread[3] * normal(BATCH, latent) - 0.5
    output = y.sigmoid() if decoder == "probabilities" else y
    return output, x, mean, STATED[scale](log_variance)


def _called(function: Callable[..., Tensor], arguments: tuple[Tensor, ...]) -> Tensor:
    """The function's value as one number: a sum or a mean over the batch, as it has it."""
    name = getattr(function, "__name__", "the function")
    try:
        value = function(*(argument.float() for argument in arguments))
    except (TypeError, RuntimeError, ValueError) as error:
        raise ConfigurationError(
            f"expected {name} to take {len(arguments)} tensors, the first of shape "
            f"{tuple(arguments[0].shape)}, got {type(error).__name__}: {str(error).splitlines()[0]}"
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
    return value.mean()


def _batch_means(formula: Formula, inputs: Sequence[tuple[Tensor, ...]]) -> Tensor:
    """The formula's mean over the batch, at each call's inputs."""
    return torch.stack([formula.value(*each).mean() for each in inputs])


def _fitted(values: Tensor, columns: dict[Formula, Tensor]) -> Fit:
    """Least squares of the values on the columns and a constant."""
    spread = torch.stack([column.std() for column in columns.values()])
    scaled = torch.stack(list(columns.values()), 1) / spread
    design = torch.cat((scaled, torch.ones(len(values), 1, dtype=values.dtype)), 1)
    if not design.isfinite().all():
        return Fit(tuple(columns), (0.0,) * len(columns), 0.0, math.inf)
    solution = torch.linalg.lstsq(design, values[:, None]).solution[:, 0]
    left = ((values - design @ solution).std() / values.std()).item()
    # A term that adds less than is left over is not there.
    factors = torch.where(solution[:-1].abs() < EXACT * values.std(), 0.0, solution[:-1] / spread)
    return Fit(tuple(columns), tuple(factors.tolist()), solution[-1].item(), left)
