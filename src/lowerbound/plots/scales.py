"""The axis that a column's values are read on: linear, or logarithmic where they span decades."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.scale import SymmetricalLogTransform
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, MaxNLocator, NullLocator

from lowerbound.plots.style import Array, minus

TAIL = 8
"""Interquartile ranges between the 1st and the 99th percentile above which tails are heavy: normal
values have 3.4, exponential ones 4.2."""

BINS = 40
SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


@dataclass(frozen=True)
class Scale:
    """An axis: ``linear``, ``log``, or ``symlog``, which is linear up to ± ``threshold``.

    From ``low`` to ``high`` lie all values but two in a thousand at each end.
    """

    kind: Literal["linear", "log", "symlog"]
    low: float
    high: float
    whole: bool
    threshold: float = 0.0

    @classmethod
    def of(cls, values: Array, *others: Array) -> Scale:
        """The scale that suits ``values``, with room for ``others``."""
        everything = np.concatenate([values, *others])
        low, high = (float(end) for end in np.percentile(everything, [0.2, 99.8]))
        whole = bool((everything == np.rint(everything)).all())
        if whole:
            low, high = float(np.floor(low)), float(np.ceil(high))
        first, quarter, middle, third, last = np.percentile(values, [1, 25, 50, 75, 99])
        apart = np.abs(values - middle)[values != middle]
        spread = third - quarter or (np.median(apart) if len(apart) else 0.0)
        if spread and last - first > TAIL * spread:
            if low > 0 and high > 20 * low:
                return cls("log", low, high, whole)
            if values.min() >= 0 and everything.min() >= 0:
                least = 1.0 if whole else float(np.percentile(values[values > 0], 5))
                return cls("symlog", 0.0, high, whole, least)
            if low < 0 < high and abs(middle) < 5 * spread:
                return cls("symlog", low, high, whole, float(spread))
        return cls("linear", low, high, whole)

    def edges(self, count: int) -> Array:
        """Edges of about min(√count, 40) bins; whole numbers lie in the middle of theirs."""
        bins = int(np.clip(count**0.5, 10, BINS))
        low, high = self.low, self.high
        if not high > low:
            half = 0.5 if self.whole else 0.5 * max(abs(low), 1.0)
            return np.array([low - half, low + half])
        if self.kind == "linear" and self.whole:
            step = max(1.0, np.ceil((high - low + 1) / bins))
            return np.arange(low, high + step + 0.5, step) - 0.5
        if self.kind == "linear":
            edges = np.linspace(low, high, bins + 1)
        elif self.kind == "log":
            edges = np.geomspace(low, high, bins + 1)
        else:
            symlog = SymmetricalLogTransform(10, self.threshold, 1)
            ends = symlog.transform(np.array([low, high]))
            edges = symlog.inverted().transform(np.linspace(ends[0], ends[1], bins + 1))
        return np.unique(np.floor(edges)) - 0.5 if self.whole else edges

    def powers(self) -> list[float]:
        """0 and powers of ten of both signs, an eighth of a symlog axis apart or more."""
        top = int(np.floor(np.log10(max(-self.low, self.high, self.threshold))))
        sizes = [10.0**power for power in range(top, top - 8, -1)]
        symlog, kept = SymmetricalLogTransform(10, self.threshold, 1), [0.0]
        ends = symlog.transform(np.array([self.low, self.high]))
        for value in (sign * size for size in sizes for sign in (1, -1)):
            gaps = np.abs(symlog.transform(np.array(kept)) - symlog.transform(np.array([value])))
            if self.low <= value <= self.high and gaps.min() > (ends[1] - ends[0]) / 8:
                kept.append(value)
        return sorted(kept)

    def apply(self, axes: Axes, axis: Literal["x", "y"], *, dates: bool = False) -> None:
        """Give one axis of a panel this scale, with few ticks in plain numbers.

        Or in ``dates``, of which the numbers are days since 1970.
        """
        chosen = axes.xaxis if axis == "x" else axes.yaxis
        if dates:
            span = self.high - self.low
            unit: Literal["D", "M", "Y"] = "D" if span < 120 else "M" if span < 4000 else "Y"
            chosen.set_major_locator(MaxNLocator(1 if unit == "D" else 2, integer=True))
            chosen.set_major_formatter(FuncFormatter(lambda value, _: date(value, unit)))
            return
        if self.kind == "linear":
            long = not 0.01 <= max(abs(self.low), abs(self.high)) < 1e5
            chosen.set_major_locator(MaxNLocator(2 if long else 4, integer=self.whole))
            if long:
                chosen.set_major_formatter(FuncFormatter(lambda value, _: minus(f"{value:,.12g}")))
            return
        if self.kind == "log":
            axes.set(**{f"{axis}scale": "log"})
            chosen.set_major_locator(LogLocator(numticks=4))
        else:
            getattr(axes, f"set_{axis}scale")("symlog", linthresh=self.threshold)
            chosen.set_major_locator(FixedLocator(self.powers()))
        chosen.set_minor_locator(NullLocator())
        chosen.set_major_formatter(FuncFormatter(lambda value, _: power(value)))


def date(days: float, unit: Literal["D", "M", "Y"] = "D") -> str:
    """A day, its month or its year by its number since 1970; nothing beyond the years 0 to 9999.

    >>> date(14_200.0), date(14_200.0, "M"), date(1e9)
    ('2008-11-17', '2008-11', '')
    """
    if not -719_528 <= days < 2_932_897:
        return ""
    return str(np.datetime64(round(days), "D").astype(f"datetime64[{unit}]"))


def power(value: float) -> str:
    """A tick of a logarithmic axis.

    >>> power(0.0), power(100.0), power(-1e6), power(20.0)
    ('0', '100', '−10⁶', '20')
    """
    size = abs(value)
    if size and not 1e-3 <= size < 1e4:
        exponent = round(np.log10(size))
        if np.isclose(size, 10.0**exponent):
            return ("−" if value < 0 else "") + "10" + str(exponent).translate(SUPERSCRIPTS)
    return minus(f"{value:g}")
