"""The benchmarks run, on little; nothing is timed here."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


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
    ],
)
def test_the_quick_form_runs(name):
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / f"{name}.py"), "--quick"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout
