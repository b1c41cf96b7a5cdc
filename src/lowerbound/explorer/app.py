"""What the page asks for, over HTTP; codes to decode come by a websocket."""

from __future__ import annotations

import asyncio
import base64
from pathlib import Path
from typing import Any

import numpy as np

from lowerbound.errors import ConfigurationError, LowerboundError, brief
from lowerbound.explorer.encoding import encode, judge
from lowerbound.explorer.guard import App, Guard
from lowerbound.explorer.space import Space
from lowerbound.explorer.uploads import MOST_BYTES, accepted
from lowerbound.extras import needs

PAGE = Path(__file__).with_name("page")


def application(space: Space, port: int) -> App:
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
        return raw(space.example(request.path_params["number"]))

    async def walk(request: Any) -> Any:
        ends = _floats(await _body(request))
        steps = _whole(request.query_params.get("steps"))
        return raw(space.walk(ends, steps).astype("<f4").tobytes())

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
            except LowerboundError as error:
                await socket.send_text(str(error))
            else:
                await socket.send_bytes(answer)

    async def refused(request: Any, error: Exception) -> Any:
        return responses.JSONResponse({"error": str(error)}, 422)

    async def failed(request: Any, error: Exception) -> Any:
        told = f"expected an answer, got {type(error).__name__} ({brief(error)}); this is a fault"
        return responses.JSONResponse({"error": f"{told} of lowerbound, please report it"}, 500)

    app.add_exception_handler(LowerboundError, refused)
    app.add_exception_handler(Exception, failed)
    for path, handler in (
        ("/model.json", about),
        ("/codes", codes),
        ("/labels", labels),
        ("/scores", scores),
        ("/examples/{number:int}", example),
    ):
        app.router.add_route(path, handler, methods=["GET"])
    for path, handler in (("/encode", encoded), ("/judge", judged), ("/walk", walk)):
        app.router.add_route(path, handler, methods=["POST"])
    app.router.add_websocket_route("/decode", decode)
    app.mount("/", staticfiles.StaticFiles(directory=PAGE, html=True))
    return Guard(app, port)


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
