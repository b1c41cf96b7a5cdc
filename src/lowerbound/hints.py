"""Which values a type hint stands for, in words."""

from __future__ import annotations

import inspect
import re
import types
import typing
from collections.abc import Iterable, Mapping
from typing import Annotated, Any

KINDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
KINDS[types.NoneType] = "none"


def takes(hint: Any, parts: Mapping[str, type], *, none: bool = True) -> str:
    """What an argument of the type ``hint`` takes; ``parts`` are the classes known by names.

    Without ``none``, it is not told that None may be given.

    >>> takes(int | None, {}), takes(float | typing.Literal["learned", "optimal"], {})
    ('a whole number or none', 'a number, learned or optimal')
    >>> takes(tuple[int, ...], {}), takes(tuple[float, float], {})
    ('whole numbers, as in 300,100', '2 numbers')
    """
    *others, last = (kind for kind in _each(hint, parts) if none or kind != "none")
    return f"{', '.join(others)} or {last}" if others else last


def _each(hint: Any, parts: Mapping[str, type]) -> list[str]:
    """The kinds of values that it takes."""
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        first, *others = _each(inner[0], parts)
        if any(getattr(found, "allow_inf_nan", None) is False for found in inner[1:]):
            first = first.replace("number", "finite number")
        return [f"{first}{_bounds(inner[1:])}", *others]
    if origin in (typing.Union, types.UnionType):
        return [kind for one in inner for kind in _each(one, parts)]
    if origin is typing.Literal:
        return list(map(str, inner))
    if origin is tuple and inner:
        number = "" if inner[-1] is ... else f"{len(inner)} "
        one = takes(inner[0], parts)
        several = re.sub(r"^a ((finite |whole )?number)", r"\1s", one)
        example = ", as in 300,100" if "whole numbers" in several else ""
        return [f"{number}{several if several != one else f'of {one}'}{example}"]
    if hint in KINDS:
        return [KINDS[hint]]
    if not inspect.isclass(hint):
        return [str(hint)]
    named = [name for name, part in parts.items() if issubclass(part, hint)]
    return named if 0 < len(named) < len(parts) / 2 else [f"a {hint.__name__}"]


def _bounds(annotations: Iterable[Any]) -> str:
    """The limits that pydantic or typer hold a value to, as the end of a phrase."""
    limits = {
        name: value
        for found in annotations
        for limit in (found, *getattr(found, "metadata", ()))
        for name in ("ge", "min", "gt", "le", "max", "lt")
        if (value := getattr(limit, name, None)) is not None
    }
    if limits.keys() in ({"ge", "le"}, {"min", "max"}):
        low, high = limits.values()
        return f" from {_shown(low)} to {_shown(high)}"
    words = {"gt": "above", "lt": "below", "le": "at most", "max": "at most"}
    told = [f"{words.get(name, 'of at least')} {_shown(limit)}" for name, limit in limits.items()]
    return f" {' and '.join(told)}" if told else ""


def _shown(limit: float) -> str:
    return f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"
