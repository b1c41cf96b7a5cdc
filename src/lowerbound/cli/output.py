"""What commands print."""

from __future__ import annotations

import codecs
import io
import json
import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import typer

from lowerbound.logs import log

T = TypeVar("T")
PLAIN = "lowerbound.plain"
LETTERS = {"−": "-", "–": "-", "…": "...", "→": "->", "≥": ">=", "≤": "<=", "‖": "||", "∞": "inf"}
LETTERS |= {"×": "x", "±": "+-", "·": "*", "²": "^2", "σ": "sigma", "β": "beta", "≈": "~"}


def print_json(value: Any) -> None:
    """Figures for programs, on standard output."""
    plain = not (sys.stdout.encoding or "").lower().startswith("utf")
    typer.echo(json.dumps(value, indent=2, ensure_ascii=plain, allow_nan=False))


def show_every_letter() -> None:
    """Let no letter that a terminal's encoding lacks stop what was done: show it by others."""
    codecs.register_error(PLAIN, _in_plain_letters)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=PLAIN)


def _in_plain_letters(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    letters = error.object[error.start : error.end]
    shown = (LETTERS.get(x, x.encode("ascii", "backslashreplace").decode()) for x in letters)
    return "".join(shown), error.end


def show(value: Any, text: str, as_json: bool) -> None:
    """A result on standard output: ``text`` for people, or ``value`` for programs."""
    if as_json:
        print_json(value)
    else:
        typer.echo(text)


def wrote(path: Path, as_json: bool, shape: tuple[int, ...]) -> None:
    """Tell of a file of values: in a note, or on standard output as JSON."""
    if as_json:
        print_json({"file": str(path), "shape": shape})
    else:
        note(f"wrote {path}: {' × '.join(f'{n:,}' for n in shape)}")


def note(line: str) -> None:
    """A line for people, on standard error, so that standard output stays clean."""
    log.info(line)


class Notes(logging.Handler):
    """Lines on standard error as it is when they come: a bar puts them above itself."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print one of them; nobody may be there to read it."""
        if sys.stderr is None:
            return
        with suppress(OSError):
            print(record.getMessage(), file=sys.stderr, flush=True)


def show_notes() -> None:
    """Let notes, the library's too (where data came from, say), reach the user."""
    log.handlers[:] = [Notes()]
    log.setLevel(logging.INFO)


def hush(wanted: bool) -> bool:
    """Show neither notes nor bars, if so ``wanted``; warnings and errors are still told."""
    if wanted:
        log.setLevel(logging.WARNING)
    return wanted


def watched(title: str, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """What ``function`` returns, which moves a bar by its argument ``progress``."""
    with progress(title) as advance:
        return function(*args, **kwargs, progress=advance)


def checking() -> AbstractContextManager[Callable[[int, int], None]]:
    """The bar of data on disk, which are read once before they are used."""
    return progress("checking the data", at_once=False)


@contextmanager
def rereading() -> Iterator[Callable[[int, int], None]]:
    """The same for the data of a run: what is left out was told as it was trained, and no more."""
    with checking() as advance:
        level = log.level
        log.setLevel(logging.ERROR)
        try:
            yield advance
        finally:
            log.setLevel(level)


@contextmanager
def progress(title: str, at_once: bool = True) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, moved by calling with what is done and the total.

    It is shown from the first call on, or ``at_once``, and until all is done; without a call it
    tells that something goes on.
    """
    from rich import console, progress

    screen = console.Console(stderr=True)
    bar = progress.Progress(
        progress.TextColumn(title),
        progress.BarColumn(),
        progress.MofNCompleteColumn(),
        progress.TimeRemainingColumn(),
        console=screen,
        disable=not (screen.is_terminal and log.isEnabledFor(logging.INFO)),
        transient=True,
    )
    task = bar.add_task(title, total=None)

    def advance(done: int, total: int) -> None:
        bar.start()
        bar.update(task, completed=done, total=total)
        if done >= total:
            bar.stop()

    try:
        if at_once:
            bar.start()
        yield advance
    finally:
        bar.stop()
