"""Data that stay on disk: read in blocks, met once per pass, as they would be in memory."""

from __future__ import annotations

import gc
import itertools
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import lowerbound as lb
from lowerbound.data import Stored, delimited, load, numpy_files, read, table_blocks
from lowerbound.data import parquet as tables_in_parquet
from lowerbound.data import stored as on_disk
from lowerbound.errors import ConfigurationError, DataError

pa = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")
csv = pytest.importorskip("pyarrow.csv")
N = 997


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Blocks of 20 images of 12 bytes, windows of 240."""
    monkeypatch.setattr(numpy_files, "BLOCK_BYTES", 20 * 12)
    monkeypatch.setattr(on_disk, "WINDOW_BYTES", 240 * 12)


@pytest.fixture
def images(tmp_path):
    """Images whose first four pixels tell their number, and labels that do too."""
    x = np.random.default_rng(0).integers(0, 256, (N, 3, 4), np.uint8)
    x[:, 0] = np.arange(N)[:, None] // np.array([1, 10, 100, 1000]) % 10
    np.save(tmp_path / "x.npy", x)
    np.save(tmp_path / "y.npy", np.arange(N) % 7 + 3)
    return tmp_path / "x.npy"


def numbers(x):
    return (x.reshape(-1, 3, 4)[:, 0].long() * torch.tensor([1, 10, 100, 1000])).sum(1)


def batches(stored, seed=0, batch_size=50, start=0):
    return list(stored.batches(batch_size, seed=seed, start=start))


def test_a_pass_meets_every_example_once(images):
    splits = load(images, labels=str(images.parent / "y.npy"), validation=100, on_disk=True)
    assert isinstance(splits.train, Stored)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (797, 100, 100)
    passed = batches(splits.train)
    assert [len(x) for x, _ in passed] == [50] * 15 + [47]
    x, labels = (torch.cat(column) for column in zip(*passed, strict=True))
    met = numbers(x)
    everything = torch.cat([met, numbers(splits.validation.x), numbers(splits.test.x)])
    assert sorted(everything.tolist()) == list(range(N))
    assert torch.equal(labels, met % 7)
    assert torch.equal(splits.test.labels, numbers(splits.test.x) % 7)
    assert splits.train.classes == splits.test.classes == tuple("3456789")


def test_a_pass_mixes_the_file_and_each_pass_otherwise(images):
    stored = load(images, on_disk=True).train
    first, second = (numbers(torch.cat([x for x, _ in batches(stored, s)])) for s in (0, 1))
    assert not torch.equal(first, second)
    window = first[:200].float()
    # Uniform numbers below 997 have deviation 288; those of one place of the file would have 60.
    assert window.std() > 150
    assert (window.diff().abs() > 20).float().mean() > 0.8


@pytest.mark.parametrize("start", [1, 5, 17, 18])
def test_a_pass_goes_on_from_any_step(images, start):
    stored = load(images, on_disk=True).train
    whole, rest = batches(stored), batches(stored, start=start)
    assert len(rest) == len(whole) - start
    for (x, _), (y, _) in zip(whole[start:], rest, strict=True):
        assert torch.equal(x, y)


def test_what_is_known_of_the_values_is_what_memory_knows(tmp_path):
    x = np.random.default_rng(1).normal(3, 2, (500, 5))
    path = tmp_path / "x.npy"
    np.save(path, x)
    stored = load(path, on_disk=True, test=50).train
    rows = stored.take(450)
    assert len(rows) == 450
    assert (stored.kind, stored.scale, stored.shape, stored.dtype) == (
        rows.kind, rows.scale, rows.shape, rows.dtype,
    )  # fmt: skip
    torch.testing.assert_close(stored.moments.mean, rows.x.double().mean(0))
    torch.testing.assert_close(stored.moments.variance(), rows.x.double().var(0))
    assert stored.take(7).x.tolist() == rows.x[:7].tolist()
    assert "450 examples on disk" in repr(stored)


@pytest.mark.parametrize(
    ("x", "kind", "scale"),
    [
        (np.array([[0, 255]] * 60, np.uint8), "binary", 255),
        (np.array([[0, 1]] * 60, np.int64), "binary", 1),
        (np.arange(120).reshape(60, 2), "counts", 1),
        (np.arange(120).reshape(60, 2) / 120, "unit", 1),
        (np.arange(120, dtype=np.uint8).reshape(60, 2), "grey", 255),
        (np.arange(60 * 4).reshape(60, 2, 2), "grey", 255),
        (np.where(np.arange(60 * 4) < 239, 0, 256).reshape(60, 2, 2), "counts", 1),
    ],
)
def test_kinds(tmp_path, x, kind, scale):
    """Decided by all blocks, as images of whole numbers are levels only if all are below 256."""
    path = tmp_path / "x.npy"
    np.save(path, x)
    stored = load(path, on_disk=True).train
    inside = load(path).train
    assert (stored.kind, stored.scale, stored.dtype) == (kind, scale, inside.dtype)
    (batch, _), *_ = batches(stored)
    assert batch.dtype == inside.dtype


def test_parquet_files_are_one_table(tmp_path):
    table = {"a": np.arange(N) / 7, "class": np.arange(N) % 3, "b": -np.arange(N)}
    folder = tmp_path / "shards"
    folder.mkdir()
    for i, rows in enumerate(np.array_split(np.arange(N), 3)):
        part = pa.table({name: column[rows] for name, column in table.items()})
        parquet.write_table(part, folder / f"{i}.parquet", row_group_size=40)
    stored, inside = load(folder, on_disk=True).train, load(folder)
    assert stored.columns == inside.train.columns == ("a", "b")
    x, labels = (torch.cat(column) for column in zip(*batches(stored), strict=True))
    order = x[:, 1].argsort(descending=True)
    kept = np.setdiff1d(np.arange(N), stored.held)
    torch.testing.assert_close(x[order, 0], torch.tensor(kept / 7, dtype=torch.float64))
    assert labels[order].tolist() == (kept % 3).tolist()
    assert len(inside.train) + len(inside.test) == N
    torch.testing.assert_close(stored.take(5).x, x[order][:5])


def test_fit_resumes_to_the_same_weights(images, tmp_path):
    train = load(images, on_disk=True).train
    training = lb.Training(epochs=2, batch_size=64)
    ends = []
    for stops in ((2,), (1, 2)):
        for i, epochs in enumerate(stops):
            torch.manual_seed(0)
            networks = lb.MLP(12, (5,), 4), lb.MLP(2, (5,), 12)
            model = lb.VAE(
                lb.StandardNormal(2),
                lb.DiagonalGaussian(networks[0], 2),
                lb.Bernoulli(networks[1], train.shape),
                lb.Scale(),
            )
            lb.fit(
                model, train, training=lb.Training(epochs, training.batch_size),
                out=tmp_path / str(stops), resume=i > 0, callbacks=[],
            )  # fmt: skip
        ends.append(torch.cat([p.detach().flatten() for p in model.parameters()]))
    assert torch.equal(*ends)


def test_held_out_examples_are_drawn_alike():
    from lowerbound.data.division import some

    counts = np.zeros(10)
    for seed in range(2000):
        without = some(10, 2, (seed, 0), np.array([], int))
        drawn = some(10, 3, (seed, 1), without)
        assert len(np.union1d(drawn, without)) == 5
        counts[drawn] += 1
    assert abs(counts / 2000 - 0.3).max() < 0.05


def test_the_fingerprint_tells_data_and_division(images):
    prints = [load(images, on_disk=True, seed=seed).train.fingerprint for seed in (0, 0, 1)]
    x = np.load(images)
    x[5, 1, 1] ^= 1
    np.save(images, x)
    prints.append(load(images, on_disk=True).train.fingerprint)
    assert prints[0] == prints[1]
    assert len(set(prints)) == 3


def test_data_that_cannot_be_used_are_refused(tmp_path):
    path = tmp_path / "x.npy"
    x = np.zeros((100, 3))
    x[77, 1] = np.nan
    np.save(path, x)
    with pytest.raises(DataError, match=r"examples from 70: expected finite .* row 7, column 1"):
        load(path, on_disk=True)
    np.save(path, np.asfortranarray(np.zeros((100, 3))))
    with pytest.raises(DataError, match="Fortran's order"):
        load(path, on_disk=True)
    np.savez(tmp_path / "x.npz", x)
    with pytest.raises(ConfigurationError, match=r"expected an \.npy file, or a table"):
        load(tmp_path / "x.npz", on_disk=True)
    np.save(path, np.ones((100, 3)))
    stored = load(path, on_disk=True).train
    with path.open("r+b") as file:
        file.truncate(1000)
    with pytest.raises(DataError, match="changed since"):
        batches(stored)


def test_parquet_files_must_agree(tmp_path):
    for name, column in (("a", "u"), ("b", "v")):
        parquet.write_table(pa.table({column: [1.0, 2.0]}), tmp_path / f"{name}.parquet")
    with pytest.raises(
        DataError, match=r"b\.parquet: expected the columns of a\.parquet, 'u', got 'v'"
    ):
        load(tmp_path, on_disk=True)


@pytest.mark.parametrize("on_disk", [False, True])
def test_columns_of_parquet_files_hold_the_same_in_each(tmp_path, on_disk):
    held = {
        "numbers": pa.array([0.0, 1.0, 2.0]),
        "text": pa.array(["no", "yes", "no"]),
        "truth values": pa.array([True, False, True]),
        "dates": pa.array([0, 18_000, 9000], pa.date32()),
    }
    empty = {"numbers": pa.array([float("nan")] * 3), "text": pa.nulls(3)}

    def write(a, b, name="c"):
        for path, column in (("a", a), ("b", b)):
            parquet.write_table(
                pa.table({name: column, "x": [1, 2, 4]}), tmp_path / f"{path}.parquet"
            )

    for first, second in itertools.permutations(held, 2):
        write(held[first], held[second])
        message = rf"b\.parquet: expected {first} in column 'c', as in a\.parquet, got {second}; "
        with pytest.raises(DataError, match=message):
            load(tmp_path, on_disk=on_disk, test=2)
    for nothing in empty.values():
        write(held["dates"], nothing)
        train = load(tmp_path, on_disk=on_disk, test=2).train
        assert train.schema[0].form == "%Y-%m-%d"
    write(held["numbers"], held["text"], "label")
    with pytest.raises(
        DataError, match=r"b\.parquet: expected numbers as class labels .* got text"
    ):
        load(tmp_path, on_disk=on_disk, test=2)


def test_labels_of_another_length_are_refused(images):
    for number in (N - 1, N + 1):
        np.save(images.parent / "y.npy", np.zeros(number, int))
        with pytest.raises(DataError, match=f"one label for each of {N} examples"):
            load(images, labels=str(images.parent / "y.npy"), on_disk=True)


def test_large_row_groups_are_copied_to_small_ones(tmp_path, monkeypatch):
    table = pa.table({"a": np.arange(N), "b": np.arange(N)})
    parquet.write_table(table, tmp_path / "x.parquet")
    monkeypatch.setattr(table_blocks, "LARGEST", 16 * N - 1)
    monkeypatch.setattr(tables_in_parquet, "FEWEST_ROWS", 100)
    monkeypatch.setattr(tables_in_parquet, "BATCH_VALUES", 100)
    stored = load(tmp_path / "x.parquet", on_disk=True, test=97).train
    assert stored.blocks.rows == [100] * 9 + [97]
    assert len(stored) == 900
    copy = Path(stored.blocks.folder.name)
    assert copy.exists()
    del stored
    gc.collect()
    assert not copy.exists()
    monkeypatch.setattr(table_blocks, "LARGEST", 16 * N)
    assert load(tmp_path / "x.parquet", on_disk=True).train.blocks.rows == [N]


@pytest.fixture
def people():
    """A column of each kind, with gaps; the first and last to be left out; labels."""
    rng = np.random.default_rng(0)
    n, gap = 600, rng.random((600, 4)) < 0.1
    city = np.array(["Rome", "Oslo", "Åbo", "2"])[rng.integers(0, 4, n)]
    day = np.datetime64("2020-01-31") + rng.integers(0, 900, n)
    return {
        "name": [f"n{i}" for i in range(n)],
        "city": np.where(gap[:, 0], None, city.astype(object)),
        "born": np.where(gap[:, 1], None, day.astype(object)),
        "height": np.where(gap[:, 2], None, rng.normal(170, 9, n)),
        "weight": rng.normal(size=n).astype(np.float32),
        "children": rng.poisson(2, n),
        "grade": np.where(gap[:, 3], None, rng.integers(1, 6, n) / 2),
        "member": rng.integers(0, 2, n).astype(bool),
        "class": np.array(["b", "a"])[rng.integers(0, 2, n)],
        "planet": ["Earth"] * n,
    }


def written(people, path):
    """The table as a file, in several blocks."""
    table = pa.table({name: pa.array(list(values)) for name, values in people.items()})
    if path.suffix == ".csv":
        csv.write_csv(table, path)
    else:
        parquet.write_table(table, path, row_group_size=90)
    return path


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_mixed_table_on_disk_is_what_it_is_in_memory(tmp_path, monkeypatch, people, suffix):
    monkeypatch.setattr(delimited, "BLOCK_BYTES", 4096)
    monkeypatch.setattr(table_blocks, "AT_ONCE", 8 * 600 * 2)
    path = written(people, tmp_path / f"people{suffix}")
    how = {"labels": "class", "kinds": {"children": "counts"}}
    stored, inside = load(path, on_disk=True, test=2, **how), load(path, test=0.5, **how)
    train, rows = stored.train, stored.train.take(598)
    assert len(train.blocks.rows) > 5
    assert train.schema == inside.train.schema == stored.test.schema
    assert [(f.levels, f.form) for f in train.schema] == [
        (f.levels, f.form) for f in inside.train.schema
    ]
    assert [f.kind for f in train.schema] == [
        "categories", "real", "real", "real", "counts", "ordinal", "binary",
    ]  # fmt: skip
    assert train.classes == inside.train.classes == ("a", "b")
    assert (train.missing, train.dtype) == (True, inside.train.dtype)
    whole = read(path, columns=train.columns, labels="class", kinds={"children": "counts"})
    kept = torch.from_numpy(np.delete(np.arange(600), train.held))
    assert torch.equal(rows.x.nan_to_num(-1), whole.x[kept].nan_to_num(-1))
    assert torch.equal(rows.labels, whole.labels[kept])
    assert torch.equal(stored.test.x.nan_to_num(-1), whole.x[train.held].nan_to_num(-1))
    assert sorted(train.codes(range(1)).tolist()) == [0, 1, 2, 3]
    model = lb.recipes.compose(train, 2)
    assert lb.evaluate(model, rows).as_dict() == lb.evaluate(model, train).as_dict()


def test_categories_of_other_data_on_disk_are_taken_by_name(tmp_path, people):
    left = dict.fromkeys(("class", "name", "planet"), "ignore")
    how = {"kinds": {"city": "categories", **left}}
    model = lb.recipes.compose(read(written(people, tmp_path / "a.parquet"), **how), 2)
    people["city"] = np.array(["Oslo", "Åbo"])[np.arange(600) % 2]
    path = written(people, tmp_path / "b.parquet")
    stored, inside = load(path, on_disk=True, test=1, **how).train, read(path, **how)
    found = model.by_name(stored).take(599).x
    kept = np.delete(np.arange(600), stored.held)
    assert torch.equal(found.nan_to_num(-1), model.by_name(inside).x[kept].nan_to_num(-1))
    people["city"] = np.array(["Oslo", "Bonn"])[np.arange(600) % 2]
    stored = load(written(people, tmp_path / "c.parquet"), on_disk=True, **how).train
    with pytest.raises(DataError, match=r"expected the categories .* in 'city', .* got 'Bonn'"):
        model.by_name(stored)


def test_what_a_table_on_disk_cannot_hold_is_told_as_in_memory(tmp_path):
    path = tmp_path / "t.csv"
    for text in (
        "a,b,c\n" + "1,2.5,x\n" * 30 + "1,y,x\n",
        "a,b\n" + "1,2.5\n" * 30 + "1,2.5,7\n",
        "a,b\n" + '"1,5",2\n' * 30,
        "a,b\n" + "1,2\n" * 30,
        "a,class\n" + "1,2\n2,2\n" * 15 + "1,2.5\n",
        "a,b\n" + "1,2\n2,2.5\n" * 15 + "inf,2.5\n",
    ):
        path.write_text(text)
        with pytest.raises(DataError) as inside:
            load(path)
        with pytest.raises(DataError) as outside:
            load(path, on_disk=True)
        assert str(outside.value) == str(inside.value)


def test_an_empty_column_of_a_single_row_is_taken_as_in_memory(tmp_path):
    path = tmp_path / "one.csv"
    path.write_text("a,b\n1.5,\n")
    inside, outside = read(path), read(path, on_disk=True)
    assert outside.schema == inside.schema
    assert torch.equal(outside.take(1).x.isnan(), inside.x.isnan())


CHECK = """
import resource, sys, numpy as np, lowerbound as lb
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
lb.data.load("digits")
before = peak()
lb.data.load(sys.argv[1], on_disk=True, test=100)
print(peak() - before)
"""


@pytest.mark.slow
def test_checking_takes_memory_that_does_not_grow_with_the_file(tmp_path):
    path = tmp_path / "x.npy"
    x = np.random.default_rng(0).integers(0, 256, (200_000, 64), np.uint8)
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": (15 * len(x), 64)}
        np.lib.format.write_array_header_1_0(file, header)
        for _ in range(15):
            file.write(x.tobytes())
    command = [sys.executable, "-c", CHECK, str(path)]
    rise = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert rise < 100  # MB, of a file of 192


def test_data_that_change_while_they_are_trained_on(images, tmp_path):
    splits = load(images, on_disk=True)
    out = tmp_path / "run"
    content = images.read_bytes()

    class Overwrites(lb.training.Callback):
        def step(self, model, step, loss):
            if step == 2:
                images.write_bytes(content[:-1] + b"!")

    model = lb.recipes.compose(splits.train, 2)
    training = lb.Training(epochs=3, batch_size=50)
    with pytest.raises(
        DataError,
        match=r"x\.npy: expected the file .* changed since; .*stopped after step \d+ of 18",
    ):
        lb.fit(model, splits.train, training=training, out=out, callbacks=[Overwrites()])
    assert (out / "checkpoint.safetensors").exists()
    images.write_bytes(content)
    again = load(images, on_disk=True)
    lb.fit(model, again.train, training=training, out=out, resume=True, callbacks=[])
    images.unlink()
    with pytest.raises(DataError, match="removed since"):
        next(again.train.batches(10))


def test_parquet_that_changes_is_not_read_on(tmp_path):
    path = tmp_path / "t.parquet"
    parquet.write_table(pa.table({"a": np.arange(100.0)}), path, row_group_size=10)
    stored = load(path, on_disk=True).train
    parquet.write_table(pa.table({"a": np.arange(1.0, 101)}), path, row_group_size=10)
    with pytest.raises(DataError, match=r"t\.parquet: expected the file .* changed since"):
        list(stored.batches(10))
