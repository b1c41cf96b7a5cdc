"""Who may ask: programs and pages of this machine, or those that have the token."""

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
HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"cache-control", b"no-store"),
)


class Guard:
    """Answers requests of strangers with 401, those of other web sites with 403 or 421.

    A page of another site is known by the header Origin.  It can also ask this machine by a name of
    its own that it lets stand for 127.0.0.1, and is known by that name in the header Host.  All
    answers tell a browser to load nothing from elsewhere and to keep nothing.

    Args:
        app: what answers the others.
        hosts: the names in Host that are taken, and Origin with them; None takes all.
        token: what ``Authorization: Bearer`` has to say; None asks for none.
        free: paths that need no token.
        sources: what a page may load, as a Content-Security-Policy.
    """

    def __init__(
        self,
        app: Any,
        hosts: Collection[str] | None,
        token: str | None,
        free: Collection[str] = (),
        sources: str = "",
    ) -> None:
        self._app, self._hosts, self._token, self._free = app, hosts, token, free
        policy = f"default-src 'none'; frame-ancestors 'none'; {sources}"
        self._headers = [*HEADERS, (b"content-security-policy", policy.rstrip("; ").encode())]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] not in ("http", "websocket"):
            return await self._app(scope, receive, send)

        async def sent(message: Any) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self._headers]
            await send(message)

        refusal = self._refusal(dict(scope["headers"]), scope["path"])
        if refusal is not None and scope["type"] == "websocket":
            await receive()
            return await send({"type": "websocket.close", "code": 1008})
        return await (refusal or self._app)(scope, receive, sent)

    def _refusal(self, headers: dict[bytes, bytes], path: str) -> Any:
        """The answer to a request that the app is not asked."""
        host, origin = (headers.get(key, b"").decode("latin-1") for key in (b"host", b"origin"))
        if self._hosts is not None and name_of(host) not in self._hosts:
            known = " or ".join(sorted(self._hosts))
            return error(421, f"expected the header Host to name {known}, got {host!r:.60}")
        if self._hosts is not None and origin not in ("", f"http://{host}"):
            told = f"expected a request from no page or one of http://{host:.60}"
            return error(403, f"{told}, got one from {origin!r:.60}")
        if self._token is None or path in self._free:
            return None
        given = headers.get(b"authorization", b"")
        scheme, _, told_token = given.partition(b" ")
        if scheme.lower() == b"bearer" and hmac.compare_digest(
            told_token.strip(), self._token.encode()
        ):
            return None
        what = "another" if given else "none"
        return error(
            401,
            f"expected the header Authorization: Bearer TOKEN, got {what}; send the token that the "
            "service was started with",
            {"WWW-Authenticate": "Bearer"},
        )


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
