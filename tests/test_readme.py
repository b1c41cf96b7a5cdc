"""The README's Python runs as it stands, on small data."""

from __future__ import annotations

import re
from pathlib import Path

import torch

import lowerbound as lb
from lowerbound.data import Dataset, Splits

README = Path(__file__).parents[1] / "README.md"


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
