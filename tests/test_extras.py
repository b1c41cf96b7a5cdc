"""What an optional package is needed for asks for it, and the rest does without."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import lowerbound as lb
from lowerbound.errors import ConfigurationError, MissingExtra
from lowerbound.extras import PACKAGES, needs

SOURCE = Path(lb.__file__).parent
PROJECT = tomllib.loads((SOURCE.parents[1] / "pyproject.toml").read_text())["project"]
# Of each extra, something that cannot be done without it.
DOORS = {
    "plots": "lb.plots",
    "report": "from lowerbound.pages import render; render('report.html')",
    "tables": "lb.data.read('table.csv')",
    "images": "lb.data.read('pictures')",
    "learn": "lb.data.load('digits')",
    "compress": "lb.compression.compress",
    "cells": "lb.data.read('cells.h5ad')",
    "export": "lb.export.to_onnx(model, data, 'onnx')",
    "hub": "lb.load('hf://owner/name')",
    "music": "from lowerbound.music.abc import read_tunes; list(read_tunes([]))",
    "serve": "from lowerbound.explorer import Server; Server()",
    "ray": "from lowerbound.runs.cluster import shared; shared('local', *[None] * 3).__enter__()",
    "tensorboard": "from lowerbound.training.callbacks import TensorBoard; TensorBoard('log')",
}


def modules(extra: str) -> list[str]:
    """The names under which the packages of an extra, and of those in it, are imported."""
    under = {name.lower(): module for module, name in PACKAGES.items()}
    found = []
    for wanted in PROJECT["optional-dependencies"][extra]:
        if nested := re.match(r"lowerbound\[(.*)\]", wanted):
            found += [module for each in nested[1].split(",") for module in modules(each)]
        else:
            package = re.match(r"[\w-]+", wanted)[0]
            found.append(under.get(package, package))
    return found


OPTIONAL = set(modules("all"))


def test_everything_is_in_all():
    extras = PROJECT["optional-dependencies"].keys() - {"all", "dev", "docs"}
    assert extras == DOORS.keys()
    assert set().union(*(modules(extra) for extra in extras)) == OPTIONAL <= set(modules("dev"))


def test_a_missing_package_is_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.delitem(sys.modules, "sklearn.mixture", raising=False)
    with pytest.raises(
        MissingExtra, match=r"expected the package scikit-learn.*'lowerbound\[learn\]'"
    ):
        needs("sklearn.mixture", "learn")


def test_a_package_that_lacks_one_of_its_own_is_not_called_missing(monkeypatch, tmp_path):
    (tmp_path / "broken.py").write_text("import no_such_package")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModuleNotFoundError, match="no_such_package") as caught:
        needs("broken", "plots")
    assert not isinstance(caught.value, MissingExtra)


@pytest.mark.slow
def test_without_its_extra_each_says_how_to_install_it(tmp_path):
    (tmp_path / "table.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "cells.h5ad").touch()
    (tmp_path / "pictures").mkdir()
    (tmp_path / "pictures" / "one.png").touch()
    code = f"""
import json, sys
sys.modules.update(dict.fromkeys({sorted(OPTIONAL)}))
import numpy as np
import lowerbound as lb
import lowerbound.cli.app
model = lb.VAE(
    lb.StandardNormal(2),
    lb.DiagonalGaussian(lb.MLP(9, (8,), 4), 2),
    lb.Gaussian(lb.MLP(2, (8,), 9), (9,)),
)
x = np.random.default_rng(0).normal(size=(20, 9)).astype("float32")
data = lb.data.from_arrays(x)
lb.fit(model, data, training=lb.Training(epochs=1), out="run")
lb.evaluate(lb.load("run"), data)
lb.save(model, "saved")
said = {{}}
for extra, door in {DOORS}.items():
    try:
        exec(door)
    except lb.errors.MissingExtra as error:
        said[extra] = str(error)
print(json.dumps(said))
"""
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, text=True)
    said = json.loads(done.stdout.splitlines()[-1])
    assert said.keys() == DOORS.keys()
    for extra, sentence in said.items():
        assert sentence.endswith(f"install it with: pip install 'lowerbound[{extra}]'")


def unguarded(node: ast.AST, asked: set[str]) -> Iterator[str]:
    """The imports of optional packages that no call of `needs` stands before, in their scope.

    ``asked`` are the packages asked for so far, and grows.
    """
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        if isinstance(child, ast.Import | ast.ImportFrom):
            top = (getattr(child, "module", None) or child.names[0].name).partition(".")[0]
            if top in OPTIONAL - asked:
                yield f"line {child.lineno}: {top}"
        elif isinstance(child, ast.Call) and ast.unparse(child.func) == "needs":
            asked.add(child.args[0].value.partition(".")[0])
        else:
            yield from unguarded(
                child, asked.copy() if isinstance(child, ast.FunctionDef) else asked
            )


def test_every_import_of_an_optional_package_asks_for_it_first():
    found = []
    for path in sorted(SOURCE.rglob("*.py")):
        door, asked = path.parent / "__init__.py", set()
        list(unguarded(ast.parse(door.read_text()), asked))
        lines = unguarded(ast.parse(path.read_text()), asked if path != door else set())
        found += [f"{path.relative_to(SOURCE)}, {line}" for line in lines]
    assert not found


def test_a_package_that_refuses_the_environment_is_told(monkeypatch):
    def refuse(name):
        raise ValueError("Key backend: 'nonsense' is not a valid value")

    monkeypatch.setattr("importlib.import_module", refuse)
    with pytest.raises(
        ConfigurationError, match=r"that matplotlib takes, .*nonsense.*; unset them"
    ):
        needs("matplotlib", "plots")
