"""Diagnosis of tables: each fault of a column or of rows is found where it was planted."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy import stats
from sklearn import datasets
from torch import nn

import lowerbound as lb
from lowerbound import recipes
from lowerbound.data import Dataset, from_arrays
from lowerbound.diagnosis import Check, copies
from lowerbound.diagnosis.association import associations, correlations
from lowerbound.diagnosis.columns import gain_of_tails
from lowerbound.diagnosis.diagnose import checked
from lowerbound.diagnosis.trained import TrainedModel
from lowerbound.evaluation.walk import judging
from lowerbound.streams import Stream

RNG = np.random.default_rng(0)
OF_DATA = ("repeated-rows", "label-columns", "duplicate-columns", "few-values", "inflated-values")
"""The checks that hardly depend on what a model has learned."""


def ask(check: str, data: Dataset, model: lb.VAE | None = None, **settings) -> Check:
    """Of the last fifth of the rows, and a model that starts at the marginals of the others."""
    n = len(data) * 4 // 5
    known, test = data.subset(range(n)), data.subset(range(n, len(data)))
    if model is None:
        small = {"hidden": (4,), "latent_dim": 2, **settings}
        model = recipes.prepare("table", known, small).model
    with judging(model, 0, Stream.DIAGNOSE) as device:
        return checked(check, TrainedModel(model, test, known, [], lb.ELBO(), device, 0))


def table(**columns) -> Dataset:
    """Named columns beside two of normal values."""
    n = len(next(iter(columns.values())))
    return from_arrays(pd.DataFrame({"a": RNG.normal(size=n), "b": RNG.normal(size=n), **columns}))


@pytest.mark.parametrize("check", OF_DATA)
@pytest.mark.parametrize("load", [datasets.load_wine, datasets.load_breast_cancer])
def test_sound_tables_raise_no_alarm(check, load):
    found = load(as_frame=True)
    order = np.random.default_rng(0).permutation(len(found.data))
    data = from_arrays(found.data.iloc[order], found.target.iloc[order])
    answer = ask(check, data)
    assert answer.finding is None
    assert answer.made


def test_few_numbers_are_no_density():
    kids = RNG.choice([0.0, 1.0, 2.0, 3.0, 5.5], 400)
    data = table(kids=kids)
    assert ask("few-values", data).finding is None  # ordinal by itself
    found = ask("few-values", Dataset(data.x, name="t"), likelihood="Gaussian").finding
    assert (found.severity, found.number) == ("warning", 1)
    assert "x[2] (5 numbers)" in found.sentence
    assert found.picture().axes


def test_a_number_that_stands_out_is_inflated():
    spent = np.where(RNG.random(400) < 0.6, 0.0, RNG.lognormal(size=400))
    data = table(spent=spent)
    assert ask("inflated-values", data).finding is None  # zero-inflated by itself
    found = ask("inflated-values", Dataset(data.x, name="t")).finding
    assert found.further["share of rows"] == pytest.approx((spent[:320] == 0).mean())
    assert "x[2] is 0 in" in found.sentence
    assert found.picture().axes
    rounded = np.round(RNG.normal(40, 8, 400), -1) + 0.1 * RNG.integers(0, 2, 400)
    tens = Dataset(table(rounded=rounded).x, name="t")
    assert ask("inflated-values", tens, likelihood="Gaussian").finding is None


def test_zeros_beyond_those_of_a_family_of_counts():
    """A Poisson mixture that no negative binomial follows: 40 in half of the rows, else 0."""
    counts = np.where(RNG.random((500, 2)) < 0.5, 0, RNG.poisson(40, (500, 2))).astype(float)
    found = ask("inflated-values", from_arrays(counts), likelihood="Poisson").finding
    assert "by the Poisson likelihood in 0%" in found.sentence
    sound = from_arrays(RNG.poisson(2.0, (500, 2)).astype(float))
    assert ask("inflated-values", sound, likelihood="Poisson").finding is None


def test_heavy_tails_are_told_by_their_column():
    data = table(heavy=RNG.standard_t(1.5, 600))
    found = ask("heavy-tails", data, real="Gaussian").finding
    assert found.sentence.startswith("heavy has heavier tails")
    assert "so it is with" not in found.sentence
    assert found.picture().axes
    assert ask("heavy-tails", table(light=RNG.uniform(size=600)), real="Gaussian").finding is None


def test_the_gain_of_tails_is_that_of_the_likelihoods():
    r = stats.t.rvs(2, size=4000, random_state=0)
    nu, _, scale = stats.t.fit(r, floc=0, fix_df=2)
    expected = stats.t(nu, 0, scale).logpdf(r) - stats.norm(0, np.sqrt((r**2).mean())).logpdf(r)
    assert gain_of_tails(torch.from_numpy(r)).value == pytest.approx(expected.mean(), abs=1e-4)


def test_columns_that_follow_from_others():
    cm, name = RNG.normal(170, 10, 200), RNG.choice(["x", "y", "z"], 200)
    data = table(
        cm=cm, inches=np.round(cm / 2.54, 1), noisy=cm + RNG.normal(0, 1, 200),
        name=name, code=pd.Series(name).map({"x": 7, "y": 3, "z": 5}),
    )  # fmt: skip
    found = ask("duplicate-columns", data).finding
    assert found.number == 2
    assert "name and code, cm and inches." in found.sentence
    assert found.picture().axes


def test_an_outlier_makes_no_copy():
    one, other = RNG.normal(size=(2, 200))
    one[7] = other[7] = 1e6
    assert ask("duplicate-columns", table(one=one, other=other)).finding is None


def test_a_column_that_is_the_label():
    kind = RNG.choice(["s", "t"], 200)
    frame = pd.DataFrame({"a": RNG.normal(size=200), "b": RNG.choice(["u", "v"], 200)})
    assert ask("label-columns", from_arrays(frame, kind)).finding is None
    frame["c"] = np.where(kind == "s", 4.5, 2.0)
    frame.loc[3, "c"] = np.nan
    found = ask("label-columns", from_arrays(frame, kind)).finding
    assert "copy of the labels: c." in found.sentence
    assert found.picture().axes


def test_rows_that_are_in_both_parts():
    x = torch.from_numpy(RNG.normal(size=(500, 3)))
    assert ask("repeated-rows", Dataset(x)).finding is None
    x[400:440] = x[:40]
    x[400, 2] = x[0, 2] = torch.nan
    found = ask("repeated-rows", Dataset(x, missing=True)).finding
    assert found.number == pytest.approx(0.4)
    assert found.picture().axes
    x[:20] = x[:20].float()
    held_out = Dataset(x[:40].float(), missing=True)  # in which float32 holds every number
    both = SimpleNamespace(training=Dataset(x, missing=True), held_out=held_out)
    assert copies.repeated_rows(both).values["repeated"] == 20
    answers = torch.from_numpy(RNG.integers(0, 3, (500, 3))).double()  # of 27 kinds of rows
    assert ask("repeated-rows", Dataset(answers)).finding is None


def test_a_column_of_which_the_code_says_nothing():
    """x₀ = z + ε, x₁ = z + ε′, of which the decoder makes x₀ alone; x₂ hangs with nothing."""
    z, e = torch.randn(1000, 1), 0.3 * torch.randn(1000, 3)
    x = torch.cat((z, z, 0 * z), 1) + e
    encoder, decoder = nn.Linear(3, 2), nn.Linear(1, 3, bias=False)
    model = lb.VAE(
        lb.StandardNormal(1), lb.DiagonalGaussian(encoder, 1), lb.Gaussian(decoder, (3,), 0.3)
    )
    with torch.no_grad():
        encoder.weight.copy_(torch.tensor([[0.9, 0.0, 0.0], [0.0, 0.0, 0.0]]))
        encoder.bias.copy_(torch.tensor([0.0, -2.5]))  # log σ² of the posterior
        decoder.weight.copy_(torch.tensor([[1.0], [0.0], [0.0]]))
        found = ask("ignored-columns", Dataset(x), model).finding
        assert found.number == pytest.approx(0, abs=1e-6)
        assert "nothing of x[1]" in found.sentence
        assert "with x[0] (0.9" in found.sentence
        assert "so it is with" not in found.sentence
        assert found.picture().axes
        decoder.weight[1] = 1
        assert ask("ignored-columns", Dataset(x), model).finding is None


def test_associations_are_those_of_others():
    n, numbers, codes = 60, RNG.normal(size=(60, 3)), RNG.integers(0, 3, (60, 2)).astype(float)
    numbers[:, 1] += codes[:, 0]
    numbers[RNG.random((n, 3)) < 0.1] = np.nan
    np.testing.assert_allclose(correlations(numbers), pd.DataFrame(numbers).corr(), atol=1e-12)
    found = associations(np.c_[numbers, codes], coded=(3, 4))
    np.testing.assert_allclose(found, found.T)
    seen = ~np.isnan(numbers[:, 1])
    ranked = stats.rankdata(numbers[seen, 1])
    f = stats.f_oneway(*(ranked[codes[seen, 0] == k] for k in range(3))).statistic
    epsilon = (f - 1) * 2 / (f * 2 + seen.sum() - 3)
    assert found[1, 3] == pytest.approx(np.sqrt(max(epsilon, 0)))
    whole = RNG.normal(size=(50, 2)) + RNG.normal(size=(50, 1))
    assert associations(whole)[0, 1] == pytest.approx(stats.spearmanr(*whole.T).statistic)


def test_associations_of_categories_by_hand():
    """χ²/n = ¼ of 80 rows, less 1/79, over 1 − 1/79."""
    counts = {(0, 0): 30, (0, 1): 10, (1, 0): 10, (1, 1): 30}
    rows = np.array([pair for pair, times in counts.items() for _ in range(times)], float)
    assert associations(rows, (0, 1))[0, 1] == pytest.approx(np.sqrt((1 / 4 - 1 / 79) / (78 / 79)))
    assert associations(rows[:, [0, 0]], (0, 1))[0, 1] == pytest.approx(1)
    constant = np.c_[rows[:, 0], np.ones(80), np.full(80, np.nan)]
    assert np.isnan(associations(constant, (0, 1))[0, 1:]).all()
    assert np.isnan(associations(constant)[0, 1:]).all()
