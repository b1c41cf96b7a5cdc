"""One command line in a forked process, with limits on its time and memory."""

from __future__ import annotations

import importlib
import os
import pkgutil
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import lowerbound

SECONDS = 60  # of a processor
MEGABYTES = 3000  # beyond what the process had when it was forked


@dataclass(frozen=True)
class Outcome:
    """How a command ended: its exit status (negative: the signal), output, seconds, megabytes."""

    status: int
    out: str
    err: str
    seconds: float
    megabytes: float


def warm() -> None:
    """Import what the commands do, so that their processes need not."""
    for found in pkgutil.walk_packages(lowerbound.__path__, "lowerbound."):
        if not found.name.endswith("__main__"):
            importlib.import_module(found.name)


def forked(action: Callable[[], object], folder: Path) -> int:
    """Start ``action`` in a child; its streams go to ``out`` and ``err`` in ``folder``."""
    child = os.fork()
    if child:
        return child
    try:
        for stream, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, 2 * SECONDS))
        signal.alarm(10 * SECONDS)  # of time that passes, on a machine that has other work
        os.chdir(folder)
        status = 0
        try:
            action()
        except SystemExit as end:
            status = end.code if isinstance(end.code, int) else int(bool(end.code))
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
    finally:
        os._exit(70)


def command(arguments: Sequence[str]) -> Callable[[], object]:
    """The command line as an action."""

    def action() -> None:
        from lowerbound.cli import run

        held = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        most = held + MEGABYTES * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        sys.argv = ["lowerbound", *arguments]
        run()

    return action


def run(arguments: Sequence[str], folder: Path) -> Outcome:
    """``lowerbound`` with ``arguments``, in ``folder``."""
    began = time.monotonic()
    _, status, used = os.wait4(forked(command(arguments), folder), 0)
    return Outcome(
        os.waitstatus_to_exitcode(status),
        (folder / "out").read_text(errors="replace"),
        (folder / "err").read_text(errors="replace"),
        time.monotonic() - began,
        used.ru_maxrss / 1024,
    )
