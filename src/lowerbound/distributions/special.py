"""Functions about Γ, in float64: their terms cancel, and float32 would keep no digit of them."""

from __future__ import annotations

import torch
from torch import Tensor


def log_rising(a: Tensor, n: Tensor | float) -> Tensor:
    """log Γ(a + n)/Γ(a) for a > 0 and n ≥ 0, in float64; n = k gives log a(a + 1)…(a + k − 1).

    Γ(a) = Γ(a + 8)/(a (a + 1) … (a + 7)), and from 8 on Stirling's series of both logarithms, with
    what cancels left out, is exact to 12 digits, however small their difference.
    """
    a, n = torch.broadcast_tensors(a.double(), torch.as_tensor(n, device=a.device).double())
    first, last = a + 8, a + n + 8
    stirling = (
        (first - 0.5) * torch.log1p(n / first)
        + n * last.log()
        - n
        + _stirling_remainder(last)
        - _stirling_remainder(first)
    )
    # The eight factors, paired from both ends: (a + j)(a + 7 − j) = a (a + 7) + j (7 − j).
    u, v = a * (a + 7), (a + n) * (a + n + 7)
    shift = (u / v) * ((u + 6) / (v + 6)) * ((u + 10) / (v + 10)) * ((u + 12) / (v + 12))
    return stirling + shift.log()


def _stirling_remainder(a: Tensor) -> Tensor:
    """log Γ(a) − (a − ½) log a + a − ½ log 2π = 1/12a − 1/360a³ + 1/1260a⁵ − …."""
    x = a**-2
    return (1 / 12 - x * (1 / 360 - x * (1 / 1260 - x * (1 / 1680 - x / 1188)))) / a


def log_gamma_draw(a: Tensor, shape: torch.Size) -> Tensor:
    """log g, g ~ Gamma(a, 1), of ``shape``, in float64: the logarithm of numbers too small to hold.

    g = g′ u^(1/a) with g′ ~ Gamma(a + 1, 1) and u ~ U(0, 1).

    Source: Marsaglia & Tsang, A simple method for generating gamma variables, 2000.
    """
    a = a.double().expand(shape)
    # 1 − u lies in (0, 1], whose logarithm is finite.
    return torch._standard_gamma(a + 1).log() + torch.log1p(-torch.rand_like(a)) / a
