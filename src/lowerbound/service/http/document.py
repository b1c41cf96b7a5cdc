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


CELLS = (
    "in JSON as records, where whole numbers are rounded, categories are the likeliest ones, and "
    "truth values are true above 1/2; in .npy the numbers themselves, and the codes of categories"
)


def example(told: dict[str, Any], *, takes_missing: bool = False) -> Schema:
    """One x as an array, by what `Calls.describe` told."""
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
    return made


def record(
    told: dict[str, Any], *, takes_missing: bool = False, context: Schema | None = None
) -> Schema:
    """One row x as a record, with cells that hold its own ``context``."""
    null = [{"type": "null"}] * takes_missing
    cells = {
        column["name"]: {"anyOf": [_cell(column), *null]} if null else _cell(column)
        for column in told["columns"]
    } | (context or {})
    return {"type": "object", "properties": cells, "required": list(cells)}


def _cell(column: dict[str, Any]) -> Schema:
    if column["categories"]:
        return {"enum": list(column["categories"])}
    if "%" in column["form"]:
        return {"type": "string", "description": f"a date as {column['form']}"}
    if column["form"] not in ("", "whole"):
        return {"type": "boolean"}
    return {"counts": {"type": "integer", "minimum": 0}}.get(column["kind"], NUMBER)


def whole(properties: Schema, required: list[str]) -> Schema:
    """An object of these properties and no others."""
    return {
        "type": "object",
        "properties": properties,
        "required": required,
        "additionalProperties": False,
    }


def body(*told: Schema, npy: bool) -> Schema:
    """A request's body: one of these JSON objects, or an array as .npy."""
    content: Schema = {JSON: {"schema": told[0] if len(told) == 1 else {"anyOf": [*told]}}}
    if npy:
        content[NPY] = {"schema": {"type": "string", "format": "binary"}}
    return {"requestBody": {"required": True, "content": content}}


def responses(
    answer: Schema, *, npy: bool = True, what: str = "the answer"
) -> dict[int | str, dict[str, Any]]:
    """What may be answered: the object ``answer``, or a sentence."""
    told = {"type": "object", "properties": answer, "required": list(answer)}
    content: Schema = {JSON: {"schema": told}}
    if npy:
        content[NPY] = {"schema": {"type": "string", "format": "binary"}}
    answers: dict[int | str, dict[str, Any]] = {
        status: {"description": meaning, "content": {JSON: {"schema": SENTENCE}}}
        for status, meaning in REFUSALS.items()
    }
    return answers | {200: {"description": what, "content": content}}


def labels(told: dict[str, Any], most: int, *, conditional: bool) -> Schema:
    """The property of a body that holds what a conditional model is given."""
    if not conditional:
        return {}
    if told["given"]:
        return {"given": listed({"type": "object", "required": list(told["given"])}, most)}
    return {"labels": listed(one_class(told), most)}


def one_class(told: dict[str, Any]) -> Schema:
    """The name of a class."""
    return {"enum": list(told["classes"])} if told["classes"] else {"type": "integer"}


def own_context(told: dict[str, Any]) -> Schema:
    """The cells of a record that hold what a conditional model is given; none if none can."""
    if told["given"]:
        return {name: {} for name in told["given"]}
    return {told["label"]: one_class(told)} if told["label"] else {}
