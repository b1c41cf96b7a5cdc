"""What the OpenAPI document says of each call, as the run's model takes it."""

from __future__ import annotations

from typing import Any

from lowerbound.service.http.bodies import JSON, NPY

Schema = dict[str, Any]
NUMBER: Schema = {"type": "number"}
SENTENCE: Schema = {
    "type": "object",
    "properties": {"error": {"type": "string"}},
    "required": ["error"],
    "additionalProperties": False,
}
BOUNDS = ("reconstruction", "kl", "elbo", "importance_weighted", "score", "p_value")
REFUSALS = {
    400: "the body broke off",
    401: "no token, or another",
    406: "an answer in another form is wanted",
    408: "the body came too slowly",
    413: "too many bytes",
    415: "a body in another form",
    421: "another Host",
    422: "data that do not fit",
    500: "a fault of the service",
    503: "too many requests at a time, or one that takes too long",
}


def listed(items: Schema, most: int | None = None) -> Schema:
    """A list of at least one, and at most so many."""
    return {"type": "array", "items": items, "minItems": 1} | ({"maxItems": most} if most else {})


def example(told: dict[str, Any], *, takes_missing: bool = False) -> Schema:
    """One x, by what `Calls.describe` told."""
    by_kind: dict[str, Schema] = {
        "binary": {"enum": [0, int(told["scale"] or 1)]},
        "grey": {"type": "integer", "minimum": 0, "maximum": 255},
        "unit": NUMBER | {"minimum": 0, "maximum": 1},
        "counts": {"type": "integer", "minimum": 0, "maximum": 2**24},
    }
    element = by_kind.get(told["kind"], NUMBER)
    if told["vocabulary"]:
        element = {"type": "integer", "minimum": 0, "maximum": len(told["vocabulary"]) - 1}
    null = [{"type": "null"}] * takes_missing
    made: Schema = {"anyOf": [element, *null]} if null else element
    for size in reversed(told["shape"]):
        made = {"type": "array", "items": made, "minItems": size, "maxItems": size}
    if not told["columns"]:
        return made
    cells = {
        column["name"]: {"anyOf": [_cell(column), *null]} if null else _cell(column)
        for column in told["columns"]
    }
    row = {"type": "object", "properties": cells, "required": list(cells)}
    return {"anyOf": [made, row]}


def _cell(column: dict[str, Any]) -> Schema:
    if column["categories"]:
        return {"enum": list(column["categories"])}
    if "%" in column["form"]:
        return {"type": "string", "description": f"a date as {column['form']}"}
    if column["form"] not in ("", "whole"):
        return {"type": "boolean"}
    return {"counts": {"type": "integer", "minimum": 0}}.get(column["kind"], NUMBER)


def body(properties: Schema, required: list[str], *, npy: bool) -> Schema:
    """A request's body: a JSON object, or an array as .npy."""
    told: Schema = {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }
    content: Schema = {JSON: {"schema": told}}
    if npy:
        content[NPY] = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": content}}


def responses(answer: Schema, *, npy: bool = True) -> dict[int | str, dict[str, Any]]:
    """What may be answered: the object ``answer``, or a sentence."""
    told = {"type": "object", "properties": answer, "required": list(answer)}
    content: Schema = {JSON: {"schema": told}}
    if npy:
        content[NPY] = {"schema": {"type": "string", "format": "binary"}}
    answers: dict[int | str, dict[str, Any]] = {
        status: {"description": meaning, "content": {JSON: {"schema": SENTENCE}}}
        for status, meaning in REFUSALS.items()
    }
    return answers | {200: {"description": "the answer", "content": content}}


def labels(told: dict[str, Any], *, conditional: bool) -> Schema:
    """The property of a body that holds what a conditional model is given."""
    if not conditional:
        return {}
    if told["given"]:
        return {"given": listed({"type": "object", "required": list(told["given"])})}
    one: Schema = {"enum": list(told["classes"])} if told["classes"] else {"type": "integer"}
    return {"labels": listed(one)}
