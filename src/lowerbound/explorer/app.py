"""What the page asks for, over HTTP; codes to decode come by a websocket."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.errors import ConfigurationError, LowerboundError, brief
from lowerbound.explorer.encoding import encode, judge
from lowerbound.explorer.space import Space
from lowerbound.explorer.uploads import MOST_BYTES, accepted
from lowerbound.extras import needs
from lowerbound.service.http.guard import LOOPBACK, Guard

PAGE = Path(__file__).with_name("page")


def application(space: Space, port: int) -> Guard:
    """The explorer of ``space``, for requests to loopback at ``port``.

    Numbers in bodies are float32 and int32, little-endian.
    """
    fastapi = needs("fastapi", "serve")
    responses, staticfiles = (
        needs("fastapi.responses", "serve"),
        needs("fastapi.staticfiles", "serve"),
    )
    app = fastapi.FastAPI(openapi_url=None)

    def raw(content: bytes) -> Any:
        return responses.Response(content, media_type="application/octet-stream")

    async def about(request: Any) -> Any:
        suffixes, takes = accepted(space)
        more = {"takes": takes, "accept": ",".join(suffixes), "bytes": MOST_BYTES}
        return responses.JSONResponse(space.about | more)

    async def codes(request: Any) -> Any:
        return raw(space.codes.numpy().astype("<f4").tobytes())

    async def labels(request: Any) -> Any:
        return raw(space.labels.astype("<i4").tobytes())

    async def scores(request: Any) -> Any:
        found = await asyncio.to_thread(lambda: space.scores)
        return raw(found.astype("<f4").tobytes())

    async def example(request: Any) -> Any:
        try:
            return raw(space.example(_whole(request.path_params["number"])))
        except ConfigurationError as error:
            return responses.JSONResponse({"error": str(error)}, 404)

    async def encoded(request: Any) -> Any:
        found = await asyncio.to_thread(encode, space, *await _file(request))
        for key in ("input", "rebuilt"):
            found[key] = base64.b64encode(found[key]).decode()
        return responses.JSONResponse(found)

    async def judged(request: Any) -> Any:
        return responses.JSONResponse(await asyncio.to_thread(judge, space, *await _file(request)))

    async def decode(socket: Any) -> None:
        await socket.accept()
        while (message := await socket.receive())["type"] == "websocket.receive":
            frame = message.get("bytes") or b""
            try:
                label = int.from_bytes(frame[:4], "little", signed=True)
                answer = await asyncio.to_thread(space.decode, _floats(frame[4:]), label)
            except Exception as error:
                await socket.send_text(_told(error))
            else:
                await socket.send_bytes(answer)

    async def refused(request: Any, error: Exception) -> Any:
        return responses.JSONResponse({"error": str(error)}, 422)

    async def failed(request: Any, error: Exception) -> Any:
        return responses.JSONResponse({"error": _told(error)}, 500)

    app.add_exception_handler(LowerboundError, refused)
    app.add_exception_handler(Exception, failed)
    for path, handler in (
        ("/model.json", about),
        ("/codes", codes),
        ("/labels", labels),
        ("/scores", scores),
        ("/examples/{number}", example),
    ):
        app.router.add_route(path, handler, methods=["GET"])
    for path, handler in (("/encode", encoded), ("/judge", judged)):
        app.router.add_route(path, handler, methods=["POST"])
    app.router.add_websocket_route("/decode", decode)
    app.mount("/", staticfiles.StaticFiles(directory=PAGE, html=True))
    sockets = " ".join(f"ws://{host}:{port}" for host in ("127.0.0.1", "localhost"))
    sources = (
        f"script-src 'self'; style-src 'self'; img-src data:; connect-src 'self' {sockets}; "
        "base-uri 'none'; form-action 'none'"
    )
    return Guard(app, LOOPBACK, None, sources=sources)


def _told(error: Exception) -> str:
    if isinstance(error, LowerboundError):
        return str(error)
    told = f"expected an answer, got {type(error).__name__} ({brief(error)})"
    return f"{told}; this is a fault of lowerbound, please report it"


async def _body(request: Any) -> bytes:
    """The body of a request, if it is not too large."""
    content = bytearray()
    async for piece in request.stream():
        content += piece
        if len(content) > MOST_BYTES:
            raise ConfigurationError(
                f"expected a file of at most {MOST_BYTES // 2**20} MiB, got more; make it smaller"
            )
    return bytes(content)


async def _file(request: Any) -> tuple[str, bytes, int]:
    """The name, content and class of an uploaded file."""
    query = request.query_params
    return Path(query.get("name", "")).name, await _body(request), _whole(query.get("label"))


def _floats(content: bytes) -> np.ndarray:
    if len(content) % 4:
        raise ConfigurationError(f"expected float32 numbers, got {len(content)} bytes")
    return np.frombuffer(content, "<f4")


def _whole(text: str | None) -> int:
    try:
        return int(text or "")
    except ValueError:
        raise ConfigurationError(f"expected a whole number, got {text!r:.40}") from None
