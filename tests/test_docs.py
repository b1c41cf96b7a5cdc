"""The pages as a reader uses them: what the copy button gives runs, and the interface is whole.

The snippets themselves are run by docs/conftest.py.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

import lowerbound as lb

DOCS = Path(__file__).parents[1] / "docs"
PAGES = sorted(path for path in DOCS.rglob("*.md") if "_build" not in path.parts)
CONF = ast.parse((DOCS / "conf.py").read_text())


def copied(block: str) -> str:
    """What sphinx-copybutton gives of a block with prompts."""
    prompt = next(
        ast.literal_eval(node.value)
        for node in CONF.body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "copybutton_prompt_text"
    )
    lines = block.splitlines()
    prompted = [re.sub(f"^({prompt})", "", line) for line in lines if re.match(prompt, line)]
    return "\n".join(prompted or lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
def test_a_copied_page_is_a_program_of_public_names(page):
    blocks = re.findall(r"```python\n(.*?)```", page.read_text(), re.DOTALL)
    program = ast.parse("\n".join(map(copied, blocks)))
    names = {
        node.attr
        for node in ast.walk(program)
        if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "lb"
    }
    assert names <= set(lb.__all__)
