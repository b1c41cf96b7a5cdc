"""What every command has: help that ends in examples, and errors of one sentence."""

from __future__ import annotations

import inspect
import typing
from collections.abc import Callable
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

from lowerbound.docstrings import docstring
from lowerbound.errors import ConfigurationError, closest, near
from lowerbound.hints import takes

UsageError: Any = typer.BadParameter.__base__
"""What typer raises where arguments do not fit."""


class Command(TyperCommand):
    """A command whose help ends in examples."""

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        if self.epilog:
            with formatter.section("Examples"):
                formatter.write("".join(f"  {line}\n" for line in self.epilog.splitlines()))


class Group(TyperGroup):
    """Commands, one of which may be meant where none is named exactly."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command of that name, or an error that hints at the one meant."""
        if args[0] not in self.commands:
            raise ConfigurationError(f"unknown command {args[0]!r}; {near(args[0], self.commands)}")
        return super().resolve_command(ctx, args)


def show_help(ctx: typer.Context) -> None:
    """Show the help of a group that is called without a command."""
    if ctx.invoked_subcommand is None:
        typer.echo(ctx.get_help())


def register(
    app: typer.Typer,
    function: Callable[..., None],
    name: str | None = None,
    cls: type[Command] = Command,
) -> None:
    """Make ``function`` a command of ``app``; its docstring's Examples are those of its help."""
    told, _, examples = docstring(function).partition("Examples:\n")
    app.command(
        name,
        cls=cls,
        help=told,
        short_help=told.partition("\n\n")[0],
        epilog=inspect.cleandoc(f"\n{examples}"),
    )(function)


def sentence(error: Any) -> str:
    """What typer found wrong, in one sentence that ends in what to do."""
    option = getattr(error, "option_name", None)
    if hasattr(error.__cause__, "errors"):  # of pydantic
        hints = typing.get_type_hints(error.ctx.command.callback, include_extras=True)
        wanted = takes(hints[error.param.name], {}, none=False)
        given = error.__cause__.errors()[0]["input"]
        message = f"expected {error.param.opts[-1]} to be {wanted}, got {given!r}"
    elif option and "No such option" in error.message:
        options = [name for p in error.ctx.command.get_params(error.ctx) for name in p.opts]
        if close := closest(option, options):
            return f"unknown option {option}; did you mean {' or '.join(close)}?"
        message = f"unknown option {option}"
    else:
        message = " ".join(error.format_message().split())
        message = f"{message[:1].lower()}{message[1:]}".rstrip(".")
    return f"{message}; see {error.ctx.command_path} --help" if error.ctx else message
