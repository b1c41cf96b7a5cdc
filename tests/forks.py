"""Python programs in processes that are forked from one with the library: each starts at once."""

from __future__ import annotations

import multiprocessing
import os
import sys
from collections.abc import Mapping
from pathlib import Path

import torch

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["lowerbound.training", "lowerbound.data", "torch._dynamo"])


def _program(code: str, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
    os.environ.update(environment)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    torch.set_num_threads(1)
    sys.argv = ["program", *arguments]
    exec(code, {"__name__": "__main__"})


def start(
    code: str, *arguments: object, log: Path, environment: Mapping[str, str] | None = None
) -> multiprocessing.process.BaseProcess:
    """A process that runs ``code`` with these arguments, and says what it says in ``log``."""
    given = (code, [*map(str, arguments)], environment or {}, log)
    process = FORKS.Process(target=_program, args=given)
    process.start()
    return process
