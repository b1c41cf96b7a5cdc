"""A run's folder: what was kept is what is read, and what is damaged is refused in one sentence."""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import signal
from itertools import count
from pathlib import Path

import numpy as np
import pytest
import torch

import lowerbound as lb
import lowerbound.training
from lowerbound import files
from lowerbound.errors import ConfigurationError, DataError, StorageError
from lowerbound.runs import DataSource, Run, RunDescription, train
from lowerbound.runs.train import begin_from
from lowerbound.training import claimed


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A conditional model of digits."""
    settings = {"hidden": 8, "latent_dim": 2, "epochs": 1, "conditional": True, "seed": 3}
    description = RunDescription(
        recipe="mlp", settings=settings, source=DataSource(source="digits"), command="a test"
    )
    folder = tmp_path_factory.mktemp("runs") / "digits"
    train(description, folder, callbacks=[])
    return folder


def test_what_was_trained_on_what(trained):
    run = Run.open(trained)
    assert run.description.title == "mlp on digits"
    assert run.description.seed == 3
    assert run.data("test").fingerprint == run.description.fingerprints["test"]
    assert len(run.history) == 1
    assert run.information["data"]["sha256"] == run.data("train").fingerprint


def test_a_run_begins_from_another_of_the_same_model(trained, tmp_path):
    begun = Run.open(trained)
    model = lb.load(trained)
    with torch.no_grad():
        for weight in model.parameters():
            weight.zero_()
    begin_from(trained, model)
    for name, tensor in begun.model.state_dict().items():
        assert torch.equal(model.state_dict()[name], tensor)
    settings = begun.description.settings | {"epochs": 6, "sampler": "SGHMC", "sampler.burn_in": 1}
    again = {"settings": settings, "begun_from": str(trained)}
    description = begun.description.model_copy(update=again)
    records = train(description, tmp_path / "again", callbacks=[])
    assert [record["draws"] for record in records] == [0, 1, 2, 3, 4, 5]
    drawn = Run.open(tmp_path / "again")
    assert drawn.model.likelihood.draws == drawn.information["weight_draws"]["draws"] == 5
    other = description.model_copy(update={"settings": settings | {"latent_dim": 3}})
    with pytest.raises(ConfigurationError, match="expected a run of the same model to begin from"):
        train(other, tmp_path / "other", callbacks=[])


def test_labels_of_what_is_drawn(trained):
    run = Run.open(trained)
    assert torch.equal(run.labels(12), torch.arange(12) % 10)
    assert torch.equal(run.labels(3, "7"), torch.full((3,), 7))
    with pytest.raises(ConfigurationError, match="a class of the model, got 'ten'; known: 0, 1"):
        run.labels(3, "ten")


def test_an_evaluation_is_of_the_weights_that_are_there(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "copy")
    run = Run.open(folder)
    assert run.evaluation is None
    measured = lb.evaluate(run.model, run.data("test").take(20), samples=3)
    run.keep(measured, seed=0)
    assert Run.open(folder).evaluation == measured
    path = folder / "evaluation.json"
    kept = json.loads(path.read_text())
    for change in ({"weights": "0" * 64}, {"elbo": 5}):
        edit(path, kept | change)
        assert run.evaluation is None
    del kept["curve"]
    edit(path, kept)
    assert run.evaluation is None


def test_a_model_of_the_library_has_no_run(trained, tmp_path):
    run = Run.open(lb.save(lb.load(trained), tmp_path / "model"))
    assert not run.is_described
    with pytest.raises(StorageError, match="expected a run"):
        run.data("test")
    assert len(run.other("digits")) == 360
    assert run.labels(2, "1").tolist() == [1, 1]


def test_other_images_are_brought_to_the_size_of_the_runs(tmp_path):
    images = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    for folder, size in (("a", (6, 5)), ("b", (9, 7))):
        (tmp_path / folder).mkdir()
        for i in range(12):
            pixels = images.fromarray(rng.integers(0, 256, size, np.uint8))
            pixels.save(tmp_path / folder / f"{i}.png")
    source = DataSource(source=str(tmp_path / "a"), crop=(4, 5), resize=(3, 2))
    settings = {"hidden": 4, "latent_dim": 1, "epochs": 1}
    description = RunDescription(recipe="mlp", settings=settings, source=source, command="")
    train(description, tmp_path / "r", callbacks=[])
    run = Run.open(tmp_path / "r")
    assert run.data("test").shape == (1, 2, 3)
    assert run.other(str(tmp_path / "b")).x.shape == (12, 1, 2, 3)


def test_a_table_on_disk_gives_the_numbers_that_it_gives_in_memory(tmp_path, monkeypatch):
    rng = np.random.default_rng(0)
    city, gap = np.array(["Rome", "Oslo", "Bonn"])[rng.integers(0, 3, 300)], rng.random(300) < 0.1
    height = np.where(gap, "", rng.normal(170, 9, 300).round(2).astype(str))
    rows = [f"{c},{h}" for c, h in zip(city, height, strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["city,height", *rows]))
    source = DataSource(source=str(tmp_path / "a.csv"), on_disk=True)
    settings = {"network": {"part": "MLP", "hidden": [4]}, "latent_dim": 1, "epochs": 1}
    train(
        RunDescription(recipe="table", settings=settings, source=source, command=""),
        tmp_path / "run",
        callbacks=[],
    )
    run, other = Run.open(tmp_path / "run"), str(tmp_path / "b.csv")
    assert run.model.likelihood.categories_of()[0] == ("Bonn", "Oslo", "Rome")
    Path(other).write_text("\n".join(["height,city", "171.5,Rome", ",Oslo", "163,NA", "180,Rome"]))
    inside = run.other(other)
    monkeypatch.setattr("lowerbound.data.formats.SHARE_OF_MEMORY", 0)
    stored = run.streamed("test", other)
    assert isinstance(stored, lb.data.Stored)
    assert inside.x.isnan().tolist() == [[False, False], [False, True], [True, False], [False] * 2]
    for measure in (lb.evaluation.embed, lb.outliers.column_costs):
        assert torch.equal(measure(run.model, inside), measure(run.model, stored))
    assert lb.evaluate(run.model, inside) == lb.evaluate(run.model, stored)
    Path(other).write_text("\n".join(["height,city", "171.5,Rome", "1,Paris"]))
    with pytest.raises(DataError, match="got 'Paris'"):
        run.streamed("test", other)


def test_other_data_are_taken_by_their_columns_names(tmp_path, caplog):
    x = np.random.default_rng(0).normal([45, 170, 70], [12, 9, 6], (60, 3)).round(2)

    def write(name, names, columns, left=""):
        lines = (",".join(map(str, row)) for row in x[:, columns])
        (tmp_path / name).write_text("\n".join([names, *(left + line for line in lines)]))
        return str(tmp_path / name)

    source = DataSource(source=write("people.csv", "age,height,weight", [0, 1, 2]))
    settings = {"hidden": 4, "latent_dim": 1, "epochs": 1}
    train(
        RunDescription(recipe="mlp", settings=settings, source=source, command=""), tmp_path / "r"
    )
    run = Run.open(tmp_path / "r")
    other = run.other(write("other.csv", "name,weight,age,height", [2, 0, 1], "Jo,"))
    np.testing.assert_array_equal(other.x.numpy(), x)
    with pytest.raises(DataError, match=r"got none called 'weight'; did you mean Weight"):
        run.other(write("renamed.csv", "age,height,Weight", [0, 1, 2]))
    np.save(tmp_path / "bare.npy", x)
    with caplog.at_level("INFO", "lowerbound"):
        assert run.other(str(tmp_path / "bare.npy")).columns is None
    assert "have no names, and are taken in the model's order" in caplog.text
    np.save(tmp_path / "narrow.npy", x[:, :2])
    with pytest.raises(DataError, match=r"expected examples of shape \(3,\)"):
        run.other(str(tmp_path / "narrow.npy"))

    frame = lb.data.from_arrays(x[:, [2, 0, 1]], columns=["weight", "age", "height"])
    model = lb.load(tmp_path / "r")
    assert lb.evaluate(model, frame).elbo == lb.evaluate(model, other).elbo
    for function in (lb.evaluation.embed, lb.evaluation.reconstruct):
        assert torch.equal(function(model, frame), function(model, other))
    assert lb.diagnose(model, frame) == lb.diagnose(model, other)
    with pytest.raises(DataError, match="got none called 'age'"):
        lb.evaluate(model, lb.data.from_arrays(x, columns=["a", "b", "c"]))
    renamed = lb.data.from_arrays(x, columns=["age", "height", "mass"])
    with pytest.raises(DataError, match="got none called 'weight'"):
        lb.fit(model, renamed, callbacks=[])


PETS = ("cat", "cow", "dog")


def pets(names: tuple[str, ...]) -> lb.data.Dataset:
    """The same 60 examples, whose classes are numbered in the order of ``names``."""
    y = torch.tensor([names.index(PETS[i % 3]) for i in range(60)])
    x = torch.randn(60, 2, generator=torch.Generator().manual_seed(0)) + torch.arange(120).view(
        60, 2
    ).remainder(3)
    return lb.data.Dataset(x, y, "pets", names)


def test_other_data_are_taken_by_the_names_of_their_classes(tmp_path):
    data, other = pets(PETS), pets(("dog", "cat", "cow"))
    torch.manual_seed(0)
    made = lb.recipes.mlp(data, conditional=True, hidden=(8,), latent_dim=2).model
    model = lb.load(lb.save(made, tmp_path / "model"))
    assert model.context.names == PETS
    expected = lb.evaluate(model, data, samples=2)
    assert lb.evaluate(model, other, samples=2) == expected
    by_number = lb.data.Dataset(data.x, other.labels)
    assert lb.evaluate(model, by_number, samples=2).elbo != expected.elbo
    assert lb.diagnose(model, other, other) == lb.diagnose(model, data, data)
    codes = model.embed(data)
    names = [PETS[i % 3] for i in range(60)]
    for given in ((other,), (data.x, data.labels), (data.x, names), (other, np.array(names))):
        assert torch.equal(model.embed(*given), codes)
        assert torch.equal(model.reconstruct(*given), model.decode(codes, data.labels))
    with pytest.raises(ConfigurationError, match="pets, which numbers them otherwise than the"):
        model.embed(other, other.labels)
    named = model.sample(3, ["dog", "cat", "dog"], seed=0)
    assert torch.equal(named, model.sample(3, torch.tensor([2, 0, 2]), seed=0))
    with pytest.raises(ConfigurationError, match="got 'dgo'; did you mean dog"):
        model.sample(3, ["dog", "cat", "dgo"])
    with pytest.raises(
        ConfigurationError, match=r"from 0 to 2 \(or names: 'cat', 'cow', 'dog'\), got"
    ):
        model.sample(1, [3])
    strange = dataclasses.replace(other, classes=("dog", "cat", "ant"))
    for use in (lb.evaluate, lb.evaluation.embed, lb.evaluation.reconstruct, lb.diagnose, lb.fit):
        with pytest.raises(DataError, match=r"pets: expected a class .* got 'ant'; did you mean"):
            use(model, strange)
    of_dogs = other.subset((other.labels == 0).nonzero().flatten())
    assert torch.equal(lb.evaluation.embed(model, of_dogs), codes[data.labels == 2])


def test_classes_known_by_their_number_alone_are_called_by_it():
    model = lb.VAE(
        lb.StandardNormal(1),
        lb.DiagonalGaussian(lb.MLP(2, (), 2, context_dim=5), 1),
        lb.Gaussian(lb.MLP(1, (), 2, context_dim=5), (2,)),
        context=lb.Labels(5),
    )
    x = torch.randn(4, 2)
    few = lb.data.from_arrays(x, labels=[3, 1, 3, 4])  # whose labels are 1, 0, 1, 2
    assert torch.equal(model.embed(few), model.embed(x, [3, 1, 3, 4]))
    with pytest.raises(DataError, match=r"got 'cat' and 2 more; .*; name them: context=Labels\("):
        lb.evaluate(model, pets(PETS))
    with pytest.raises(ConfigurationError, match="classes of different names"):
        lb.Labels(("cat", "cat"))


def test_other_files_are_taken_by_the_names_of_their_classes(tmp_path):
    def write(name: str, **renamed: str) -> str:
        data = pets(PETS)
        named = [renamed.get(PETS[i], PETS[i]) for i in data.labels.tolist()]
        np.savez(tmp_path / f"{name}.npz", x=data.x.numpy(), y=np.array(named))
        return str(tmp_path / f"{name}.npz")

    settings = {"hidden": 4, "latent_dim": 1, "epochs": 1, "conditional": True}
    source = DataSource(source=write("a"))
    description = RunDescription(recipe="mlp", settings=settings, source=source, command="")
    train(description, tmp_path / "r", callbacks=[])
    run = Run.open(tmp_path / "r")
    other = run.other(write("b", cat="dog", cow="dog"))
    assert other.classes == PETS
    assert set(other.labels.tolist()) == {2}
    assert run.labels(2, "dog").tolist() == [2, 2]
    with pytest.raises(DataError, match="got 'ant'"):
        run.other(write("c", cow="ant"))


def test_one_changed_digit_is_noticed(trained, tmp_path):
    text = (trained / "run.json").read_text()
    (tmp_path / "run.json").write_text(text.replace('"seed": 3', '"seed": 4'))
    with pytest.raises(StorageError, match="was changed after it was written"):
        Run.open(tmp_path).data("test")


@pytest.fixture(scope="module")
def small(tmp_path_factory) -> RunDescription:
    """Three columns, two epochs of three steps."""
    path = tmp_path_factory.mktemp("small") / "x.npy"
    np.save(path, np.random.default_rng(0).normal(size=(60, 3)).astype(np.float32))
    settings = {"hidden": 4, "latent_dim": 1, "epochs": 2, "batch_size": 20}
    source = DataSource(source=str(path))
    return RunDescription(recipe="mlp", settings=settings, source=source, command="a test")


def outcome(folder: Path) -> list[str]:
    """The names of what is there: that of the weights is their SHA-256."""
    return sorted(path.name for path in folder.iterdir())


def test_a_run_killed_at_any_write_goes_on_and_leaves_nothing_behind(small, tmp_path):
    """Seven files are written, and each is killed before it takes its place."""
    train(small, tmp_path / "whole", callbacks=[])
    whole, replace = outcome(tmp_path / "whole"), os.replace
    for moment in range(7):
        folder, calls = tmp_path / str(moment), count()

        def killed(source, target, moment=moment, calls=calls):
            if next(calls) == moment:
                os.kill(os.getpid(), signal.SIGKILL)
            replace(source, target)

        if not (child := os.fork()):
            files.os.replace = killed
            train(small, folder, callbacks=[])
            os._exit(0)
        assert os.waitpid(child, 0)[1] == signal.SIGKILL, moment
        train(small, folder, callbacks=[], resume=(folder / "run.json").exists())
        assert outcome(folder) == whole, moment


def test_a_start_that_was_killed_may_begin_again(small, tmp_path):
    folder = tmp_path / "run"
    small.write(folder)
    (folder / ".lock").touch()
    train(small, folder, callbacks=[])
    with pytest.raises(StorageError, match="holds a run"):
        train(small, folder, callbacks=[])


def test_a_folder_is_trained_into_by_one(small, tmp_path):
    with claimed(tmp_path / "run"):
        for resume in (False, True):
            with pytest.raises(StorageError, match="another process is training"):
                train(small, tmp_path / "run", resume=resume, callbacks=[])
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("again", [False, True])
def test_a_folder_deleted_in_training_is_not_called_trained(small, tmp_path, again):
    folder = tmp_path / "run"

    class Delete(lb.training.Callback):
        def epoch(self, model, record):
            shutil.rmtree(folder, ignore_errors=True)
            if again:
                folder.mkdir()

    with pytest.raises(StorageError, match="deleted or moved"):
        train(small, folder, callbacks=[Delete()])
    assert list(tmp_path.rglob("*")) == ([folder] if again else [])


def test_a_finished_run_may_be_trained_longer(small, tmp_path):
    longer = small.model_copy(update={"settings": small.settings | {"epochs": 4}})
    train(longer, tmp_path / "whole", callbacks=[])
    train(small, tmp_path / "parts", callbacks=[])
    records = train(longer, tmp_path / "parts", resume=True, callbacks=[])
    assert len(records) == 4
    assert outcome(tmp_path / "parts") == outcome(tmp_path / "whole")
    assert RunDescription.read(tmp_path / "parts").settings["epochs"] == 4
    with pytest.raises(ConfigurationError, match="at least 4 epochs"):
        train(small, tmp_path / "parts", resume=True, callbacks=[])


def test_a_run_that_patience_ended_trains_no_more(small, tmp_path):
    folder = tmp_path / "run"
    spent = small.settings | {"epochs": 9, "patience": 1, "learning_rate": 1.0}
    stopped = small.model_copy(update={"settings": spent})
    n = len(train(stopped, folder, callbacks=[]))
    assert n < 9
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    longer = small.model_copy(update={"settings": spent | {"epochs": 50}})
    with pytest.raises(ConfigurationError, match=f"patience=1 ended after epoch {n}; train anew"):
        train(longer, folder, resume=True, callbacks=[])
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before
    told: list[str] = []
    train(stopped, folder, resume=True, callbacks=[], announce=told.append)
    assert told[-1] == f"the run is finished already: patience=1 ended it after epoch {n}"


def test_a_finished_cosine_is_not_advised_to_go_on(small, tmp_path):
    settings = small.settings | {"epochs": 1, "schedule": "cosine"}
    cosine = small.model_copy(update={"settings": settings})
    train(cosine, tmp_path / "run", callbacks=[])
    told: list[str] = []
    train(cosine, tmp_path / "run", resume=True, callbacks=[], announce=told.append)
    assert told[-1] == "the run is finished already: nothing is left to train"


def test_a_start_before_any_checkpoint_is_described_anew(small, tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    small.model_copy(update={"fingerprints": {"train": "of data since changed"}}).write(folder)
    train(RunDescription.read(folder), folder, resume=True, callbacks=[])
    run = Run.open(folder)
    assert run.description.fingerprints["train"] == run.information["data"]["sha256"]


def test_an_older_model_is_compared_with_its_checkpoint(trained, tmp_path):
    folder = shutil.copytree(trained, tmp_path / "run")
    information = json.loads((folder / "model.json").read_text())
    edit(folder / "model.json", information)
    assert Run.open(folder).model is not None
    information["model"]["transform"]["scale"] = 17.0
    edit(folder / "model.json", information)
    with pytest.raises(StorageError, match="describes another model"):
        _ = Run.open(folder).model


def edit(path: Path, values: dict) -> None:
    """Write ``values`` as one who also removes the seal."""
    path.write_text(json.dumps({key: value for key, value in values.items() if key != "sha256"}))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        ("fingerprints", None),
        ("fingerprints", {"test": 5}),
        ("settings", []),
        ("source", "digits"),
        ("source.source", 5),
        ("source.folder", 5),
        ("source.labels", 1.5),
        ("source.test", "x"),
        ("source.extra", 1),
        ("values", 5),
        ("classes", 5),
        ("data_summary", 1),
        ("extra", 1),
    ],
)
def test_a_description_of_other_types_is_refused(trained, tmp_path, place, value):
    description = json.loads((trained / "run.json").read_text())
    *above, key = place.split(".")
    (description[above[0]] if above else description)[key] = value
    edit(tmp_path / "run.json", description)
    with pytest.raises(StorageError, match=rf"run.json: damaged \({place}") as refusal:
        Run.open(tmp_path).data("test")
    assert "\n" not in str(refusal.value)


def test_a_seed_that_is_none_is_refused(trained, tmp_path):
    description = json.loads((trained / "run.json").read_text())
    description["settings"]["seed"] = "three"
    edit(tmp_path / "run.json", description)
    with pytest.raises(ConfigurationError, match="seed"):
        Run.open(tmp_path).data("test")


def test_changed_data_are_refused(trained, tmp_path):
    description = json.loads((trained / "run.json").read_text())
    description["fingerprints"]["test"] = "0" * 64
    edit(tmp_path / "run.json", description)
    with pytest.raises(DataError, match="have changed since"):
        Run.open(tmp_path).data("test")
