"""Distortion against rate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from lowerbound.plots.checks import as_array, finite, same_length
from lowerbound.plots.style import BLUE, MUTED, SMALL_SIZE, Array, new_figure, styled


@styled
def rate_distortion(
    rate: Array | Sequence[float],
    distortion: Array | Sequence[float],
    names: Sequence[str],
    *,
    unit: str = "nats per example",
    title: str = "Rate and distortion",
) -> Figure:
    """Models in the plane of rate and distortion, joined by rising rate.

    The dashed line is where R + D, the negative ELBO, is as low as the best model's.

    Args:
        rate: (n,) R = E KL(q(z|x) ‖ p(z)).
        distortion: (n,) D = −E log p(x|z).
        names: one per model.
        unit: of both.
        title: written above.

    Raises:
        ShapeError: there is not one rate, distortion and name per model.
        ConfigurationError: a value is not finite.
    """
    rates = finite(as_array(rate, "n", "rates"), "rates")
    distortions = finite(as_array(distortion, "n", "distortions"), "distortions")
    same_length(distortions, len(rates), "distortions", "one per rate")
    same_length(names, len(rates), "names", "one per rate")
    order = np.argsort(rates)
    figure = new_figure(6.4, 4.8, title)
    axes = figure.add_subplot()
    axes.plot(rates[order], distortions[order], "-o", color=BLUE, markersize=4)
    for name, x, y in zip(names, rates, distortions, strict=True):
        axes.annotate(name, (x, y), xytext=(5, 4), textcoords="offset points", fontsize=SMALL_SIZE)
    best = (rates + distortions).min()
    ends = np.array([rates.min(), rates.max()])
    axes.plot(ends, best - ends, "--", color=MUTED, linewidth=1)
    axes.annotate(
        f"R + D = {best:.2f}",
        (ends[1], best - ends[1]),
        xytext=(-20, -4),
        textcoords="offset points",
        ha="right",
        fontsize=SMALL_SIZE,
        color=MUTED,
    )
    axes.set(xlabel=f"rate R, {unit}", ylabel=f"distortion D, {unit}")
    axes.grid()
    return figure
