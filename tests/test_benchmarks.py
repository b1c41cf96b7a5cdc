"""The benchmarks run, on little; nothing is timed here."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest

import forks

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PROGRAM = """
import subprocess, sys, forks
subprocess.run = forks.run
done = forks.run([sys.executable, *sys.argv[1:]], capture_output=True, text=True)
assert done.returncode == 0, done.stderr
assert done.stdout
"""


@pytest.mark.parametrize(
    "name",
    [
        "training",
        "time_to_result",
        "threads",
        "evaluation",
        "growth",
        "start",
        "compression",
        "defaults",
        "diagnosis",
        "photographs",
        "sequences",
        "draws",
        "tables",
        "imputation",
        "service",
    ],
)
def test_the_quick_form_runs(name, tmp_path):
    script, log = BENCHMARKS / f"{name}.py", tmp_path / "log"
    process = forks.start(PROGRAM, script, "--quick", log=log)
    process.join()
    assert process.exitcode == 0, log.read_text()


def test_means_are_over_the_same_seeds(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    page = importlib.import_module("page")
    both, one = {"0": 2.0, "1": 4.0}, {"1": 9.0}
    told = page.by_table({"a": {"x": both, "y": one, "z": both}, "b": {"x": one, "z": {}}})
    rows = ["|  | x | z |", "| --- | --: | --: |", "| a | 3.00 ± 1.41 | 3.00 ± 1.41 |"]
    assert told.split("\n") == [*rows, "| b | 9.00 | – |"]
