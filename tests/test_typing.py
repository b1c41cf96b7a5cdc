"""A user's type checker sees through `import lowerbound as lb`."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import lowerbound as lb

ROOT = Path(__file__).parents[1]


@pytest.mark.slow
def test_every_public_name_has_a_type(tmp_path):
    (tmp_path / "user.py").write_text(
        "\n".join(["import lowerbound as lb", *(f"reveal_type(lb.{n})" for n in lb.__all__)])
        + "\nreveal_type(lb.VAE.embed)\nlb.StandardNormal('three')\nlb.nothing\n"
    )
    # With the project's own settings, so that what `mypy` has read of torch need not be read anew.
    done = subprocess.run(
        [sys.executable, "-m", "mypy", tmp_path / "user.py"],
        cwd=ROOT,
        env=os.environ | {"MYPYPATH": "src"},
        capture_output=True,
        text=True,
        check=False,
    )
    revealed = re.findall(r'Revealed type is "(.*)"', done.stdout)
    assert len(revealed) == len(lb.__all__) + 1, done.stdout + done.stderr
    assert not [name for name, kind in zip(lb.__all__, revealed, strict=False) if kind == "Any"]
    assert "Tensor" in revealed[-1]
    assert re.findall(r"error: .*\[([a-z-]+)\]\n", done.stdout) == ["arg-type", "attr-defined"]


def test_type_checkers_are_told_that_there_are_types():
    assert (Path(lb.__file__).parent / "py.typed").exists()
