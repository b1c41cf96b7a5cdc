"""Commands whose blocks are shared among the workers of a Ray cluster, to the same bytes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lowerbound.cli import blocks
from lowerbound.errors import DataError, LowerboundError
from lowerbound.evaluation import walk
from lowerbound.runs import Run
from lowerbound.runs.cluster import Job, Worker, columns_of
from test_cli import SMALL, exit_code, run  # noqa: F401
from test_data_tables import people

ROWS, BLOCK = 2200, 500

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A run on a table, and its data."""
    folder = tmp_path_factory.mktemp("cluster")
    data = folder / "people.csv"
    data.write_text(people(ROWS))
    assert exit_code("train", "mlp", "--data", data, "--out", folder / "run", *SMALL) == 0
    return folder


@pytest.fixture(scope="module")
def address():
    """A cluster of two workers on this machine."""
    from ray.cluster_utils import Cluster

    node = {"num_cpus": 2, "include_dashboard": False}
    with pytest.MonkeyPatch.context() as patch:  # its workers import this module
        patch.setenv("PYTHONPATH", str(Path(__file__).parent), prepend=os.pathsep)
        cluster = Cluster(initialize_head=True, head_node_args=node)
    session = cluster.head_node.get_session_dir_path()
    yield cluster.address
    cluster.shutdown()
    shutil.rmtree(session, ignore_errors=True)


@pytest.fixture(autouse=True)
def in_blocks(monkeypatch):
    monkeypatch.setattr(walk, "BLOCK_ROWS", BLOCK)


def dying(run, examples, progress=None, which=None):  # noqa: F811
    """As `codes`, by a worker that is killed at the third block, once."""
    flag = run.folder / "killed"

    def at_last():
        for here in which:
            if here.start == 2 * BLOCK and not flag.exists():
                flag.touch()
                os.kill(os.getpid(), signal.SIGKILL)
            yield here

    return blocks.codes(run, examples, progress, at_last())


@pytest.mark.parametrize(
    ("command", "out"),
    [
        (("evaluate", "--samples", 3), "scores.csv"),
        (("outliers", "--samples", 3, "--rate", 0.2, "--score", "lpath-ecod"), "odd.csv"),
    ],
)
def test_a_cluster_writes_the_bytes_of_one_process(folder, address, tmp_path, run, command, out):  # noqa: F811
    data = ("--data", folder / "people.csv", "--json")
    found = []
    for where in ((), ("--ray", address)):
        target = tmp_path / out
        code, told, err = run(
            command[0], folder / "run", *command[1:], *data, "--out", target, *where
        )
        assert (code, err) == (0, err)
        found.append((target.read_bytes(), told, err))
        target.unlink()
    assert found[0] == found[1]


def test_nothing_is_lost_or_doubled_where_a_worker_is_killed(
    folder,
    address,
    tmp_path,
    run,  # noqa: F811
    monkeypatch,
):
    own = ("embed", folder / "run", "--data", folder / "people.csv", "--labels", "grade")
    assert run(*own, "--out", tmp_path / "one.csv")[0] == 0
    monkeypatch.setattr(blocks, "codes", dying)
    code, _, err = run(*own, "--out", tmp_path / "two.csv", "--ray", address)
    assert code == 0, err
    assert (folder / "run" / "killed").exists()
    assert (tmp_path / "one.csv").read_bytes() == (tmp_path / "two.csv").read_bytes()
    assert err.splitlines()[-1].startswith("wrote ")
    assert len(err.splitlines()) <= 2  # nothing of what Ray says of the death


def test_an_address_where_no_cluster_answers_is_told(folder, tmp_path, run):  # noqa: F811
    own = ("embed", folder / "run", "--data", folder / "people.csv", "--out", tmp_path / "z.npy")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    code, _, err = run(*own, "--ray", f"127.0.0.1:{port}")
    assert code == 2
    assert "address of a Ray cluster" in err
    assert run(*own, "--ray", "local", "--device", "cuda")[0] == 2
    assert not list(tmp_path.iterdir())


def test_a_worker_tells_which_files_it_cannot_see(folder, tmp_path):
    batch, block = {"first": [0], "rows": [5]}, range(5)

    def found(job):
        return columns_of({name: value[0] for name, value in Worker(job)(batch).items()}, block)

    with pytest.raises(DataError, match=r"a worker on .*none\.npy.*all machines"):
        found(Job(blocks.codes, str(folder / "run"), str(tmp_path / "none.npy")))
    own = Run.open(folder / "run", "cpu")
    others = Job.of(blocks.codes, own, own.data("test"), str(folder / "people.csv"), None)
    with pytest.raises(DataError, match=r"a worker on .*the same .*people\.csv on all machines"):
        found(others)
    job = Job.of(blocks.codes, own, own.data("test"), None, None)
    assert found(job)["z"].equal(own.model.embed(own.data("test").subset(range(5))))
    with pytest.raises(LowerboundError, match="expected the block at 5, got 0"):
        columns_of({"wrong": "", "first": 0, "columns": b""}, range(5, 9))


def test_ctrl_c_ends_the_cluster_and_keeps_nothing_half_written(folder, tmp_path):
    command = [sys.executable, "-m", "lowerbound", "evaluate", folder / "run", "--samples", 100000]
    command += ["--data", folder / "people.csv", "--out", tmp_path / "s.csv", "--ray", "local"]
    process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (began := list(tmp_path.glob(".s.csv*"))) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert began
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, err.splitlines()[-1]) == (130, "stopped")
    assert not list(tmp_path.iterdir())
