"""The benchmarks run, on little; nothing is timed here."""

from __future__ import annotations

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
