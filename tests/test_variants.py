"""docs/variants.md: every composition in the table makes a step, and draws."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch

import lowerbound as lb

PAGE = (Path(__file__).parents[1] / "docs" / "variants.md").read_text()
ROW = re.compile(r"^\| (.+?) \| `(lb\.VAE.+?)` \| `(lb\..+?)` \|", re.MULTILINE)
ROWS = ROW.findall(PAGE)


def names() -> dict:
    """What the page defines above its table."""
    lines = re.findall(r"^(?:>>>|\.\.\.) ?(.*)$", PAGE, re.MULTILINE)
    found: dict = {}
    exec("\n".join(lines), found)
    return found


def test_the_table_was_read():
    table = PAGE.partition("## Here")[2].partition("## Not here")[0]
    assert len(ROWS) == table.count("\n| ") - 1 >= 25


@pytest.mark.parametrize(("name", "model", "objective"), ROWS, ids=[row[0] for row in ROWS])
def test_variants(name, model, objective):
    defined = names()
    model, objective = eval(model, defined), eval(objective, defined)
    assert isinstance(model, lb.VAE)
    x, labels = (torch.rand(6, 16) > 0.5).float(), torch.arange(6) % 3
    terms = objective(model, *model.prepare(x, labels), time=3.0)
    assert all(term.isfinite().all() for term in terms.named().values())
    terms.objective.sum().backward()
    assert all(p.grad is not None for p in model.parameters())
    drawn = model.eval().sample(6, labels if model.context else None)
    assert drawn.shape == x.shape
