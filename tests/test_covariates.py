"""A model of x given several columns: exact cases, what is planted, and the whole path of a run."""

from __future__ import annotations

import csv
import json
import math
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from torch.distributions import MultivariateNormal
from typer.testing import CliRunner

import lowerbound as lb
from lowerbound.cli.app import app
from lowerbound.cli.options import names
from lowerbound.data.schema import Field
from lowerbound.diagnosis.diagnose import CHECKS, examine
from lowerbound.errors import ConfigurationError, DataError
from lowerbound.runs import Run
from lowerbound.runs.given import _value, context_of, told

N = 400


def people() -> pd.DataFrame:
    """Height depends on sex, weight on height and age, and what is given has holes."""
    random = np.random.default_rng(0)
    sex, age = random.choice(["female", "male"], N), random.uniform(20, 80, N).round(1)
    height = np.where(sex == "male", 178, 162) + random.normal(0, 2, N)
    weight = 0.5 * height + 0.3 * age + random.normal(0, 2, N)
    age[::40] = np.nan
    given = {"sex": sex, "age": age, "visits": random.poisson(30, N)}
    return pd.DataFrame({**given, "height": height.round(2), "weight": weight.round(2)})


GIVEN = ["sex", "age", "visits"]


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on such a file, by the command line."""
    folder = tmp_path_factory.mktemp("covariates")
    people().to_csv(folder / "people.csv", index=False)
    train = ["train", "table", "--data", "people.csv", "--given", "sex,age", "--given", "visits"]
    more = [
        "--set",
        "latent_dim=2",
        "--set",
        "hidden=32",
        "--set",
        "epochs=25",
        "--out",
        "run",
        "-q",
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        found = CliRunner().invoke(app, [*train, *more])
    assert found.exit_code == 0, found.output
    return folder


def invoke(folder, *arguments):
    found = CliRunner().invoke(app, [*map(str, arguments), "-q"])
    return found.exit_code, found.output


def rows(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_a_linear_gaussian_model_given_covariates_is_exact():
    torch.manual_seed(0)
    table = people().drop(columns="visits").dropna()
    data = lb.data.from_arrays(table, given=["sex", "age"])
    assert data.columns == ("height", "weight")
    context = lb.Covariates.of(data.given)
    d, sigma = context.width, 0.7
    assert d == 3
    w, b = torch.randn(2), torch.randn(2, d)
    decoder = lb.MLP(1, (), 2, context_dim=d)
    encoder = lb.MLP(2, (), 2, context_dim=d)
    precision = 1 + w.dot(w) / sigma**2
    with torch.no_grad():
        decoder.layers[0].weight.copy_(torch.cat([w[:, None], b], 1))
        decoder.layers[0].bias.zero_()
        mean = w / sigma**2 / precision
        encoder.layers[0].weight.copy_(
            torch.cat([torch.cat([mean, -mean @ b])[None], torch.zeros(1, 2 + d)])
        )
        encoder.layers[0].bias.copy_(torch.stack([torch.zeros(()), -precision.log()]))
    model = lb.VAE(
        lb.StandardNormal(1),
        lb.DiagonalGaussian(encoder, 1),
        lb.Gaussian(decoder, (2,), sigma=sigma),
        lb.Standardise.of(data),
        context,
        data.columns,
    )
    c = (table[["age"]].to_numpy() - table.age.mean()) / table.age.std()
    features = np.column_stack([c, table.sex == "female", table.sex == "male"]).astype(np.float64)
    x = table[["height", "weight"]].to_numpy()
    x = torch.from_numpy((x - x.mean(0)) / x.std(0, ddof=1))
    mean = torch.from_numpy(features) @ b.double().T
    p = MultivariateNormal(mean, torch.outer(w, w).double() + sigma**2 * torch.eye(2).double())
    measured = lb.evaluate(model, data, samples=3)
    exact = p.log_prob(x).mean().item()  # log w does not depend on z where q is exact
    assert measured.importance_weighted.value == pytest.approx(exact, abs=1e-4)
    assert lb.evaluate(model, table, samples=3) == measured
    with pytest.raises(ConfigurationError, match=r"given= .--given., or pass context= to sample"):
        lb.evaluate(model, table[["height", "weight"]], samples=3)
    frame = table.iloc[::-1][["age", "sex"]]
    rows = data.given.x.numpy()
    rows.flags.writeable = False
    torch.testing.assert_close(model.embed(data.x, rows), model.embed(data))
    same = lb.evaluation.embed(model, data)
    found = model.embed(data.x, frame.iloc[::-1])
    torch.testing.assert_close(found, same)


def test_what_is_known_from_c_alone_costs_no_code_and_samples_follow():
    random = np.random.default_rng(1)
    group, dose = random.choice(list("abc"), 900), random.normal(0, 1, 900)
    place = {"a": -4.0, "b": 0.0, "c": 5.0}
    x = [place[g] for g in group] + 2 * dose + random.normal(0, 0.3, 900)
    y = -np.array([place[g] for g in group]) + random.normal(0, 0.3, 900)
    table = pd.DataFrame({"x": x, "y": y, "group": group, "dose": dose})
    data = lb.data.from_arrays(table, given=["group", "dose"])
    torch.manual_seed(0)
    model = lb.recipes.compose(data, 2, network={"part": "MLP", "hidden": [32]})
    lb.fit(model, data, training=lb.Training(epochs=20, batch_size=100, learning_rate=1e-2))
    assert lb.evaluate(model, data).kl.value < 0.1
    for name, at in place.items():
        drawn = model.sample(2000, {"group": name, "dose": 1.0}, seed=0)
        assert drawn.mean(0).tolist() == pytest.approx([at + 2, -at], abs=0.35)
        assert drawn.std(0).tolist() == pytest.approx([0.3, 0.3], abs=0.15)
    others = {*CHECKS} - {"ignored-columns", "labels"}
    checks = examine(model, data, data, leave_out=others)
    found = {check.name: check.finding for check in checks}
    assert found["ignored-columns"] is None
    assert found["labels"] is None


def test_covariates_to_features():
    table = {"kind": ["a", "b", None], "n": [0, 3, 7]}
    data = lb.data.from_arrays(pd.DataFrame({**table, "x": [0.5, 1.5, 2.5]}), given=["kind", "n"])
    part = lb.Covariates.of(data.given)
    logs = np.log1p([0, 3, 7])
    n = (logs - logs.mean()) / logs.std(ddof=1)
    wanted = [[n[0], 1, 0, 0, 0], [n[1], 0, 1, 0, 0], [n[2], 0, 0, 1, 0]]
    assert part(data.given.x).numpy() == pytest.approx(np.array(wanted), abs=1e-6)
    assert part.width == 5
    assert "2 covariates" in data.summary()
    assert data.fingerprint != lb.data.from_arrays(pd.DataFrame(table | {"x": [0.5, 1.5, 2.5]}))
    whole = lb.data.from_arrays([[1.0], [2.0]], columns=["n"])
    with pytest.raises(
        ConfigurationError, match=r"a finite number as 'n' in every row, .* got none"
    ):
        lb.Covariates.of(whole)(torch.tensor([[math.nan]]))
    for row, message in (
        ([3.0, 1.0], "expected a code from 0 to 1 as 'kind' in every row, .* got 3 in row 1"),
        ([-1.0, 1.0], "got -1 in row 1"),
        ([0.5, 1.0], "got 0.5 in row 1"),
        ([2.0, 1.0], "got 2 in row 1"),
        ([0.0, math.inf], "expected a finite number as 'n' in every row, .* got inf in row 1"),
        ([-math.inf, 1.0], "got -inf in row 1"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            part(torch.tensor([[math.nan, 0.0], row]))


def test_names_of_what_is_given_may_have_commas():
    table = pd.DataFrame({"size, cm": [1.0, 2.0], "a=b": ["x", "y"], "x": [0.5, 1.5]})
    context = lb.Covariates.of(lb.data.from_arrays(table, given=["size, cm", "a=b"]).given)
    run = SimpleNamespace(model=SimpleNamespace(context=context), is_described=False)
    assert told(run, ["a=b=x,size, cm=3"]) == {"size, cm": 3, "a=b": "x"}
    assert names(['"size, cm",a=b']) == ("size, cm", "a=b")
    with pytest.raises(ConfigurationError, match='did you mean "size, cm"'):
        lb.data.from_arrays(table, given=["size"])


def test_a_run_given_covariates_goes_the_whole_path(run, tmp_path):
    data, folder = run / "people.csv", run / "run"
    for command in (
        ["evaluate", folder, "--data", data, "--out", tmp_path / "scores.csv"],
        ["embed", folder, "--out", tmp_path / "codes.csv"],
        ["reconstruct", folder, "--out", tmp_path / "rebuilt.csv"],
        ["sample", folder, "-n", 7, "--out", tmp_path / "drawn.csv"],
        ["sample", folder, "--given", "sex=male,age=,visits=30", "--out", tmp_path / "men.csv"],
        ["sample", folder, "--given-from", data, "--out", tmp_path / "each.csv"],
        ["sample", folder, "--near", 0, "-n", 3, "--out", tmp_path / "near.csv"],
    ):
        code, output = invoke(run, *command)
        assert code == 0, output
    assert list(rows(tmp_path / "drawn.csv")[0]) == ["height", "weight", *GIVEN]
    men = rows(tmp_path / "men.csv")
    assert len(men) == 64
    assert {(row["sex"], row["age"], row["visits"]) for row in men} == {("male", "", "30")}
    assert np.mean([float(row["height"]) for row in men]) == pytest.approx(178, abs=2.5)
    code, output = invoke(run, "sample", folder, "--json", "--out", tmp_path / "more.csv")
    assert json.loads(output)["shape"] == [64, 5]
    each = rows(tmp_path / "each.csv")
    assert [row["sex"] for row in each] == people().sex.tolist()
    heights = pd.Series([float(row["height"]) for row in each]).groupby(people().sex).mean()
    assert heights["male"] - heights["female"] == pytest.approx(16, abs=3)
    assert len({row["age"] for row in rows(tmp_path / "near.csv")}) == 1


def test_what_is_missing_of_x_is_imputed_given_covariates(run, tmp_path):
    table = people()
    table.loc[:9, "height"] = np.nan
    table.to_csv(tmp_path / "holes.csv", index=False)
    out = tmp_path / "whole.csv"
    code, output = invoke(
        run, "impute", run / "run", "--data", tmp_path / "holes.csv", "--out", out
    )
    assert code == 0, output
    filled = pd.read_csv(out)
    assert filled[GIVEN].equals(table[GIVEN])
    error = filled.height[:10] - people().height[:10]
    assert error.abs().mean() < people().height.std() / 2


def test_columns_of_a_file_may_be_in_any_order_but_all_must_be_there(run, tmp_path, caplog):
    table, model = people(), Run.open(run / "run")
    own = lb.evaluation.embed(model.model, model.other(str(run / "people.csv")))
    table[["weight", "visits", "sex", "height", "age"]].to_csv(tmp_path / "turned.csv", index=False)
    turned = lb.evaluation.embed(model.model, model.other(str(tmp_path / "turned.csv")))
    assert torch.equal(own, turned)
    for change, message in (
        (table.drop(columns="age"), "got none called 'age'"),
        (table.rename(columns={"age": "Age"}), "got none called 'age'; did you mean Age"),
        (table.replace({"sex": {"male": "other"}}), "got 'other'"),
        (table.assign(age="old"), "expected numbers in column 'age', got 'old'"),
        (table.assign(visits=[None] + [3] * (N - 1)), None),
    ):
        change.to_csv(tmp_path / "changed.csv", index=False)
        if message is None:
            model.other(str(tmp_path / "changed.csv"))
            continue
        with pytest.raises(DataError, match=message) as caught:
            model.other(str(tmp_path / "changed.csv"))
        assert "\n" not in str(caught.value)
        assert "first line" not in caplog.text


def test_training_resumes_to_the_same_bits(run):
    source = {"data": str(run / "people.csv"), "given": ["sex", "age"]}
    parts = lb.data.load(source["data"], given=source["given"])
    weights = []
    for stops in ((2,), (1, 2)):
        torch.manual_seed(0)
        model = lb.recipes.compose(parts.train, 2, network={"part": "MLP", "hidden": [8]})
        for i, epochs in enumerate(stops):
            training = lb.Training(epochs=epochs)
            lb.fit(model, parts, training=training, out=run / f"part{len(stops)}", resume=i > 0)
        loaded = lb.load(run / f"part{len(stops)}")
        assert loaded.context.columns == ("sex", "age")
        weights.append(list(loaded.state_dict().values()))
    assert all(torch.equal(a, b) for a, b in zip(*weights, strict=True))


def test_what_is_given_is_refused_where_it_does_not_fit(run, tmp_path):
    path = str(run / "people.csv")
    for how, message in (
        ({"given": ["size"]}, "expected given= \\(--given\\) of its columns, got 'size'"),
        ({"given": ["sex", "sex"]}, "a list of different columns"),
        ({"given": [*people().columns]}, "besides the labels and what is given"),
        ({"given": ["sex"], "on_disk": True}, "no given= with data that stay on disk"),
    ):
        with pytest.raises((ConfigurationError, DataError), match=message):
            lb.data.load(path, **how)
    data = lb.data.read(path, given=["sex"], labels="sex")
    with pytest.raises(ConfigurationError, match="on the class or on what is given, got both"):
        lb.recipes.compose(data, 2, conditional=True)
    model = lb.recipes.compose(data, 2)
    with pytest.raises(
        ConfigurationError, match="expected covariates 'sex', as this model is cond"
    ):
        model.sample(3)
    with pytest.raises(ConfigurationError, match="as a frame or a mapping, got a list"):
        model.sample(1, ["male"])
    with pytest.raises(DataError, match=r"expected the categories .* got 'none'"):
        model.sample(1, {"sex": "none"})
    trained = Run.open(run / "run")
    assert told(trained, ["visits=3,age=4", "sex=male"]) == {"visits": 3, "age": 4, "sex": "male"}
    for given, message in (
        (["sex=male"], "got none of 'age'"),
        (["sex=male,age=x,visits=1"], "expected a number for 'age', got 'x'"),
        (["sex=mail"], "expected a category of 'sex', got 'mail'; .* did you mean male"),
        (["size=3"], "expected --given as sex=…,age=…,visits=…, each once, got 'size=3'"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            context_of(trained, 1, given=given)
    for text in ("0.5", "maybe"):
        with pytest.raises(ConfigurationError, match="expected True or False for 'well', got"):
            _value(Field("well", "binary", form="true"), text)
    assert _value(Field("well", "binary", form="true"), "true") == 1
    with pytest.raises(ConfigurationError, match="got --label"):
        context_of(trained, 1, label="male")
