"""Rows whose fields are of several kinds, and elements that are missing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.integrate import quad
from torch import nn

import lowerbound as lb
from lowerbound.data import Dataset, Field
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.networks import FieldInputs, Given
from lowerbound.transforms import Codes, Levels, PerField

NAN = math.nan
GROUPS = ((1,), (0,), (2,))


def row_likelihood(network: nn.Module | None = None) -> lb.Heterogeneous:
    """Columns: one of three categories, a real number, a count."""
    families = (
        lb.Gaussian(Given(), (1,), 0.5),
        lb.Nominal(Given(), (1,), ("blue", "green", "red")),
        lb.Poisson(Given(), (1,)),
    )
    return lb.Heterogeneous(network or lb.MLP(2, (5,), 5), families, GROUPS)


def fixed(*numbers: float) -> lb.Heterogeneous:
    """The likelihood whose network returns ``numbers``: a mean, three logits, log μ."""

    class Fixed(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return torch.tensor(numbers, dtype=z.dtype).expand(len(z), -1)

    return row_likelihood(Fixed())


def test_the_probability_of_a_row_is_the_product_of_its_fields():
    p = fixed(0.3, 0.0, 1.0, -1.0, 0.7)(torch.zeros(1, 2))
    x = torch.tensor([[2.0, 0.1, 3.0]])
    expected = (
        torch.distributions.Normal(0.3, 0.5).log_prob(x[:, 1])
        + torch.tensor([0.0, 1.0, -1.0]).log_softmax(0)[2]
        + torch.distributions.Poisson(math.exp(0.7)).log_prob(x[:, 2])
    )
    torch.testing.assert_close(p.log_prob(x), expected)


def test_it_is_normalised_over_all_fields():
    p = fixed(0.3, 0.0, 1.0, -1.0, 0.7)(torch.zeros(1, 2, dtype=torch.float64))

    def density(y: float) -> float:
        rows = [[k, y, n] for k in range(3) for n in range(30)]
        return p.log_prob(torch.tensor(rows, dtype=torch.float64)).exp().sum().item()

    assert quad(density, -4, 5)[0] == pytest.approx(1, abs=1e-8)


def test_missing_elements_are_summed_out():
    p = fixed(0.3, 0.0, 1.0, -1.0, 0.7)(torch.zeros(1, 2, dtype=torch.float64))

    def log_p(*row: float) -> float:
        return p.log_prob(torch.tensor([row], dtype=torch.float64)).item()

    over_categories = sum(math.exp(log_p(k, 0.1, 3)) for k in range(3))
    assert log_p(NAN, 0.1, 3) == pytest.approx(math.log(over_categories))
    over_reals = quad(lambda y: math.exp(log_p(2, y, 3)), -4, 5)[0]
    assert log_p(2, NAN, 3) == pytest.approx(math.log(over_reals))
    assert log_p(NAN, NAN, NAN) == 0


def test_what_is_missing_has_no_gradient():
    theta = torch.randn(4, 5, requires_grad=True)

    class Parameters(nn.Module):
        def forward(self, z: torch.Tensor) -> torch.Tensor:
            return theta

    x = torch.tensor([[1, NAN, 2], [NAN, 0.2, 2], [1, 0.2, NAN], [NAN, NAN, NAN]])
    row_likelihood(Parameters())(torch.zeros(4, 2)).log_prob(x).sum().backward()
    reached = theta.grad != 0
    expected = torch.tensor([[0, 1, 1, 1, 1], [1, 0, 0, 0, 1], [1, 1, 1, 1, 0], [0] * 5]).bool()
    assert torch.equal(reached, expected)


def test_means_and_samples_are_in_the_order_of_the_columns():
    p = fixed(0.3, 0.0, 9.0, -1.0, 0.7)(torch.zeros(1, 2))
    torch.testing.assert_close(p.mean, torch.tensor([[1, 0.3, math.exp(0.7)]]))
    drawn = p.sample((20_000,))[:, 0]
    assert set(drawn[:, 0].tolist()) <= {0.0, 1.0, 2.0}
    torch.testing.assert_close(drawn[:, 1:].mean(0), p.mean[0, 1:], atol=0.05, rtol=0)
    assert torch.equal(drawn[:, 2], drawn[:, 2].round())


def test_the_encoder_sees_what_is_observed_and_which():
    network = FieldInputs(Given(), (3, 0, 0), counts=(2,), missing=True)
    x = torch.tensor([[2, 0.5, 3], [NAN, NAN, 0.0]])
    expected = torch.tensor(
        [[0, 0, 1, 0.5, math.log(4), 1, 1, 1], [0, 0, 0, 0, 0, 0, 0, 1.0]],
    )
    torch.testing.assert_close(network(x), expected)
    assert FieldInputs.width((3, 0, 0), missing=True) == expected.shape[1]


def test_the_volume_is_of_what_is_observed_and_continuous():
    transform = PerField(
        (lb.Standardise((0.0, 1.0), (2.0, 5.0)), Codes(), lb.Counts(), lb.Binary(255.0)),
        ((0, 3), (1,), (2,), (4,)),
    )
    x = torch.tensor([[1.0, 2.0, 7.0, 1.0, 255.0], [1.0, NAN, NAN, NAN, 0.0]])
    expected = [-math.log(2) - math.log(5), -math.log(2)]
    assert transform.log_volume(x).tolist() == pytest.approx(expected)
    assert lb.transforms.Levels(((0.0, 1.0, 2.5),)).log_volume(torch.ones(2, 1)).tolist() == [0, 0]
    pixels = torch.ones(1, 3, dtype=torch.uint8)
    assert lb.Dequantise(16).log_volume(pixels).item() == pytest.approx(-3 * math.log(16))


def test_each_field_has_its_transform_and_missing_ones_stay_missing():
    transform = PerField((lb.Standardise((3.0,), (2.0,)), Codes(), lb.Counts()), GROUPS)
    x = torch.tensor([[2, 5.0, 3], [NAN, NAN, 0]])
    y = transform(x)
    torch.testing.assert_close(y, torch.tensor([[2, 1.0, 3], [NAN, NAN, 0]]), equal_nan=True)
    torch.testing.assert_close(transform.inverse(y), x, equal_nan=True)
    assert transform.log_slopes((3,)).tolist() == pytest.approx([0, -math.log(2), 0])
    assert transform.log_volume(x).tolist() == pytest.approx([-math.log(2), 0])
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(FieldInputs(lb.MLP(8, (), 4), (3, 0, 0), (2,), missing=True), 2),
        row_likelihood(),
        transform,
    )
    assert model.is_density


def test_the_bound_with_missing_elements_is_on_the_marginal(tmp_path):
    """Linear Gaussian: log p(x of what is observed) = log N(0, W Wᵀ + σ²I) of these columns."""
    torch.manual_seed(1)
    families, columns = (lb.Gaussian(Given(), (4,), 0.8),), ((0, 1, 2, 3),)
    decoder = lb.MLP(2, (), 4)
    model = lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(FieldInputs(lb.MLP(8, (16,), 4), (0,) * 4, missing=True), 2),
        lb.Heterogeneous(decoder, families, columns),
        PerField((lb.Identity(),), columns),
    ).eval()
    weight, bias = decoder.layers[0].weight.detach(), decoder.layers[0].bias.detach()
    x = torch.randn(6, 4)
    x[0, 1] = x[1, 0] = x[1, 3] = x[2] = NAN
    covariance = weight @ weight.T + 0.64 * torch.eye(4)
    exact = []
    for row in x:
        seen = ~row.isnan()
        if not seen.any():
            exact.append(torch.tensor(0.0))
            continue
        normal = torch.distributions.MultivariateNormal(bias[seen], covariance[seen][:, seen])
        exact.append(normal.log_prob(row[seen]))
    with torch.no_grad():
        q = model.posterior(x, None)
        z = q.sample((20_000,))
        log_w = model.likelihood(z).log_prob(x) + model.prior().log_prob(z) - q.log_prob(z)
        found = log_w.logsumexp(0) - math.log(len(z))
    torch.testing.assert_close(found, torch.stack(exact), atol=0.03, rtol=0)
    lb.save(model, tmp_path)
    again = lb.load(tmp_path)
    assert torch.equal(again.embed(x), model.embed(x))
    assert torch.equal(again.sample(3, seed=0), model.sample(3, seed=0))


@pytest.mark.parametrize(
    ("families", "columns", "message"),
    [
        ((), (), "expected a family or more"),
        ((lb.Poisson(Given(), (1,)),), ((1,),), "every column in one group"),
        ((lb.Poisson(Given(), (2,)),), ((0,),), r"expected a family of shape \(1,\)"),
        ((lb.Gaussian(Given(), (1,), "optimal"),), ((0,),), "got 'optimal'"),
    ],
)
def test_families_that_do_not_fit_their_columns_are_refused(families, columns, message):
    with pytest.raises(ConfigurationError, match=message):
        lb.Heterogeneous(lb.MLP(2, (), 1), families, columns)


SCHEMA = (
    Field("colour", "categories", categories=("blue", "green", "red")),
    Field("height", "real"),
    Field("children", "counts"),
    Field("weight", "real"),
)


def people(n: int = 400) -> Dataset:
    """A table in which the other columns depend on the first, a fifth of it missing."""
    generator = torch.Generator().manual_seed(0)
    colour = torch.randint(0, 3, (n,), generator=generator).float()
    noise = torch.randn(n, 2, generator=generator)
    columns = (
        colour,
        170 + 10 * colour + 3 * noise[:, 0],
        torch.poisson(1 + 2 * colour, generator=generator),
        60 + 5 * colour + noise[:, 1],
    )
    x = torch.stack(columns, 1)
    x[torch.rand(n, 4, generator=generator) < 0.2] = NAN
    return Dataset(x, name="people", schema=SCHEMA, missing=True)


def test_a_table_of_several_kinds_is_composed_trained_judged_and_kept(tmp_path):
    data = people()
    torch.manual_seed(0)
    experiment = lb.recipes.mlp(data, latent_dim=2, hidden=(16,), epochs=30, learning_rate=0.01)
    model = experiment.model
    kinds = [type(family).__name__ for family in model.likelihood.families]
    assert kinds == ["Nominal", "Gaussian", "NegativeBinomial"]
    assert model.likelihood.columns == ((0,), (1, 3), (2,))
    assert model.is_density
    history = lb.fit(
        model, data, None, experiment.objective, experiment.training, out=tmp_path, callbacks=[]
    )
    assert history[-1]["train"]["bound"] > history[0]["train"]["bound"] + 1
    found = lb.evaluate(model, data, samples=20)
    assert found.importance_weighted.value >= found.elbo.value
    assert found.measures.endswith("its discrete fields by their probability")
    again = lb.load(tmp_path)
    assert torch.equal(again.embed(data.x), model.embed(data.x))
    drawn = data.table(again.sample(200, seed=1))
    assert set(drawn["colour"]) <= {"blue", "green", "red"}
    by_colour = {
        name: [h for h, c in zip(drawn["height"], drawn["colour"], strict=True) if c == name]
        for name in ("blue", "red")
    }
    assert sum(by_colour["red"]) / len(by_colour["red"]) > 185
    assert sum(by_colour["blue"]) / len(by_colour["blue"]) < 175


def graded() -> lb.data.Dataset:
    """Children, as few as a survey has them; a grade; a yes or no; and what has no levels."""
    rng = torch.Generator().manual_seed(0)
    draw = torch.randint(0, 6, (400,), generator=rng)
    children = torch.tensor([0, 1, 2, 3, 4, 5.5])[draw]
    grade = 1.0 + (draw + torch.randint(0, 2, (400,), generator=rng)) // 2
    rest = torch.poisson(torch.full((400,), 3.0), generator=rng), torch.randn(400, generator=rng)
    x = torch.stack((children, grade, draw % 2, *rest), 1).double()
    x[0, 0] = NAN
    names = ["children", "grade", "answer", "visits", "height"]
    return lb.data.from_arrays(x.numpy(), missing=True, columns=names)


def test_a_few_numbers_met_often_are_levels_and_come_back_as_such():
    data = graded()
    assert [field.kind for field in data.schema] == [
        *("ordinal", "ordinal", "binary", "counts", "real")
    ]
    assert [field.levels for field in data.schema[:2]] == [(0, 1, 2, 3, 4, 5.5), (1, 2, 3, 4)]
    model = lb.recipes.table(data, latent_dim=2, hidden=(8,)).model
    drawn = torch.cat((model.sample(300, seed=0), model.reconstruct(data.x)))
    assert set(drawn[:, 0].tolist()) == {0, 1, 2, 3, 4, 5.5}
    assert set(drawn[:, 1].tolist()) <= {1, 2, 3, 4}
    assert model.is_density
    assert lb.evaluate(model, data, samples=1).elbo.value < 0
    x = data.x.clone()
    x[7, 0] = 2.757
    with pytest.raises(DataError, match=r"'children': expected one of 0, .*, 5.5, .* got 2.757"):
        lb.evaluate(model, replace(data, x=x))


def spiked(n: int = 400) -> dict[str, np.ndarray]:
    """Columns in which one number is met often, and the rest is continuous; and others."""
    rng = np.random.default_rng(0)
    often = rng.random(n) < 0.4
    return {
        "affairs": np.where(often, 0.0, rng.lognormal(0, 1, n)),
        "gain": np.where(often, 0.0, rng.integers(1000, 20_000, n)),
        "change": np.where(rng.random(n) < 0.3, 0.0, rng.normal(0, 5, n)),
        "price": np.minimum(rng.lognormal(3, 0.8, n), 50.0),
        "rounded": np.round(rng.exponential(1, n), 1),
        "steps": np.round(rng.normal(20, 4, n) / 2) * 2 + 0.5,
        "visits": np.where(often, 0.0, rng.poisson(9, n)),
    }


def test_a_number_met_often_is_told_from_the_rest_and_comes_back_exactly(tmp_path):
    columns = spiked()
    columns["affairs"][7] = NAN
    data = lb.data.from_arrays(pd.DataFrame(columns))
    assert {field.name: field.levels for field in data.schema if "zero" in field.kind} == {
        "affairs": (0, math.inf),
        "gain": (0, math.inf),
        "change": (0,),
        "price": (-math.inf, 50),
    }
    assert [field.kind for field in data.schema[-3:]] == ["real", "real", "counts"]
    model = lb.recipes.table(data, latent_dim=2, hidden=(8,)).model
    with torch.no_grad():
        drawn = model.sample(2000, seed=0).T
    affairs, gain, change, price = drawn[:4]
    for column, spike in ((affairs, 0), (gain, 0), (change, 0), (price, 50)):
        assert 0.05 < (column == spike).double().mean() < 0.6
    assert affairs.min() == 0
    assert gain.min() == 0
    assert change.min() < 0 < change.max()
    assert price.max() == 50
    assert model.is_density
    lb.save(model, tmp_path / "model.pt")
    torch.testing.assert_close(lb.load(tmp_path / "model.pt").sample(2000, seed=0).T, drawn)
    for i, beyond, side in ((0, -1.0, "at least 0"), (3, 51.0, "at most 50")):
        x = data.x.clone()
        x[2, i] = beyond
        with pytest.raises(DataError, match=f"expected numbers of {side}, .* got {beyond:g}"):
            lb.evaluate(model, replace(data, x=x))


def test_values_without_a_probability_are_refused_on_disk_as_in_memory(tmp_path, monkeypatch):
    monkeypatch.setattr("lowerbound.likelihoods.support.ROWS", 150)
    n = 400
    grade = 1.0 + np.arange(n) // 5 % 4
    table = pd.DataFrame({**spiked(), "grade": grade, "answer": 1.0 * (grade > 2)})
    model = lb.recipes.table(lb.data.from_arrays(table), latent_dim=2, hidden=(8,)).model
    path = tmp_path / "t.parquet"
    for column, wrong in (("affairs", -5.0), ("grade", 9.0), ("visits", 2.5), ("answer", 2.0)):
        changed = table.copy()
        changed.loc[350:, column] = wrong
        told = {column: "real"}
        changed.to_parquet(path)
        with pytest.raises(DataError, match=f"column '{column}': expected .* got ") as inside:
            model.expect(lb.data.load(path, kinds=told).train)
        stored = lb.data.load(path, kinds=told, on_disk=True, test=1).train
        with pytest.raises(DataError) as outside:
            model.expect(stored)
        assert str(outside.value) == str(inside.value)


def test_whole_numbers_beside_a_spike_are_judged_without_it_and_by_their_size():
    rng = np.random.default_rng(0)
    often = rng.random(600) < 0.6
    columns = {
        "gain": np.where(often, 0, rng.integers(-5000, 5000, 600)),
        "hours": np.where(often, 40, rng.integers(1, 99, 600)),
    }
    schema = lb.data.from_arrays(pd.DataFrame(columns)).schema
    assert [field.kind == "zero-inflated" for field in schema] == [True, False]


def test_a_spike_without_other_numbers_in_training_has_unit_1():
    values = np.array([0.0, 0.0, 0.0, 0.0, 2.5])
    data = lb.data.from_arrays(
        pd.DataFrame({"a": np.tile(values, 40), "b": np.arange(200.0) ** 1.5}),
        kinds={"a": "zero-inflated"},
    )
    train = data.subset((data.x[:, 0] == 0).nonzero().flatten())
    model = lb.recipes.table(train, latent_dim=2, hidden=(8,)).model
    assert lb.evaluate(model, train, samples=1).elbo.value > -math.inf


def test_a_spike_costs_the_same_in_any_unit_and_the_rest_its_logarithm():
    x = spiked()["change"]
    costs = []
    for unit in (1.0, 1000.0):
        data = lb.data.from_arrays(pd.DataFrame({"change": unit * x}))
        torch.manual_seed(0)
        model = lb.recipes.table(data, latent_dim=2, hidden=(8,)).model.double()
        p = model.likelihood(torch.zeros(1, 2).double())
        costs.append(
            p.log_prob(model.prepare(data.x)[0])[:, None] + model.transform.log_slopes((1,)).sum()
        )
    expected = np.where(x == 0, 0.0, math.log(1000))
    torch.testing.assert_close((costs[0] - costs[1])[:, 0].detach(), torch.from_numpy(expected))


def test_a_spike_may_be_said_and_gainsaid():
    told = {"affairs": "real", "visits": "zero-inflated", "rounded": "zero-inflated"}
    data = lb.data.from_arrays(pd.DataFrame(spiked()), kinds=told)
    kinds = {field.name: (field.kind, field.levels) for field in data.schema}
    assert kinds["affairs"] == ("real", None)
    assert kinds["visits"] == kinds["rounded"] == ("zero-inflated", (0, math.inf))
    with pytest.raises(DataError, match=r"'a': expected a number in several rows .* say real"):
        lb.data.from_arrays(
            pd.DataFrame({"a": np.arange(1.0, 40), "b": np.arange(39) % 3}),
            kinds={"a": "zero-inflated"},
        )
    with pytest.raises(ConfigurationError, match=r"zero-inflated .* got real ones"):
        lb.recipes.mlp(torch.randn(20, 2), transform="FromSpike")


def test_a_likelihood_that_is_named_takes_levels_for_numbers():
    x = graded().x[1:]
    data = lb.data.from_arrays(x.numpy(), columns=["a", "b", "c", "d", "e"])
    assert data.kind == "mixed"
    model = lb.recipes.linear(data).model
    assert isinstance(model.likelihood, lb.Gaussian)
    assert model.shape == (5,)
    train = lb.data.from_arrays(x[:, :2].numpy(), columns=["a", "b"])
    assert train.kind == "ordinal"
    assert isinstance(lb.recipes.mlp(train).model.likelihood, lb.Heterogeneous)


def test_the_transform_of_levels_is_refused_where_there_are_none():
    with pytest.raises(ConfigurationError, match=r"columns of kind ordinal for .* got real ones"):
        lb.recipes.mlp(torch.randn(20, 2), transform="Levels")


def test_the_nearest_level_is_found_and_others_have_no_number():
    transform = Levels(((0.1, 0.2, 0.7), (1.0, 2.0, 5.5)))
    x = torch.tensor([[0.1, 5.5], [0.7, 2.0], [0.3, NAN]])
    codes = torch.tensor([[0.0, 2.0], [2.0, 1.0], [-1.0, NAN]])
    for dtype in (torch.float32, torch.float64):  # 0.1 is another number in each
        found = transform(x.to(dtype))
        torch.testing.assert_close(found, codes.to(dtype), equal_nan=True)
        torch.testing.assert_close(transform.inverse(found[:2]), x[:2].to(dtype))
    back = transform.inverse(torch.tensor([[0.4, 7.0], [1.2, NAN]]))
    torch.testing.assert_close(back, torch.tensor([[0.1, 5.5], [0.2, NAN]]), equal_nan=True)
    for levels in (((1.0,),), ((2.0, 1.0),), ((1.0, 2.0), (1.0, 2.0, 3.0)), ()):
        with pytest.raises(ConfigurationError, match="in ascending order"):
            Levels(levels)


def test_missing_cells_are_predicted_from_the_others():
    """E[height | colour, weight] from the model, where the data were made with 170, 180 and 190."""
    data = people()
    torch.manual_seed(0)
    experiment = lb.recipes.mlp(data, latent_dim=2, hidden=(16,), epochs=100, learning_rate=0.01)
    lb.fit(experiment.model, data, None, experiment.objective, experiment.training, callbacks=[])
    asked = torch.tensor([[c, NAN, NAN, 60 + 5 * c] for c in (0.0, 1.0, 2.0)])
    heights = experiment.model.reconstruct(asked)[:, 1]
    torch.testing.assert_close(heights, torch.tensor([170.0, 180.0, 190.0]), atol=4, rtol=0)


def test_what_cannot_take_missing_elements_is_told():
    data = people()
    with pytest.raises(ConfigurationError, match="expected numbers throughout for a VampPrior"):
        lb.recipes.mlp(data, prior="VampPrior")
    whole = Dataset(torch.tensor([[1.0, NAN], [2.0, 0.5]]), missing=True)
    model = lb.VAE(
        lb.StandardNormal(1),
        lb.DiagonalGaussian(lb.MLP(2, (), 2), 1),
        lb.Gaussian(lb.MLP(1, (), 2), (2,)),
    )
    with pytest.raises(ConfigurationError, match="Heterogeneous"):
        lb.fit(model, whole, callbacks=[])


def test_categories_are_taken_by_name():
    """In another order, or some of them, they give the same figures; others are refused."""
    data = people()
    model = lb.recipes.mlp(data, latent_dim=2, hidden=(8,)).model
    same = lb.evaluate(model, data, samples=2)

    def renamed(names, codes):
        x = data.x.clone()
        x[:, 0] = torch.tensor([*codes, NAN])[x[:, 0].nan_to_num(3).long()]
        return replace(data, x=x, schema=(replace(SCHEMA[0], categories=names), *SCHEMA[1:]))

    turned = renamed(("red", "unused", "blue", "green"), (2.0, 3.0, 0.0))
    assert lb.evaluate(model, turned, samples=2) == same
    red = (data.x[:, 0] == 2).nonzero().flatten()
    only = replace(turned.subset(red), schema=renamed(("red",), (0.0, 0.0, 0.0)).schema)
    assert lb.evaluate(model, only, samples=2) == lb.evaluate(model, data.subset(red), samples=2)
    other = renamed(("blue", "greenish", "red"), (0.0, 1.0, 2.0))
    for ask in (lb.evaluate, lambda m, d: lb.fit(m, d, callbacks=[])):
        with pytest.raises(DataError, match=r"'blue', .* in 'colour', .* got 'greenish'; did you"):
            ask(model, other)
    numbers = replace(data, schema=(Field("colour", "counts"), *SCHEMA[1:]))
    with pytest.raises(DataError, match="in 'colour', as the model was made for, got numbers"):
        lb.evaluate(model, numbers)


def test_values_of_a_field_without_a_probability_are_refused():
    """Each field is held to its own likelihood: no ELBO of fractions under counts."""
    x = torch.tensor([[0.0, 3.0, 0.5], [1.0, 0.0, -2.0], [0.0, 7.0, NAN]] * 9)
    data = lb.data.from_arrays(x, missing=True, columns=["bit", "count", "real"])
    kinds = [
        replace(f, kind=k) for f, k in zip(data.schema, ("binary", "counts", "real"), strict=True)
    ]
    data = replace(data, schema=tuple(kinds))
    model = lb.recipes.mlp(data, latent_dim=1, hidden=(4,)).model
    for column, value, wanted in (
        (0, 0.5, "column 'bit': expected only 0 and 1"),
        (0, 2.0, "column 'bit': expected only 0 and 1"),
        (1, -1.0, "column 'count': expected whole numbers from 0"),
        (1, 2.5, "column 'count': expected whole numbers from 0"),
    ):
        wrong = x.clone()
        wrong[4, column] = value
        other = lb.data.from_arrays(wrong, missing=True, columns=["bit", "count", "real"])
        with pytest.raises(DataError, match=wanted):
            lb.evaluate(model, other)
    lb.evaluate(model, data, samples=1)


def test_missing_validation_data_are_refused_before_training():
    whole = Dataset(torch.tensor([[1.0, 2.0], [2.0, 0.5]]))
    gaps = Dataset(torch.tensor([[1.0, NAN], [2.0, 0.5]]), missing=True)
    model = lb.VAE(
        lb.StandardNormal(1),
        lb.DiagonalGaussian(lb.MLP(2, (), 2), 1),
        lb.Gaussian(lb.MLP(1, (), 2), (2,)),
    )
    with pytest.raises(ConfigurationError, match="parts of which are missing, got Gaussian"):
        lb.fit(model, whole, gaps, callbacks=[])
    with pytest.raises(ConfigurationError, match="parts of which are missing, got Gaussian"):
        lb.evaluate(model, gaps)


def test_binary_fields_may_be_0_and_1_or_0_and_255():
    generator = torch.Generator().manual_seed(0)
    bits = torch.randint(0, 2, (50, 2), generator=generator).float()
    x = torch.cat((bits * torch.tensor([1.0, 255.0]), torch.randn(50, 1, generator=generator)), 1)
    schema = (Field("a", "binary"), Field("b", "binary"), Field("c", "real"))
    data = Dataset(x, schema=schema)
    model = lb.recipes.mlp(data, latent_dim=2, hidden=(8,)).model
    prepared, _ = model.prepare(x)
    assert torch.equal(prepared[:, :2], bits)
    torch.testing.assert_close(model.transform.inverse(prepared), x)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"transform": "Identity"}, "no transform for people"),
        ({"likelihood": "Gaussian"}, "expected likelihood=auto"),
        ({"prior.latent_dim": 3}, "expected no latent_dim, which follows from the data"),
    ],
)
def test_settings_that_rows_of_several_kinds_cannot_have_are_refused(settings, message):
    with pytest.raises(ConfigurationError, match=message):
        lb.recipes.mlp(people(), **settings)


def test_a_corruption_is_refused_for_rows_of_several_kinds():
    data = people()
    model = lb.recipes.mlp(data, latent_dim=2, hidden=(8,)).model
    with pytest.raises(ConfigurationError, match="got Masking for rows of several"):
        lb.fit(model, data, objective=lb.ELBO(corruption=lb.Masking(0.2)), callbacks=[])


def test_the_heterogeneous_likelihood_is_chosen_by_name_for_one_kind_too():
    data = Dataset(torch.randn(30, 3, generator=torch.Generator().manual_seed(0)))
    model = lb.recipes.mlp(data, latent_dim=2, hidden=(8,), likelihood="Heterogeneous").model
    (family,) = model.likelihood.families
    assert isinstance(family, lb.Gaussian)
    assert model.is_density


def test_words_are_not_taken_for_numbers(tmp_path):
    numbers = lb.data.from_arrays(torch.randn(8, 2), columns=["x", "y"])
    model = lb.recipes.mlp(numbers, latent_dim=1, hidden=(4,), likelihood="Gaussian").model
    (tmp_path / "words.csv").write_text("x,y\nabc,100\nabd,100\n")
    words = lb.data.read(tmp_path / "words.csv")
    wanted = "expected numbers in 'x', as the model was made for, got the categories 'abc', 'abd'"
    for judge in (lb.evaluate, lb.evaluation.embed):
        with pytest.raises(DataError, match=wanted):
            judge(model, words)
