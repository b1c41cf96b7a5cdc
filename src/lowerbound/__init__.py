"""lowerbound: variational autoencoders, composed, trained, judged and looked at."""

from __future__ import annotations

import ast
import importlib
from pathlib import Path
from typing import Any

from lowerbound.environment import choose_products

choose_products()

__version__ = "0.1.0"


def _homes() -> dict[str, str]:
    """Each public name and the module that holds it, as ``__init__.pyi`` imports them."""
    stub = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8"))
    imports = [node for node in stub.body if isinstance(node, ast.ImportFrom)]
    return {alias.name: node.module or "" for node in imports for alias in node.names}


# Public names load on first use, so that `import lowerbound` and `lowerbound --help` need no torch.
_HOMES = _homes()
__all__ = ["__version__", *_HOMES]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'lowerbound' has no attribute {name!r}")
    if _HOMES[name] == "lowerbound":
        return importlib.import_module(f"lowerbound.{name}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted(__all__)
