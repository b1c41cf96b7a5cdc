"""How much is answered: bytes, rows, seconds, and requests at a time."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from threading import BoundedSemaphore
from typing import Any

from lowerbound.errors import brief
from lowerbound.logs import log
from lowerbound.service.http.bodies import Refused, error

RETRY = {"Retry-After": "1"}


@dataclass(frozen=True)
class Limits:
    """Of one request, but for the last.

    Attributes:
        bytes: of its body.
        rows: of x or z, or that are sampled; the application sees to them.
        seconds: from its first byte to the last one of its answer.
        requests: that are read, wait, or are answered at a time.
    """

    bytes: int = 16 * 2**20
    rows: int = 1000
    seconds: float = 60.0
    requests: int = 64

    @property
    def json_bytes(self) -> int:
        """Of a body that is JSON, while the parsing of which nothing else is done."""
        return self.bytes // 4


class Limited:
    """Keeps ``app`` within ``limits``: what is beyond them gets 413, 408 or 503."""

    def __init__(self, app: Any, limits: Limits) -> None:
        self._app, self._limits = app, limits
        self._free = BoundedSemaphore(limits.requests)

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        limits, told = self._limits, dict(scope["headers"]).get(b"content-length", b"0")
        if told.isdigit() and int(told) > limits.bytes:
            return await error(413, self._too_large(int(told)))(scope, receive, send)
        if not self._free.acquire(blocking=False):
            message = f"expected at most {limits.requests} requests at a time, got more; try again"
            return await error(503, message, RETRY)(scope, receive, send)
        try:
            await self._in_time(scope, receive, send)
        finally:
            self._free.release()

    def _too_large(self, size: int) -> str:
        return (
            f"expected a body of at most {self._limits.bytes:,} bytes, got {size:,}; send fewer "
            "rows at a time, or start the service with a larger --max-bytes"
        )

    async def _in_time(self, scope: Any, receive: Any, send: Any) -> None:
        """Answer a request, or say that it takes too long, if nothing has been said yet."""
        size, read_whole, begun = 0, False, False

        async def counted() -> Any:
            nonlocal size, read_whole
            message = await receive()
            size += len(message.get("body", b""))
            read_whole = read_whole or not message.get("more_body", False)
            if size > self._limits.bytes:
                raise Refused(413, self._too_large(size))
            return message

        async def noted(message: Any) -> None:
            nonlocal begun
            begun = True
            await send(message)

        try:
            async with asyncio.timeout(self._limits.seconds):
                await self._app(scope, counted, noted)
        except Exception as fault:
            if not isinstance(fault, TimeoutError):  # which the application has answered
                log.error("%s: %s: %s", scope["path"], type(fault).__name__, brief(fault))
                return
            if begun:
                return
            within = f"within {self._limits.seconds:g} s"
            if read_whole:
                message = f"expected to answer {within}, which took longer; send fewer rows"
                await error(503, message, RETRY)(scope, receive, send)
            else:
                message = f"expected the whole body {within}, got {size:,} bytes; send it faster"
                await error(408, message, {"Connection": "close"})(scope, receive, send)
