"""How threads wait is chosen on import, before torch, and a user's choice stays."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

NAMES = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"GOMP_SPINCOUNT": "1000"}),
        ({"OMP_WAIT_POLICY": "passive"}, {"OMP_WAIT_POLICY": "passive"}),
        ({"GOMP_SPINCOUNT": "7"}, {"GOMP_SPINCOUNT": "7"}),
    ],
)
def test_import_chooses_unless_the_user_did(given, expected):
    clean = {k: v for k, v in os.environ.items() if k not in NAMES}
    code = (
        "import os, sys, lowerbound\n"
        "assert 'torch' not in sys.modules\n"
        f"print({{k: os.environ[k] for k in {NAMES} if k in os.environ}})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], env=clean | given, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == str(expected)
