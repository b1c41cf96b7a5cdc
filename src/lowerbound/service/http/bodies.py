"""Bodies of requests and answers: JSON, and NumPy's ``.npy``."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
from fastapi import Request, Response

from lowerbound.data.conversion import dtype_name
from lowerbound.data.numpy_files import read_header
from lowerbound.errors import ConfigurationError, DataError, brief, near

JSON, NPY = "application/json", "application/x-npy"
PIECE = 2**16


class Refused(Exception):
    """A request that gets no answer: a status of HTTP, a sentence, and headers."""

    def __init__(self, status: int, message: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.headers = status, dict(headers or {})


class Answer(Response):
    """A whole answer, sent in pieces, so that a slow reader is waited for."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send it."""
        start = {"status": self.status_code, "headers": self.raw_headers}
        await send({"type": "http.response.start"} | start)
        body = memoryview(self.body)
        for place in range(0, max(1, len(body)), PIECE):
            piece, more = bytes(body[place : place + PIECE]), place + PIECE < len(body)
            await send({"type": "http.response.body", "body": piece, "more_body": more})


def error(status: int, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """An answer that is a sentence."""
    return Answer(json.dumps({"error": message}), status, dict(headers or {}), JSON)


def answered(values: Any, form: str) -> Answer:
    """``values`` as JSON, in which numbers that are not finite are null, or an array as .npy."""
    if form == JSON:
        return Answer(json.dumps(_plain(values), allow_nan=False), media_type=JSON)
    buffer = io.BytesIO()
    np.save(buffer, values, allow_pickle=False)
    return Answer(buffer.getvalue(), media_type=NPY)


def _plain(values: Any) -> Any:
    if isinstance(values, Mapping):
        return {name: _plain(value) for name, value in values.items()}
    if not isinstance(values, np.ndarray):
        return values
    finite = np.isfinite(values)
    return (
        values if finite.all() else np.where(finite, values.astype(object), np.array(None))
    ).tolist()


def form_of(request: Request, types: tuple[str, ...] = (JSON, NPY)) -> str:
    """The media type of a request's body.

    Raises:
        Refused: it is none that is read.
    """
    given = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if given not in types:
        wanted = " or ".join(types)
        raise Refused(415, f"expected a body of Content-Type {wanted}, got {given or 'none'!r:.60}")
    return given


def form_for(request: Request, own: str) -> str:
    """The media type that the answer is wanted in; that of the request's own body without a wish.

    Raises:
        Refused: there is none such.
    """
    given = request.headers.get("accept", "*/*")
    weights = dict[str, float]()
    for each in given.lower().split(","):
        name, *parameters = (part.strip() for part in each.split(";"))
        weight = next((p[2:] for p in parameters if p.startswith("q=")), "1")
        weights[name] = float(weight) if weight.replace(".", "", 1).isdigit() else 1.0

    def wish(form: str) -> float:
        return weights.get(form, weights.get("application/*", weights.get("*/*", 0.0)))

    best = max((own, JSON, NPY), key=wish)
    if wish(best) > 0:
        return best
    raise Refused(406, f"expected Accept to allow {JSON} or {NPY}, got {given!r:.60}")


def read_json(body: bytes, keys: tuple[str, ...]) -> dict[str, Any]:
    """A JSON object of finite numbers, with no other ``keys``.

    Raises:
        DataError: it is something else.
    """
    try:
        found = json.loads(body, parse_constant=_not_finite)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"expected JSON in UTF-8 of finite numbers, null where a cell is missing, got another "
            f"body ({brief(error)})"
        ) from None
    if not isinstance(found, dict):
        raise DataError(f"expected a JSON object of {', '.join(keys)}, got {body[:40]!r}")
    for key in found:
        if key not in keys:
            raise DataError(
                f"expected a JSON object of {', '.join(keys)}, got {key!r:.60} in it; "
                f"{near(key, keys)}"
            )
    return found


def _not_finite(text: str) -> NoReturn:
    raise ValueError(f"{text} is not a finite number")


def read_npy(body: bytes) -> np.ndarray:
    """An array of numbers, without a copy.

    Raises:
        DataError: the body is damaged, or holds something else.
    """
    header = read_header(io.BytesIO(body), len(body), "the body")
    if header.dtype.kind not in "biuf":
        raise DataError(
            f"the body: expected an array of numbers, got one of {dtype_name(header.dtype)}"
        )
    flat = np.frombuffer(body, header.dtype, header.elements, header.offset)
    return flat.reshape(header.shape, order="F" if header.fortran else "C")


def whole(given: Any, name: str, least: int, most: int) -> int:
    """A whole number of a JSON body.

    Raises:
        ConfigurationError: it is none, or is too small or too large.
    """
    if isinstance(given, float) and given.is_integer():  # as JSON has one type of numbers
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int) or not least <= given <= most:
        raise ConfigurationError(
            f"expected {name} to be a whole number from {least} to {most:,}, got {given!r:.60}"
        )
    return given
