"""``--set key=value``: a recipe's settings and the fields of `Training`, merged and checked once.

A key names a setting (``latent_dim=3``), a field of `Training` (``epochs=5``), or an argument of a
part (``objective.beta=4``).  A part is named by its class (``objective=IWAE``); the sizes that it
awaits follow from the data.  An argument of the network needs no dot (``hidden=64``).
"""

from __future__ import annotations

import dataclasses
import json
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lowerbound.errors import ConfigurationError, closest, near, shown
from lowerbound.objectives import Objective
from lowerbound.parts import (
    REGISTRY,
    awaiting,
    build,
    describe,
    hints_of,
    parameters_of,
    registered,
    validate,
)
from lowerbound.posteriors import Posterior
from lowerbound.priors import Prior
from lowerbound.training import SGHMC, Training
from lowerbound.transforms import Transform

Settings = dict[str, Any]

AXES: dict[str, Callable[[type], bool]] = {
    "network": lambda cls: "out_features" in parameters_of(cls),
    "prior": lambda cls: issubclass(cls, Prior),
    "posterior": lambda cls: issubclass(cls, Posterior),
    "likelihood": lambda cls: hasattr(cls, "support"),
    "real": lambda cls: "real" in getattr(cls, "takes", ()),
    "transform": lambda cls: issubclass(cls, Transform),
    "objective": lambda cls: issubclass(cls, Objective),
    "sampler": lambda cls: issubclass(cls, SGHMC),
}
"""The settings that are parts, and which parts they may be."""
EITHER = {"likelihood": ("auto",), "real": (None,), "transform": (None,), "sampler": (None,)}
AWAITED = frozenset(
    (
        *("latent_dim", "shape", "in_features", "out_features", "context_dim", "network"),
        *("examples", "vocabulary", "codes", "ends", "steps"),
    )
)
"""The arguments that `compose` fills in."""
_PLAIN = (str, int, float, list, tuple, type(None))
"""What ``--set`` can give, and no complete part is."""


def parse(assignments: Sequence[str]) -> Settings:
    """Values by key of ``assignments``, such as "objective.beta=4".

    Values are read as JSON where they are JSON, as lists where there are commas, else as text.

    >>> parse(["hidden=512,256", "learning_rate=1e-3", "likelihood=Bernoulli", "clip_norm=null"])
    {'hidden': [512, 256], 'learning_rate': 0.001, 'likelihood': 'Bernoulli', 'clip_norm': None}
    """
    settings: Settings = {}
    for assignment in assignments:
        key, equals, text = assignment.partition("=")
        if not equals or not key.strip():
            raise ConfigurationError(f"expected --set key=value, got {assignment!r}")
        settings[key.strip()] = _value(text.strip())
    return settings


def _value(text: str) -> Any:
    constants = {"true": True, "false": False, "none": None, "null": None}
    if text.lower() in constants:
        return constants[text.lower()]
    for candidate in (text, f"[{text.rstrip(',')}]"):
        try:
            return json.loads(candidate)
        except ValueError:
            continue
    return text


def choices(axis: str) -> dict[str, Settings]:
    """The parts that the setting ``axis`` may name, and the defaults of what can be set of each.

    >>> choices("prior")["GaussianMixture"]
    {'components': 10}
    """
    return {
        name: {
            argument: None if p.default is None else describe(p.default)
            for argument, p in parameters_of(cls).items()
            if p.default is not p.empty and argument not in AWAITED
        }
        for name, cls in sorted(REGISTRY.items())
        if AXES[axis](cls)
    }


def merged(
    model: Callable[..., Any],
    defaults: Mapping[str, Any],
    training: Mapping[str, Any],
    settings: Mapping[str, Any],
) -> tuple[Settings, Training]:
    """``defaults`` of a model and its objective, and of its training, changed by ``settings``.

    All is checked that can be without the data.

    Raises:
        ConfigurationError: an unknown key, or a value that does not fit.
    """
    fields = {field.name for field in dataclasses.fields(Training)}
    chosen, training = dict(defaults), dict(training)
    # Shorter keys first: `objective=IWAE` chooses the part that `objective.samples=5` changes.
    for key in sorted(settings, key=lambda key: key.count(".")):
        first, *path = key.split(".")
        if first in fields and not path and first not in AXES:
            training[first] = settings[key]
            continue
        if first in fields & AXES.keys():
            _assign(training, [first, *path], awaiting(settings[key]), key)
            continue
        if first not in chosen and first in _network_arguments(chosen):
            first, path = "network", [first, *path]
        if first not in chosen:
            raise ConfigurationError(f"unknown setting {key!r}; {_hint(key, chosen, fields)}")
        is_part = path or first in AXES
        _assign(chosen, [first, *path], awaiting(settings[key]) if is_part else settings[key], key)
    parts = {key: part_of(key, chosen.pop(key)) for key in AXES if key in chosen}
    plain = {name: _listed(model, name, value) for name, value in chosen.items()}
    training |= {key: build(part_of(key, training[key])) for key in AXES if key in training}
    return validate(model, plain, awaiting=True) | parts, Training(**training)


def _network_arguments(chosen: Settings) -> Mapping[str, Any]:
    network = chosen.get("network")
    return parameters_of(registered(network["part"])) if isinstance(network, Mapping) else {}


def _hint(key: str, chosen: Settings, fields: set[str]) -> str:
    owners = [
        f"{axis}.{key} (of {name})"
        for axis in AXES
        if axis in chosen or axis in fields
        for name, arguments in choices(axis).items()
        if key in arguments
    ]
    owners += [
        f"{axis}={name}"
        for axis in AXES
        if axis in chosen
        for name in choices(axis)
        if name.lower() == key.lower()
    ]
    if owners:
        return f"did you mean {' or '.join(owners)}?"
    return near(key, fields | set(chosen) | set(_network_arguments(chosen)))


def _assign(tree: Any, path: list[str], value: Any, key: str) -> None:
    *branches, leaf = path
    for branch in branches:
        inner = tree.get(branch) if isinstance(tree, dict) else None
        if not (isinstance(inner, Mapping) and "part" in inner):
            if branch in AXES and isinstance(inner, str):
                part_of(branch, inner)  # refuses a name that is none
            raise ConfigurationError(
                f"{key}: expected a part with arguments of its own at {branch!r}; name it first, "
                f"as in --set {branch}=PART"
            )
        tree[branch] = tree = dict(inner)
    tree[leaf] = value


def part_of(axis: str, value: Any) -> Any:
    """A setting that is a part; its name, and those of its arguments that are set, checked."""
    if not isinstance(value, (Mapping, *_PLAIN)) or value in EITHER.get(axis, ()):
        return value
    value = value if isinstance(value, Mapping) else {"part": value}
    name = value.get("part")
    if not isinstance(name, str) or name not in REGISTRY or not AXES[axis](REGISTRY[name]):
        known = [*choices(axis), *map(str, EITHER.get(axis, ()))]
        close = f"; {near(str(name), known)}" if closest(str(name), known) else ""
        raise ConfigurationError(
            f"{axis}: expected one of {', '.join(known)}, got {shown(name)}{close}"
        )
    by_data = axis == "transform" or getattr(REGISTRY[str(name)], "takes_missing", False)
    return value if by_data and len(value) == 1 else _checked(value)


def _checked(description: Mapping[str, Any]) -> dict[str, Any]:
    """A description whose arguments are known to its part, and valid, in the part's types."""
    cls = registered(description.get("part"))
    parameters = parameters_of(cls)
    arguments: Settings = {}
    for name, value in description.items():
        if name == "part":
            continue
        if name not in parameters:
            raise ConfigurationError(
                f"{cls.__name__}: unknown argument {name!r}; {near(name, parameters)}"
            )
        if name in AWAITED - {"network"}:
            raise ConfigurationError(
                f"{cls.__name__}: expected no {name}, which follows from the data and from "
                f"latent_dim, got {value!r}; leave it out"
            )
        value = _checked(value) if _is_part(value) else _listed(cls, name, value)
        arguments[name] = value
    given = {
        name: build(value) if _is_part(value) or isinstance(value, list) else value
        for name, value in arguments.items()
        if name != "network"
    }
    validate(cls, given, awaiting=True)
    missing = [n for n, p in parameters.items() if p.default is p.empty and n not in arguments]
    if left := [name for name in missing if name not in AWAITED]:
        raise ConfigurationError(
            f"{cls.__name__}: missing argument {left[0]!r}, which does not follow from the data; "
            "set it"
        )
    checked = {"part": cls.__name__, **arguments}
    if not missing:
        build(checked)
    return checked


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping) and "part" in value


def _listed(target: Callable[..., Any], name: str, value: Any) -> Any:
    """One number, where several are wanted, as a list of it."""
    hint = hints_of(target).get(name)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return [value] if is_number and typing.get_origin(hint) is tuple else value
