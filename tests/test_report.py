"""A report says what it shows, of how many examples, and shows what it says."""

from __future__ import annotations

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import ks_2samp

import lowerbound as lb
from lowerbound import plots, recipes
from lowerbound.data import Dataset
from lowerbound.data.schema import Field
from lowerbound.plots import DPI
from lowerbound.plots.style import number
from lowerbound.report import build, codes, images, tables, write_report
from lowerbound.report.build import picture
from lowerbound.report.outcome import Outcome
from lowerbound.report.rows import Rows, divided, shares_apart
from lowerbound.report.sections import SECTIONS
from lowerbound.report.warnings import warnings
from lowerbound.runs import Run

GENERATOR = torch.Generator().manual_seed(0)
PIXELS = torch.randint(0, 256, (60, 1, 4, 4), generator=GENERATOR).to(torch.uint8)
LABELS = torch.arange(60) % 3
PICTURES = Dataset(PIXELS, LABELS, "pictures", classes=("a", "b", "c"))
TABLE = Dataset(torch.randn(80, 5, generator=GENERATOR), torch.arange(80) % 2, "table")


def outcome(
    data: Dataset, recipe: str = "mlp", train: Dataset | None = None, **settings
) -> Outcome:
    """A model of a few units, hardly trained, and what a report is told of it."""
    small = {"hidden": (4,), "latent_dim": 3, "epochs": 1, **settings}
    made = recipes.prepare(recipe, data, small)
    history = lb.fit(made.model, data, None, made.objective, made.training, callbacks=[])
    figures = lb.evaluate(made.model, data, samples=4)
    return Outcome(made.model, data, figures, history, train, made.objective)


def captions(found: Outcome) -> dict[str, str]:
    """What the report says of each of its sections."""
    return {section.name: section.caption(found) for section in SECTIONS if section.fits(found)}


class Page(HTMLParser):
    """The elements of a page, each with its attributes and those that it stands in."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.found.append((tag, attributes, list(self.open)))
        if tag not in ("img", "meta"):
            self.open.append(f"{tag}.{attributes.get('class', '')}")

    def handle_endtag(self, tag):
        assert self.open.pop().startswith(f"{tag}.")

    def all(self, tag):
        return [(attributes, parents) for name, attributes, parents in self.found if name == tag]


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> str:
    """The report of a table's model that the library saved, on data that it is told of."""
    folder = tmp_path_factory.mktemp("model")
    np.savetxt(folder / "t.csv", TABLE.x[:, :2], delimiter=",", header="a,b", comments="")
    data = lb.data.read(str(folder / "t.csv"))
    made = recipes.prepare("mlp", data, {"hidden": (4,), "latent_dim": 1})
    lb.save(made.model, folder / "model")
    path = write_report(Run.open(folder / "model"), data=str(folder / "t.csv"))
    return path.read_text()


def test_the_page_is_whole_in_itself_and_its_links_lead_somewhere(page):
    elements = Page(page)
    assert not elements.open
    assert not re.search(r'(src|href)="(?!data:|#)', page)
    targets = {attributes["href"] for attributes, _ in elements.all("a")}
    assert targets == {f"#{a['id']}" for a, _ in elements.all("section")} - {
        "#warnings",
        "#figures",
    }


def test_pictures_have_one_size_of_letters(page):
    for attributes, parents in Page(page).all("img"):
        png = base64.b64decode(attributes["src"].partition("base64,")[2])
        width, height = Image.open(io.BytesIO(png)).size
        assert int(attributes["width"]) == round(width * 96 / DPI)
        assert int(attributes["height"]) == round(height * 96 / DPI)
        assert attributes["style"] == f"--w: {attributes['width']}px"
        assert parents[-1] == "div.scroll"
    assert "max-width: max(100%, 0.75 * var(--w" in page


def test_pictures_of_images_are_exact_and_charts_are_small():
    images = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), np.uint8)
    for shown in (images[:, :1], images):
        figure = plots.image_grid(shown)
        png, width, _ = picture(figure)
        whole = np.asarray(Image.open(io.BytesIO(plots.png_bytes(figure))).convert("RGB"))
        kept = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
        assert kept.shape[1] == round(width * DPI / 96)
        inked = whole[:, (whole < 255).any((0, 2))]
        np.testing.assert_array_equal(kept[:, (kept < 255).any((0, 2))], inked)
    chart = plots.latent_scatter(np.random.default_rng(0).normal(size=(500, 2)))
    assert len(picture(chart)[0]) < 0.6 * len(plots.png_bytes(chart))


def test_nothing_is_wider_than_the_page(page):
    """What may not wrap stands in a box of its own that scrolls."""
    style = page[page.index("<style>") : page.index("</style>")]
    rules = dict(re.findall(r"^([^{}@\n]+) \{ ([^}]*) \}$", style, re.MULTILINE))
    unbroken = [selector for selector, rule in rules.items() if "nowrap" in rule]
    assert unbroken == [".number"]
    assert "overflow-x: auto" in rules[".scroll"]
    assert "flex-wrap: wrap" in rules["nav"]
    for selector in ("code", "h1, p, figcaption", ".facts td"):
        assert "overflow-wrap: anywhere" in rules[selector]
    for tag in ("td", "th"):
        for attributes, parents in Page(page).all(tag):
            if attributes.get("class") == "number":
                assert any(parent.startswith("div.scroll") for parent in parents)
    assert "@media (prefers-color-scheme: dark)" in style


def test_every_header_says_what_it_heads(page):
    for attributes, parents in Page(page).all("th"):
        assert attributes["scope"] == ("col" if "thead." in parents else "row")


def test_the_quick_checks_stand_above_all_figures(page):
    assert re.search(r"\b[1-9]\d* checks found", page)
    assert page.index('id="warnings"') < page.index('id="figures"') < page.index('id="columns"')


def test_a_hardly_trained_model_is_told_by_its_training_however_few_are_held_out():
    alike = Dataset(TABLE.x[:, :1] + 0.1 * TABLE.x, name="columns alike")
    found = outcome(alike, train=alike)
    few = warnings(replace(found, test=alike.take(7)))
    assert "got 7" in few.refused
    (told,) = few.findings
    assert "still learning when its training ended after 1 step:" in told.sentence
    assert not warnings(replace(found, test=alike.take(7), train=None)).findings


def test_an_autoencoder_has_no_prior_to_show():
    found = outcome(PICTURES, "autoencoder")
    assert found.prior is False
    shown = captions(found)
    assert not {"aggregate", "kl", "importance"} & shown.keys()
    assert "no prior was trained" in shown["samples"]
    assert "the test examples' codes" in shown["traversals"]
    middle = codes.base(found)
    np.testing.assert_allclose(middle, np.median(found.means, axis=0), rtol=1e-6)
    walk = codes.steps(found, 1, 11)
    np.testing.assert_allclose(walk[[0, 5, 10]], np.quantile(found.means[:, 1], [0.02, 0.5, 0.98]))
    assert outcome(PICTURES, "wae").prior is True  # its codes are drawn to the prior by the MMD


def test_samples_of_an_autoencoder_follow_its_codes():
    found = outcome(TABLE, "autoencoder")
    found.model.decode = lambda z, labels=None: z
    codes_drawn = found.sampled(20_000, mean=True).numpy()
    np.testing.assert_allclose(codes_drawn.mean(0), found.means.mean(0), atol=0.1)
    np.testing.assert_allclose(np.cov(codes_drawn.T), np.cov(found.means.T), atol=0.1)


def test_components_hold_most_of_the_variance_and_keep_the_prior():
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    means = rng.normal(size=(4000, 6)) * [5, 2, 1, 0.1, 0.1, 0.1] @ rotation + 3
    axes, shares = codes.principal_components(means)
    np.testing.assert_allclose(axes @ axes.T, np.eye(2), atol=1e-12)
    np.testing.assert_allclose(np.abs(axes @ rotation.T)[:, :2], np.eye(2), atol=0.05)
    np.testing.assert_allclose(shares, np.array([25, 4]) / 30.03, atol=0.02)


def test_every_dimension_is_shown_or_counted():
    shown = captions(outcome(PICTURES, latent_dim=14))
    assert "plane of 14 dimensions" in shown["latent"]
    assert "the 4 most active of 14 dimensions" in shown["pairs"]
    assert "the 12 most active of 14 dimensions" in shown["aggregate"]
    assert "the 10 most active of 14 dimensions" in shown["traversals"]
    assert "manifold" not in shown


def test_a_conditional_model_shows_every_class():
    found = outcome(PICTURES, conditional=True, latent_dim=2)
    few = Outcome(found.model, PICTURES.take(2), found.evaluation, found.history)
    assert few.class_names == ["a", "b", "c"]
    for show in (images.class_samples, codes.class_traversals):
        written = {text.get_text() for text in show(few).axes[0].texts}
        assert {"a", "b", "c"} <= written
    rows = outcome(TABLE, conditional=True).rows
    assert np.bincount(rows.generated_labels).tolist() == [2500, 2500]


def test_the_worst_are_those_of_the_lowest_bound():
    found = outcome(PICTURES)
    lowest = np.sort(found.scores)[:20]
    written = [text.get_text() for text in images.worst(found).axes[0].texts]
    assert [number(score) for score in lowest] == [text for text in written if "." in text]
    table = tables.worst(outcome(TABLE))
    assert len(table.rows) == tables.WORST


def test_rows_and_columns_are_in_words_and_dates():
    schema = (
        Field("island", "categories", categories=("Biscoe", "Dream")),
        Field("born", "real", form="%Y-%m-%d"),
    )
    x = torch.stack((torch.arange(40.0) % 2, 14_200 + torch.arange(40.0)), 1)
    found = outcome(Dataset(x, schema=schema, name="birds"), "table", patience=None)
    rows = tables.worst(found).rows
    assert [int(row[0]) for row in rows] == np.argsort(found.scores, kind="stable")[:10].tolist()
    for row in rows:
        i = int(row[0])
        assert f"island {('Biscoe', 'Dream')[i % 2]} → " in row[2]
        assert f"born {np.datetime64(14_200 + i, 'D')} → 20" in row[2]
    born = next(row for row in tables.column_table(found).rows if row[0] == "born")
    assert born[1] in (f"{np.datetime64(14_219, 'D')}", f"{np.datetime64(14_220, 'D')}")
    assert born[2] == "11.5 days"
    figure = tables.reconstructions(found)
    figure.canvas.draw()
    assert figure.axes[0].get_xticklabels()[1].get_text().startswith("2008-")


def test_a_row_without_a_bound_is_left_out_and_said(tmp_path):
    x = torch.randn(40, 5, generator=GENERATOR)
    model = recipes.mlp(Dataset(x, name="rows"), hidden=(4,), latent_dim=2).model
    far = lb.VAE(
        model.prior, model.posterior, model.likelihood, lb.Standardise((0.0,) * 5, (0.1,) * 5)
    )
    lb.save(far, tmp_path / "model")
    x[7] = 3e38  # ∞ once it is divided by a deviation of 0.1
    np.save(tmp_path / "x.npy", x.numpy())
    run = Run.open(tmp_path / "model")
    found = build._outcome(run, str(tmp_path / "x.npy"), None, lambda done, total: None)
    said = build._measures(found.evaluation.as_dict())
    assert said.startswith("Means over 39 held-out examples, ")
    assert "of each, without example 7, of which float64 holds no bound" in said
    assert torch.equal(found.data.x, torch.cat((x[:7], x[8:])))
    assert "no finite one" not in captions(found)["scores"]
    x[3] = 3e38
    evaluation = replace(found.evaluation, left_out=[])
    unscored = replace(found, test=Dataset(x, name="rows"), evaluation=evaluation)
    assert "but for 2 that have no finite one" in captions(unscored)["scores"]
    assert [row[1] for row in tables.worst(unscored).rows].count("−inf") == 2


def test_an_example_that_is_left_out_moves_no_noise_of_the_others():
    """An autoencoder's score has no noise but that which the transform adds to grey levels."""
    found = outcome(PICTURES, "autoencoder", likelihood="Gaussian")
    assert not np.array_equal(found.scores, replace(found, seed=1).scores)
    less = replace(found, evaluation=replace(found.evaluation, left_out=[2, 30]))
    assert len(less.data) == len(less.scored) == 58
    np.testing.assert_allclose(less.scores, np.delete(found.scores, [2, 30]), rtol=1e-6)
    assert torch.equal(less.scored.x, less.data.x)


def test_nearest_training_images():
    others = torch.rand(4500, 1, 4, 4, generator=GENERATOR)
    index, distance = images.nearest(others[[4400, 7]] + 0.01, others)
    assert index.tolist() == [4400, 7]
    assert distance.tolist() == pytest.approx([0.01, 0.01], rel=1e-4)
    found = outcome(PICTURES, train=PICTURES)
    assert images.closeness(found)[2] == 0  # the test images are training images
    assert "nearest of 60 training images" in captions(found)["nearest"]


def test_all_columns_are_listed_with_their_distance():
    found = outcome(TABLE)
    listed = tables.column_table(found)
    assert {row[0] for row in listed.rows} == {f"x[{i}]" for i in range(5)}
    distances = [float(row[5]) for row in listed.rows]
    assert distances == sorted(distances, reverse=True)
    rows = found.rows
    expected = ks_2samp(rows.original[:, 2], rows.generated[:, 2]).statistic
    assert rows.distance[2] == pytest.approx(expected)
    explained = 1 - np.mean((rows.original - rows.rebuilt) ** 2, 0) / rows.original.var(0)
    written = {row[0]: row[7].replace("−", "-") for row in listed.rows}
    assert [float(written[f"x[{i}]"]) for i in range(5)] == pytest.approx(explained, abs=0.006)


def test_what_was_not_observed_is_in_no_distance():
    gaps, whole, nothing = (np.array([each]).T for each in ((1, np.nan, 2), (1.0, 2), (np.nan,)))
    for first, second in ((gaps, whole), (nothing, gaps)):
        assert Rows(first, first, second, None, None, ()).distance.tolist() == [0]
        assert shares_apart(first[:, 0], second[:, 0]) == 0


def test_many_columns_are_those_that_differ_most():
    found = outcome(TABLE)
    wide = found.rows
    assert wide.ranked.tolist() == np.argsort(-wide.distance).tolist()
    assert found.columns[wide.ranked[0]] == tables.marginals(found)[0].axes[0].get_title(loc="left")


def test_every_column_of_a_wide_table_is_drawn():
    table = np.random.default_rng(0).normal(size=(70, 30))
    rows = Rows(table, table, table[::-1] + 1, None, None, ())
    schema = tuple(Field(f"c{i}", "real") for i in range(30))
    pages = tables.marginals_of(rows, [field.name for field in schema], schema)
    titles = [axes.get_title(loc="left") for page in pages for axes in page.axes]
    assert [len(page.axes) for page in pages] == [24, 6]
    assert titles == [f"c{i}" for i in rows.ranked]


def test_pairs_that_differ_most_come_first():
    rng = np.random.default_rng(0)
    data, generated = rng.normal(size=(2, 400, 4))
    data[:, 1] += 2 * data[:, 3]
    generated[:, 0] -= generated[:, 2]
    rows = Rows(data, data, generated, None, None, ())
    first, second = ({int(rows.ranked[place]) for place in pair} for pair in rows.pairs(2))
    assert (first, second) == ({1, 3}, {0, 2})


def test_what_columns_cost_is_what_the_likelihood_says():
    """Of a decoder that ignores z, a row's own code is worth what others are."""
    found = outcome(TABLE)
    own, _ = found.costs
    table = {row[0]: row[-1].replace("−", "-") for row in tables.column_table(found).rows}
    assert [float(table[f"x[{i}]"]) for i in range(5)] == pytest.approx(own, rel=0.01)
    for weight in found.model.likelihood.network.parameters():
        torch.nn.init.zeros_(weight)
    unseen = replace(found)
    x = found.model.transform.noiseless(TABLE.x)
    sigma = found.model.likelihood.log_sigma.exp().item()
    expected = (0.5 * (x / sigma) ** 2 + np.log(sigma) + 0.5 * np.log(2 * np.pi)).mean(0)
    for costs in unseen.costs:
        assert costs == pytest.approx(expected.detach().numpy(), rel=1e-4)


@pytest.mark.parametrize("categories", [None, 2, 40])
def test_one_in_twenty_tables_has_a_column_that_is_apart_by_chance(categories):
    rng = np.random.default_rng(0)
    p = None if categories is None else rng.dirichlet(np.ones(categories))
    coded = () if categories is None else range(6)

    def table(n: int) -> np.ndarray:
        return rng.normal(size=(n, 6)) if p is None else rng.choice(len(p), (n, 6), p=p) * 1.0

    def rows(n: int = 150, m: int = 600) -> Rows:
        return Rows(table(n), table(n), table(m), None, None, coded)

    level = rows().chance
    apart = [(rows().distance > level).any() for _ in range(100)]
    assert 0.01 <= np.mean(apart) <= 0.12
    changed = rows()
    changed.original[:60, 3] = 0 if p is None else p.argmin()
    assert np.flatnonzero(changed.distance > level).tolist() == [3]
    assert changed.ranked[0] == 3


def test_a_category_that_does_not_vary_or_was_not_observed_is_no_further_apart_than_chance():
    table = np.stack((np.zeros(9), np.full(9, np.nan), np.arange(9) % 2), 1)
    for columns in ([0], [1], [0, 1], [0, 1, 2]):
        x = table[:, columns]
        rows = Rows(x, x, x[::-1], None, None, range(3))
        assert rows.ranked.tolist() == list(range(len(columns)))


def test_divisions_among_many_categories_are_as_among_few():
    """Of 2k categories seen once, half in either sample, the distance is 1; of twice, about ½."""
    once, twice = np.arange(2000.0), np.repeat(np.arange(1000.0), 2)
    apart_by = divided(once[::2], once[1::2], np.random.default_rng(0))
    assert apart_by == pytest.approx(np.ones(1000))
    drawn = divided(twice[::2], twice[1::2], np.random.default_rng(0))
    assert drawn.mean() == pytest.approx(0.5, abs=0.002)  # P(both copies in one sample) = 999/1999
