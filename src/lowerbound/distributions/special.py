"""Functions about Γ, in float64: their terms cancel, and float32 would keep no digit of them."""

from __future__ import annotations

import torch
from torch import Tensor

LARGE = 16.0


def log_rising(a: Tensor, n: Tensor | float) -> Tensor:
    """log Γ(a + n)/Γ(a) for a > 0 and n ≥ 0, in float64; n = k gives log a(a+1)…(a+k−1).

    For large a, where both logarithms dwarf their difference, Stirling's series of each gives
    (a − ½) log(1 + n/a) + n log(a + n) − n + r(a + n) − r(a).
    """
    a, n = torch.broadcast_tensors(a.double(), torch.as_tensor(n, device=a.device).double())
    large = a > LARGE
    few, many = torch.where(large, LARGE, a), torch.where(large, a, LARGE)
    direct = torch.lgamma(few + n) - torch.lgamma(few)
    total = many + n
    series = (
        (many - 0.5) * torch.log1p(n / many)
        + n * total.log()
        - n
        + _stirling_remainder(total)
        - _stirling_remainder(many)
    )
    return torch.where(large, series, direct)


def _stirling_remainder(a: Tensor) -> Tensor:
    """log Γ(a) − (a − ½) log a + a − ½ log 2π = 1/12a − 1/360a³ + 1/1260a⁵ − …."""
    square = a**-2
    return (1 / 12 - square * (1 / 360 - square * (1 / 1260 - square / 1680))) / a


def log_gamma_draw(a: Tensor, shape: torch.Size) -> Tensor:
    """log g, g ~ Gamma(a, 1), of ``shape``, in float64: the logarithm of numbers too small to hold.

    g = g′ u^(1/a) with g′ ~ Gamma(a + 1, 1) and u ~ U(0, 1).

    Source: Marsaglia & Tsang, A simple method for generating gamma variables, 2000.
    """
    a = a.double().expand(shape)
    # 1 − u lies in (0, 1], whose logarithm is finite.
    return torch._standard_gamma(a + 1).log() + torch.log1p(-torch.rand_like(a)) / a
