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
folder, *names = sys.argv[1:]
if len(names) > 1:
    import lowerbound.sklearn, sklearn.datasets, sklearn.impute, pandas
for name in names:
    script = [sys.executable, f"{folder}/{name}.py", "--quick"]
    done = forks.run(script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout
"""


@pytest.mark.parametrize(
    "names",
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
        "sequences",
        "draws",
        "photographs tables imputation",  # scikit-learn is imported once for these
        "service",
    ],
)
def test_the_quick_form_runs(names, tmp_path):
    log = tmp_path / "log"
    process = forks.start(PROGRAM, BENCHMARKS, *names.split(), log=log)
    process.join()
    assert process.exitcode == 0, log.read_text()


def test_means_are_over_the_same_seeds(monkeypatch):
    monkeypatch.syspath_prepend(BENCHMARKS)
    page = importlib.import_module("page")
    both, one = {"0": 2.0, "1": 4.0}, {"1": 9.0}
    told = page.by_table({"a": {"x": both, "y": one, "z": both}, "b": {"x": one, "z": {}}})
    rows = ["|  | x | z |", "| --- | --: | --: |", "| a | 3.00 ± 1.41 | 3.00 ± 1.41 |"]
    assert told.split("\n") == [*rows, "| b | 9.00 | – |"]
