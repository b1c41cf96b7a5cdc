"""The README's Python runs as it stands, on small data; commands of all pages are understood."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import torch
from typer.main import get_command

import lowerbound as lb
from lowerbound import cli, recipes
from lowerbound.data import Dataset, Splits

README = Path(__file__).parents[1] / "README.md"
PAGES = [README, *sorted((README.parent / "docs").rglob("*.md"))]


def test_the_library_example_runs(monkeypatch, tmp_path, capsys):
    def few(n: int) -> Dataset:
        x = torch.randint(0, 256, (n, 1, 28, 28), dtype=torch.uint8)
        return Dataset(x, torch.arange(n) % 10)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(lb.data, "load", lambda *a, **k: Splits(few(60), few(20), few(20)))
    blocks = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)
    assert len(blocks) == 4
    names: dict = {}
    for block in blocks:
        exec(block, names)
    assert names["codes"].shape == (20, 20)
    assert "binarised" in capsys.readouterr().out
    assert (tmp_path / "runs/mine/model.json").exists()


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_understood(page):
    """Those of shell blocks are parsed, and the settings of `train` checked."""
    text = page.read_text().replace("\\\n", "")
    blocks = re.findall(r"^```(?:sh|console|bash)\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    lines = [line.removeprefix("$ ") for block in blocks for line in block.splitlines()]
    for line in lines:
        words = shlex.split(re.sub(r"\$\w+", "1", line), comments=True)  # of a loop
        if words[:1] != ["lowerbound"]:
            continue
        command, name = get_command(cli.app), "lowerbound"
        while hasattr(command, "commands"):
            name = words.pop(1)
            command = command.commands[name]
        given = command.make_context(name, words[1:]).params
        if name == "train" and not given["resume"]:
            recipes.check(given["recipe"], recipes.parse(given["set_"] or []))


def test_every_command_has_its_help_on_the_page():
    page = (README.parent / "docs/command-line.md").read_text()
    app = get_command(cli.app).commands
    named = {name for name in app if name != "data"} | {
        f"data {name}" for name in app["data"].commands
    }
    assert set(re.findall(r"^```{help} (.*)$", page, re.MULTILINE)) == named
