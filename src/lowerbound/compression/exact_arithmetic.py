"""Arithmetic whose results are the same on every machine and with any number of threads.

A sum of floating-point products depends on its order, and the order on the library, the processor
and the number of threads.  Here both factors of every product of matrices, and of every
convolution, are first rounded to b significant bits below their largest entry, with

    2b + ⌈log₂ K⌉ ≤ 53,    K the number of terms in each sum.

Then every product and every partial sum is a whole multiple, below 2⁵³, of one power of two: a
float64 holds it exactly, and no order of summation can change it.  That power is at least float64's
smallest, 2⁻¹⁰⁷⁴, as factors are rounded to multiples of 2⁻⁵³⁷ or of something larger.

All other operations run on one thread.  The exact ones (sums, products and maxima of two numbers,
and so a ReLU) are the same everywhere.  The others (tanh, exp, normalisation, …) may differ in the
last bits between processors; whatever is rounded next undoes that, except for about one value in
10¹⁰, and checksums guard against that one.  Probabilities come from tables of exp computed in
decimal arithmetic, which are correctly rounded on every machine.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Context, Decimal
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lowerbound.errors import ConfigurationError, DataError

MANTISSA_BITS = 53
MOST_BITS = 18
LEAST_EXPONENT = -537
Multiply = Callable[[Tensor, Tensor], Tensor]
aten = torch.ops.aten


@contextmanager
def exactly(threads: int | None = None) -> Iterator[None]:
    """Run the block without gradients, and with exact products of float64 tensors.

    The products may use ``threads`` threads, by default as many as torch does.  The setting holds
    for the calling thread only.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad(), _ExactProducts(threads or before):
            yield
    finally:
        torch.set_num_threads(before)


def rounded(x: Tensor, terms: int) -> Tensor:
    """x with few enough bits below its largest |entry| that sums of ``terms`` products are exact.

    Entries below 2⁻⁵³⁸ become 0.

    >>> rounded(torch.tensor([1.0, 1e-9, 0.7], dtype=torch.float64), terms=2)[1].item()
    0.0

    Raises:
        DataError: an entry is NaN or infinite.
    """
    rows = x if x.is_contiguous() else x.transpose(0, -1)  # aminmax is slow across rows
    low, high = (end.item() for end in rows.aminmax())
    largest = max(-low, high)
    if not math.isfinite(largest):
        raise not_finite()
    bits = min(MOST_BITS, (MANTISSA_BITS - math.ceil(math.log2(max(terms, 1)))) // 2)
    exponent = -max(math.frexp(largest)[1] - bits, LEAST_EXPONENT)
    return (x * math.ldexp(1.0, exponent)).round_().mul_(math.ldexp(1.0, -exponent))


def not_finite() -> DataError:
    """The error of a network that returned NaN or infinity."""
    return DataError(
        "expected finite numbers inside the networks, got NaN or infinity; the data are far from "
        "what the model was trained on, or its training failed"
    )


@functools.cache
def exponentials(low: float, high: float, steps: int) -> np.ndarray:
    """exp(k/steps) for whole k from low × steps to high × steps, both whole; correctly rounded.

    >>> exponentials(-1, 1, 2).round(3).tolist()
    [0.368, 0.607, 1.0, 1.649, 2.718]
    """
    context = Context(prec=28)
    numbers = range(int(low * steps), int(high * steps) + 1)
    return np.array([float(context.exp(context.divide(Decimal(k), steps))) for k in numbers])


def exp_on_grid(x: Tensor, low: float, high: float, steps: int) -> np.ndarray:
    """exp of x, after x is rounded to a multiple of 1/steps from ``low`` to ``high``.

    Raises:
        DataError: an x is NaN.
    """
    if x.isnan().any():
        raise not_finite()
    index = ((x * steps).round().clamp(low * steps, high * steps) - low * steps).long()
    # The result has the index's memory order, but the coder wants one row after another.
    return np.ascontiguousarray(exponentials(low, high, steps)[index.numpy()])


def _product(multiply: Multiply, a: Tensor, b: Tensor) -> Tensor:
    terms = a.shape[-1]
    return multiply(rounded(a, terms), rounded(b, terms))


def _plus_product(
    multiply: Multiply, bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1
) -> Tensor:
    """beta × bias + alpha × product, as in addmm and its kin."""
    return beta * bias + alpha * _product(multiply, a, b)


def _convolution(x: Tensor, weight: Tensor, bias: Tensor | None, *geometry: Any) -> Tensor:
    """``geometry`` is stride, padding, dilation, transposed, output padding and groups."""
    transposed, _, groups = geometry[-3:]
    # The weights are (in, out/groups, *kernel) when transposed, else (out, in/groups, *kernel).
    terms = weight[:, 0].numel() // groups if transposed else weight[0].numel()
    y = aten.convolution.default(rounded(x, terms), rounded(weight, terms), None, *geometry)
    return y if bias is None else y + bias.view(-1, *[1] * (weight.ndim - 2))


EXACT: dict[Any, Callable[..., Tensor]] = {
    aten.mm: partial(_product, aten.mm.default),
    aten.bmm: partial(_product, aten.bmm.default),
    aten.mv: partial(_product, aten.mv.default),
    aten.dot: partial(_product, aten.dot.default),
    aten.addmm: partial(_plus_product, aten.mm.default),
    aten.baddbmm: partial(_plus_product, aten.bmm.default),
    aten.addmv: partial(_plus_product, aten.mv.default),
    aten.convolution: _convolution,
}
INEXACT = ("attention", "cdist", "cudnn", "mkldnn", "fft")


class _ExactProducts(TorchDispatchMode):
    """Makes every product that torch is asked for exact, and runs all else on one thread."""

    def __init__(self, threads: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.threads = threads

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would import its compiler, which takes seconds, only to leave this alone."""
        return False

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        exact = EXACT.get(func.overloadpacket)
        if exact is not None:
            torch.set_num_threads(self.threads)
            try:
                return exact(*args, **(kwargs or {}))
            finally:
                torch.set_num_threads(1)
        name = str(func.overloadpacket)
        if any(word in name for word in INEXACT):
            raise ConfigurationError(
                "expected networks of linear layers and convolutions, whose sums can be made "
                f"exact, got {name}; compress with a model without it"
            )
        return func(*args, **(kwargs or {}))
