"""The application: its commands, and how their errors reach the user."""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType
from typing import Annotated, NoReturn
from unicodedata import category

import typer

import lowerbound
from lowerbound.cli import (
    compress,
    data,
    diagnose,
    evaluate,
    explore,
    export,
    impute,
    inspect,
    outliers,
    recipes,
    serve,
    train,
    walks,
)
from lowerbound.cli.command import Group, UsageError, register, sentence, show_help
from lowerbound.cli.output import show_every_letter, show_notes
from lowerbound.cli.settings import WithSettings
from lowerbound.errors import LowerboundError

LONGEST, BEGINNING = 600, 100
"""Characters of an error, and of what was expected where the remedy is a long one."""

app = typer.Typer(
    name="lowerbound",
    help="Train, judge and look at variational autoencoders.",
    cls=Group,
    invoke_without_command=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
register(app, train.train, cls=WithSettings)
for command in (
    evaluate.evaluate,
    evaluate.rates,
    inspect.report,
    explore.explore,
    diagnose.diagnose,
    outliers.outliers,
    impute.impute,
    inspect.reconstruct,
    inspect.sample,
    inspect.embed,
    walks.interpolate,
    walks.vary,
    compress.compress,
    compress.decompress,
    serve.serve,
    export.export,
    recipes.recipes,
):
    register(app, command)
app.add_typer(data.app, name="data")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"lowerbound {lowerbound.__version__}")
        raise typer.Exit


@app.callback()
def options(
    ctx: typer.Context,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Options of every command."""
    show_help(ctx)


def run(commands: typer.Typer = app, name: str = "lowerbound") -> NoReturn:
    """Run the command line, called ``name``; exit with 0, or with the error's own code."""
    signal.signal(signal.SIGINT, _stop)
    show_every_letter()
    show_notes()
    try:
        os.getcwd()
    except OSError:
        fail("expected a working folder, got one that was deleted; change to another", 1)
    try:
        commands(prog_name=name, standalone_mode=False)
    except UsageError as error:
        fail(sentence(error), error.exit_code)
    except LowerboundError as error:
        fail(str(error), error.exit_code)
    except BrokenPipeError:
        # The reader of a pipe, such as head, has gone.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        fail(f"{where}{error.strerror or error}", 1)
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error).lower():
            raise
        fail("out of memory; use a smaller batch_size or model", 1)
    raise SystemExit(0)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    """Ctrl-C, where `fit` does not handle it: files are written whole, so nothing needs care.

    Not by an exception, which a library that is just being imported could swallow.
    """
    show_cursor = "\x1b[?25h" if sys.stderr.isatty() else ""
    os.write(2, f"{show_cursor}\nstopped\n".encode())
    os._exit(130)


def fail(message: str, code: int) -> NoReturn:
    """Print one error, in one short line whatever is in it, and exit."""
    line = "".join(
        letter.encode("unicode_escape").decode() if category(letter)[0] == "C" else letter
        for letter in message
    )
    if len(line) > LONGEST:
        _, cut, remedy = line.rpartition("; ")
        end = max(LONGEST // 2, min(len(remedy), LONGEST - BEGINNING) if cut else 0)
        line = f"{line[: LONGEST - end]} … {line[-end:]}"
    typer.echo(f"error: {line}", err=True)
    raise SystemExit(code)
