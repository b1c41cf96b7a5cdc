"""Parts: classes whose constructor is their one declaration.

``@part`` registers a class under its name, checks its arguments against their annotations, and
records them.  From that follow the saved JSON (`describe`), its way back (`build`), and the error
for a wrong value.  `build` knows the registry and nothing else: it never imports what a file names.
"""

from __future__ import annotations

import functools
import inspect
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

import pydantic

from lowerbound.errors import ConfigurationError, near, shown
from lowerbound.hints import takes

T = TypeVar("T")
Size = Annotated[int, pydantic.Field(ge=1, le=2**31 - 1)]
"""A number of things of which there must be one, as many as torch can count in 32 bits."""
NonNegative = Annotated[int, pydantic.Field(ge=0, le=2**31 - 1)]
"""A number of things that there may be."""
Finite = pydantic.FiniteFloat
Positive = Annotated[Finite, pydantic.Field(gt=0)]
REGISTRY: dict[str, type] = {}


def part(cls: type[T]) -> type[T]:
    """Register ``cls`` so that models holding it can be saved, loaded and configured.

    Works on ``nn.Module`` classes and on frozen dataclasses.  Arguments must be numbers, strings,
    booleans, None, other parts, or sequences of these.

    >>> from dataclasses import dataclass
    >>> @part
    ... @dataclass(frozen=True)
    ... class Box:
    ...     width: int
    ...     depth: float = 1.0
    >>> describe(Box(width=3))
    {'part': 'Box', 'width': 3, 'depth': 1.0}
    >>> build({'part': 'Box', 'width': 3}) == Box(3)
    True
    >>> Box(width="wide")
    Traceback (most recent call last):
    lowerbound.errors.ConfigurationError: Box: expected width to be a whole number, got 'wide'
    >>> del REGISTRY["Box"]
    """
    name = cls.__name__
    if name in REGISTRY and REGISTRY[name].__module__ != cls.__module__:
        raise ConfigurationError(
            f"expected a part name that is free, got {name!r}, which {REGISTRY[name].__module__} "
            "already defines; rename your class"
        )
    if _has_no_constructor(cls):
        cls.__init__ = _without_arguments(cls.__init__)  # type: ignore[method-assign]
    construct: Callable[..., None] = cls.__init__
    signature = _of_constructor(cls)
    for parameter in signature.parameters.values():
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigurationError(
                f"{name}: expected arguments with names of their own, got {parameter}; a part is "
                "rebuilt from its arguments by name, so take a tuple instead"
            )

    @functools.wraps(construct)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        arguments = bind(cls, signature, args, kwargs)
        construct(self, **arguments)
        object.__setattr__(self, "_arguments", arguments)

    cls.__init__ = __init__  # type: ignore[method-assign]
    REGISTRY[name] = cls
    return cls


def _has_no_constructor(cls: type) -> bool:
    definer = next(base for base in cls.__mro__ if "__init__" in vars(base))
    return definer is object or definer.__module__.startswith("torch.")


def _without_arguments(inherited: Callable[..., None]) -> Callable[..., None]:
    def __init__(self: Any) -> None:
        inherited(self)

    return __init__


def _of_constructor(cls: type) -> inspect.Signature:
    """The signature of the class's constructor, without ``self``."""
    signature = inspect.signature(cls.__init__)  # type: ignore[misc]
    return signature.replace(parameters=list(signature.parameters.values())[1:])


def bind(
    target: Callable[..., Any],
    signature: inspect.Signature,
    args: Sequence[Any],
    kwargs: Mapping[str, Any],
) -> dict[str, Any]:
    """The validated arguments, by name, of a call of ``target``."""
    name, known = target.__name__, list(signature.parameters)
    for key in kwargs:
        if key not in known:
            raise ConfigurationError(f"{name}: unknown argument {key!r}; {near(key, known)}")
    try:
        arguments = signature.bind_partial(*args, **kwargs)
    except TypeError as error:
        raise ConfigurationError(f"{name}: {error}; its arguments are {', '.join(known)}") from None
    arguments.apply_defaults()
    return validate(target, arguments.arguments)


def validate(
    target: Callable[..., Any], arguments: Mapping[str, Any], *, awaiting: bool = False
) -> dict[str, Any]:
    """``arguments`` coerced to the annotations of ``target``'s parameters.

    With ``awaiting``, those that are missing may still come.
    """
    try:
        told = frozenset(arguments) if awaiting else None
        model = _schema(target, told).model_validate(dict(arguments))
    except pydantic.ValidationError as error:
        raise ConfigurationError(_explain(target, arguments, error)) from None
    return {name: getattr(model, name) for name in arguments}


@functools.cache
def _schema(
    target: Callable[..., Any], only: frozenset[str] | None = None
) -> type[pydantic.BaseModel]:
    signature = _of_constructor(target) if inspect.isclass(target) else inspect.signature(target)
    hints = hints_of(target)
    fields: dict[str, Any] = {
        name: (
            hints.get(name, Any),
            ... if parameter.default is parameter.empty else parameter.default,
        )
        for name, parameter in signature.parameters.items()
        if only is None or name in only
    }
    config = pydantic.ConfigDict(
        extra="forbid", arbitrary_types_allowed=True, protected_namespaces=()
    )
    return pydantic.create_model(target.__name__, __config__=config, **fields)


def hints_of(target: Callable[..., Any]) -> dict[str, Any]:
    """The annotations of the target's parameters.

    Those of a dataclass are its fields', which may stand in classes of several modules.
    """
    if inspect.isclass(target):
        fields = getattr(target, "__dataclass_fields__", None)
        parameters = _of_constructor(target).parameters.items()
        of_fields = fields is not None and all(
            name in fields and parameter.annotation == fields[name].type
            for name, parameter in parameters
        )
        target = target if of_fields else target.__init__
    return typing.get_type_hints(target, include_extras=True)


def _explain(
    target: Callable[..., Any], given: Mapping[str, Any], error: pydantic.ValidationError
) -> str:
    """The first problem, as one sentence."""
    problem = error.errors(include_url=False)[0]
    name, field = target.__name__, str(problem["loc"][0])
    hints = hints_of(target)
    if problem["type"] == "missing":
        return f"{name}: missing argument {field!r}"
    if field not in hints:
        return f"{name}: unknown argument {field!r}; {near(field, hints)}"
    own = f" ({problem['msg']})" if problem["type"] in ("value_error", "assertion_error") else ""
    wanted = takes(hints[field], REGISTRY)
    return f"{name}: expected {field} to be {wanted}{own}, got {shown(given[field])}"


def describe(value: Any) -> Any:
    """``value`` as JSON: parts become objects with a ``"part"`` name and their arguments.

    Raises:
        ConfigurationError: ``value`` holds something that is no part, such as a bare ``nn.Module``.
    """
    if isinstance(value, bool | int | float | str | None):
        return value
    if REGISTRY.get(type(value).__name__) is type(value):
        arguments = {
            name: describe(argument) for name, argument in vars(value)["_arguments"].items()
        }
        return {"part": type(value).__name__, **arguments}
    if isinstance(value, list | tuple):
        return [describe(item) for item in value]
    raise ConfigurationError(
        f"expected registered parts, got a {type(value).__module__}.{type(value).__qualname__}, "
        "which cannot be rebuilt from a file; put it in a class of your own decorated with @lb.part"
    )


def awaiting(value: Any) -> Any:
    """The description of a part that may await arguments.

    ``value`` is a part's name, its class, its class with some arguments (`functools.partial`), a
    description already, or a part that is complete and stays as it is.

    >>> from lowerbound import FlowPrior
    >>> awaiting(functools.partial(FlowPrior, transforms=2))
    {'part': 'FlowPrior', 'transforms': 2}
    """
    if isinstance(value, functools.partial):
        arguments = {name: awaiting(argument) for name, argument in value.keywords.items()}
        return {"part": value.func.__name__, **arguments}
    if isinstance(value, type):
        return {"part": value.__name__}
    return {"part": value} if isinstance(value, str) and value in REGISTRY else value


def complete(description: Any, **known: Any) -> Any:
    """The part of a description, what it awaits taken from ``known``: sizes, a network.

    A part that is complete already is returned as it is.

    Raises:
        ConfigurationError: as `build`.
    """
    if not isinstance(description, Mapping):
        return description
    parameters = parameters_of(registered(description.get("part")))
    return build({name: known[name] for name in known if name in parameters} | dict(description))


def registered(name: object) -> type:
    """The part of that name.

    Raises:
        ConfigurationError: there is none.
    """
    if not isinstance(name, str) or name not in REGISTRY:
        raise ConfigurationError(
            f"expected a registered part, got {name!r} ({near(str(name), REGISTRY)}); "
            "if it is your own, import the module that defines it first"
        )
    return REGISTRY[name]


def parameters_of(cls: type) -> Mapping[str, inspect.Parameter]:
    """The arguments of a part's constructor, by name."""
    return _of_constructor(cls).parameters


def build(value: Any) -> Any:
    """The inverse of `describe`.

    Raises:
        ConfigurationError: an unknown part, or arguments that it refuses.
    """
    if isinstance(value, Mapping):
        arguments = {name: build(argument) for name, argument in value.items() if name != "part"}
        return registered(value.get("part"))(**arguments)
    if isinstance(value, list):
        return [build(item) for item in value]
    return value
