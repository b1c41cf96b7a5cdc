"""``--set key=value``: a recipe's arguments and the fields of `Training`, merged and checked once.

A key names an argument (``latent_dim=3``), a field of `Training` (``epochs=5``), or an argument of
a part (``objective.beta=4``).  A part is named by its class (``objective=IWAE``).
"""

from __future__ import annotations

import dataclasses
import inspect
import json
from collections.abc import Mapping, Sequence
from typing import Any

from lowerbound.data import Dataset
from lowerbound.errors import ConfigurationError, near
from lowerbound.parts import REGISTRY, build, describe, validate
from lowerbound.recipes.experiment import Experiment
from lowerbound.recipes.models import RECIPES, Recipe
from lowerbound.training import Training

Settings = dict[str, Any]


def parse(assignments: Sequence[str]) -> Settings:
    """``["hidden=512,256", "objective.beta=4"]`` as values by key.

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


def recipe_named(name: str) -> Recipe:
    """The recipe, or an error that lists the near ones."""
    if name not in RECIPES:
        raise ConfigurationError(f"unknown recipe {name!r}; {near(name, RECIPES)}")
    return RECIPES[name]


def check(name: str, settings: Mapping[str, Any]) -> None:
    """Refuse an unknown recipe, key or value, before any data are read.

    Raises:
        ConfigurationError: what `prepare` would raise, whatever the data.
    """
    recipe = recipe_named(name)
    arguments, training = _merge(recipe, settings)
    validate(recipe, arguments, unchecked=("data",))
    Training(**training)


def prepare(name: str, data: Dataset, settings: Mapping[str, Any]) -> Experiment:
    """The recipe's experiment on ``data`` with ``settings``.

    Raises:
        ConfigurationError: an unknown recipe or key, or a value that does not fit.
    """
    recipe = recipe_named(name)
    arguments, training = _merge(recipe, settings)
    experiment = recipe(data, **validate(recipe, arguments, unchecked=("data",)))
    return dataclasses.replace(
        experiment, training=dataclasses.replace(experiment.training, **training)
    )


def arguments_of(recipe: Recipe) -> dict[str, inspect.Parameter]:
    """The recipe's settings by name."""
    parameters = dict(inspect.signature(recipe).parameters)
    del parameters["data"]
    return parameters


def _merge(recipe: Recipe, settings: Mapping[str, Any]) -> tuple[Settings, Settings]:
    """Settings of the recipe and of its training, parts built from their dotted keys."""
    parameters = arguments_of(recipe)
    fields = {field.name for field in dataclasses.fields(Training)}
    inner = describe(parameters["objective"].default) if "objective" in parameters else {}
    arguments: Settings = {}
    training: Settings = {}
    # Shorter keys first: `objective=IWAE` chooses the part that `objective.samples=5` changes.
    for key in sorted(settings, key=lambda key: key.count(".")):
        first, *path = key.split(".")
        if first in fields and not path:
            training[first] = settings[key]
        elif first in parameters:
            default = parameters[first].default
            value = settings[key] if isinstance(default, str) and not path else _part(settings[key])
            if path and first not in arguments:
                arguments[first] = describe(default)
            if isinstance(default, tuple) and isinstance(value, int | float):
                value = [value]
            _assign(arguments, [first, *path], value, key)
        else:
            known = fields | set(parameters)
            hint = f"did you mean objective.{key}?" if key in inner else near(key, known)
            raise ConfigurationError(f"unknown setting {key!r}; {hint}")
    return {name: build(value) for name, value in arguments.items()}, training


def _assign(tree: Any, path: list[str], value: Any, key: str) -> None:
    *branches, leaf = path
    for branch in branches:
        tree = tree.get(branch) if isinstance(tree, dict) else None
        if isinstance(tree, dict) and "part" in tree:
            continue
        raise ConfigurationError(
            f"{key}: expected a part with arguments of its own at {branch!r}; name it first, "
            f"as in --set {branch}=PART"
        )
    tree[leaf] = value


def _part(value: Any) -> Any:
    """The name of a part, as its description."""
    return {"part": value} if isinstance(value, str) and value in REGISTRY else value
