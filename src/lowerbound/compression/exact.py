"""Networks whose numbers are the same on every machine and with any number of threads.

A sum of floating-point products depends on its order, and the order on the library, the processor
and the number of threads.  Here both factors of every product of matrices, and of every
convolution, are first rounded to b significant bits below their largest entry, with

    2b + ⌈log₂ K⌉ ≤ 53,    K the number of terms in each sum.

Then every product and every partial sum is a whole multiple, below 2⁵³, of one power of two: a
float64 holds it exactly, and no order of summation can change it.  That power is at least float64's
smallest, 2⁻¹⁰⁷⁴, as no factor is rounded to less than whole multiples of 2⁻⁵³⁷.

All other operations run on one thread.  The exact ones (sums, products and maxima of single
numbers, and so a ReLU) are the same everywhere; the others (tanh, exp, …) may differ in the last
bit between processors, which the rounding of whatever comes next undoes, but for one value in 10¹⁰
or so: checksums guard against that one.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from lowerbound.errors import ConfigurationError, DataError

MANTISSA_BITS = 53
MOST_BITS = 18
LEAST_EXPONENT = -537
aten = torch.ops.aten


@contextmanager
def exactly(threads: int | None = None) -> Iterator[None]:
    """Run what is inside without gradients, and with exact products of float64 tensors.

    The products may use ``threads`` threads, by default as many as torch does.  The choice holds
    for the calling thread.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.no_grad(), _ExactProducts(threads or before):
            yield
    finally:
        torch.set_num_threads(before)


def rounded(x: Tensor, terms: int) -> Tensor:
    """x to so many bits below its largest |entry| that sums of ``terms`` products are exact.

    What is below 2⁻⁵³⁸ becomes 0.

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
    """The error of a network that returned what is no number."""
    return DataError(
        "expected finite numbers inside the networks, got NaN or infinity; the data are far from "
        "what the model was trained on, or its training failed"
    )


def _product(multiply: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor) -> Tensor:
    terms = a.shape[-1]
    return multiply(rounded(a, terms), rounded(b, terms))


def _added(multiply: Callable[[Tensor, Tensor], Tensor]) -> Callable[..., Tensor]:
    """beta × bias + alpha × product, as addmm and its kin have it."""

    def add(bias: Tensor, a: Tensor, b: Tensor, *, beta: float = 1, alpha: float = 1) -> Tensor:
        return beta * bias + alpha * _product(multiply, a, b)

    return add


def _convolution(
    x: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    stride: list[int],
    padding: list[int],
    dilation: list[int],
    transposed: bool,
    output_padding: list[int],
    groups: int,
) -> Tensor:
    # The weights are (in, out/groups, *kernel) when transposed, else (out, in/groups, *kernel).
    terms = weight[:, 0].numel() // groups if transposed else weight[0].numel()
    y = aten.convolution.default(
        rounded(x, terms),
        rounded(weight, terms),
        None,
        stride,
        padding,
        dilation,
        transposed,
        output_padding,
        groups,
    )
    return y if bias is None else y + bias.view(-1, *[1] * (weight.ndim - 2))


EXACT: dict[Any, Callable[..., Tensor]] = {
    aten.mm: lambda a, b: _product(aten.mm.default, a, b),
    aten.bmm: lambda a, b: _product(aten.bmm.default, a, b),
    aten.mv: lambda a, b: _product(aten.mv.default, a, b),
    aten.dot: lambda a, b: _product(aten.dot.default, a, b),
    aten.addmm: _added(aten.mm.default),
    aten.baddbmm: _added(aten.bmm.default),
    aten.addmv: _added(aten.mv.default),
    aten.convolution: _convolution,
}
INEXACT = ("attention", "cdist", "cudnn", "mkldnn", "fft")


class _ExactProducts(TorchDispatchMode):
    """Every product that torch is asked for, made exact; everything else, on one thread."""

    def __init__(self, threads: int) -> None:
        super().__init__()
        self.threads = threads

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """No: torch would import its compiler, for seconds, to say that it shall not compile."""
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
                f"expected networks of linear layers and convolutions, whose sums can be made "
                f"exact, got {name}; compress with a model without it"
            )
        return func(*args, **(kwargs or {}))
