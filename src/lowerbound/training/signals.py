"""Ctrl-C and SIGTERM: finish the step, save, then stop."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(Exception):
    """Something was interrupted that leaves no trace."""


class StopRequest:
    """``signal`` is 0 until one has come."""

    def __init__(self) -> None:
        self.signal, self.waits = 0, True

    def __call__(self, number: int, frame: FrameType | None) -> None:
        again, self.signal = self.signal or not self.waits, number
        if again:
            raise KeyboardInterrupt

    @contextmanager
    def at_once(self) -> Iterator[None]:
        """Within, the first signal raises `Stopped`."""
        if self.signal:
            raise Stopped
        self.waits = False
        try:
            yield
        except KeyboardInterrupt:
            raise Stopped from None
        finally:
            self.waits = True


@contextmanager
def stop_requests() -> Iterator[StopRequest]:
    """Note signals inside the ``with``; a second one interrupts at once.

    Outside the main thread, where Python allows no handlers, nothing is noted.
    """
    request = StopRequest()
    if threading.current_thread() is not threading.main_thread():
        yield request
        return
    kept = {n: signal.signal(n, request) for n in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield request
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
