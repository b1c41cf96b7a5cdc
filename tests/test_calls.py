"""What is asked of a run's model on plain arrays is what the library answers."""

from __future__ import annotations

import csv
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from functools import cache
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import lowerbound as lb
from lowerbound import evaluation
from lowerbound.errors import ConfigurationError, DataError, LowerboundError, ShapeError
from lowerbound.outliers import detect
from lowerbound.runs import DataSource, Run, RunDescription, train
from lowerbound.runs.given import context_of
from lowerbound.service.calls import Calls

WHOLE = {"city": "Rome", "height": 1.7, "children": 1, "member": True, "born": "01.02.1980"}
HEADER = ["city", "height", "children", "member", "born", "group"]


def rows(n: int) -> list[list[str]]:
    """Of a table of words, numbers, counts, truth values and dates; cells are missing."""
    rng = np.random.default_rng(0)
    return [
        [
            rng.choice(["Rome", "Oslo", "New York", ""]),
            rng.choice([f"{rng.normal(1.7, 0.1):.2f}", "NA"], p=[0.9, 0.1]),
            str(rng.poisson(1.5)),
            rng.choice(["True", "False"]),
            f"{rng.integers(1, 29):02}.{rng.integers(1, 13):02}.{rng.integers(1950, 2005)}",
            rng.choice(["a", "b"]),
        ]
        for _ in range(n)
    ]


def trained(folder, source: DataSource, **settings) -> Run:
    told = RunDescription(
        recipe="mlp",
        settings={"epochs": 1, "latent_dim": 2, "hidden": 16, **settings},
        source=source,
        command="",
    )
    train(told, folder)
    return Run.open(folder, "cpu")


@cache
def calls_of(base: Path, name: str) -> Calls:
    """A model of digits, or a conditional one of people; trained once for all modules."""
    folder = base / name
    folder.mkdir()
    if name == "digits":
        return Calls(trained(folder / "run", DataSource(source="digits"), likelihood="Bernoulli"))
    write(folder / "people.csv", rows(200))
    source = DataSource(source=str(folder / "people.csv"), labels="group")
    return Calls(trained(folder / "run", source, conditional=True))


@pytest.fixture(scope="session")
def digits(tmp_path_factory) -> Calls:
    return calls_of(tmp_path_factory.getbasetemp(), "digits")


@pytest.fixture(scope="session")
def people(tmp_path_factory) -> Calls:
    return calls_of(tmp_path_factory.getbasetemp(), "people")


def write(path, table: list[list[str]]) -> None:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *table])


def test_images_are_answered_as_the_library_does(digits):
    model, test = digits.model, digits.run.data("test").take(7)
    x = test.x.numpy()
    np.testing.assert_array_equal(digits.embed(x), evaluation.embed(model, test))
    np.testing.assert_array_equal(digits.reconstruct(x), evaluation.reconstruct(model, test))
    z = digits.embed(x[:, 0].tolist())  # without the axis of channels, and as lists
    np.testing.assert_array_equal(z, digits.embed(x))
    np.testing.assert_array_equal(digits.decode(z), digits.reconstruct(x))
    drawn = digits.sample(3, seed=5)
    np.testing.assert_array_equal(drawn, model.sample(3, seed=5))
    assert not np.array_equal(drawn, digits.sample(3, seed=6))


def test_scores_are_those_of_outliers(digits):
    test = digits.run.data("test")
    x = test.x.flip(2)[:5]
    found = digits.score(x.numpy())
    wanted = detect(digits.model, x, test, digits.run.data("train"))
    np.testing.assert_array_equal(found["score"], wanted.scores["excess"])
    np.testing.assert_array_equal(found["p_value"], wanted.p_values["excess"])
    bounds = evaluation.example_scores(digits.model, lb.data.as_dataset(x), samples=100)
    for name in ("reconstruction", "kl", "elbo", "importance_weighted"):
        np.testing.assert_array_equal(found[name], bounds[name])
    told = digits.describe()["score"]
    assert told["name"] == "excess"
    assert told["bounds"].startswith("log-probability of the binarised x")


def test_records_are_read_as_the_command_line_reads_a_csv(people, tmp_path):
    table = rows(12)
    write(tmp_path / "new.csv", table)
    wanted = people.run.other(str(tmp_path / "new.csv"), "group")
    cells = [dict(zip(HEADER, row, strict=True)) for row in table]
    typed = [
        {
            **row,
            "city": row["city"] or None,
            "height": None if row["height"] == "NA" else float(row["height"]),
            "children": int(row["children"]),
            "member": row["member"] == "True",
            "unknown": [],
        }
        for row in cells
    ]
    for records in (cells, typed):
        data = people.read(records)
        torch.testing.assert_close(data.x, wanted.x, rtol=0, atol=0, equal_nan=True)
        assert data.labels.tolist() == wanted.labels.tolist()
        assert [field.kind for field in data.schema] == [field.kind for field in wanted.schema]
    labels = [row["group"] for row in cells]
    by_codes = people.embed(wanted.x.numpy(), labels)
    np.testing.assert_array_equal(by_codes, people.embed(typed))
    np.testing.assert_array_equal(by_codes, evaluation.embed(people.model, wanted))
    numbers = [people.classes.index(label) for label in labels]
    np.testing.assert_array_equal(by_codes, people.embed(wanted.x.numpy(), numbers))


def test_what_is_drawn_of_a_table_is_read_again(people):
    drawn = people.sample(20, seed=1)
    records = json.loads(json.dumps(people.records(drawn), allow_nan=False))
    assert {type(records[0][name]) for name in ("city", "born")} == {str}
    assert isinstance(records[0]["member"], bool)
    labels = ["b"] * 20
    rounded = people.records(people.read(records, labels).x.numpy())
    assert rounded == records
    assert people.sample(20, labels).shape == drawn.shape == (20, 5)


def test_covariates_are_records_too(tmp_path):
    table = rows(60)
    write(tmp_path / "people.csv", table)
    source = DataSource(source=str(tmp_path / "people.csv"), labels="group", given=("city", "born"))
    run = trained(tmp_path / "run", source)
    write(tmp_path / "new.csv", new := rows(70)[60:])
    records = [dict(zip(HEADER, row, strict=True)) for row in new]
    calls, wanted = Calls(run), run.other(str(tmp_path / "new.csv"))
    given = [{name: row[name] for name in ("city", "born")} for row in records]
    data = calls.read(records)
    assert torch.equal(data.given.x.nan_to_num(-1), wanted.given.x.nan_to_num(-1))
    z = evaluation.embed(run.model, wanted)
    np.testing.assert_array_equal(calls.embed(records), z)
    np.testing.assert_array_equal(calls.embed(wanted.x.numpy(), given), z)
    assert calls.decode(z, given).shape == calls.sample(10).shape == (10, 3)
    assert calls.describe()["given"] == ("city", "born")
    with pytest.raises(ConfigurationError, match="of each of 10 examples, as records, got 9"):
        calls.decode(z, given[1:])
    with pytest.raises(DataError, match="got 'Paris'"):
        calls.decode(z[:1], [given[0] | {"city": "Paris"}])
    drawn = calls.sample(4, seed=3)
    np.testing.assert_array_equal(drawn, run.model.sample(4, context_of(run, 4, seed=3), seed=3))
    (tmp_path / "people.csv").unlink()
    np.testing.assert_array_equal(calls.sample(4, seed=3), drawn)
    gone = Calls(Run.open(run.folder, "cpu"))
    with pytest.raises(ConfigurationError, match=r"expected covariates .* not at hand") as told:
        gone.sample(4)
    assert str(tmp_path) not in str(told.value)
    assert gone.sample(2, given[:2]).shape == (2, 3)


@pytest.mark.parametrize(
    ("x", "message"),
    [
        ([{"city": "Rome"}], "expected the columns 'city', .* got none called 'height' in row 0"),
        ([WHOLE, 3], "expected every row as an object of cells .*, got 3 in row 1"),
        ({"city": "Paris"}, "got 'Paris'"),
        ({"height": "tall"}, "expected numbers in column 'height', got 'tall' in row 0"),
        ({"height": [1]}, r"expected numbers in column 'height', got \[1\]"),
        ({"height": float("inf")}, "expected a finite number, got inf"),
        ({"children": -1}, "expected whole numbers from 0 in 'children'"),
        ({"born": "1970-01-01"}, r"expected dates as %d.%m.%Y in column 'born'"),
        ({"city": "\ud800"}, "half of a pair"),
        ([[1.0, 2.0]], r"expected x of shape \('n', 5\), got \(1, 2\)"),
        ([[7, 1.7, 1, 1, 0]], "expected the codes of its categories"),
        ([[0, 1.7], [1]], "of one length"),
        ([["a"] * 5], "got an array of text"),
        ([], r"expected x of shape .* got \(0,\)"),
        (3, r"got \(\)"),
    ],
)
def test_rows_that_do_not_fit_are_refused(people, x, message):
    if isinstance(x, dict):
        x = [WHOLE | x]
    with pytest.raises(LowerboundError, match=message):
        people.embed(x, ["a"] * (len(x) if isinstance(x, list) else 1))


def test_labels_are_checked(people, digits):
    x = people.run.data("test").take(2).x.numpy()
    for labels, message in (
        (None, "expected 2 labels, one for each example, as this model is conditional, got none"),
        (["a", "c"], "expected a class of the model, got 'c'"),
        ([0, 2], "from 0 to 1"),
        (["a"], r"expected class labels of shape \(2,\)"),
        ([0, 10**20], "from 0 to 1 .*, got 100000000000000000000"),
        ([2**63] * 2, "from 0 to 1 .*, got 9223372036854775808"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            people.reconstruct(x, labels)
    with pytest.raises(ConfigurationError, match="expected no labels"):
        digits.decode([[0, 0]], [1])


@pytest.mark.parametrize(
    ("names", "labels", "places"),
    [
        (("-1", "0", "1"), [0, 1, -1, "-1", 1.0], [1, 2, 0, 0, 2]),
        (("1.0", "2.0"), [1, 2.0, "2", "1.0"], [0, 1, 1, 0]),
        (("1", "2", "other"), [1, 2], [0, 1]),
        (("7", "007"), ["007", "7", 7], [1, 0, 0]),
        (("0", "1"), [True], None),
        (("1", "2"), [0], None),
        (("1", "2", "other"), [0], None),
        (("9007199254740992", "0"), [9007199254740993], None),
        (("2", "02"), [2.0], None),
        (("b", "a"), [0, 1], [0, 1]),
    ],
)
def test_classes_whose_names_are_numbers_are_not_taken_by_their_places(
    digits, names, labels, places
):
    calls, context = copy(digits), lb.Labels(names)
    calls.model = SimpleNamespace(context=context, features=lambda found, n: context(found))
    if places is None:
        with pytest.raises(ConfigurationError, match="expected a class of the model, got"):
            calls.labels(labels, len(labels))
    else:
        assert calls.labels(labels, len(labels)).tolist() == places


def test_images_and_codes_that_do_not_fit_are_refused(digits):
    for x, message in (
        (np.zeros((2, 1, 9, 9)), r"expected images of shape \(1, 8, 8\)"),
        (np.full((2, 8, 8), 0.5), "expected grey values up to 255"),
        (np.full((2, 8, 8), np.nan), "expected finite numbers, got nan"),
        ([{"a": 1}], "got records"),
    ):
        with pytest.raises(LowerboundError, match=message):
            digits.embed(x)
    for z in ([[1.0]], [0.0, 1.0], np.zeros((0, 2))):
        with pytest.raises(ShapeError, match=r"codes z of shape \('n', 2\)"):
            digits.decode(z)
    with pytest.raises(DataError, match="example 1 of 2 without"):
        digits.decode([[0, 0], [0, np.inf]])


def test_a_run_describes_itself(digits, people):
    told = json.loads(json.dumps(digits.describe()))
    assert (told["shape"], told["latent_dim"], told["columns"]) == ([1, 8, 8], 2, None)
    assert told["parts"]["likelihood"] == "Bernoulli"
    told = json.loads(json.dumps(people.describe()))
    assert told["classes"] == ["a", "b"]
    assert [column["name"] for column in told["columns"]] == HEADER[:-1]
    assert told["columns"][0]["categories"] == ["New York", "Oslo", "Rome"]
    assert told["columns"][4]["form"] == "%d.%m.%Y"


def test_threads_take_turns(digits):
    x = digits.run.data("test").x.numpy()[:40]
    wanted, state = digits.embed(x), torch.get_rng_state()
    drawn = digits.sample(2, seed=3)

    def ask(i):
        if i % 2:
            return np.array_equal(digits.sample(2, seed=3), drawn)
        return np.allclose(digits.embed(x[i : i + 1]), wanted[i], rtol=1e-5, atol=1e-6)

    with ThreadPoolExecutor(8) as threads:
        assert all(threads.map(ask, range(40)))
    assert torch.equal(torch.get_rng_state(), state)


def test_without_the_runs_data_there_are_no_p_values(digits, tmp_path):
    folder = shutil.copytree(digits.run.folder, tmp_path / "run")
    (folder / "run.json").unlink()
    calls = Calls(Run.open(folder, "cpu"))
    x = digits.run.data("test").x.numpy()[:3]
    found, whole = calls.score(x), digits.score(x)
    assert found.keys() == whole.keys() - {"p_value"}
    np.testing.assert_array_equal(found["score"], whole["score"])
