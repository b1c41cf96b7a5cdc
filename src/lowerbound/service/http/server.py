"""The application at a port, until it is stopped."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from types import FrameType
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lowerbound.service.http.limits import Limits

IDLE = 5  # seconds that a connection is kept between requests
CONNECTIONS = 16  # at a time, for each request at a time


class _Server(uvicorn.Server):
    """Which after Ctrl-C or SIGTERM answers what it has begun, after a second one nothing."""

    stopped_by = signal.SIGTERM

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self.stopped_by = signal.Signals(sig)
        super().handle_exit(sig, frame)

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        stops = (signal.SIGINT, signal.SIGTERM)
        kept = {number: signal.signal(number, self.handle_exit) for number in stops}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)


class _Connection(H11Protocol):
    """Which is closed where the whole head of a request does not come in time.

    Args:
        seconds: from the beginning of the connection, or the end of the last answer.
        most: connections at a time, beyond which new ones are closed.
    """

    def __init__(self, *args: Any, seconds: float, most: int, **named: Any) -> None:
        super().__init__(*args, **named)
        self._seconds, self._most = seconds, most
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._most:
            transport.abort()
        else:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop()
        super().connection_lost(exc)

    def on_response_complete(self) -> None:
        self._wait()
        super().on_response_complete()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _wait(self) -> None:
        self._stop()
        self._timer = self.loop.call_later(self._seconds, self._end)

    def _end(self) -> None:
        answers = self.cycle is not None and not self.cycle.response_complete
        if answers and not self.transport.is_closing():
            self._wait()
        else:
            self.transport.abort()


def serve(app: Any, at: socket.socket, limits: Limits) -> signal.Signals:
    """Answer requests at a socket until Ctrl-C or SIGTERM, and return which it was.

    Then what has begun is answered, for at most so many ``seconds`` as a request may take.
    """
    for name in ("uvicorn", "asyncio"):  # what fails is told by the app
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    most = min(CONNECTIONS * limits.requests, os.sysconf("SC_OPEN_MAX") // 2)
    config = uvicorn.Config(
        app,
        http=partial(_Connection, seconds=limits.seconds, most=most),  # type: ignore[arg-type]
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="off",
        server_header=False,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=max(1, round(limits.seconds)),
    )
    server = _Server(config)
    server.run(sockets=[at])
    return server.stopped_by
