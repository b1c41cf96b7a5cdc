"""Answers for the page alone: no other site's, no other host's, nothing loaded from elsewhere."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Message, Receive, Send], Awaitable[None]]


class Guard:
    """``app`` for browsers that show its own page.

    A request by another name of the host, as after DNS rebinding, or from the page of another site
    is refused.  Answers tell the browser to load nothing from elsewhere.
    """

    def __init__(self, app: App, port: int) -> None:
        self.app = app
        self.hosts = {f"{name}:{port}" for name in ("127.0.0.1", "localhost")}
        sources = " ".join(f"ws://{host}" for host in sorted(self.hosts))
        policy = (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; "
            f"connect-src 'self' {sources}; base-uri 'none'; form-action 'none'; "
            "frame-ancestors 'none'"
        )
        told = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
            "cross-origin-resource-policy": "same-origin",
            "cache-control": "no-store",
        }
        self.headers = [(name.encode(), value.encode()) for name, value in told.items()]

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        given = {name: value.decode("latin-1") for name, value in scope.get("headers", ())}
        host, origin = given.get(b"host", ""), given.get(b"origin")
        if host in self.hosts and origin in (None, f"http://{host}"):
            await self.app(scope, receive, self.with_headers(send))
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            told = "expected a request from the page of lowerbound explore, got one from elsewhere"
            headers = [(b"content-type", b"application/json")]
            send = self.with_headers(send)
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            body = json.dumps({"error": told}).encode()
            await send({"type": "http.response.body", "body": body})

    def with_headers(self, send: Send) -> Send:
        """``send`` with the headers of every answer."""

        async def sent(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message.get("headers", ()), *self.headers]
            await send(message)

        return sent
