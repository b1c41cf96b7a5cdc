"""What is missing, given what is observed, against conditionals that are known."""

from __future__ import annotations

import csv
import datetime
import json
import math

import numpy as np
import pytest
import torch
from torch import nn

import lowerbound as lb
from lowerbound import evaluation
from lowerbound.data import Dataset, Field
from lowerbound.data.reading import Reading
from lowerbound.data.rewriting import rewrite
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.networks import FieldInputs, Given
from lowerbound.transforms import Codes, PerField
from test_cli import SMALL, run  # noqa: F401
from test_data_tables import people, rewritten
from test_evaluation import SIGMA, draw, linear_gaussian

NAN = math.nan


def conditional(W: torch.Tensor, row: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and covariance of the missing elements of N(0, WWᵀ + σ²I), given the others."""
    covariance = W @ W.T + SIGMA**2 * torch.eye(5)
    gone, seen = row.isnan(), ~row.isnan()
    gain = torch.linalg.solve(covariance[seen][:, seen], covariance[seen][:, gone]).T
    return gain @ row[seen], covariance[gone][:, gone] - gain @ covariance[seen][:, gone]


def test_a_linear_model_has_the_conditional_mean_and_covariance():
    model, W = linear_gaussian(posterior_scale=1.5)
    x = draw(W, 4).x
    x[0, 1] = x[1, :3] = x[2, 3] = x[2, 4] = NAN
    found = evaluation.impute(model, x, draws=4000, samples=20_000)
    assert torch.equal(found.x[3], x[3])
    assert found.draws is not None
    for i in range(3):
        gone = x[i].isnan()
        mean, covariance = conditional(W, x[i])
        torch.testing.assert_close(found.x[i, gone], mean, atol=0.03, rtol=0)
        assert torch.equal(found.x[i, ~gone], x[i, ~gone])
        drawn = found.draws[:, i]
        assert torch.equal(drawn[:, ~gone], x[i, ~gone].expand(4000, -1))
        torch.testing.assert_close(
            torch.cov(drawn[:, gone].T).reshape(covariance.shape), covariance, atol=0.1, rtol=0.1
        )
    assert found.effective_samples.isnan().tolist() == [False] * 3 + [True]
    assert (found.effective_samples[:3] > 1000).all()


def mixed_model() -> lb.VAE:
    """Columns: one of three categories, and a number near the code's."""

    class Decoder(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return torch.cat((2 * z, -z, 0 * z, 3 * z - 1), -1)

    columns = ((0,), (1,))
    families = (lb.Nominal(Given(), (1,), ("a", "b", "c")), lb.Gaussian(Given(), (1,), 0.5))
    torch.manual_seed(0)
    encoder = FieldInputs(lb.MLP(6, (4,), 2), (3, 0), missing=True)
    return lb.VAE(
        lb.StandardNormal(1),
        lb.DiagonalGaussian(encoder, 1),
        lb.Heterogeneous(Decoder(), families, columns),
        PerField((Codes(), lb.Standardise((10.0,), (2.0,))), columns),
    )


class Shifted(nn.Module):
    """The numbers of the category's decoder, of which the third is ``shift`` higher."""

    def __init__(self, decoder: nn.Module, shift: float) -> None:
        super().__init__()
        self.decoder, self.shift = decoder, shift

    def forward(self, z: torch.Tensor) -> torch.Tensor:
        return self.decoder(z) + torch.tensor([0.0, 0.0, self.shift, 0.0])


def test_categories_and_numbers_are_those_of_the_posterior_by_quadrature():
    model = mixed_model()
    z = torch.linspace(-6, 6, 4001).unsqueeze(-1)
    log_z = -(z[:, 0] ** 2) / 2
    p = torch.stack((2 * z[:, 0], -z[:, 0], 0 * z[:, 0]), -1).softmax(-1)
    x = torch.tensor([[NAN, 14.0], [1.0, NAN], [NAN, NAN]])
    normal = torch.distributions.Normal(3 * z[:, 0] - 1, 0.5)
    given_number = (log_z + normal.log_prob(torch.tensor(2.0))).softmax(0)
    given_category = (log_z + p[:, 1].log()).softmax(0)
    shares = (given_number[:, None] * p).sum(0)
    found = evaluation.impute(model, x, draws=4000, samples=20_000)
    assert found.x[0].tolist() == [shares.argmax(), 14.0]
    assert found.x[1, 0] == 1
    expected = 10 + 2 * (given_category * (3 * z[:, 0] - 1)).sum()
    assert found.x[1, 1].item() == pytest.approx(expected.item(), abs=0.1)
    assert found.x[2, 1].item() == pytest.approx(8, abs=0.1)
    assert found.draws is not None
    drawn = torch.bincount(found.draws[:, 0, 0].long(), minlength=3) / 4000
    torch.testing.assert_close(drawn, shares, atol=0.03, rtol=0)


def test_several_models_are_mixed_in_equal_parts():
    (one, W), (two, _) = linear_gaussian(), linear_gaussian()
    with torch.no_grad():
        for parameter in two.likelihood.parameters():
            parameter.mul_(-0.5)
    x = draw(W, 4).x
    x[:, 1] = NAN
    alone = [evaluation.impute(model, x, draws=500, samples=2000) for model in (one, two)]
    both = evaluation.impute([one, two], x, draws=1000, samples=2000)
    mean = (alone[0].x + alone[1].x) / 2
    assert (alone[0].x - alone[1].x)[:, 1].abs().min() > 0.01
    torch.testing.assert_close(both.x, mean)
    harmonic = 4 / (1 / alone[0].effective_samples + 1 / alone[1].effective_samples)
    torch.testing.assert_close(both.effective_samples, harmonic)
    mixed = torch.cat([found.draws for found in alone])[:, :, 1]
    torch.testing.assert_close(both.draws[:, :, 1].mean(0), mixed.mean(0), atol=0.1, rtol=0)
    torch.testing.assert_close(both.draws[:, :, 1].std(0), mixed.std(0), atol=0.1, rtol=0)
    firsts = [evaluation.impute([one, two], x, draws=4, samples=50, seed=s) for s in range(40)]
    near = [(f.draws[:, :, 1] - alone[0].x[:, 1]).abs() for f in firsts]
    far = [(f.draws[:, :, 1] - alone[1].x[:, 1]).abs() for f in firsts]
    share = (torch.stack(near) < torch.stack(far)).double().mean((0, 2))
    assert share.max() - share.min() < 0.3  # no place among the draws is one model's


def test_models_that_differ_are_refused():
    (one, _), other = linear_gaussian(), mixed_model()
    words = mixed_model()
    words.likelihood.families[0].categories = ("x", "y", "z")
    for models in ([], [one, other], [other, words]):
        with pytest.raises(ConfigurationError, match="of the same columns, context and device"):
            evaluation.impute(models, torch.tensor([[NAN, 1.0]]))


def test_of_several_models_the_category_is_the_likeliest_of_their_mean():
    x, models = torch.tensor([[NAN, 9.0], [NAN, 12.5]]), [mixed_model() for _ in range(3)]
    for model, shift in zip(models, (0.0, 0.7, 4.0), strict=True):
        decoder = model.likelihood.network
        model.likelihood.network = Shifted(decoder, shift)
    shares = sum(
        torch.nn.functional.one_hot(
            evaluation.impute(model, x, draws=4000, samples=4000).draws[..., 0].long(), 3
        )
        .double()
        .mean(0)
        for model in models
    )
    assert evaluation.impute(models, x, samples=4000).x[:, 0].tolist() == shares.argmax(-1).tolist()


def test_nothing_missing_is_left_as_it_is_and_seeds_repeat():
    model, W = linear_gaussian()
    data = draw(W, 3)
    assert torch.equal(evaluation.impute(model, data).x, data.x)
    x = data.x.numpy().copy()
    x[0, 0] = NAN
    one, two = (evaluation.impute(model, x, samples=10, seed=s).x for s in (3, 3))
    assert torch.equal(one, two)
    assert np.isfinite(one.numpy()).all()


def test_equal_rows_in_different_batches_have_equal_means_and_draws_of_their_own(monkeypatch):
    monkeypatch.setattr("lowerbound.evaluation.walk.IMAGES_PER_BATCH", 20)
    model, W = linear_gaussian()
    x = draw(W, 1).x.repeat(40, 1)
    x[:, 1] = NAN
    found = evaluation.impute(model, x, draws=1, samples=100)
    torch.testing.assert_close(found.x, found.x[:1].expand(40, -1))
    assert len(found.draws[0, :, 1].unique()) == 40


def test_extreme_rows_are_filled_by_finite_numbers():
    model, W = linear_gaussian()
    x = draw(W, 2).x * 1e8
    x[:, 0] = NAN
    assert evaluation.impute(model, Dataset(x, missing=True), samples=10).x.isfinite().all()


def test_what_float32_does_not_hold_is_filled_in_float64_or_refused():
    model, W = linear_gaussian()
    x = draw(W, 3).x.double()
    x[0, 1], x[1, 1], x[1, 2] = NAN, NAN, 1e30
    found = evaluation.impute(model, x, draws=3, samples=50)
    assert found.x.isfinite().all()
    torch.testing.assert_close(
        found.x[1, 1] / conditional(W.double(), x[1])[0][0],
        torch.ones(()).double(),
        rtol=0.05,
        atol=0,
    )
    x[1, 2] = 1e200
    with pytest.raises(DataError, match="example 1 of 3 without"):
        evaluation.impute(model, x, draws=3, samples=50)


def test_a_level_that_the_model_has_never_seen_is_refused():
    levels = np.array([1.0, 2.0, 3.0] * 20)
    table = np.stack([levels, np.random.default_rng(0).normal(size=60)], 1)
    data = lb.data.from_arrays(table, columns=["grade", "height"])
    model = lb.recipes.mlp(data, latent_dim=1, hidden=(4,)).model
    later = lb.data.from_arrays([[7.0, NAN], [1.0, 0.0]], columns=["grade", "height"], missing=True)
    with pytest.raises(DataError, match=r"'grade'.*expected one of 1, 2, 3.*got 7"):
        evaluation.impute(model, later)


def test_what_gives_elements_no_probability_of_their_own_is_refused():
    decoder = lb.MLP(2, (), 5)
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(lb.MLP(5, (), 4), 2),
        lb.Gaussian(decoder, (5,), sigma="optimal"),
    )
    with pytest.raises(ConfigurationError, match="every element a probability of its own"):
        evaluation.impute(model, torch.full((2, 5), NAN))


def test_numbers_have_the_digits_of_their_columns(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b,c,d,e,f\n1.5,2.50,1e-3,7,0.1,\n2,-1.25,2e4,8,0.2,\n,,,,,\n")
    names = ("a", "b", "c", "d", "e", "f")
    kinds = dict.fromkeys(names, "real") | {"e": "positive"}
    fields = tuple(Field(name, kinds[name]) for name in names)
    values = [1 / 3, 2 / 3, 1e-4 / 3, 20 / 3, 0.001, 0.1]
    table = torch.tensor([[0.0] * 6, [0.0] * 6, values], dtype=torch.float64)
    gaps = torch.tensor([[False] * 5 + [True]] * 2 + [[True] * 6])
    new = rewritten(path, fields, gaps, [table], Reading(columns=names)).decode().splitlines()
    assert new[1:3] == ["1.5,2.50,1e-3,7,0.1,0", "2,-1.25,2e4,8,0.2,0"]
    assert new[3] == "0.3,0.67,3.3333333333333335e-05,7,0.1,0.1"


def test_a_table_goes_through_all_commands_and_comes_back_as_it_is_written(
    tmp_path,
    run,  # noqa: F811
    monkeypatch,
):
    data, folder = tmp_path / "people.csv", tmp_path / "r"
    data.write_text(people())
    code, _, err = run("train", "mlp", "--data", data, "--out", folder, *SMALL)
    assert code == 0
    assert "town" in err
    assert "categories (3)" in err
    filled = tmp_path / "filled.csv"
    command = ("impute", folder, "--data", data, "--samples", 20)
    code, out, err = run(*command, "--out", filled)
    assert code == 0
    assert out.startswith("22 cells in 21 of 60 rows: town 15, height 7")
    assert "guesses" not in err
    before, after = (list(csv.reader(path.open())) for path in (data, filled))
    for old, new in zip(before, after, strict=True):
        assert [b for a, b in zip(old[1:3], new[1:3], strict=True) if a not in ("", "NA", b)] == []
        assert old[3:] == new[3:]
    rows = list(csv.DictReader(filled.open()))
    assert {row["town"] for row in rows} == {"Oslo", "Rome", "Bath, UK"}
    assert all(float(row["height"]) > 0 for row in rows)
    draws = tmp_path / "draws.csv"
    assert run(*command, "--out", draws, "--draws", 3)[0] == 0
    assert [row["draw"] for row in csv.DictReader(draws.open())] == ["1"] * 60 + ["2"] * 60 + [
        "3"
    ] * 60
    scores = tmp_path / "scores.csv"
    code, _, _ = run("evaluate", folder, "--data", data, "--samples", 5, "--out", scores)
    assert code == 0
    first = next(csv.DictReader(scores.open()))
    assert {"example", "elbo", "importance_weighted", "cost of town"} <= set(first)
    code, out, _ = run("evaluate", folder, "--data", data, "--samples", 5)
    assert "in the units of the columns" in out
    (town,) = [line.split() for line in out.splitlines() if line.startswith("  town ")]
    (height,) = [line.split() for line in out.splitlines() if line.startswith("  height ")]
    assert len(town) == 4
    assert float(height[-1]) > 0
    _, out, _ = run("evaluate", folder, "--data", data, "--samples", 5, "--json")
    assert json.loads(out)["columns"][0].keys() == {"name", "observed", "cost", "sigma"}
    drawn = tmp_path / "drawn.csv"
    assert run("sample", folder, "-n", 5, "--out", drawn)[0] == 0
    code, _, err = run("sample", folder, "-n", 5, "--out", tmp_path / "five.png")
    assert (code, "5 rows cannot show how columns are distributed; try -n 1000" in err) == (0, True)
    for row in csv.DictReader(drawn.open()):
        assert row["town"] in {"Oslo", "Rome", "Bath, UK"}
        assert row["grade"] in {"1", "2", "3"}
        assert row["member"] in {"True", "False"}
        assert datetime.datetime.strptime(row["born"], "%d.%m.%Y")
        assert row["children"].isdigit()
    data.write_text(people().splitlines()[0] + "\n" + 9 * "," + "\n")
    code, out, err = run(*command, "--out", filled, "--force")
    assert code == 0
    assert out.startswith("7 cells in 1 of 1 rows")
    assert "guesses" not in err
    data.write_text(people().replace("Rome", "").replace("Oslo", ""))
    code, _, err = run(*command, "--out", filled, "--quiet", "--force")
    assert code == 0
    assert err.startswith("most cells of 'town' were empty, and now hold guesses; where an empty")
    assert "--kind town=ignore" in err
    data.write_text(people().replace("Rome", "Ulm"))
    code, _, err = run("evaluate", folder, "--data", data)
    assert (code, "got 'Ulm'" in err) == (3, True)
    code, _, err = run("impute", folder, "--data", data, "--out", tmp_path / "x.parquet")
    assert code == 2
    assert "expected --out to be a .csv file" in err
    before = data.read_bytes()
    itself = ("--out", tmp_path / "r/../people.csv", "--force")
    code, _, err = run("impute", folder, "--data", data, *itself)
    assert (code, data.read_bytes()) == (2, before)
    assert "expected --out to be another file than --data" in err
    data.write_text(people())

    def changing(*parts, **options):
        data.write_text(people().replace("Oslo", "Rome", 1))
        return rewrite(*parts, **options)

    monkeypatch.setattr("lowerbound.data.rewriting.rewrite", changing)
    code, _, err = run(*command, "--out", tmp_path / "late.csv")
    assert (code, "which was changed since" in err) == (3, True)
    assert not (tmp_path / "late.csv").exists()
