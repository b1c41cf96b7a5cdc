"""A few attacks of each class; ``scripts/attack`` runs thousands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_nothing_breaks():
    """In a process of its own: attempts are forked from it, and no test may have left threads."""
    attempts = ["files=22", "options=25", "kills=1", "environments=2"]
    ended = subprocess.run(
        [sys.executable, "-m", "attack", *attempts],
        cwd=Path(__file__).parents[1],
        capture_output=True,
        text=True,
    )
    assert ended.returncode == 0, ended.stderr + ended.stdout
