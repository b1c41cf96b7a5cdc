"""The latent space: where the data go, how that compares with the prior, which dimensions work."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure
from matplotlib.patches import Circle, Ellipse

from lowerbound.errors import ShapeError
from lowerbound.plots.checks import as_array, as_labels, as_points, finite, same_length
from lowerbound.plots.style import (
    BLUE,
    FAINT,
    HALO,
    INK,
    LABEL_SIZE,
    MUTED,
    SMALL_SIZE,
    VERMILION,
    WIDTH,
    Array,
    class_colours,
    coordinate,
    line_height,
    new_figure,
    styled,
    text_width,
)

ACTIVE_KL = 0.01
"""Nats per image above which a dimension counts as active, unless the caller knows better."""

NAMED = 40
"""Dimensions up to which each bar has its number beneath it."""

COUNTS = LinearSegmentedColormap.from_list("counts", ["#dcebf6", "#7fb8de", BLUE, "#002b47"])


def prior_circles(axes: Axes, colour: str = MUTED) -> None:
    """Where a standard normal's density has fallen by one and two standard deviations."""
    for radius in (1, 2):
        axes.add_patch(
            Circle(
                (0, 0), radius, fill=False, edgecolor=colour, linewidth=0.9, linestyle=(0, (5, 3))
            )
        )
        axes.annotate(
            f"{radius}σ",
            (0, -radius),
            ha="center",
            va="center",
            fontsize=SMALL_SIZE - 1,
            color=colour,
            path_effects=HALO,
        )


def square_limits(axes: Axes, z: Array, inside: float = 0.0) -> None:
    """Equal scales that show every point, and the disc of radius ``inside``."""
    low = np.minimum(z.min(axis=0), -inside) if inside else z.min(axis=0)
    high = np.maximum(z.max(axis=0), inside) if inside else z.max(axis=0)
    half = 0.53 * max(float((high - low).max()), 1e-6)
    (x, y) = (low + high) / 2
    axes.set(xlim=(x - half, x + half), ylim=(y - half, y + half), aspect="equal")


def without_overlap(centres: Array, sizes: Array) -> Array:
    """Boxes (n, 2) of the given sizes in pixels, one after the other at the nearest free place.

    A box for which there is none within 200 pixels stays at its centre.
    """
    steps = 5.0 * np.arange(-40, 41)
    offsets = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    offsets = offsets[np.argsort(np.hypot(*offsets.T), kind="stable")]
    placed = np.empty((0, 2))
    for index, centre in enumerate(centres):
        places = centre + offsets
        gaps = np.abs(places[:, None] - placed)
        free = ~(gaps < (sizes[index] + sizes[:index]) / 2).all(axis=-1).any(axis=-1)
        placed = np.vstack([placed, places[free.argmax()] if free.any() else centre])
    return placed


def name_classes(axes: Axes, z: Array, labels: Array, names: Sequence[str]) -> None:
    """Each class's name in its colour at the median of its points."""
    present = np.unique(labels)
    centres = np.stack([np.median(z[labels == label], axis=0) for label in present])
    size = LABEL_SIZE + 1
    boxes = np.array(
        [(text_width(names[label], size) + 16, line_height(size) + 8) for label in present]
    )
    inverse = axes.transData.inverted()
    placed = inverse.transform(without_overlap(axes.transData.transform(centres), boxes))
    colours = class_colours(len(names))
    for label, (x, y) in zip(present, placed, strict=True):
        axes.text(
            x,
            y,
            names[label],
            ha="center",
            va="center",
            fontsize=size,
            fontweight="bold",
            color=INK,
            bbox={
                "boxstyle": "round,pad=0.2",
                "facecolor": "white",
                "edgecolor": colours[label],
                "linewidth": 1.4,
                "alpha": 0.92,
            },
            zorder=4,
        )


@styled
def latent_scatter(
    z: Array,
    labels: Array | None = None,
    class_names: Sequence[str] | None = None,
    *,
    x_name: str = "z[0]",
    y_name: str = "z[1]",
    prior: bool = True,
    title: str = "The test set, encoded",
) -> Figure:
    """Encoded examples in two dimensions of the latent space, coloured and named by class.

    Args:
        z: (n, 2) codes.
        labels: (n,) classes counted from 0, or None for points of one colour.
        class_names: by class; the numbers themselves if not given.
        x_name: of the first column of ``z``, such as "z[3], KL 2.1 nats".
        y_name: of the second.
        prior: draw the circles of a standard normal; not for a space without that prior.
        title: written above.

    Raises:
        ShapeError: ``z`` is not (n, 2), or labels or names are too few.
        ConfigurationError: ``z`` is not finite, or labels are not whole numbers from 0.
    """
    z = as_points(z)
    figure = new_figure(7.0, 7.25, title)
    axes = figure.add_subplot()
    axes.set(xlabel=x_name, ylabel=y_name)
    square_limits(axes, z, inside=2.1 if prior else 0.0)
    order = np.random.default_rng(0).permutation(len(z))  # so that no class covers another
    colours: str | list[str] = BLUE
    if labels is not None:
        labels = as_labels(labels, len(z))
        classes = int(labels.max()) + 1
        names = [str(label) for label in range(classes)] if class_names is None else class_names
        if len(names) < classes:
            same_length(names, classes, "class names", f"labels run from 0 to {classes - 1}")
        palette = class_colours(len(names))
        colours = [palette[label] for label in labels[order]]
        name_classes(axes, z, labels, names)
    axes.scatter(
        z[order, 0],
        z[order, 1],
        c=colours,
        s=float(np.clip(30_000 / len(z), 5, 30)),
        alpha=float(np.clip((2000 / len(z)) ** 0.5, 0.25, 0.85)),
        linewidths=0,
        rasterized=True,
    )
    if prior:
        prior_circles(axes)
    return figure


def gaussian_ellipses(axes: Axes, mean: Array, covariance: Array) -> None:
    """Where a Gaussian's density has fallen by one and two standard deviations."""
    variances, directions = np.linalg.eigh(covariance)
    angle = float(np.degrees(np.arctan2(directions[1, 1], directions[0, 1])))
    x, y = mean
    for radius in (1, 2):
        short, long = 2 * radius * np.sqrt(variances)
        axes.add_patch(
            Ellipse((x, y), long, short, angle=angle, fill=False, edgecolor=INK, linewidth=1.3)
        )


@styled
def gaussian_draws(
    draws: Mapping[str, Array],
    mean: Array,
    covariance: Array,
    *,
    title: str = "Draws, and the 1σ and 2σ of what they stand for",
) -> Figure:
    """Draws by several methods, each in a panel, over the Gaussian that they stand for.

    Args:
        draws: (n, 2) by the name of the method.
        mean: (2,) of the Gaussian.
        covariance: (2, 2) of the Gaussian; its ellipses of 1σ and 2σ are drawn.
        title: written above.

    Raises:
        ShapeError: there are no draws, or arrays of other shapes.
        ConfigurationError: a draw is not finite.
    """
    if not draws:
        raise ShapeError("expected draws of at least one method, got none")
    points = {name: as_points(z, name) for name, z in draws.items()}
    mean, covariance = np.asarray(mean), np.asarray(covariance)
    if (mean.shape, covariance.shape) != ((2,), (2, 2)):
        raise ShapeError(
            f"expected a mean (2,) and a covariance (2, 2), got {mean.shape} and {covariance.shape}"
        )
    figure = new_figure(WIDTH, 0.7 + WIDTH / len(points), title)
    panels = figure.subplots(1, len(points), sharex=True, sharey=True, squeeze=False)[0]
    for axes, (name, z) in zip(panels, points.items(), strict=True):
        axes.scatter(*z.T, color=BLUE, s=5, alpha=0.35, linewidths=0, rasterized=True)
        gaussian_ellipses(axes, mean, covariance)
        axes.set(title=name, xlabel="z[0]")
    panels[0].set(ylabel="z[1]")
    square_limits(panels[0], np.concatenate(list(points.values())))
    for axes in panels:
        axes.set_aspect("equal")
    return figure


def marginal(
    axes: Axes, values: Array, bins: Array, orientation: Literal["vertical", "horizontal"]
) -> None:
    """One coordinate's histogram as a density, beside the standard normal's."""
    axes.hist(values, list(bins), density=True, color=BLUE, alpha=0.35, orientation=orientation)
    grid = np.linspace(bins[0], bins[-1], 200)
    density = np.exp(-(grid**2) / 2) / np.sqrt(2 * np.pi)
    points = (grid, density) if orientation == "vertical" else (density, grid)
    axes.plot(*points, color=VERMILION, linewidth=1.4)
    axes.axis("off")


def histogram_notes(above: Axes, corner: Axes, z: Array, names: tuple[str, str]) -> None:
    """What the two colours are, and the moments of each coordinate."""
    corner.axis("off")
    for height, text, colour in ((0.75, "encoded data", BLUE), (0.45, "N(0, 1)", VERMILION)):
        corner.text(0.5, height, text, color=colour, fontsize=SMALL_SIZE, ha="center")
    moments = [
        f"{name}: mean {coordinate(column.mean())}, s.d. {coordinate(column.std())}"
        for name, column in zip(names, z.T, strict=True)
    ]
    above.set_title(";   ".join(moments), fontsize=SMALL_SIZE, color=MUTED)


@styled
def latent_histogram(
    z: Array,
    *,
    bins: int = 50,
    x_name: str = "z[0]",
    y_name: str = "z[1]",
    title: str = "Aggregate posterior against the standard normal prior",
) -> Figure:
    """How often each place of the latent plane is used, beside the standard normal prior.

    Args:
        z: (n, 2) codes.
        bins: along each axis.
        x_name: of the first column of ``z``.
        y_name: of the second.
        title: written above.

    Raises:
        ShapeError: ``z`` is not (n, 2).
        ConfigurationError: ``z`` is not finite.
    """
    z = as_points(z)
    figure = new_figure(7.8, 7.4, title)
    grid = figure.add_gridspec(2, 2, width_ratios=(5, 1), height_ratios=(1, 5))
    axes = figure.add_subplot(grid[1, 0])
    square_limits(axes, z, inside=2.6)
    axes.set(xlabel=x_name, ylabel=y_name)
    edges = [np.linspace(*limits, bins + 1) for limits in (axes.get_xlim(), axes.get_ylim())]
    *_, mesh = axes.hist2d(z[:, 0], z[:, 1], bins=edges, cmin=1, cmap=COUNTS, rasterized=True)
    prior_circles(axes, VERMILION)
    above = figure.add_subplot(grid[0, 0], sharex=axes)
    beside = figure.add_subplot(grid[1, 1], sharey=axes)
    marginal(above, z[:, 0], edges[0], "vertical")
    marginal(beside, z[:, 1], edges[1], "horizontal")
    histogram_notes(above, figure.add_subplot(grid[0, 1]), z, (x_name, y_name))
    bar = figure.colorbar(mesh, ax=[axes, beside], location="right", shrink=0.8, aspect=35)
    bar.set_label("examples per bin")
    bar.outline.set_visible(False)
    return figure


def shade_inactive(axes: Axes, first: float, last: float) -> None:
    """Hatch the ranks of the dimensions that carry nothing, whose bars are too low to see."""
    axes.axvspan(
        first, last, facecolor="#f6f6f6", edgecolor=FAINT, hatch="////", linewidth=0, zorder=0
    )
    axes.annotate(
        "inactive",
        ((first + last) / 2, 0.95),
        xycoords=axes.get_xaxis_transform(),
        ha="center",
        va="top",
        color=MUTED,
        path_effects=HALO,
    )


@styled
def kl_per_dimension(
    kl: Array,
    *,
    active: Array | None = None,
    criterion: str = f"KL > {ACTIVE_KL} nats",
    unit: str = "nats per image",
    title: str = "KL to the prior, dimension by dimension",
) -> Figure:
    """Which latent dimensions carry information: bars in falling order, the inactive hatched.

    Args:
        kl: (K,) mean KL of each dimension.
        active: (K,) booleans; by default those with more than 0.01 nats.
        criterion: what made a dimension active, for the note.
        unit: of ``kl``.
        title: written above.

    Raises:
        ShapeError: ``kl`` or ``active`` is not one value per dimension.
        ConfigurationError: ``kl`` is not finite.
    """
    kl = finite(as_array(kl, "K", "kl"), "kl")
    active = kl > ACTIVE_KL if active is None else as_array(active, "K", "active").astype(bool)
    same_length(active, len(kl), "active flags", "one per dimension")
    order = np.lexsort((-kl, ~active))
    used = int(active.sum())
    figure = new_figure(float(np.clip(0.42 * len(kl) + 2, 6, 10)), 3.6, title)
    axes = figure.add_subplot()
    axes.set_title(
        f"{used} of {len(kl)} active ({criterion}); {kl.sum():.2f} {unit} in total",
        fontsize=SMALL_SIZE,
        color=MUTED,
    )
    ranks = np.arange(len(kl))
    width = 0.8 if len(kl) <= NAMED else 1.0
    axes.bar(ranks[:used], kl[order[:used]], width, color=BLUE)
    axes.bar(ranks[used:], kl[order[used:]], width, color=MUTED)
    if used < len(kl):
        shade_inactive(axes, used - 0.5, len(kl) - 0.5)
    # A collapsed model's tiny bars are to look tiny.
    top = 1.05 * max(kl.max(), 10 * ACTIVE_KL)
    axes.set(ylabel=f"KL, {unit}", xlim=(-0.6, len(kl) - 0.4), ylim=(min(kl.min(), 0), top))
    axes.grid(axis="y")
    if len(kl) <= NAMED:
        axes.set_xticks(ranks, [str(index) for index in order])
        axes.tick_params(axis="x", length=0)
        axes.set_xlabel("dimension of z, most active first")
    else:
        axes.set_xlabel("dimensions of z, most active first, by rank")
    return figure
