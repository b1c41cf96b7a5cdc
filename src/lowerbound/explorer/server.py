"""The explorer's own web server, on this machine's loopback."""

from __future__ import annotations

import threading
import webbrowser
from typing import Any

from lowerbound.explorer.app import application
from lowerbound.explorer.space import Space
from lowerbound.extras import needs
from lowerbound.ports import listen, url

HOST = "127.0.0.1"
SECONDS = 2
"""In which what is running ends after Ctrl-C."""


class Server:
    """A server of the page at ``port``, or at any that is free if that is 0.

    Raises:
        ConfigurationError: the port is taken.
        MissingExtra: what it needs is not installed.
    """

    def __init__(self, port: int = 0) -> None:
        self._uvicorn = needs("uvicorn", "serve")
        needs("fastapi", "serve")
        needs("websockets", "serve")
        self.socket = listen(HOST, port)
        self.url = url(HOST, self.socket) + "/"

    def run(self, space: Space, *, browser: bool) -> None:
        """Serve the page until Ctrl-C, and open it in a ``browser`` if that is wanted."""
        if browser:
            threading.Thread(target=webbrowser.open, args=(self.url,), daemon=True).start()
        self.configured(space).run(sockets=[self.socket])

    def configured(self, space: Space) -> Any:
        """The server of uvicorn."""
        config = self._uvicorn.Config(
            application(space, self.socket.getsockname()[1]),
            log_level="critical",
            access_log=False,
            lifespan="off",
            server_header=False,
            ws="auto",
            ws_max_size=2**16,
            ws_per_message_deflate=False,
            timeout_graceful_shutdown=SECONDS,
        )
        return self._uvicorn.Server(config)
