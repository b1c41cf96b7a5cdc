"""Shapes in annotations are checked, and each test starts from the same seed."""

from __future__ import annotations

import functools
import gc
from collections import Counter
from collections.abc import Callable
from types import FunctionType
from typing import Any

import jaxtyping
import pytest
import torch
from hypothesis import settings

# The modules whose annotations name shapes.  Arguments of dataclasses are coerced, not checked.
MATHEMATICS = (
    *("context", "distributions", "divergences", "evaluation", "likelihoods", "networks"),
    *("outliers", "posteriors", "priors", "vae"),
)
DOCUMENTS = (
    *("problem_set.interface", "problem_set.normality", "problem_set.smoothness"),
    "slides.codes",
)
ENOUGH = 5
"""Calls of a function that are checked, of those in one test with arguments of the same shapes."""

calls: Counter[tuple[Any, ...]] = Counter()


def likeness(argument: Any) -> Any:
    """What the shapes that a call makes depend on: as a rule, no more."""
    if isinstance(argument, torch.Tensor):
        return argument.shape
    return id(argument) if isinstance(argument, torch.nn.Module) else type(argument)


def until_enough(*, typechecker: Callable) -> Callable:
    """`jaxtyping.jaxtyped`, which takes longer than the steps of a small model's training do."""

    def decorated(target):
        checked = jaxtyped(target, typechecker=typechecker)
        if not isinstance(target, FunctionType):
            return checked

        @functools.wraps(target)
        def call(*args, **kwargs):
            if torch.compiler.is_compiling():  # a graph, whose sizes are not known
                return target(*args, **kwargs)
            key = (target, *map(likeness, args), *map(likeness, kwargs.values()))
            calls[key] += 1
            return (checked if calls[key] <= ENOUGH else target)(*args, **kwargs)

        return call

    return decorated


jaxtyped, jaxtyping.jaxtyped = jaxtyping.jaxtyped, until_enough
jaxtyping.install_import_hook(
    [
        *(f"lowerbound.{name}" for name in MATHEMATICS),
        *(f"documents.{name}" for name in DOCUMENTS),
    ],
    "checking.checked",
)
collect_ignore = ["compiled_steps.py", "conftest.py"]
settings.register_profile("lowerbound", deadline=None, derandomize=True)
settings.load_profile("lowerbound")


gc.disable()


def pytest_collection_finish() -> None:
    """What was imported stays: it is not looked through for garbage."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def seeded():
    calls.clear()
    torch.set_num_threads(1)
    torch.manual_seed(0)
