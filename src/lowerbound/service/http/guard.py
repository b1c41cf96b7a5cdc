"""Who may ask: programs of this machine, or those that have the token."""

from __future__ import annotations

import hmac
import os
from collections.abc import Collection
from ipaddress import ip_address
from pathlib import Path
from typing import Any

from lowerbound.errors import ConfigurationError
from lowerbound.files import read_regular
from lowerbound.service.http.bodies import error

VARIABLE = "LOWERBOUND_TOKEN"
LOOPBACK = ("localhost", "127.0.0.1", "::1")
SHORTEST, LONGEST = 16, 4096


class Guard:
    """Answers requests of strangers with 401, and those of other web sites with 421.

    A page of another site can ask this machine by a name of its own that it lets stand for
    127.0.0.1, and is known by that name in the header Host.

    Args:
        app: what answers the others.
        hosts: the names in Host that are taken; None takes all.
        token: what ``Authorization: Bearer`` has to say; None asks for none.
        free: paths that need no token.
    """

    def __init__(
        self, app: Any, hosts: Collection[str] | None, token: str | None, free: Collection[str] = ()
    ) -> None:
        self._app, self._hosts, self._token, self._free = app, hosts, token, free

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)
        headers = dict(scope["headers"])
        host = headers.get(b"host", b"").decode("latin-1")
        answer = self._app
        if self._hosts is not None and name_of(host) not in self._hosts:
            known = " or ".join(sorted(self._hosts))
            answer = error(421, f"expected the header Host to name {known}, got {host!r:.60}")
        elif self._token is not None and scope["path"] not in self._free:
            given = headers.get(b"authorization", b"")
            scheme, _, told = given.partition(b" ")
            same = hmac.compare_digest(told.strip(), self._token.encode())
            if scheme.lower() != b"bearer" or not same:
                what = "another" if given else "none"
                answer = error(
                    401,
                    f"expected the header Authorization: Bearer TOKEN, got {what}; send the token "
                    "that the service was started with",
                    {"WWW-Authenticate": "Bearer"},
                )
        return await answer(scope, receive, send)


def name_of(host: str) -> str:
    """The name in a header Host, without the port.

    >>> name_of("localhost:8000"), name_of("[::1]:8000")
    ('localhost', '::1')
    """
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.rpartition(":")[0].lower() if ":" in host else host.lower()


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens at ``host``."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host.lower() == "localhost"


def token_for(host: str, file: Path | None) -> str | None:
    """The token in ``file``, else in the environment.

    Raises:
        ConfigurationError: it is too short, or there is none and other machines reach ``host``.
        StorageError: the file cannot be read.
    """
    if file is not None:
        where = str(file)
        token = read_regular(file, "a token", LONGEST).decode("latin-1").strip()
    else:
        where, token = VARIABLE, os.environ.get(VARIABLE, "").strip()
        if not token:
            if is_loopback(host):
                return None
            raise ConfigurationError(
                f"expected a token for --host {host}, which other machines reach, got none; write "
                "one into a file, as by: openssl rand -hex 32 > token, and name it with "
                "--token-file"
            )
    if len(token) < SHORTEST or not token.isascii() or not token.isprintable() or " " in token:
        raise ConfigurationError(
            f"{where}: expected a token of at least {SHORTEST} letters and digits, got "
            f"{len(token)} characters; make one by: openssl rand -hex 32"
        )
    return token
