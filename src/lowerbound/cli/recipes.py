"""``recipes``: what can be trained, and what each setting means."""

from __future__ import annotations

import dataclasses
import inspect
import textwrap
import typing
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import typer

from lowerbound.cli.options import Json, Quiet
from lowerbound.cli.output import show
from lowerbound.cli.settings import known_names
from lowerbound.docstrings import arguments, docstring
from lowerbound.errors import ConfigurationError, near
from lowerbound.hints import takes

Told = dict[str, Any]
"""Of a setting: its default, what it takes, its meaning; of a part, its arguments so too."""


def recipes(
    name: Annotated[
        str | None,
        typer.Argument(help="A recipe, or a part, to explain.", autocompletion=known_names),
    ] = None,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """List the recipes and their settings, or explain those of one recipe or part.

    Examples:
        lowerbound recipes
        lowerbound recipes vampprior
        lowerbound recipes GaussianMixture
    """
    from lowerbound.recipes import AXES, RECIPES, choices

    parts = [part for axis in AXES for part in choices(axis)]
    if name is None:
        show(*_all(), json)
    elif (dashed := name.replace("_", "-")) in RECIPES:  # as in Python
        show(*explain_recipe(dashed), json)
    elif name in parts:
        show(*explain_part(name), json)
    else:
        raise ConfigurationError(
            f"expected a recipe or a part, got {name!r}; {near(name, [*RECIPES, *parts])}"
        )


def _all() -> tuple[Told, str]:
    """Every recipe and part with its settings, and the lines that show them."""
    from lowerbound.recipes import AXES, RECIPES, choices
    from lowerbound.training import Training

    parts = {axis: choices(axis) for axis in AXES}
    training = {field.name: field.default for field in dataclasses.fields(Training)}
    listed: Told = {}
    lines: list[str] = []
    for name, recipe in RECIPES.items():
        changed = dict(recipe.training)
        listed[name] = {
            "description": f"{recipe.about}\n\n{recipe.notes}\nSource: {recipe.source}",
            "settings": recipe.defaults,
            "training": changed,
        }
        lines.append(f"{name}: {recipe.about}")
        lines += [f"    {line}" for line in (*_assigned(recipe.defaults), *_assigned(changed))]
    for axis, named in parts.items():
        lines.append(f"{axis}=, for every recipe that has it:")
        for part, settings in named.items():
            lines.append(" ".join([f"    {part}", *_assigned(settings, f"{axis}.")]))
    lines.append("settings of training, for every recipe:")
    lines += [f"    {line}" for line in _assigned(training)]
    lines.append("lowerbound recipes NAME explains those of a recipe or part")
    return listed | {"parts": parts, "training": training}, "\n".join(lines)


def _assigned(settings: Mapping[str, Any], prefix: str = "") -> Iterator[str]:
    """``--set`` keys and their values; those of a part behind its name."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield f"{prefix}{key}={value['part']}"
            arguments_of = {name: each for name, each in value.items() if name != "part"}
            yield from _assigned(arguments_of, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}={_shown(value)}"


def _shown(value: Any) -> str:
    """A value as ``--set`` takes it."""
    if isinstance(value, list | tuple):
        return ",".join(map(str, value)) or "[]"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def explain_recipe(name: str) -> tuple[Told, str]:
    """A recipe, with the meaning of each of its settings."""
    from lowerbound.parts import REGISTRY, registered
    from lowerbound.recipes import AXES, RECIPES, compose
    from lowerbound.training import Training

    recipe = RECIPES[name]
    hints = typing.get_type_hints(recipe.model, include_extras=True)
    own = arguments(docstring(recipe.model))
    meanings = {"objective": "what training maximises."} | own | arguments(docstring(compose))
    settings: Told = {}
    for key, default in recipe.defaults.items():
        is_part = isinstance(default, Mapping)
        wanted = f"one of {', '.join(_named(key))}" if key in AXES else takes(hints[key], REGISTRY)
        settings[key] = _setting(default["part"] if is_part else default, wanted, meanings[key])
        if is_part:
            settings |= _arguments(key, registered(default["part"]), default)
    defaults = {field.name: field.default for field in dataclasses.fields(Training)}
    training = _arguments("", Training, defaults | dict(recipe.training))
    about = " ".join(filter(None, (recipe.about, recipe.notes)))
    lines = [
        *textwrap.wrap(f"{name}: {about}", 80),
        *textwrap.wrap(f"Source: {recipe.source}", 80),
        "",
        "settings, as in --set latent_dim=2 or --latent-dim 2:",
        *_lines(settings),
        "",
        "settings of training:",
        *_lines(training),
        "",
        "lowerbound recipes NAME explains a part, such as GaussianMixture",
    ]
    told = {"name": name, "description": about, "source": recipe.source}
    return told | {"settings": settings, "training": training}, "\n".join(lines)


def explain_part(name: str) -> tuple[Told, str]:
    """A part, with the meaning of each argument that is a setting."""
    from lowerbound.parts import REGISTRY
    from lowerbound.recipes import AXES

    cls = REGISTRY[name]
    axis = next(axis for axis, takes in AXES.items() if takes(cls))
    settings = _arguments(axis, cls, {})
    text = docstring(cls).partition("\n>>>")[0].partition("\nArgs:")[0].strip()
    lines = [f"{axis}={name}", *(text.splitlines())]
    if settings:
        lines += ["", "settings:", *_lines(settings)]
    told = {"name": name, "setting": axis, "description": text, "settings": settings}
    return told, "\n".join(lines)


def _named(axis: str) -> list[str]:
    """The parts that a setting takes by name: all but those made of other parts, by hand."""
    from lowerbound.parts import REGISTRY, hints_of
    from lowerbound.recipes import choices

    def by_hand(cls: type) -> bool:
        needed = [n for n, p in _settable(cls).items() if p.default is p.empty]
        hints = hints_of(cls)
        return any("lowerbound" in str(hints[n]) or "torch" in str(hints[n]) for n in needed)

    return [name for name in choices(axis) if not by_hand(REGISTRY[name])]


def _settable(cls: type) -> dict[str, inspect.Parameter]:
    """The arguments of a part that do not follow from the data."""
    from lowerbound.parts import parameters_of
    from lowerbound.recipes import AWAITED

    return {name: p for name, p in parameters_of(cls).items() if name not in AWAITED}


def _arguments(key: str, cls: type, given: Mapping[str, Any]) -> Told:
    """The settings of the part at ``key``, which has the arguments ``given``."""
    from lowerbound.parts import REGISTRY, describe, hints_of, registered

    hints = hints_of(cls)
    meanings = arguments(docstring(cls))
    settings: Told = {}
    for name, parameter in _settable(cls).items():
        default = given.get(name, parameter.default)
        dotted = f"{key}.{name}" if key else name
        if default is not parameter.empty and not isinstance(default, Mapping):
            default = describe(default)
        is_part = isinstance(default, Mapping)
        shown = default["part"] if is_part else default
        settings[dotted] = _setting(shown, takes(hints[name], REGISTRY), meanings.get(name, ""))
        if is_part:
            settings |= _arguments(dotted, registered(default["part"]), default)
    return settings


def _setting(default: Any, takes: str, meaning: str) -> Told:
    told = {"takes": takes, "meaning": meaning.replace("``", "").rstrip(".")}
    return told if default is inspect.Parameter.empty else {"default": default, **told}


def _lines(settings: Told) -> Iterator[str]:
    """A setting with its default, then what it means and takes, indented."""
    for name, told in settings.items():
        default = _shown(told["default"]) if "default" in told else "…"
        yield f"  {name}={default}"
        text = "; ".join(filter(None, (told["meaning"], told["takes"])))
        yield from textwrap.wrap(text, 80, initial_indent="      ", subsequent_indent="      ")
