"""The calls as an application."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import numpy as np
from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

import lowerbound
from lowerbound.covariates import Covariates
from lowerbound.errors import ConfigurationError, DataError, LowerboundError, near
from lowerbound.service.batching import Batcher
from lowerbound.service.calls import Calls, RowCall
from lowerbound.service.http import document
from lowerbound.service.http.bodies import (
    JSON,
    NPY,
    Refused,
    answered,
    error,
    form_for,
    form_of,
    read_json,
    read_npy,
    whole,
)
from lowerbound.service.http.limits import Limits

T = TypeVar("T")
Rows = tuple[Any, Any]
ANSWERS = {"embed": "z", "reconstruct": "x", "decode": "x"}
MEANINGS = {
    "embed": "E_q z, the posterior's mean of each x",
    "reconstruct": "The decoder's mean at the posterior's mean of each x",
    "decode": "The mean of p(x|z) for codes z",
    "score": "Bounds on log p(x), an outlier score, and its p-value",
    "sample": "x ~ p(x|z), z ~ p(z)",
}


class Service:
    """Answers requests by ``calls``: bodies are read in one thread, and answered in another."""

    def __init__(self, calls: Calls, limits: Limits) -> None:
        self.calls, self.limits = calls, limits
        self.beside = "given" if isinstance(calls.model.context, Covariates) else "labels"
        self.batcher = Batcher(calls, limits.rows)
        self._reader = ThreadPoolExecutor(1, "lowerbound-reader")

    def close(self) -> None:
        """End the threads, once what waits is answered."""
        self.batcher.close()
        self._reader.shutdown(wait=False)

    async def by_rows(self, call: RowCall, request: Request) -> Response:
        """The answer to a call that each row has an answer of its own to."""
        form = form_for(request, form_of(request))
        key = "z" if call == "decode" else "x"

        def read(body: bytes) -> Rows:
            values, labels = self._given(request, body, key)
            if call == "decode":
                codes = self.calls.codes(values)
                return codes, self.calls.labels(labels, len(codes))
            data = self.calls.read(values, labels)
            return data.x, data.context

        rows = await self._read(read, await request.body())
        found = await asyncio.wrap_future(self.batcher.by_rows(call, *rows))
        return await self._read(self._examples, ANSWERS[call], found, form)

    async def score(self, request: Request) -> Response:
        """Bounds and the outlier score of each x."""
        form = form_for(request, form_of(request))

        def read(body: bytes) -> Any:
            return self.calls.read(*self._given(request, body, "x"))

        data = await self._read(read, await request.body())
        found = await asyncio.wrap_future(self.batcher.alone(lambda: self.calls.score(data)))
        if form == JSON:
            return answered(found, form)
        table = np.empty(len(data), [(name, np.float64) for name in found])
        for name, values in found.items():
            table[name] = values
        return answered(table, form)

    async def sample(self, request: Request) -> Response:
        """x drawn from the model."""
        form = form_for(request, form_of(request, (JSON,)))

        def read(body: bytes) -> Callable[[], np.ndarray]:
            told = self._json(body, ("n", "seed", "mean", self.beside))
            n = whole(told.get("n"), "n", 1, self.limits.rows)
            seed = whole(told.get("seed", 0), "seed", 0, 2**63 - 1)
            mean = told.get("mean", False)
            if not isinstance(mean, bool):
                raise ConfigurationError(f"expected mean to be true or false, got {mean!r:.60}")
            given = self.calls.drawn_for(n, told.get(self.beside), seed)
            return lambda: self.calls.drawn(n, given, seed, mean=mean)

        work = await self._read(read, await request.body())
        found = await asyncio.wrap_future(self.batcher.alone(work))
        return await self._read(self._examples, "x", found, form)

    async def metadata(self) -> Response:
        """What the model is and takes, and what is answered at most."""

        def told() -> Response:
            of_model, against = self.calls.describe(), self.calls.calibration
            of_model["score"]["inliers"] = None if against is None else len(against.inliers.data)
            limits = dataclasses.asdict(self.limits) | {"json_bytes": self.limits.json_bytes}
            return answered(of_model | {"limits": limits}, JSON)

        return await self._read(told)

    async def _read(self, work: Callable[..., T], *given: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._reader, work, *given)

    def _given(self, request: Request, body: bytes, key: str) -> Rows:
        """What a body holds: x or z, and labels."""
        values: Any
        by_query = request.query_params.getlist("label") or None
        if form_of(request) == NPY:
            values, labels = read_npy(body), by_query
            n = len(values) if values.ndim else 0
        elif by_query:
            raise ConfigurationError(
                f"expected ?label= beside .npy alone, got {by_query[0]!r:.60}; write labels into "
                "the JSON"
            )
        else:
            told = self._json(body, (key, self.beside))
            values, labels = told.get(key), told.get(self.beside)
            if not isinstance(values, list):
                raise DataError(f"expected {key} to be a list, got {values!r:.60}")
            n = len(values)
        if n > self.limits.rows:
            raise ConfigurationError(
                f"expected at most {self.limits.rows:,} rows at a time, got {n:,}; send fewer, or "
                "start the service with more --max-rows"
            )
        if isinstance(values, np.ndarray) and labels and len(labels) == 1:
            labels = labels * n
        return values, labels

    def _json(self, body: bytes, keys: tuple[str, ...]) -> dict[str, Any]:
        if len(body) > (most := self.limits.json_bytes):
            raise Refused(
                413,
                f"expected a body of at most {most:,} bytes as JSON, got {len(body):,}; send fewer "
                "rows at a time, or .npy, or start the service with a larger --max-bytes",
            )
        return read_json(body, keys)

    def _examples(self, key: str, found: np.ndarray, form: str) -> Response:
        """x or z; rows of a table as records in JSON."""
        if form == NPY:
            return answered(found, form)
        rows = self.calls.records(found) if key == "x" else None
        return answered({key: found if rows is None else rows}, form)


def application(service: Service) -> FastAPI:
    """The calls of a ``service`` over HTTP, with their OpenAPI document at ``/openapi.json``."""
    app = FastAPI(
        title=f"lowerbound: {service.calls.run.title}",
        version=lowerbound.__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    _add_calls(app, service)
    paths = [route.path for route in app.routes]  # type: ignore[attr-defined]

    @app.exception_handler(Refused)
    async def refused(request: Request, reason: Refused) -> Response:
        return error(reason.status, str(reason), reason.headers)

    @app.exception_handler(ConfigurationError)
    @app.exception_handler(DataError)
    async def unfit(request: Request, reason: LowerboundError) -> Response:
        return error(422, str(reason))

    @app.exception_handler(HTTPException)
    async def unknown(request: Request, reason: HTTPException) -> Response:
        path, method = request.url.path, request.method
        message = f"expected a path of this service, got {path!r:.60}; {near(path, paths)}"
        if reason.status_code == 405:
            allowed = (reason.headers or {}).get("Allow", "another method")
            message = f"expected {allowed} at {path}, got {method:.20}"
        return error(reason.status_code, message, reason.headers)

    @app.exception_handler(ClientDisconnect)
    async def gone(request: Request, reason: ClientDisconnect) -> Response:
        return error(400, "expected the whole body, got a part of it")

    @app.exception_handler(Exception)
    async def failed(request: Request, reason: Exception) -> Response:
        kind = type(reason).__name__
        return error(500, f"the service failed at this request ({kind}); its log tells more")

    return app


def _add_calls(app: FastAPI, service: Service) -> None:
    """The paths, and what the document says of them."""
    told, model = service.calls.describe(), service.calls.model
    most, conditional = service.limits.rows, model.context is not None
    missing = getattr(model.likelihood, "takes_missing", False)
    example = document.example(told, takes_missing=missing)
    latent = told["latent_dim"]
    code = {"type": "array", "items": document.NUMBER, "minItems": latent, "maxItems": latent}
    labels = document.labels(told, most, conditional=conditional)
    own = document.own_context(told) if conditional else {}
    cells = f"; {document.CELLS}" if told["columns"] else ""
    by_query: dict[str, Any] = {}
    if "labels" in labels:
        told_by_query = "with .npy: the class of all rows, or of each"
        parameter = {"name": "label", "in": "query", "schema": labels["labels"]}
        by_query["parameters"] = [parameter | {"description": told_by_query}]

    def add(call: str, handler: Any, body: dict[str, Any], answer: dict[str, Any]) -> None:
        app.add_api_route(
            f"/{call}",
            handler,
            methods=["POST"],
            summary=MEANINGS[call],
            openapi_extra=body,
            responses=document.responses(
                answer, what=f"the answer{cells if 'x' in answer else ''}"
            ),
        )

    def add_rows(call: RowCall, body: dict[str, Any], answer: dict[str, Any]) -> None:
        async def handler(request: Request) -> Response:
            return await service.by_rows(call, request)

        add(call, handler, body, answer)

    def body(key: str, *forms: dict[str, Any]) -> dict[str, Any]:
        items = forms[0] if len(forms) == 1 else {"anyOf": [*forms]}
        made = [document.whole({key: document.listed(items, most)} | labels, [key, *labels])]
        if key == "x" and told["columns"] and own:  # only records have their own
            records = document.record(told, takes_missing=missing, context=own)
            made.append(document.whole({"x": document.listed(records, most)}, ["x"]))
        return document.body(*made, npy=service.beside == "labels") | by_query

    many = {"type": "array"}
    rows = [document.record(told, takes_missing=missing)] if told["columns"] else []
    of_x = body("x", example, *rows)
    add_rows("embed", of_x, {"z": many})
    add_rows("reconstruct", of_x, {"x": many})
    add_rows("decode", body("z", code), {"x": many})
    add("score", service.score, of_x, {"reconstruction": many, "score": many})
    properties = {
        "n": {"type": "integer", "minimum": 1, "maximum": most},
        "seed": {"type": "integer", "minimum": 0, "maximum": 2**63 - 1, "default": 0},
        "mean": {"type": "boolean", "default": False, "description": "the decoder's mean at z"},
    }
    whole_body = document.whole(properties | labels, ["n"])
    add("sample", service.sample, document.body(whole_body, npy=False), {"x": many})

    async def health() -> Response:
        return answered({"status": "ok"}, JSON)

    for call, handler, answer in (
        ("metadata", service.metadata, {"title": {"type": "string"}, "shape": many}),
        ("health", health, {"status": {"const": "ok"}}),
    ):
        told_of = document.responses(answer, npy=False)
        app.add_api_route(f"/{call}", handler, methods=["GET"], responses=told_of)
