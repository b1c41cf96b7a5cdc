"""Optional packages: imported where they are needed, or named with the line that installs them."""

from __future__ import annotations

import importlib
from types import ModuleType

from lowerbound.errors import MissingExtra


def needs(module: str, extra: str) -> ModuleType:
    """The optional ``module``, imported.

    Raises:
        MissingExtra: it is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        raise MissingExtra(
            f"expected {module}, got none; pip install 'lowerbound[{extra}]'"
        ) from error
