"""Commands on data larger than memory: block by block, to the bytes that they write in memory."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pytest
import torch

from lowerbound import evaluation
from lowerbound.cli.exports import array_file, table_file
from lowerbound.data import Stored
from lowerbound.evaluation import refit, walk
from lowerbound.runs import Run
from test_cli import SMALL, exit_code, run  # noqa: F401
from test_data_tables import people

ROWS, BLOCK, BATCH = 100, 40, 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run on a table, and its data."""
    folder = tmp_path_factory.mktemp("streaming")
    (folder / "people.csv").write_text(people(ROWS))

    data = folder / "people.csv"
    assert exit_code("train", "mlp", "--data", data, "--out", folder / "run", *SMALL) == 0
    return folder


@pytest.fixture
def in_blocks(monkeypatch):
    monkeypatch.setattr(walk, "BLOCK_ROWS", BLOCK)
    monkeypatch.setattr(walk, "IMAGES_PER_BATCH", BATCH)
    monkeypatch.setattr(refit, "STEPS", ((3, 0.1),))


@pytest.fixture
def on_disk(in_blocks, monkeypatch):
    """What turns to data on disk, of which no more than a block is ever in memory."""
    rows_of = Stored._rows

    def rows(self, index, name):
        assert len(index) <= BLOCK
        return rows_of(self, index, name)

    def turn():
        monkeypatch.setattr("lowerbound.data.formats.SHARE_OF_MEMORY", 0)
        monkeypatch.setattr(Stored, "_rows", rows)

    return turn


@pytest.mark.parametrize(
    ("command", "out"),
    [
        (("embed",), "codes.npy"),
        (("embed", "--labels", "grade"), "codes.csv"),
        (("evaluate", "--samples", 3), "scores.csv"),
        (("outliers", "--samples", 3, "--rate", 0.2, "--score", "lpath-ecod"), "odd.csv"),
        (("impute", "--samples", 5, "--draws", 3), "draws.csv"),
    ],
)
def test_what_is_written_is_the_same_in_memory_and_on_disk(
    folder,
    tmp_path,
    run,  # noqa: F811
    on_disk,
    command,
    out,
):
    data = ("--data", folder / "people.csv", "--json")
    found = []
    for where in ("memory", "disk"):
        (tmp_path / where).mkdir()
        if where == "disk":
            on_disk()
        target = tmp_path / where / out
        code, told, err = run(command[0], folder / "run", *command[1:], *data, "--out", target)
        assert code == 0, err
        found.append((target.read_bytes(), told.replace(str(target), "")))
    assert found[0] == found[1]


def test_a_block_is_measured_as_among_all_others(folder, in_blocks):
    run = Run.open(folder / "run")  # noqa: F811
    data = run.streamed("test", str(folder / "people.csv"))
    blocks = [*walk.blocks(run.model, data)]
    assert [block.first for block in blocks] == [0, 40, 80]
    whole = evaluation.example_scores(run.model, data, samples=3, leave_out=[5, *range(40, 80)])
    some = [i for i in range(ROWS) if i != 5 and not 40 <= i < 80]
    every = evaluation.example_scores(run.model, data, samples=3)
    last = evaluation.example_scores(run.model, blocks[-1], samples=3)
    for name, column in every.items():
        assert torch.equal(whole[name][40 - 1 :], column[80:])
        assert len(whole[name]) == len(some)
        assert torch.equal(last[name], column[80:])
    own = evaluation.evaluate(run.model, data, samples=3)
    assert own.elbo.value == pytest.approx(every["elbo"].double().mean().item(), rel=1e-12)
    assert own.elbo.standard_error == pytest.approx(
        every["elbo"].double().std().item() / ROWS**0.5, rel=1e-12
    )
    assert own.effective_samples.median == every["effective_samples"].median()


def test_files_are_written_in_parts_as_at_once_or_not_at_all(tmp_path):
    values, buffer = np.random.default_rng(0).random((7, 2)).astype(np.float32), io.BytesIO()
    np.save(buffer, values)
    with array_file(tmp_path / "x.npy", 7) as write:
        write(values[:3])
        write(values[3:])
    assert (tmp_path / "x.npy").read_bytes() == buffer.getvalue()
    table = table_file(tmp_path / "x.npy")
    write_rows = table.__enter__()
    write_rows({"a": [1, 2]})
    assert not table.__exit__(ZeroDivisionError, ZeroDivisionError(), None)
    assert [path.name for path in tmp_path.iterdir()] == ["x.npy"]
    assert (tmp_path / "x.npy").read_bytes() == buffer.getvalue()
