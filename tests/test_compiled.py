"""Compiled steps, in a process of their own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_compiled_steps():
    path = Path(__file__).parent / "compiled_steps.py"
    command = [sys.executable, "-m", "pytest", "--noconftest", "-p", "no:xdist", "-q", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
