"""Ports that this machine's servers listen at."""

from __future__ import annotations

import socket

from lowerbound.errors import ConfigurationError


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens at ``host`` and ``port``, any free one for 0.

    Raises:
        ConfigurationError: the port is taken, or there is no such host.
    """
    try:
        family, *_, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        found = socket.create_server(address[:2], family=family, backlog=256)
    except OSError as error:
        reason = error.strerror or str(error)
        raise ConfigurationError(
            f"expected a free port at {host}, got {port} ({reason}); choose another with --port, "
            "0 for any that is free"
        ) from None
    # Else the body waits until the head, which is sent before it, has been acknowledged.
    found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return found


def url(host: str, at: socket.socket) -> str:
    """Where the socket is reached."""
    named = f"[{host}]" if ":" in host else host
    return f"http://{named}:{at.getsockname()[1]}"
