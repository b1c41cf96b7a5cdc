"""Figures: what they show is what they were given."""

from __future__ import annotations

import io
import subprocess
import sys
from itertools import pairwise

import matplotlib
import numpy as np
import pytest
from PIL import Image

from lowerbound import plots
from lowerbound.errors import ConfigurationError, ShapeError
from lowerbound.plots.labels import spread, without_overlap
from lowerbound.plots.mosaic import GAP, as_rows, mosaic, to_rgb
from lowerbound.plots.scales import Scale
from lowerbound.plots.style import CLASS_COLOURS

RNG = np.random.default_rng(0)
GREY = RNG.random((12, 1, 28, 28))
CODES = RNG.normal(size=(500, 2))
LABELS = np.arange(500) % 3


def texts(figure) -> list[str]:
    """Everything written in a figure, ticks aside."""
    found = [text.get_text() for text in figure.texts]
    for axes in figure.axes:
        found += [text.get_text() for text in axes.texts]
        found += [axes.get_title(loc) for loc in ("left", "center")]
        found += [axes.get_xlabel(), axes.get_ylabel()]
    found += [text.get_text() for legend in figure.legends for text in legend.get_texts()]
    return [text for text in found if text]


def pixels(figure) -> np.ndarray:
    """The figure as a reader sees it, (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(plots.png_bytes(figure))).convert("RGB"))


def shown(figure) -> np.ndarray:
    """The part of the drawn figure that its only image takes."""
    box = figure.axes[0].get_window_extent()
    canvas = pixels(figure)
    top = round(canvas.shape[0] - box.y1)
    left = round(box.x0)
    return canvas[top : top + round(box.height), left : left + round(box.width)]


def grey_bytes(image: np.ndarray) -> np.ndarray:
    """(1, H, W) in 0 to 1 as (H, W, 3) bytes, written without the module under test."""
    return np.dstack([np.round(image[0] * 255).astype(np.uint8)] * 3)


# Mosaics


def test_each_image_is_drawn_pixel_by_pixel_in_its_place():
    figure = plots.image_grid(GREY, columns=5)
    canvas = shown(figure)
    factor = 4  # the largest whole factor within 128 pixels
    assert canvas.shape == (3 * 28 * factor + 2 * GAP, 5 * 28 * factor + 4 * GAP, 3)
    for index, image in enumerate(GREY):
        row, column = divmod(index, 5)
        top, left = row * (28 * factor + GAP), column * (28 * factor + GAP)
        cell = canvas[top : top + 28 * factor, left : left + 28 * factor]
        np.testing.assert_array_equal(cell, np.kron(grey_bytes(image), np.ones((4, 4, 1))))
    assert (canvas[2 * (28 * factor + GAP) :, 2 * (28 * factor + GAP) :] == 255).all()


def test_separators_are_white():
    canvas = shown(plots.image_grid(np.zeros((4, 1, 8, 8)), columns=2))
    side = (canvas.shape[0] - GAP) // 2
    assert (canvas[side : side + GAP] == 255).all()
    assert (canvas[:, side : side + GAP] == 255).all()
    assert (canvas[:side, :side] == 0).all()


def test_a_grid_of_rows_and_columns_keeps_its_order():
    levels = np.arange(6).reshape(2, 3, 1, 1, 1) * np.ones((1, 1, 1, 4, 4)) / 10
    canvas = shown(plots.image_grid(levels))
    height, width = canvas.shape[0] // 2, canvas.shape[1] // 3
    seen = canvas[height // 2 :: height, width // 2 :: width, 0][:2, :3]
    np.testing.assert_array_equal(seen, np.round(levels[:, :, 0, 0, 0] * 255))


def test_three_channels_are_rgb():
    red = np.zeros((1, 3, 4, 4))
    red[:, 0] = 1
    assert (shown(plots.image_grid(red)) == [255, 0, 0]).all()


@pytest.mark.parametrize(
    ("images", "value_range", "expected"),
    [
        (np.array([0, 51, 255], np.uint8), None, [0, 51, 255]),
        (np.array([0.0, 0.2, 1.0]), None, [0, 51, 255]),
        (np.array([-0.5, 0.2, 7.0]), None, [0, 51, 255]),
        (np.array([-1.0, 0.0, 1.0]), (-1, 1), [0, 128, 255]),
    ],
)
def test_values_to_bytes(images, value_range, expected):
    assert to_rgb(images.reshape(3, 1, 1, 1), value_range)[:, 0, 0, 0].tolist() == expected


def test_a_mosaic_wider_than_the_page_is_reduced_to_it():
    figure = plots.image_grid(RNG.random((12, 3, 200, 200)), columns=12, row_labels=["row"])
    assert 10 * plots.DPI - 12 <= pixels(figure).shape[1] <= 10 * plots.DPI


def test_labels_leave_images_whole_pixels():
    grid = RNG.random((2, 11, 1, 28, 28))
    steps = [f"{step:.2f}" for step in np.linspace(-2, 2, 11)]
    names = ["z[0]  3.00 nats", "z[19]  1.00 nats"]
    figure = plots.image_grid(grid, row_labels=names, column_labels=steps)
    picture = mosaic(to_rgb(grid, None), room=10 * plots.DPI - 200)
    np.testing.assert_array_equal(shown(figure), picture.pixels)


def test_rows_are_filled_up_with_white():
    filled = as_rows(np.zeros((5, 2, 2, 3), np.uint8), 3)
    assert filled.shape == (2, 3, 2, 2, 3)
    assert (filled[1, 2] == 255).all()
    assert (filled[1, 1] == 0).all()


def test_reconstructions_put_each_version_below_the_one_before():
    first, second = np.full((20, 1, 4, 4), 0.2), np.full((20, 1, 4, 4), 0.6)
    figure = plots.reconstructions(
        {"original": first, "restored": second}, labels=[str(n) for n in range(20)]
    )
    canvas = shown(figure)[:, 0, 0]
    order = [int(level) for level in canvas[np.flatnonzero(np.diff(canvas, prepend=255))]]
    assert [level for level in order if level != 255] == [51, 153, 51, 153]
    rows = sorted(
        (-text.xy[1], text.get_text()) for text in figure.axes[0].texts if text.xy[0] == 0
    )
    assert [name for _, name in rows[::-1]] == ["original", "restored"] * 2
    assert {str(n) for n in range(20)} <= set(texts(figure))


def test_reconstructions_share_examples_out_over_bands():
    figure = plots.reconstructions({"x": np.zeros((13, 1, 8, 8))})
    assert [text.get_text() for text in figure.axes[0].texts] == ["x", "x"]
    canvas = shown(figure)[0, :, 0]
    assert np.count_nonzero(np.diff(canvas == 0, prepend=False) & (canvas == 0)) == 7


def test_piano_rolls_draw_each_note_where_it_sounds():
    tokens = np.array([[41, 0, 0, 43], [0, 2, 1, 0], [0, 0, 0, 0]])
    figure = plots.piano_rolls({"original": tokens, "reconstruction": tokens[::-1]}, bar=2)
    boxes = [
        [
            (round(box.get_x() - 0.1), round(box.get_width() + 0.2), round(box.get_y() + 0.5))
            for box in axes.patches
            if box.get_alpha() is None  # as those of black keys have
        ]
        for axes in figure.axes
    ]
    first, second = [(0, 3, 60), (3, 1, 62)], [(1, 1, 21)]
    assert boxes == [first, second, [], [], second, first]
    with pytest.raises(ShapeError, match="reconstruction melodies of shape"):
        plots.piano_rolls({"original": tokens, "reconstruction": tokens[:2]})
    plots.piano_rolls({"": tokens[2:]}, titles=["silence"])


def test_manifold_y_rises_upwards():
    levels = np.arange(6).reshape(2, 3, 1, 1, 1) * np.ones((1, 1, 1, 4, 4)) / 10
    figure = plots.manifold(levels, np.array([-1.0, 0.0, 1.0]), np.array([-1.5, 1.5]))
    canvas = shown(figure)[:, :, 0]
    assert canvas[-1, 0] == 0
    assert canvas[-1, -1] == 51
    assert canvas[0, 0] == round(0.3 * 255)
    heights = {text.get_text(): text.xy[1] for text in figure.axes[0].texts}
    assert heights["−1.50"] > heights["1.50"]
    assert {"−1.00", "0.00", "1.00", "z[0]", "z[1]"} <= heights.keys()


def test_dense_manifolds_label_some_of_their_values():
    values = np.linspace(-2, 2, 40)
    figure = plots.manifold(np.zeros((40, 40, 1, 8, 8)), values, values)
    boxes = [
        text.get_window_extent()
        for text in figure.axes[0].texts
        if text.xy[1] == figure.axes[0].get_ylim()[0] and text.get_text() != "z[0]"
    ]
    assert 5 < len(boxes) < 40
    assert all(left.x1 < right.x0 for left, right in pairwise(boxes))


def test_rows_and_columns_are_named_in_plain_text():
    grid = np.zeros((2, 3, 1, 8, 8))
    names, steps = ["ankle boot", r"$\unknown{$"], ["a", "b", "c"]
    figure = plots.image_grid(grid, row_labels=names, column_labels=steps)
    assert {*names, *steps} <= set(texts(figure))
    plots.png_bytes(figure)


# Latent space


def test_scatter_draws_every_point_in_its_class_colour():
    figure = plots.latent_scatter(CODES, LABELS, ["a", "b", "c"])
    points = figure.axes[0].collections[0]
    drawn = {
        tuple(np.round(point, 9)): matplotlib.colors.to_hex(colour)
        for point, colour in zip(points.get_offsets(), points.get_facecolors(), strict=True)
    }
    assert len(drawn) == 500
    for point, label in zip(CODES, LABELS, strict=True):
        assert drawn[tuple(np.round(point, 9))] == CLASS_COLOURS[label]
    assert {"a", "b", "c", "1σ", "2σ"} <= set(texts(figure))
    assert points.get_rasterized()
    assert figure.axes[0].get_aspect() == 1


def test_draws_of_each_method_lie_over_the_gaussians_ellipses():
    covariance = np.array([[2.0, -1.2], [-1.2, 1.0]])
    left, right = plots.gaussian_draws({"a": CODES, "b": 2 * CODES}, [0.5, -1], covariance).axes
    assert (left.get_title("left"), right.get_title("left")) == ("a", "b")
    np.testing.assert_array_equal(right.collections[0].get_offsets(), 2 * CODES)
    assert left.get_xlim() == right.get_xlim()
    precision = np.linalg.inv(covariance)
    for radius, ellipse in zip((1, 2), right.patches, strict=True):
        rim = ellipse.get_patch_transform().transform(ellipse.get_path().vertices[::3]) - [0.5, -1]
        np.testing.assert_allclose(
            np.einsum("ni,ij,nj->n", rim, precision, rim), radius**2, rtol=0.01
        )


def test_scatter_names_only_the_classes_that_are_there():
    figure = plots.latent_scatter(CODES, np.where(LABELS == 1, 2, LABELS), prior=False)
    assert {"0", "2"} <= set(texts(figure))
    assert not {"1", "1σ"} & set(texts(figure))


def test_class_names_never_overlap():
    figure = plots.latent_scatter(CODES, np.arange(500) % 10, [f"class {n}" for n in range(10)])
    plots.png_bytes(figure)
    boxes = [
        text.get_window_extent() for text in figure.axes[0].texts if "class" in text.get_text()
    ]
    assert len(boxes) == 10
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


def test_labels_move_no_further_than_they_must():
    centres = np.array([[0.0, 0.0], [1.0, 0.0], [50.0, 50.0]])
    placed = without_overlap(centres, np.full((3, 2), 10.0))
    np.testing.assert_array_equal(placed[[0, 2]], centres[[0, 2]])
    assert np.abs(placed[1] - centres[1]).tolist() == [0.0, 10.0]


def test_histogram_counts_every_example():
    figure = plots.latent_histogram(CODES, bins=50)
    counts = figure.axes[0].collections[0].get_array()
    assert counts.size == 50 * 50
    assert counts.sum() == 500
    means = [f"z[{i}]: mean {CODES[:, i].mean():.2f}".replace("-", "−") for i in (0, 1)]
    assert all(any(mean in text for text in texts(figure)) for mean in means)


def test_kl_bars_fall_and_inactive_ones_are_apart():
    kl = np.array([0.5, 0.001, 2.0, 0.0])
    figure = plots.kl_per_dimension(kl)
    axes = figure.axes[0]
    active, inactive = ([bar.get_height() for bar in group] for group in axes.containers)
    assert active == [2.0, 0.5]
    assert inactive == [0.001, 0.0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "0", "1", "3"]
    assert any("2 of 4 active" in text and "2.50 nats" in text for text in texts(figure))
    assert "inactive" in texts(figure)


def test_the_caller_may_say_which_dimensions_are_active():
    kl = np.array([0.5, 3.0, 2.0])
    figure = plots.kl_per_dimension(
        kl, active=np.array([True, False, True]), criterion="Var(mean) > 0.01"
    )
    assert [bar.get_height() for bar in figure.axes[0].containers[0]] == [2.0, 0.5]
    assert any("2 of 3 active (Var(mean) > 0.01)" in text for text in texts(figure))


def test_hundreds_of_dimensions_are_ranked_not_named():
    axes = plots.kl_per_dimension(0.1 + RNG.random(300)).axes[0]
    assert len(axes.containers[0]) == 300
    assert len(axes.get_xticks()) < 20


# Lines


def history(epochs: int, **extra) -> list[dict]:
    terms = {"bound": -100.0, "kl": 20.0, "reconstruction": 80.0}
    return [
        {"epoch": epoch, "train": terms, "validation": {**terms, "bound": -101.0 + epoch}, **extra}
        for epoch in range(1, epochs + 1)
    ]


def test_learning_curves_turn_bounds_round_and_keep_losses():
    total, kl, reconstruction = plots.learning_curves(history(3)).axes
    train, validation = total.lines
    assert train.get_ydata().tolist() == [100, 100, 100]
    assert validation.get_ydata().tolist() == [100, 99, 98]
    assert validation.get_xdata().tolist() == [1, 2, 3]
    assert kl.lines[0].get_ydata()[0] == 20
    assert reconstruction.lines[0].get_ydata()[0] == 80
    assert {axes.get_ylabel() for axes in (total, kl, reconstruction)} == {"nats per image"}
    assert [text.get_text() for text in total.texts] == ["train\n100.00", "validation\n98.00"]


def test_learning_curves_of_an_autoencoder_name_no_bound():
    terms = {"objective": -83.0, "bound": -80.0, "reconstruction": 80.0, "penalty": 3.0}
    entries = [{"epoch": 1, "train": terms, "validation": None}]
    titles = [axes.get_title("left") for axes in plots.learning_curves(entries).axes]
    assert len(titles) == 3
    assert not any("bound" in title for title in titles)


def test_learning_curves_without_validation_or_with_one_epoch():
    entries = [{"epoch": 1, "train": {"elbo": -5.0, "kl": 1.0}, "validation": None}]
    total, kl = plots.learning_curves(entries, unit="nats per row").axes
    assert len(total.lines) == len(kl.lines) == 1
    assert total.lines[0].get_ydata().tolist() == [5.0]
    assert total.get_ylabel() == "nats per row"


def test_learning_curves_show_beta_and_extra_terms():
    entries = history(2, beta=0.5)
    entries[1] = {**entries[1], "train": {**entries[1]["train"], "penalty": 3.0}}
    axes = plots.learning_curves(entries).axes
    assert [a.get_title("left") for a in axes[-2:]] == ["penalty", "Weight β of the KL"]
    assert axes[-2].lines[0].get_xdata().tolist() == [2]
    assert axes[-1].lines[0].get_ydata().tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("objective", "panels"), [(-100.0, 3), (-90.0, 4)])
def test_the_objective_is_drawn_where_it_is_not_the_bound(objective, panels):
    entries = [{"epoch": 1, "train": {**history(1)[0]["train"], "objective": objective}}]
    assert len(plots.learning_curves(entries).axes) == panels


def test_curves_are_named_at_their_ends_without_overlap():
    series = {f"line {n}": np.array([1.0, 2.0 + n / 1000]) for n in range(8)}
    figure = plots.curves(np.array([1, 50]), series, xlabel="K", ylabel="nats per image", logx=True)
    plots.png_bytes(figure)
    boxes = sorted(
        (matplotlib.text.Text.get_window_extent(text) for text in figure.axes[0].texts),
        key=lambda box: box.y0,
    )
    assert len(boxes) == len(figure.axes[0].lines) == 8
    assert all(low.y1 <= high.y0 + 1 for low, high in pairwise(boxes))
    assert len({(line.get_color(), line.get_linestyle()) for line in figure.axes[0].lines}) == 8


def test_curves_take_an_x_of_each_own_and_bands():
    figure = plots.curves(
        {"a": np.array([1, 2, 3]), "b": np.array([5, 6])},
        {"a": np.array([1.0, np.nan, 3.0]), "b": np.array([2.0, 1.0])},
        xlabel="seconds",
        ylabel="error",
        errors={"b": np.array([0.5, 0.25])},
    )
    axes = figure.axes[0]
    assert axes.lines[1].get_xdata().tolist() == [5, 6]
    (band,) = axes.collections
    assert {(6.0, 0.75), (6.0, 1.25)} <= {tuple(v) for v in band.get_paths()[0].vertices}


def test_few_values_on_a_logarithmic_axis_are_its_ticks():
    k = np.array([1, 2, 3, 5, 10, 20, 50])
    axes = plots.curves(k, {"KL": k}, xlabel="K", ylabel="nats", logx=True).axes[0]
    assert axes.get_xscale() == "log"
    assert axes.get_xticks().tolist() == k.tolist()


def test_rate_and_distortion_are_joined_by_rising_rate_above_the_best_elbo():
    figure = plots.rate_distortion([5.0, 1.0, 3.0], [10.0, 20.0, 13.0], ["a", "b", "c"])
    curve, best = figure.axes[0].lines
    assert curve.get_xydata().tolist() == [[1, 20], [3, 13], [5, 10]]
    assert np.allclose(best.get_xydata().sum(1), 15)
    assert {"a", "b", "c", "R + D = 15.00"} == {text.get_text() for text in figure.axes[0].texts}
    with pytest.raises(ShapeError, match="expected 2 names"):
        plots.rate_distortion([1.0, 2.0], [2.0, 1.0], ["a"])


def test_spread_keeps_order_and_distance():
    centres = np.array([5.0, 0.0, 0.1, 0.2, 9.0])
    placed = spread(centres, 1.0)
    assert (np.diff(placed[np.argsort(centres)]) >= 1 - 1e-9).all()
    assert placed[[0, 4]].tolist() == [5.0, 9.0]
    assert placed[1:4].mean() == pytest.approx(0.1)


# Tables


def test_marginals_draw_every_column_up_to_a_limit_and_say_so():
    table = RNG.normal(size=(4, 50))
    figure = plots.marginals(table[:, :15], table[:, :15], [f"c{n}" for n in range(15)])
    assert len(figure.axes) == 15
    assert {"data", "generated", "c14"} <= set(texts(figure))
    figure = plots.marginals(table, table, [f"c{n}" for n in range(50)])
    assert len(figure.axes) == 24
    assert "first 24 of 50 columns" in figure.get_suptitle()


def test_marginals_hold_every_row_and_leave_out_what_was_not_observed():
    data = RNG.normal(size=(2000, 2))
    data[0, 0], data[:500, 1] = 1000, np.nan
    figure = plots.marginals(data, data[:, ::-1], ["far", "gaps"])
    for axes in figure.axes:
        heights = [bar.get_height() for bar in axes.patches[:-1]]
        assert sum(heights) == pytest.approx(1)
        assert axes.get_xlim()[1] < 10


def test_few_rows_are_a_dot_or_a_line_each():
    data = np.linspace(-1, 1, 30)[:, None]  # all within the axis, whose ends hold what lies beyond
    axes = plots.marginals(data, RNG.normal(size=(500, 1)), ["a"]).axes[0]
    dots = axes.lines[0].get_xydata()
    np.testing.assert_allclose(dots[:, 0], np.sort(data[:, 0]))
    assert len(np.unique(dots, axis=0)) == 30
    axes = plots.marginals(RNG.normal(size=(500, 1)), data, ["a"]).axes[0]
    (lines,) = axes.collections
    assert [line[0, 0] for line in lines.get_segments()] == pytest.approx(data[:, 0])
    sets = {"test": data[:, 0], "training": RNG.normal(size=500)}
    test, training = plots.score_histograms({"ELBO": sets}, xlabel="nats").axes[0].lines
    assert (len(test.get_xdata()), len(training.get_xdata())) == (30, 500)
    assert len(plots.latent_histogram(CODES).axes[0].collections[0].get_offsets()) == 500


def test_constant_columns_have_a_histogram():
    assert len(plots.marginals(np.ones((9, 1)), np.ones((9, 1)), ["one"]).axes) == 1


def test_categories_are_named_the_most_frequent_first():
    codes = np.arange(200)[:, None] % 3 // 2
    axes = plots.marginals(codes, 1 - codes, ["c"], categories={"c": ("red", "blue")}).axes[0]
    assert [text.get_text() for text in axes.texts] == ["red", "blue"]
    lengths = [bar.get_width() for bar in axes.patches]
    assert lengths == pytest.approx([0.67, 0.33, 0.33, 0.67])


def test_many_categories_are_counted_together():
    codes = np.repeat(np.arange(30.0), np.arange(60, 0, -2))[:, None]
    names = [f"a category with a rather long name, number {k}" for k in range(30)]
    axes = plots.marginals(codes, codes[:60], ["c"], categories={"c": names}).axes[0]
    assert len(axes.texts) == 8
    rest = 1 - np.arange(60, 46, -2).sum() / len(codes)
    assert axes.texts[-1].get_text() == f"23 others: {rest:.0%}, generated < 1%"
    widths = [text.get_window_extent().width for text in axes.texts]
    assert max(widths) < axes.get_window_extent().width


def test_a_few_numbers_have_a_bar_each_and_what_is_missing_is_told():
    values = np.array([0, 2.5, 2.5, 6, np.nan] * 40)[:, None]
    axes = plots.marginals(values, np.zeros((9, 1)), ["x"]).axes[0]
    assert axes.get_title(loc="left") == "x, 20% missing"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["0", "2.5", "6"]
    assert [bar.get_height() for bar in axes.patches] == pytest.approx([0.25, 0.5, 0.25, 1, 0, 0])


def test_dates_are_written_as_such():
    days = 14_000 + RNG.uniform(0, 900, 200)[:, None]
    axes = plots.marginals(days, days, ["born"], dates=["born"]).axes[0]
    written = {axes.xaxis.get_major_formatter()(day, None) for day in axes.get_xticks()}
    assert "2009-09" in written


def test_pairs_are_drawn_in_data_and_beside_it():
    table = np.c_[RNG.normal(size=100), RNG.integers(0, 3, 100), RNG.integers(0, 2, 100)]
    table[:10, 0] = np.nan
    figure = plots.column_pairs(
        table, table[::-1], ["x", "kind", "flag"], [(0, 1), (1, 2)],
        categories={"kind": ("a", "b", "c")}, strengths=[(0.5, -0.25), (0.1, 0.2)],
    )  # fmt: skip
    assert [len(axes.lines[0].get_xdata()) for axes in figure.axes] == [90, 90, 100, 100]
    assert [axes.get_ylabel() for axes in figure.axes[::2]] == ["kind", "kind"]
    heights = figure.axes[0].lines[0].get_ydata()
    assert np.unique(heights.round()).tolist() == [0, 1, 2]
    assert {"0.50", "−0.25", "flag"} <= set(texts(figure))
    assert [tick.get_text() for tick in figure.axes[0].get_yticklabels()] == ["a", "b", "c"]


def test_associations_have_one_scale():
    one = np.eye(3)
    figure = plots.associations(one, -one, ["a", "b", "c" * 90])
    data, generated = (axes.images[0] for axes in figure.axes[:2])
    assert data.get_clim() == generated.get_clim() == (-1, 1)
    np.testing.assert_array_equal(generated.get_array(), -one)


def test_bars_of_columns_stand_over_each_other():
    figure = plots.column_bars(
        np.array([2.0, -1.0]), np.array([3.0, 0.5]), ["a", "b" * 90],
        labels=("own", "others"), xlabel="nats",
    )  # fmt: skip
    grey, outline = figure.axes[0].containers
    assert [bar.get_width() for bar in grey] == [3, 0.5]
    assert [bar.get_width() for bar in outline] == [2, -1]


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (np.linspace(-3, 3, 500), "linear"),
        (1.7e9 + 1e6 * CODES[:, 0], "linear"),
        (RNG.poisson(5, 500), "linear"),
        (RNG.poisson(np.exp(3 + 2 * CODES[:, 0])), "symlog"),
        (np.exp(2 * CODES[:, 0]), "log"),
        (CODES[:, 0] / CODES[:, 1], "symlog"),
        (np.where(np.arange(500) % 10 == 0, 900.0, 0.0), "linear"),
    ],
    ids=["even", "times", "few counts", "counts", "lognormal", "Cauchy", "two values"],
)
def test_columns_that_span_decades_are_logarithmic(values, kind):
    scale = Scale.of(np.asarray(values, float))
    assert scale.kind == kind
    edges = scale.edges(500)
    assert (np.diff(edges) > 0).all()
    assert len(edges) <= 42
    if scale.whole:
        assert (edges % 1 == 0.5).all()
    inside = np.mean((values >= edges[0]) & (values <= edges[-1]))
    assert inside > 0.99


def test_powers_are_apart():
    scale = Scale("symlog", -2e4, 3e4, whole=False, threshold=600.0)
    assert scale.powers() == [-1e4, -1e3, 0.0, 1e3, 1e4]
    counts = Scale("symlog", 0.0, 1e8, whole=True, threshold=1.0)
    assert counts.powers() == [0, 1e2, 1e4, 1e6, 1e8]


def test_pairs_and_marginals_show_every_dimension():
    z = RNG.normal(size=(80, 4))
    names = [f"z[{i}]" for i in range(4)]
    pairs = plots.latent_pairs(z, names, np.arange(80) % 3).axes
    assert [(a.get_xlabel(), a.get_ylabel()) for a in pairs][:2] == [
        ("z[0]", "z[1]"),
        ("z[0]", "z[2]"),
    ]
    assert len(pairs) == 6
    assert sorted(map(tuple, pairs[-1].collections[0].get_offsets())) == sorted(
        map(tuple, z[:, 2:])
    )
    panels = plots.latent_marginals(z, names).axes
    assert [axes.get_title("left") for axes in panels] == names
    assert sum(bar.get_height() for bar in panels[2].patches) == pytest.approx(1)
    density = panels[0].lines[0].get_xydata()
    width = panels[0].patches[0].get_width()
    peak = density[np.abs(density[:, 0]).argmin(), 1]
    assert peak == pytest.approx(width / np.sqrt(2 * np.pi), rel=0.01)


def test_a_prior_that_is_not_normal_is_drawn_by_its_draws():
    axes = plots.latent_scatter(CODES, prior=CODES[:50] + 9).axes[0]
    assert [len(points.get_offsets()) for points in axes.collections] == [500, 50]
    assert not axes.patches


def test_agreement_has_equal_axes():
    x = np.array([0.0, 1.0, np.nan])
    axes = plots.agreement({"a": (x, 2 * x)}, xlabel="data", ylabel="generated").axes[0]
    assert axes.get_xlim() == axes.get_ylim()
    assert axes.get_xlim()[1] > 2


def test_scatter_reconstruction_explains_variance():
    truth = RNG.normal(size=(300, 2))
    found = np.stack([truth[:, 0], np.full(300, truth[:, 1].mean())], axis=1)
    figure = plots.scatter_reconstruction(truth, found, ["kept", "lost"])
    assert [axes.texts[0].get_text() for axes in figure.axes] == ["R² 1.00", "R² 0.00"]
    for axes in figure.axes:
        assert axes.get_xlim() == axes.get_ylim()
        assert axes.get_box_aspect() == 1


def test_profile_traversals_show_change_from_the_middle_in_units_of_scale():
    rows = np.arange(5.0).reshape(1, 5, 1) * np.array([1.0, 10.0])
    figure = plots.profile_traversals(
        rows, list("abcde"), ["z[0]"], ["a", "b"], np.array([1.0, 10.0])
    )
    change = figure.axes[0].images[0].get_array()
    np.testing.assert_allclose(change, [[-2, -1, 0, 1, 2]] * 2)


# What is refused


X = np.zeros((4, 1, 8, 8))
REFUSED = {
    "no channel": (lambda: plots.image_grid(np.zeros((4, 8, 8))), r"\(n, C, H, W\).*\(4, 8, 8\)"),
    "two channels": (lambda: plots.image_grid(np.zeros((4, 2, 8, 8))), "C of 1 or 3"),
    "nothing": (lambda: plots.image_grid(np.zeros((0, 1, 8, 8))), "nothing empty"),
    "row labels": (lambda: plots.image_grid(X, columns=2, row_labels=["a"]), "expected 2 row"),
    "column labels": (
        lambda: plots.image_grid(X, columns=2, column_labels=["a"]),
        "expected 2 column",
    ),
    "other shape": (
        lambda: plots.reconstructions({"original": X, "restored": X[:3]}),
        r"restored.*\(4, 1, 8, 8\).*\(3, 1, 8, 8\)",
    ),
    "no rows": (lambda: plots.reconstructions({}), "at least one row"),
    "labels": (lambda: plots.reconstructions({"x": X}, labels=["1"]), "expected 4 labels"),
    "manifold": (
        lambda: plots.manifold(X[None], np.zeros(4), np.zeros(4)),
        "expected 1 y values",
    ),
    "row names": (lambda: plots.image_grid(X[None], row_labels=["a", "b"]), "expected 1 row"),
    "three columns": (lambda: plots.latent_scatter(np.zeros((5, 3))), r"\(n, 2\), got \(5, 3\)"),
    "few labels": (lambda: plots.latent_scatter(CODES, LABELS[:3]), "expected 500 labels"),
    "few names": (lambda: plots.latent_scatter(CODES, LABELS, ["a"]), "expected 3 class names"),
    "mean": (lambda: plots.gaussian_draws({"a": CODES}, [0, 0, 0], np.eye(2)), r"got \(3,\) and"),
    "no draws": (lambda: plots.gaussian_draws({}, np.zeros(2), np.eye(2)), "one method, got none"),
    "wide draws": (lambda: plots.gaussian_draws({"a": X[0, 0]}, [0, 0], np.eye(2)), r"a.*\(8, 8\)"),
    "histogram": (lambda: plots.latent_histogram(CODES[:, :1]), r"\(500, 1\)"),
    "kl": (lambda: plots.kl_per_dimension(np.zeros((3, 2))), r"\(K,\).*\(3, 2\)"),
    "active": (lambda: plots.kl_per_dimension(np.zeros(3), active=np.zeros(2)), "expected 3 act"),
    "series": (
        lambda: plots.curves(np.arange(3), {"a": np.arange(2)}, xlabel="", ylabel=""),
        "expected 3 values of a",
    ),
    "no series": (
        lambda: plots.curves(np.arange(3), {}, xlabel="", ylabel=""),
        "at least one series",
    ),
    "tables": (
        lambda: plots.marginals(np.zeros((5, 2)), np.zeros((5, 3)), ["a", "b"]),
        r"2 columns.*\(5, 3\)",
    ),
    "rows": (
        lambda: plots.scatter_reconstruction(np.zeros((5, 1)), np.zeros((4, 1)), ["a"]),
        "expected 5 reconstructed rows",
    ),
    "profiles": (
        lambda: plots.profile_traversals(
            np.zeros((1, 3, 2)), list("abc"), ["z"], ["a"], np.ones(2)
        ),
        "expected 2 column names",
    ),
}


@pytest.mark.parametrize(("call", "message"), REFUSED.values(), ids=REFUSED)
def test_wrong_shapes_are_refused(call, message):
    with pytest.raises(ShapeError, match=message) as refusal:
        call()
    assert str(refusal.value).startswith("expected ")
    assert ", got " in str(refusal.value)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: plots.image_grid(np.full((1, 1, 2, 2), np.nan)), "4 of 4 values NaN"),
        (lambda: plots.image_grid(X, columns=0), "at least one of columns, got 0"),
        (lambda: plots.latent_scatter(CODES, LABELS - 1), "whole numbers from 0"),
        (lambda: plots.latent_scatter(CODES, LABELS * 0.5), "float64"),
        (lambda: plots.learning_curves([]), "got 0 entries"),
        (lambda: plots.learning_curves([{"train": {"kl": 1.0}}]), "'epoch'"),
        (
            lambda: plots.profile_traversals(
                np.zeros((1, 3, 1)), list("abc"), ["z"], ["a"], np.zeros(1)
            ),
            "positive scales",
        ),
    ],
)
def test_wrong_values_are_refused(call, message):
    with pytest.raises(ConfigurationError, match=message):
        call()


# Files and manners


def test_saves_are_byte_identical_and_carry_no_software_or_date(tmp_path):
    first = plots.save(plots.latent_scatter(CODES, LABELS), tmp_path / "first.png")
    second = plots.save(plots.latent_scatter(CODES, LABELS), tmp_path / "second.png")
    assert first.read_bytes() == second.read_bytes()
    assert set(Image.open(first).info) <= {"dpi"}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["first.png", "second.png"]


def test_dpi_sets_the_size(tmp_path):
    figure = plots.kl_per_dimension(np.ones(20))
    one, two = (plots.save(figure, tmp_path / f"{dpi}.png", dpi=dpi) for dpi in (72, 144))
    assert Image.open(two).width == 2 * Image.open(one).width == 1440


def test_a_finer_save_enlarges_images_without_blurring_them():
    figure = plots.image_grid(GREY)
    fine = Image.open(io.BytesIO(plots.png_bytes(figure, dpi=2 * plots.DPI))).convert("RGB")
    np.testing.assert_array_equal(fine, pixels(figure).repeat(2, axis=0).repeat(2, axis=1))


def test_a_failed_save_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    path = tmp_path / "figure.png"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError("disk full")

    monkeypatch.setattr("os.replace", fail)
    with pytest.raises(OSError, match="disk full"):
        plots.save(plots.image_grid(X), path)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_saving_makes_the_folder(tmp_path):
    path = plots.save(plots.image_grid(X), tmp_path / "absent" / "figure.png")
    assert path.read_bytes() == plots.png_bytes(plots.image_grid(X))


def test_the_callers_settings_neither_matter_nor_change():
    expected = plots.png_bytes(plots.learning_curves(history(3)))
    with matplotlib.rc_context({"font.size": 30, "axes.grid": True, "figure.dpi": 50}):
        before = dict(matplotlib.rcParams)
        assert plots.png_bytes(plots.learning_curves(history(3))) == expected
        assert dict(matplotlib.rcParams) == before


def test_drawing_loads_no_pyplot_torch_or_sklearn():
    code = (
        "import sys, numpy as np; from lowerbound import plots;"
        "plots.png_bytes(plots.image_grid(np.zeros((2, 1, 4, 4))));"
        "plots.png_bytes(plots.latent_histogram(np.eye(2)));"
        "print(sorted({'matplotlib.pyplot', 'torch', 'sklearn'} & set(sys.modules)))"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize(
    "figure",
    [
        pytest.param(lambda: plots.learning_curves(history(20, beta=1.0)), id="learning"),
        pytest.param(lambda: plots.latent_scatter(CODES, LABELS), id="scatter"),
        pytest.param(lambda: plots.latent_histogram(CODES), id="histogram"),
        pytest.param(
            lambda: plots.gaussian_draws(dict.fromkeys("ab", CODES), np.zeros(2), np.eye(2)),
            id="draws",
        ),
        pytest.param(lambda: plots.kl_per_dimension(np.linspace(0, 2, 30)), id="kl"),
        pytest.param(
            lambda: plots.reconstructions({"a long name of a row": X}, labels=list("abcd")),
            id="reconstructions",
        ),
        pytest.param(
            lambda: plots.manifold(X[None, :2], np.array([-1, 1]), np.zeros(1)), id="manifold"
        ),
        pytest.param(
            lambda: plots.marginals(CODES, CODES, ["a", "a rather long name of a column" * 3]),
            id="marginals",
        ),
    ],
)
def test_nothing_is_clipped_at_the_edges(figure):
    canvas = pixels(figure())
    border = np.concatenate([canvas[0], canvas[-1], canvas[:, 0], canvas[:, -1]])
    assert (border == 255).all()


def test_figures_show_as_pictures_in_notebooks():
    for figure in (plots.image_grid(RNG.random((4, 1, 8, 8))), plots.kl_per_dimension(np.ones(3))):
        assert figure._repr_png_() == plots.png_bytes(figure)
