"""What docstrings say, read from the source: ``python -OO``, which drops them, has them too."""

from __future__ import annotations

import ast
import functools
import inspect
import re
from pathlib import Path
from typing import Any

Definition = ast.ClassDef | ast.FunctionDef
SECTION = re.compile(r"^(?:Args|Attributes):\n((?:(?: .*)?\n)*)", re.MULTILINE)
ARGUMENT = re.compile(r"^ {4}(\w+): ((?:.|\n {5,})*)", re.MULTILINE)


@functools.cache
def definitions(path: Path) -> dict[str, Definition]:
    """The classes and functions at the top of a source file, by name; nothing is run."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name: node for node in tree.body if isinstance(node, Definition)}


def docstring(documented: Any) -> str:
    """The docstring of a class or function; empty where there is none, or no source."""
    try:
        path = Path(inspect.getsourcefile(documented) or "")
        return ast.get_docstring(definitions(path)[documented.__name__]) or ""
    except (KeyError, OSError, SyntaxError, TypeError):
        return inspect.getdoc(documented) or ""


def arguments(text: str) -> dict[str, str]:
    """What a docstring says of each argument or attribute, in one line.

    >>> arguments(docstring(arguments))
    {'text': 'the docstring, of which Args and Attributes are read, without its quotes.'}

    Args:
        text: the docstring, of which Args and Attributes are read,
            without its quotes.
    """
    return {
        name: " ".join(meaning.split())
        for section in SECTION.findall(f"{text}\n")
        for name, meaning in ARGUMENT.findall(section)
    }
