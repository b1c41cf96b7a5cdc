"""Settings as options: ``--latent-dim 2`` is ``--set latent_dim=2``."""

from __future__ import annotations

import ast
import functools
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

import lowerbound
from lowerbound.cli.command import Command
from lowerbound.docstrings import arguments, definitions
from lowerbound.errors import ConfigurationError, closest


class WithSettings(Command):
    """A command that takes each setting as an option; its help lists those of training."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Read the arguments, settings among them."""
        if not ctx.resilient_parsing:
            args = list(_assigned(args, [name for p in self.get_params(ctx) for name in p.opts]))
        return super().parse_args(ctx, args)

    def get_params(self, ctx: Any) -> list[Any]:
        """The options: those of settings are for shells, which parse resiliently to complete."""
        more = [setting.option() for setting in of_training()] if ctx.resilient_parsing else []
        return [*super().get_params(ctx), *more]

    def format_options(self, ctx: Any, formatter: Any) -> None:
        """Write the options, then those of settings."""
        super().format_options(ctx, formatter)
        with formatter.section("Settings of training (lowerbound recipes RECIPE explains all)"):
            formatter.write_dl([(f"{s.name} {s.kind}", s.help) for s in of_training()])


@dataclass(frozen=True)
class Setting:
    """An option for a field of `training.Training`."""

    name: str
    choices: tuple[str, ...]
    meaning: str
    default: str

    @property
    def kind(self) -> str:
        """What it takes, as help shows it."""
        return f"<{'|'.join(self.choices) or 'number'}>"

    @property
    def help(self) -> str:
        """Its meaning and default, as a line of help."""
        meaning = self.meaning.replace("``", "").rstrip(".")
        return f"{meaning[0].upper()}{meaning[1:]}.  [{self.default}]"

    def option(self) -> Any:
        """The option itself, of a command made for it."""
        taken = typer.Option(self.name, help=self.help, autocompletion=lambda: list(self.choices))

        def command(value=None):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
            pass

        command.__annotations__ = {"value": Annotated[str | None, taken]}
        app = typer.Typer(add_completion=False)
        app.command()(command)
        return typer.main.get_command(app).params[0]


@functools.cache
def of_training() -> tuple[Setting, ...]:
    """The fields of `training.Training`, read without importing torch."""
    path = Path(lowerbound.__file__).parent / "training" / "settings.py"
    training = definitions(path)["Training"]
    meanings = arguments(ast.get_docstring(training) or "")
    settings = []
    for field in training.body:
        if isinstance(field, ast.AnnAssign) and field.value:
            name, type_ = ast.unparse(field.target), field.annotation
            settings.append(
                Setting(
                    name=f"--{name.replace('_', '-')}",
                    choices=tuple(choice for node in ast.walk(type_) if (choice := _choice(node))),
                    meaning=meanings[name],
                    default=str(ast.literal_eval(field.value)).lower(),
                )
            )
    return tuple(settings)


def _choice(node: ast.AST) -> str | None:
    """What an annotation lets one choose by its name: a word, or a part that is an acronym."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str | bool):
        return str(node.value).lower()
    return node.id if isinstance(node, ast.Name) and node.id.isupper() else None


def known_recipes() -> list[tuple[str, str]]:
    """The recipes and what they are, for shells that complete them."""
    from lowerbound.recipes import RECIPES

    return [(name, recipe.about) for name, recipe in RECIPES.items()]


def known_names() -> list[str]:
    """The recipes and the parts that settings name, for shells that complete them."""
    from lowerbound.recipes import AXES, RECIPES, choices

    return [*RECIPES, *(part for axis in AXES for part in choices(axis))]


def known_settings(incomplete: str) -> list[str]:
    """What may follow ``--set``, for shells that complete it: keys, then what parts are called."""
    from lowerbound.recipes import AXES, choices

    key, equals, _ = incomplete.partition("=")
    if equals:
        return [f"{key}={name}" for name in (choices(key) if key in AXES else ())]
    return [f"{name}=" for name in _settings()]


def _assigned(args: list[str], options: Collection[str]) -> Iterator[str]:
    """``args``, with ``--set key=value`` for what is none of the ``options`` but a setting."""
    rest = list(args)
    while rest:
        arg = rest.pop(0)
        name, equals, value = arg.partition("=")
        if arg == "--":
            yield from (arg, *rest)
            return
        if not arg.startswith("--") or name in options:
            yield arg
            continue
        key = name.removeprefix("--").replace("-", "_")
        default = _default(name, key, options)
        if not equals:
            follows = bool(rest) and not rest[0].startswith("--")
            if isinstance(default, bool):
                value = rest.pop(0) if follows and rest[0].lower() in ("true", "false") else "true"
            elif follows:
                value = rest.pop(0)
            else:
                raise ConfigurationError(f"expected a value after {name}, got none")
        yield from ("--set", f"{key}={value}")


def _default(name: str, key: str, options: Collection[str]) -> Any:
    """The value of a setting where it is not set, in some recipe.

    Raises:
        ConfigurationError: there is no such setting, nor an argument of a part that is called so.
    """
    from lowerbound.recipes import AXES, choices

    known = _settings()
    of_parts = {word for axis in AXES for part in choices(axis).values() for word in part}
    if key not in known and key not in of_parts and key.partition(".")[0] not in AXES:
        close = closest(name, [*options, *(f"--{word.replace('_', '-')}" for word in known)])
        hint = f"did you mean {' or '.join(close)}?" if close else "see lowerbound train --help"
        raise ConfigurationError(f"unknown option {name}; {hint}")
    return known.get(key)


def _settings() -> dict[str, Any]:
    """Every setting of some recipe, and of training, with its default there."""
    from lowerbound.parts import REGISTRY, parameters_of
    from lowerbound.recipes import AWAITED, RECIPES, choices

    networks = [REGISTRY[name] for name in choices("network")]
    known = {name: None for cls in networks for name in parameters_of(cls) if name not in AWAITED}
    for recipe in RECIPES.values():
        known |= recipe.defaults
    names = (setting.name.removeprefix("--").replace("-", "_") for setting in of_training())
    return known | dict.fromkeys(names)
