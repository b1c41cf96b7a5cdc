"""What all of them share, and functions about Γ."""

from __future__ import annotations

import copy
import functools
import math
from typing import Any, ClassVar

import torch
from torch import Size, Tensor, nn
from torch.distributions import Distribution, constraints
from torch.quasirandom import SobolEngine

LOG_2PI = math.log(2 * math.pi)
MEAN_POINTS = 64


class Unvalidated(Distribution):
    """A distribution whose parameters torch does not check."""

    arg_constraints: ClassVar[dict[str, constraints.Constraint]] = {}

    def noise(self, sample_shape: Any, like: Tensor) -> Tensor:
        """Standard normal noise of the shape that a sample of ``sample_shape`` has.

        Its type and device are those of ``like``.
        """
        shape = self._extended_shape(sample_shape)
        return torch.randn(shape, dtype=like.dtype, device=like.device)


def broadcast(one: Size, other: Size) -> Size:
    """The shape of both together; `torch.broadcast_shapes` imports SymPy first, for seconds.

    >>> broadcast(Size((5, 1)), Size((4, 1, 3)))
    torch.Size([4, 5, 3])
    """
    n = max(len(one), len(other))
    left, right = ((1,) * (n - len(shape)) + tuple(shape) for shape in (one, other))
    return Size([b if a == 1 else a for a, b in zip(left, right, strict=True)])


def has_density(p: Distribution) -> bool:
    """Whether ``p`` has a density; a distribution without one says ``has_density = False``."""
    return getattr(p, "has_density", True)


def variance_of(q: Distribution, draws: int) -> Tensor:
    """Var z, z ~ q, of each dimension; by so many draws where there is no formula."""
    try:
        return q.variance
    except NotImplementedError:
        return q.sample((draws,)).var(0)


def draw(prior: Distribution, n: int) -> Tensor:
    """n draws z ~ ``prior``, (n, …): one of each in a batch of n distributions, else all of one."""
    return prior.sample() if prior.batch_shape else prior.sample((n,))


def frozen(module: nn.Module) -> nn.Module:
    """``module`` with the same weights and no gradient to them; its inputs still get theirs."""
    shared = {id(tensor): tensor for tensor in module.buffers()}
    detached = {id(tensor): tensor.detach() for tensor in module.parameters()}
    return copy.deepcopy(module, shared | detached)


def quasi_normal(batch_ndim: int, like: Tensor) -> Tensor:
    """Points that stand for N(0, I) in averages, (points, 1, …, 1, d), d the last size of ``like``.

    They are scrambled Sobol points and their mirror images, always the same, so that an average
    over them is the same for an example wherever it is met, and exact for what is linear.
    """
    points = _normal_points(like.shape[-1]).to(like)
    return torch.cat((points, -points)).reshape(-1, *[1] * batch_ndim, like.shape[-1])


@functools.lru_cache(maxsize=8)
def _normal_points(dimensions: int) -> Tensor:
    """Sobol points, made once: a graph has them as numbers, not as what makes them."""
    uniform = SobolEngine(dimensions, scramble=True, seed=0).draw(MEAN_POINTS)
    return torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6))


# Functions about Γ are in float64: their terms cancel, and float32 would keep no digit of them.


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
    # The eight factors, in two groups of ratios, which neither overflow nor vanish.
    b = a + n
    low, high = (
        (a + i)
        / (b + i)
        * ((a + i + 1) / (b + i + 1))
        * ((a + 6 - i) / (b + 6 - i))
        * ((a + 7 - i) / (b + 7 - i))
        for i in (0, 2)
    )
    return stirling + low.log() + high.log()


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
