"""The latent space: where the data go, and how that compares with the prior."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Ellipse
from matplotlib.ticker import MaxNLocator

from lowerbound.errors import ShapeError
from lowerbound.plots import style
from lowerbound.plots.checks import as_array, as_labels, as_points, finite, same_length
from lowerbound.plots.columns import FEW, column_panels, distribution
from lowerbound.plots.labels import text_width, without_overlap
from lowerbound.plots.style import Array, coordinate, new_figure, one_panel, styled

COUNTS = LinearSegmentedColormap.from_list("counts", ["#dcebf6", "#7fb8de", style.BLUE, "#002b47"])
DOTS = 1000  # examples below which each is a dot, not part of a bin
SQUARE = 6.8  # inches of a figure that is one square


def gaussian_ellipses(axes: Axes, mean: Array, covariance: Array, **look: Any) -> None:
    """Where a Gaussian's density has fallen by one and two standard deviations."""
    variances, directions = np.linalg.eigh(covariance)
    angle = float(np.degrees(np.arctan2(directions[1, 1], directions[0, 1])))
    x, y = mean
    for radius in (1, 2):
        short, long = 2 * radius * np.sqrt(variances)
        axes.add_patch(Ellipse((x, y), long, short, angle=angle, fill=False, **look))


def prior_circles(axes: Axes, colour: str) -> None:
    """The ellipses of a standard normal, named."""
    look = {"edgecolor": colour, "linewidth": 0.9, "linestyle": (0, (5, 3))}
    gaussian_ellipses(axes, np.zeros(2), np.eye(2), **look)
    for radius in (1, 2):
        name = axes.text(0, -radius, f"{radius}σ", ha="center", va="center", color=colour)
        name.set_path_effects(style.HALO)


def square_limits(axes: Axes, z: Array, inside: float = 0.0) -> None:
    """Equal scales that show every point, and the disc of radius ``inside``."""
    low, high = z.min(axis=0), z.max(axis=0)
    if inside:
        low, high = np.minimum(low, -inside), np.maximum(high, inside)
    half = 0.53 * max(float((high - low).max()), 1e-6)
    x, y = (low + high) / 2
    axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")
    axes.apply_aspect()


def name_classes(axes: Axes, z: Array, labels: Array, names: Sequence[str]) -> None:
    """Each class's name in its colour at the median of its points."""
    present = np.unique(labels)
    centres = np.stack([np.median(z[labels == label], axis=0) for label in present])
    sizes = [(1.1 * text_width(names[label]) + 16, style.LINE + 8) for label in present]
    placed = without_overlap(axes.transData.transform(centres), np.array(sizes))
    places = axes.transData.inverted().transform(placed)
    for label, colour, (x, y) in zip(present, style.class_colours(present), places, strict=True):
        name = axes.text(x, y, names[label], ha="center", va="center", weight="bold", zorder=4)
        box = {"boxstyle": "round,pad=0.2", "facecolor": "white", "edgecolor": colour}
        name.set_bbox({**box, "linewidth": 1.4, "alpha": 0.92})


def class_names_of(labels: Array, class_names: Sequence[str] | None) -> Sequence[str]:
    """A name for each class that labels may be of: its number, if none are given."""
    classes = int(labels.max()) + 1
    names = [str(label) for label in range(classes)] if class_names is None else class_names
    if len(names) < classes:
        same_length(names, classes, "class names", f"labels run from 0 to {classes - 1}")
    return names


def scatter_points(axes: Axes, z: Array, labels: Array | None, size: float) -> None:
    """Points in the colours of their classes, in an order in which no class covers another."""
    order = np.random.default_rng(0).permutation(len(z))
    colours = style.BLUE if labels is None else style.class_colours(labels[order])
    alpha = float(np.clip((2000 / len(z)) ** 0.5, 0.25, 0.85))
    look: dict[str, Any] = {"s": size, "alpha": alpha, "linewidths": 0, "rasterized": True}
    axes.scatter(z[order, 0], z[order, 1], c=colours, zorder=2, **look)


def show_codes(
    axes: Axes, z: Array, labels: Array | None, size: float, *, prior: bool | Array
) -> None:
    """Points, and with them a standard normal's circles or draws from another prior."""
    draws = z[:0] if isinstance(prior, bool) else as_points(prior, "draws from the prior")
    square_limits(axes, np.concatenate([z, draws]), inside=2.1 if prior is True else 0.0)
    scatter_points(axes, z, labels, size)
    if prior is True:
        prior_circles(axes, style.MUTED)
    elif len(draws):
        look: dict[str, Any] = {"s": 9, "alpha": 0.35, "linewidths": 0, "rasterized": True}
        axes.scatter(draws[:, 0], draws[:, 1], c=style.SHADE, zorder=1, **look)


@styled
def latent_scatter(
    z: Array,
    labels: Array | None = None,
    class_names: Sequence[str] | None = None,
    *,
    x_name: str = "z[0]",
    y_name: str = "z[1]",
    prior: bool | Array = True,
) -> Figure:
    """Encoded examples in two dimensions of the latent space, coloured and named by class.

    Args:
        z: (n, 2) codes.
        labels: (n,) classes counted from 0, or None for points of one colour.
        class_names: by class; the numbers themselves if not given.
        x_name: of the first column of ``z``, such as "z[3], KL 2.1 nats".
        y_name: of the second.
        prior: draw the circles of a standard normal, or draws (m, 2) from another prior as grey
            points; False for a space without a prior.
    """
    z = as_points(z)
    figure, axes = one_panel(SQUARE, xlabel=x_name, ylabel=y_name)
    labels = None if labels is None else as_labels(labels, len(z))
    show_codes(axes, z, labels, float(np.clip(30_000 / len(z), 5, 30)), prior=prior)
    if labels is not None:
        name_classes(axes, z, labels, class_names_of(labels, class_names))
    return figure


@styled
def latent_pairs(
    z: Array, names: Sequence[str], labels: Array | None = None, *, prior: bool | Array = True
) -> Figure:
    """Every pair of several dimensions of the latent space, a panel each.

    Args:
        z: (n, K) codes in the dimensions to pair, K ≥ 2.
        names: of the dimensions.
        labels: (n,) classes counted from 0, or None for points of one colour.
        prior: the circles of a standard normal, or draws (m, K) from another; see
            :func:`latent_scatter`.
    """
    z = finite(as_array(z, "n K", "z"), "z")
    same_length(names, z.shape[1], "names", "one per dimension")
    if labels is not None:
        labels = as_labels(labels, len(z))
    pairs = list(combinations(range(z.shape[1]), 2))
    across = min(3, len(pairs))
    down = -(-len(pairs) // across)
    figure = new_figure(0.3 + (style.WIDTH / 3 - 0.1) * down)
    for place, (i, j) in enumerate(pairs, 1):
        axes = figure.add_subplot(down, across, place, xlabel=names[i], ylabel=names[j])
        behind = prior if isinstance(prior, bool) else np.asarray(prior)[:, [i, j]]
        show_codes(axes, z[:, [i, j]], labels, float(np.clip(10_000 / len(z), 3, 20)), prior=behind)
    return figure


@styled
def latent_marginals(z: Array, names: Sequence[str]) -> Figure:
    """How each dimension's codes are distributed, beside the standard normal prior.

    Heights are densities; fewer than 60 examples are a dot each, stacked.

    Args:
        z: (n, K) draws z ~ q(z|x).
        names: of the K dimensions.
    """
    z = finite(as_array(z, "n K", "z"), "z")
    figure, panels = column_panels(names, 1.9)
    same_length(names, z.shape[1], "names", "one per dimension")
    for axes, codes in zip(panels, z.T, strict=False):
        low, high = min(-3.0, codes.min()), max(3.0, codes.max())
        edges = np.linspace(low, high, int(np.clip(len(codes) ** 0.5, 12, 40)) + 1)
        distribution(axes, codes, edges)
        x = np.linspace(low, high, 200)
        axes.plot(x, normal_density(x) * (edges[1] - edges[0]), color=style.VERMILION)
        axes.set_xlabel(f"mean {coordinate(codes.mean())}, s.d. {coordinate(codes.std())}")
        style.without_y(axes)
    handles = [
        Line2D([], [], linestyle="", marker="s", color=style.SHADE, label="encoded data"),
        Line2D([], [], color=style.VERMILION, label="N(0, 1)"),
    ]
    figure.legend(handles=handles, loc="outside upper right", ncols=2)
    return figure


@styled
def gaussian_draws(draws: Mapping[str, Array], mean: Array, covariance: Array) -> Figure:
    """Draws by several methods, each in a panel, over the Gaussian that they stand for.

    Args:
        draws: (n, 2) by the name of the method.
        mean: (2,) of the Gaussian.
        covariance: (2, 2) of the Gaussian; its ellipses of 1σ and 2σ are drawn.
    """
    if not draws:
        raise ShapeError("expected draws of at least one method, got none")
    points = {name: as_points(z, name) for name, z in draws.items()}
    mean, covariance = np.asarray(mean), np.asarray(covariance)
    if (mean.shape, covariance.shape) != ((2,), (2, 2)):
        raise ShapeError(
            f"expected a mean (2,) and a covariance (2, 2), got {mean.shape} and {covariance.shape}"
        )
    figure = new_figure(min(SQUARE, 0.7 + style.WIDTH / len(points)))
    panels = figure.subplots(1, len(points), sharex=True, sharey=True, squeeze=False)[0]
    square_limits(panels[0], np.concatenate(list(points.values())))
    for axes, (name, z) in zip(panels, points.items(), strict=True):
        axes.scatter(*z.T, s=5, alpha=0.35, linewidths=0, rasterized=True)
        gaussian_ellipses(axes, mean, covariance, edgecolor=style.INK, linewidth=1.3)
        axes.set(title=name, xlabel="z[0]", aspect="equal")
    panels[0].set(ylabel="z[1]")
    return figure


@styled
def latent_histogram(
    z: Array, *, bins: int | None = None, x_name: str = "z[0]", y_name: str = "z[1]"
) -> Figure:
    """How often each place of the latent plane is used, beside the standard normal prior.

    Args:
        z: (n, 2) codes.
        bins: along each axis; by default as many as n allows, and below 1,000 examples each is a
            dot.
        x_name: of the first column of ``z``.
        y_name: of the second.
    """
    z = as_points(z)
    figure, axes = one_panel(SQUARE + 1, xlabel=x_name, ylabel=y_name)
    square_limits(axes, z, inside=2.6)
    dots = bins is None and len(z) < DOTS
    bins = bins or int(np.clip(0.8 * len(z) ** 0.5, 10, 50))
    edges = [np.linspace(*limits, bins + 1) for limits in (axes.get_xlim(), axes.get_ylim())]
    if dots:
        scatter_points(axes, z, None, float(np.clip(10_000 / len(z), 10, 30)))
    else:
        *_, mesh = axes.hist2d(z[:, 0], z[:, 1], edges, cmin=1, cmap=COUNTS, rasterized=True)
    prior_circles(axes, style.VERMILION)

    above = axes.inset_axes((0, 1.02, 1, 0.18), sharex=axes)
    beside = axes.inset_axes((1.02, 0, 0.18, 1), sharey=axes)
    if len(z) < FEW:
        above.plot(z[:, 0], np.full(len(z), 0.02), "o", markersize=4, alpha=0.5)
        beside.plot(np.full(len(z), 0.02), z[:, 1], "o", markersize=4, alpha=0.5)
    else:
        above.hist(z[:, 0], edges[0].tolist(), density=True, alpha=0.35)
        beside.hist(z[:, 1], edges[1].tolist(), density=True, alpha=0.35, orientation="horizontal")
    across, up = (np.linspace(steps[0], steps[-1], 200) for steps in edges)
    above.plot(across, normal_density(across), color=style.VERMILION, linewidth=1.4)
    beside.plot(normal_density(up), up, color=style.VERMILION, linewidth=1.4)
    for panel in (above, beside):
        panel.axis("off")
    above.text(1.04, 0.6, "encoded data", color=style.BLUE, transform=above.transAxes)
    above.text(1.04, 0.25, "N(0, 1)", color=style.VERMILION, transform=above.transAxes)
    moments = [
        f"{name}: mean {coordinate(column.mean())}, s.d. {coordinate(column.std())}"
        for name, column in zip((x_name, y_name), z.T, strict=True)
    ]
    axes.text(0, 1.22, ";   ".join(moments), color=style.MUTED, transform=axes.transAxes)

    if dots:
        return figure
    key = axes.inset_axes((1.28, 0.1, 0.025, 0.8))
    bar = figure.colorbar(mesh, key, label="examples per bin", ticks=MaxNLocator(integer=True))
    bar.outline.set_visible(False)
    return figure


def normal_density(x: Array) -> Array:
    """The density of N(0, 1)."""
    return np.exp(-(x**2) / 2) / np.sqrt(2 * np.pi)
