"""Arguments and options that several commands share."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Literal

import typer

from lowerbound.cli.output import hush
from lowerbound.errors import ConfigurationError, StorageError


def known_data() -> list[str]:
    """The names of data sets, for shells that complete them."""
    from lowerbound.data import known

    return list(known())


def new_file(ctx: typer.Context, out: Path | None) -> Path | None:
    """--out of a command that takes --force, before any work is done: see `expect_new`."""
    if out is not None:
        expect_new(out, force=ctx.params["force"])
    return out


def expect_new(out: Path, *, force: bool) -> None:
    """Raises StorageError: at ``out`` is a file that nobody said to replace, or no regular one."""
    if out.exists() and not out.is_file():
        raise StorageError(
            f"expected a new file, got {out}, which is a folder, pipe, socket or device; choose "
            "another with --out"
        )
    if out.exists() and not force:
        raise StorageError(
            f"expected a new file, got {out}, which exists; choose another with --out, or "
            "replace it with --force"
        )


Folder = Annotated[
    Path, typer.Argument(metavar="RUN", help="The folder that `lowerbound train` made.")
]
Split = Annotated[
    Literal["train", "validation", "test"], typer.Option(help="Which part of the run's data.")
]
Data = Annotated[str | None, typer.Option(help="Other data, used in full, instead of the run's.")]
Labels = Annotated[
    str | None, typer.Option(help="With --data: the column or array of its class labels.")
]
Device = Annotated[str | None, typer.Option(help="cpu or cuda; a GPU where there is one.")]
Ray = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Share the blocks of data among the workers of this Ray cluster, which all see the "
        "same files; local starts one on this machine.",
    ),
]
Seed = Annotated[int, typer.Option(min=0, max=2**63 - 1, help="Seed of all noise.")]
Json = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Force = Annotated[
    bool, typer.Option("--force", "-f", is_eager=True, help="Replace an existing file.")
]
Out = Annotated[
    Path,
    typer.Option(
        callback=new_file,
        help="A .png (images), .mid, .wav or .png (melodies), .npy or .csv file to write.",
    ),
]
Quiet = Annotated[
    bool,
    typer.Option(
        "--quiet",
        "-q",
        callback=hush,
        help="Only the result, warnings and errors: no bars, no notes.",
    ),
]


def names(texts: Iterable[str]) -> tuple[str, ...]:
    """Names of columns with commas between them; one that has a comma is in quotes.

    >>> names(["sex,age", '"height, cm"'])
    ('sex', 'age', 'height, cm')
    """
    try:
        return tuple(name for row in csv.reader(texts, skipinitialspace=True) for name in row)
    except csv.Error as error:
        raise ConfigurationError(
            f"expected names with commas between them, got some that cannot be read ({error}); "
            'quote those with a comma: "height, cm"'
        ) from None


def pixels(option: str, text: str | None) -> tuple[int, int] | None:
    """Width and height from 64 or 64x48.

    >>> pixels("--crop", "64"), pixels("--crop", "64x48")
    ((64, 64), (64, 48))
    """
    if text is None:
        return None
    sides = text.lower().replace("×", "x").split("x")
    if len(sides) > 2 or not all(side.isascii() and side.isdigit() for side in sides):
        raise ConfigurationError(
            f"expected {option} as the pixels of a square's side, or WIDTHxHEIGHT, got {text!r}"
        )
    return int(sides[0]), int(sides[-1])


def column_kinds(given: list[str]) -> dict[str, str]:
    """The kinds of columns, from COLUMN=KIND, or the name of a .json file, an object of them.

    >>> column_kinds(["age=counts", "a=b=real"])
    {'age': 'counts', 'a=b': 'real'}
    """
    from lowerbound.files import read_json

    kinds: dict[str, str] = {}
    for text in given:
        column, sign, kind = text.rpartition("=")
        if not sign and text.endswith(".json"):
            found = read_json(Path(text), "kinds of columns")
            if not all(isinstance(value, str) for value in found.values()):
                raise ConfigurationError(
                    f"{text}: expected the kind of each column as text, as in "
                    f'{{"children": "counts"}}, got other values'
                )
            kinds |= found
        elif not column or not kind:
            raise ConfigurationError(
                f"expected --kind COLUMN=KIND, such as children=counts, or a .json file, got "
                f"{text!r}"
            )
        else:
            kinds[column] = kind
    return kinds
