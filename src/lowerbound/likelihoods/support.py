"""Whether data lie where a likelihood gives them a probability."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from lowerbound.data import Data
from lowerbound.data.schema import ALLOWED, Values
from lowerbound.errors import DataError
from lowerbound.transforms import Binary, Counts, Dequantise, Identity, Scale, Standardise

Wanted = tuple[str, Callable[[Values], bool]]
FAR = 10.0  # deviations

log = logging.getLogger("lowerbound")


def check_support(likelihood: Any, transform: Any, data: Data) -> None:
    """Refuse data to which ``likelihood`` of their ``transform`` gives no probability.

    Nothing is known of transforms and supports of one's own, which pass.

    Raises:
        DataError: they are fractions where counts are wanted, say.
    """
    check_transform(likelihood, transform)
    wanted, values = expected(likelihood, transform), data.values
    if wanted is None or values.low > values.high or wanted[1](values):
        return
    whole = "whole numbers" if values.whole else "values"
    raise DataError(
        f"{data.name}: expected {wanted[0]} for {type(likelihood).__name__} with the transform "
        f"{type(transform).__name__}, got {whole} from {values.low:.4g} to {values.high:.4g}; "
        "recipes.compose chooses a likelihood and a transform that fit"
    )


def check_transform(likelihood: Any, transform: Any) -> None:
    """Refuse a transform to values that ``likelihood`` does not describe.

    Raises:
        DataError: it is Standardise where counts are wanted, say.
    """
    support, takes = getattr(likelihood, "support", None), getattr(likelihood, "takes", {})
    unfit = {
        "binary": (Counts, Standardise),
        "grey": (Counts, Standardise, Dequantise),
        "counts": (Scale, Standardise, Dequantise),
        "continuous": () if "real" in takes else (Counts, Standardise),
    }.get(support if isinstance(support, str) else "", ())
    if type(transform) in unfit:
        raise DataError(
            f"expected a transform to values that {type(likelihood).__name__} describes, got "
            f"{type(transform).__name__}; recipes.compose chooses a likelihood and a transform "
            "that fit"
        )


def expected(likelihood: Any, transform: Any) -> Wanted | None:
    """What values must be, in words and as a predicate."""
    support = getattr(likelihood, "support", None)
    match transform:
        case Binary(maximum=m):
            two = m in (1, 255)  # of which `Values` knows
            return f"only 0 and {m:g}", lambda v: m in v.tops if two else v.whole and v.high <= m
        case Scale(maximum=m) if support == "grey":
            return f"whole numbers from 0 to {m:g}", lambda v: v.whole and v.high <= m
        case Scale(maximum=m):
            return f"numbers from 0 to {m:g}", lambda v: v.low >= 0 and v.high <= m
        case Dequantise(levels=n):
            return f"whole numbers from 0 to {n - 1}", lambda v: v.whole and v.high < n
        case Counts():
            return ALLOWED["counts"]
        case Identity() if support == "counts":
            return ALLOWED["counts"]
        case Identity() if support in ("binary", "grey") or (
            support == "continuous" and "real" not in getattr(likelihood, "takes", ("real",))
        ):
            return ALLOWED["unit"]
    return None


def warn_of_scale(likelihood: Any, transform: Any, data: Data) -> None:
    """Say it where real numbers are far from 0, or from 1 in scale, and nothing scales them."""
    real = "real" in getattr(likelihood, "takes", ())
    if not real or type(transform) is not Identity or data.missing:
        return
    mean, deviation = data.moments.mean, data.moments.variance().sqrt()
    farthest = max(mean.abs().max().item(), deviation.max().item())
    widest = deviation.max().item()
    if farthest > FAR or 0 < widest < 1 / FAR:
        log.warning(
            "%s: values as far as %.4g from 0, of deviations up to %.4g, are hard to learn as they "
            "are; give the model transform=Standardise.of(data), or have recipes.compose make it",
            data.name,
            farthest,
            widest,
        )
