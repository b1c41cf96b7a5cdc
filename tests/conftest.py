"""Shapes in annotations are checked at every call; each test starts from the same seed."""

from __future__ import annotations

import pytest
import torch
from hypothesis import settings
from jaxtyping import config, install_import_hook

# The modules whose annotations name shapes.  Arguments of dataclasses are coerced, not checked.
MATHEMATICS = (
    *("context", "distributions", "divergences", "evaluation", "likelihoods", "networks"),
    *("posteriors", "priors", "vae"),
)
DOCUMENTS = (
    *("problem_set.interface", "problem_set.normality", "problem_set.smoothness"),
    *("slides.baselines", "slides.codes"),
)
install_import_hook(
    [
        *(f"lowerbound.{name}" for name in MATHEMATICS),
        *(f"documents.{name}" for name in DOCUMENTS),
    ],
    "checking.checked",
)
collect_ignore = ["conftest.py"]

from lowerbound.training.loop import _Run  # noqa: E402

epoch = _Run._epoch


def epoch_checked_if_first(run, stop):
    """A run's later epochs have the shapes of its first."""
    config.update("jaxtyping_disable", run.state.step >= run.steps)
    try:
        epoch(run, stop)
    finally:
        config.update("jaxtyping_disable", False)


_Run._epoch = epoch_checked_if_first
settings.register_profile("lowerbound", deadline=None, derandomize=True)
settings.load_profile("lowerbound")


@pytest.fixture(autouse=True)
def seeded():
    torch.set_num_threads(1)
    torch.manual_seed(0)
