"""What lowerbound changes in the process: chosen on import, before torch; a user's choice stays."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

NAMES = ("MKL_CBWR", "LOWERBOUND_TUNE")

FLAGS = torch.backends.cpu.get_cpu_capability()
CHOICE = {"AVX512": "AVX512,STRICT", "AVX2": "AVX2,STRICT"}.get(FLAGS)


def run(code: str, given: dict[str, str]) -> str:
    """What a fresh process prints whose environment has nothing to do with ours but ``given``."""
    clean = {k: v for k, v in os.environ.items() if k not in NAMES}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=clean | given, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"MKL_CBWR": CHOICE} if CHOICE else {}),
        ({"MKL_CBWR": "COMPATIBLE"}, {"MKL_CBWR": "COMPATIBLE"}),
        ({"LOWERBOUND_TUNE": "0"}, {"LOWERBOUND_TUNE": "0"}),
    ],
)
def test_import_chooses_unless_the_user_did(given, expected):
    code = (
        "import os, sys, lowerbound\n"
        "assert 'torch' not in sys.modules\n"
        f"print({{k: os.environ[k] for k in {NAMES} if k in os.environ}})"
    )
    assert run(code, given) == str(expected)


@pytest.mark.parametrize(("given", "told"), [({}, "[-3, -1]"), ({"LOWERBOUND_TUNE": "0"}, "[]")])
def test_freed_memory_is_kept_unless_the_user_forbids_it(given, told):
    code = (
        "import ctypes, sys, types\n"
        "from lowerbound.environment import keep_freed_memory\n"
        "asked, sys.platform = [], 'linux'\n"
        "mallopt = lambda parameter, value: asked.append(parameter)\n"
        "ctypes.CDLL = lambda name: types.SimpleNamespace(mallopt=mallopt)\n"
        "keep_freed_memory()\n"
        "print(asked)"
    )
    assert run(code, given) == told


@pytest.mark.slow
def test_importing_every_module_changes_nothing_else():
    """Not the environment, signals, warnings or random numbers, nor settings of other packages."""
    code = (
        "import os, signal, pkgutil, importlib, warnings\n"
        "import torch, numpy, matplotlib\n"
        "def state():\n"
        "    return (dict(os.environ), signal.getsignal(signal.SIGINT), list(warnings.filters),\n"
        "            str(numpy.random.get_state()), torch.get_num_threads(),\n"
        "            torch.get_rng_state().tolist(), dict(matplotlib.rcParams),\n"
        "            torch.get_default_dtype())\n"
        "import scipy.stats, sklearn, pyarrow, PIL.Image, rich, typer, pydantic, zuko, jinja2\n"
        "before = state()\n"
        "import lowerbound\n"
        "for module in pkgutil.walk_packages(lowerbound.__path__, 'lowerbound.'):\n"
        "    importlib.import_module(module.name)\n"
        "print([a == b for a, b in zip(before, state(), strict=True)])"
    )
    assert run(code, {"MKL_CBWR": "AUTO"}) == str([True] * 8)
