"""The application at a port, until it is stopped."""

from __future__ import annotations

import logging
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import uvicorn

from lowerbound.errors import Interrupted

IDLE = 5  # seconds that a connection is kept between requests


class _Server(uvicorn.Server):
    """Which after Ctrl-C or SIGTERM answers what it has begun, after a second one nothing."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        stops = (signal.SIGINT, signal.SIGTERM)
        kept = {number: signal.signal(number, self.handle_exit) for number in stops}
        try:
            yield
        finally:
            for number, handler in kept.items():
                signal.signal(number, handler)


def serve(app: Any, at: socket.socket, seconds: float) -> None:
    """Answer requests at a socket until Ctrl-C or SIGTERM.

    Then what has begun is answered, for at most so many ``seconds``.

    Raises:
        Interrupted: always, at the end.
    """
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL + 1)  # what fails is told by the app
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        ws="none",
        lifespan="off",
        server_header=False,
        timeout_keep_alive=IDLE,
        timeout_graceful_shutdown=max(1, round(seconds)),
    )
    _Server(config).run(sockets=[at])
    raise Interrupted("stopped, once what had begun was answered")
