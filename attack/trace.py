"""A process stopped at each of its system calls (Linux's ptrace), to be killed at one of them."""

from __future__ import annotations

import ctypes
import os
import signal
from collections.abc import Callable
from pathlib import Path

from attack.box import forked

TRACEME, SYSCALL, SETOPTIONS = 0, 24, 0x4200
KILLED_WITH_US = 0x100000
libc = ctypes.CDLL(None, use_errno=True)


def killed_at(action: Callable[[], object], folder: Path, number: int) -> int:
    """Run ``action`` in a child that is killed at its system call ``number``.

    Entering and leaving a call count as one each, so that it is killed before and after its effect.
    Returns how many were passed; fewer than ``number`` if the action ended before.
    """

    def traced() -> None:
        if libc.ptrace(TRACEME, 0, None, None):
            raise OSError(ctypes.get_errno(), "this system allows no ptrace")
        os.kill(os.getpid(), signal.SIGSTOP)
        action()

    child = forked(traced, folder)
    _, status = os.waitpid(child, 0)
    if not os.WIFSTOPPED(status):
        raise RuntimeError((folder / "err").read_text())
    libc.ptrace(SETOPTIONS, child, None, KILLED_WITH_US)
    passed = 0
    while True:
        passes = 0
        if os.WIFSTOPPED(status) and passed == number:
            os.kill(child, signal.SIGKILL)
        elif os.WIFSTOPPED(status) and os.WSTOPSIG(status) not in (signal.SIGTRAP, signal.SIGSTOP):
            passes = os.WSTOPSIG(status)
        libc.ptrace(SYSCALL, child, None, passes)
        _, status = os.waitpid(child, 0)
        if not os.WIFSTOPPED(status):
            if os.WIFEXITED(status) and os.WEXITSTATUS(status):
                raise RuntimeError((folder / "err").read_text())
            return passed
        passed += 1
