"""Sphinx settings: Markdown pages, mathematics as MathML (no script, no network)."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from typing import Any, ClassVar

from docutils.nodes import SkipNode, literal_block
from docutils.parsers.rst import Directive
from latex2mathml.converter import convert

import lowerbound

project = "lowerbound"
version = release = lowerbound.__version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = "lowerbound"
html_show_copyright = False
html_math_renderer = "mathml"
autodoc_typehints = "none"
autodoc_preserve_defaults = True
autodoc_member_order = "bysource"
# What is copied is code that runs: prompts go, and so do the lines without one, which are output.
copybutton_prompt_text = r">>> |\.\.\. ?"
copybutton_prompt_is_regexp = True


def mathml(node: Any, display: str) -> str:
    """A formula, with the space after a logarithm that the converter leaves out."""
    markup = convert(node.astext(), display=display)
    return markup.replace("<mi>log</mi>", '<mi>log</mi><mspace width="0.17em"/>')


def inline(translator: Any, node: Any) -> None:
    """A formula in a sentence."""
    translator.body.append(mathml(node, "inline"))
    raise SkipNode


def block(translator: Any, node: Any) -> None:
    """A formula on a line of its own."""
    translator.body.append(f'<p class="formula">{mathml(node, "block")}</p>')
    raise SkipNode


def escape(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Docstrings are plain text: their * and | are no markup."""
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")):
            lines[i] = re.sub(r"(``.*?``)|([*|])", lambda m: m[1] or "\\" + m[2], line)


class Help(Directive):
    """What a command says of itself."""

    has_content: ClassVar[bool] = False
    optional_arguments: ClassVar[int] = 2

    def run(self) -> list[literal_block]:
        words = [sys.executable, "-m", "lowerbound", *self.arguments, "--help"]
        environment = os.environ | {"COLUMNS": "80"}
        told = subprocess.run(words, env=environment, check=True, capture_output=True, text=True)
        return [literal_block(told.stdout, told.stdout, language="text")]


def setup(app: Any) -> None:
    """Register the renderer, helps, and the reading of docstrings before napoleon's."""
    app.add_directive("help", Help)
    app.connect("autodoc-process-docstring", escape, priority=900)
    app.add_html_math_renderer("mathml", (inline, None), (block, None))
