"""Optional packages, imported where they are first used.

Each belongs to an extra of the distribution: ``pip install 'lowerbound[plots]'`` brings what the
figures need, ``lowerbound[all]`` everything.
"""

from __future__ import annotations

import importlib
from functools import partial
from types import ModuleType
from typing import Any

from lowerbound.errors import ConfigurationError, MissingExtra, brief

PACKAGES = {"PIL": "Pillow", "jinja2": "Jinja2", "sklearn": "scikit-learn"}
"""The names of packages that are imported under another."""


def needs(module: str, extra: str) -> ModuleType:
    """The module of that name, imported; ``extra`` is what installs it.

    >>> needs("matplotlib", "plots").__name__
    'matplotlib'

    Raises:
        MissingExtra: it is not installed.
        ConfigurationError: it refuses the environment, such as a MPLBACKEND that is none.
    """
    top = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ValueError as error:
        raise ConfigurationError(
            f"expected variables of the environment that {top} takes, got others ({brief(error)}); "
            "unset them"
        ) from None
    except ModuleNotFoundError as error:
        if (error.name or top).partition(".")[0] != top:
            raise  # the package is there, and something that it needs itself is not
        raise MissingExtra(
            f"expected the package {PACKAGES.get(top, top)}, which is not installed; "
            f"install it with: pip install 'lowerbound[{extra}]'"
        ) from None


class Deferred:
    """The module that `needs` gives, imported when something of it is first asked for."""

    def __init__(self, module: str, extra: str) -> None:
        self._module = partial(needs, module, extra)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):  # inspect, copy and others ask for such of any object
            raise AttributeError(name)
        return getattr(self._module(), name)


pa = Deferred("pyarrow", "tables")
pc = Deferred("pyarrow.compute", "tables")
parquet = Deferred("pyarrow.parquet", "tables")
