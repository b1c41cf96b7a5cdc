"""A few attacks of each class; ``scripts/attack`` runs thousands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ATTEMPTS = {"files": 110, "options": 90, "kills": 9, "environments": 5}


@pytest.mark.slow
@pytest.mark.parametrize("name", ATTEMPTS)
def test_nothing_breaks(name):
    """In a process of its own: attempts are forked from it, and no test may have left threads."""
    ended = subprocess.run(
        [sys.executable, "-m", "attack", name, "--attempts", str(ATTEMPTS[name])],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
