"""``train`` and ``recipes``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from lowerbound.cli.output import checking, note, print_json, show_notes
from lowerbound.errors import ConfigurationError, Interrupted

Recipe = Annotated[str | None, typer.Argument(help="A name that `lowerbound recipes` lists.")]
Data = Annotated[
    str | None,
    typer.Option(
        help="digits, mnist, fashion-mnist, or your own: .npy, .npz, IDX, .csv, .parquet, "
        "a folder of images or of .parquet files."
    ),
]
Out = Annotated[Path, typer.Option(help="The new folder of the run.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="A setting of the recipe or of training."),
]


def train(
    out: Out,
    recipe: Recipe = None,
    data: Data = None,
    set_: Set = None,
    resume: Annotated[bool, typer.Option(help="Go on with the run in --out.")] = False,
    labels: Annotated[
        str | None, typer.Option(help="The column or array that holds class labels.")
    ] = None,
    validation: Annotated[
        float, typer.Option(help="Hold out this fraction, or number, of the training data.")
    ] = 0.1,
    test: Annotated[
        float | None, typer.Option(help="Hold out this fraction, or number, of your data. [0.1]")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Look for a known data set's files here first.")
    ] = None,
    on_disk: Annotated[
        bool,
        typer.Option(
            "--on-disk",
            help="Leave the training data on disk (.npy, Parquet), as is done by itself when their "
            "files exceed a quarter of memory.",
        ),
    ] = False,
    device: Annotated[
        str | None, typer.Option(help="cpu or cuda; a GPU where there is one.")
    ] = None,
    tensorboard: Annotated[bool, typer.Option(help="Also log for TensorBoard.")] = False,
    json: Annotated[bool, typer.Option(help="Print the last record as JSON.")] = False,
) -> None:
    """Train a RECIPE on --data, into the folder --out.

    The test data are held out for `lowerbound evaluate`.  Ctrl-C saves and says how to resume.
    """
    from lowerbound import recipes, runs
    from lowerbound.data import is_large
    from lowerbound.training import ProgressBar, TensorBoard
    from lowerbound.training.callbacks import Callback

    show_notes()
    if resume:
        given = recipe or data or set_ or labels or folder or on_disk
        if given or test is not None or validation != 0.1:
            raise ConfigurationError(
                "expected --resume with --out alone, as recipe, data and settings are those that "
                "the run began with"
            )
        run = runs.read(out)
    else:
        if recipe is None or data is None:
            raise ConfigurationError(
                "expected a recipe and --data, as in: lowerbound train mlp --data mnist --out "
                "runs/first; lowerbound recipes lists the recipes"
            )
        settings = recipes.parse(set_ or [])
        recipes.check(recipe, settings)
        known_folder = None if folder is None else str(folder.absolute())
        source = runs.Source(
            _absolute(data), known_folder, labels, validation, test, on_disk or is_large(data)
        )
        command = shlex.join(["lowerbound", *sys.argv[1:]])
        run = runs.Run(recipe, settings, source, command)
    callbacks: list[Callback] = [ProgressBar()]
    if tensorboard:
        callbacks.append(TensorBoard(out / "tensorboard"))
    try:
        with checking() as reading:
            records = runs.train(
                run,
                out,
                resume=resume,
                callbacks=callbacks,
                device=device,
                announce=note,
                reading=reading,
            )
    except Interrupted as error:
        message = str(error).partition("; ")[0]
        again = shlex.join(["lowerbound", "train", "--resume", "--out", str(out)])
        raise Interrupted(f"{message}; go on with: {again}") from None
    if json:
        print_json(records[-1])
    else:
        typer.echo(f"trained; now: {shlex.join(['lowerbound', 'evaluate', str(out)])}")


def _absolute(data: str) -> str:
    """A path as an absolute one, so that the run finds its data from anywhere."""
    return str(Path(data).absolute()) if Path(data).exists() else data


def recipes(
    json: Annotated[bool, typer.Option(help="Print them as JSON.")] = False,
) -> None:
    """List the recipes and their settings."""
    import dataclasses

    from lowerbound.recipes import AXES, RECIPES, choices
    from lowerbound.training import Training

    training = {field.name: field.default for field in dataclasses.fields(Training)}
    parts = {axis: choices(axis) for axis in AXES}
    if json:
        listed = {
            name: {
                "description": f"{recipe.about}\n\n{recipe.notes}\nSource: {recipe.source}",
                "settings": recipe.defaults,
                "training": dict(recipe.training),
            }
            for name, recipe in RECIPES.items()
        }
        print_json(listed | {"parts": parts, "training": training})
        return
    for name, recipe in RECIPES.items():
        typer.echo(f"{name}: {recipe.about}")
        for key, value in [*recipe.defaults.items(), *recipe.training.items()]:
            for name, inner in _settings(key, value):
                typer.echo(f"    {name}={_shown(inner)}")
    for axis, named in parts.items():
        typer.echo(f"{axis}=, for every recipe that has it:")
        for part, arguments in named.items():
            told = " ".join(
                f"{axis}.{key}={_shown(inner)}"
                for name, value in arguments.items()
                for key, inner in _settings(name, value)
            )
            typer.echo(f"    {part} {told}".rstrip())
    typer.echo("settings of training, for every recipe:")
    for key, value in training.items():
        typer.echo(f"    {key}={_shown(value)}")


def _settings(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    """``--set`` keys and their values; those of a part behind its name."""
    if not isinstance(value, dict):
        yield key, value
        return
    yield key, value["part"]
    for name, inner in value.items():
        if name != "part":
            yield from _settings(f"{key}.{name}", inner)


def _shown(value: object) -> str:
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)
