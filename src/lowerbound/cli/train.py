"""``train`` and ``recipes``."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lowerbound.cli.options import Device, Json, pixels
from lowerbound.cli.output import checking, note, show
from lowerbound.errors import ConfigurationError, Interrupted


def train(
    out: Annotated[Path, typer.Option(help="The new folder of the run.")],
    recipe: Annotated[
        str | None, typer.Argument(help="A name that `lowerbound recipes` lists.")
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="digits, mnist, fashion-mnist, or your own: .npy, .npz, IDX, .csv, .parquet, "
            "a folder of images or of .parquet files."
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="A setting of the recipe or of training."),
    ] = None,
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
    header: Annotated[
        Literal["yes", "no"] | None,
        typer.Option(
            help="Whether the first line of a CSV file names its columns. [judged by the rows]"
        ),
    ] = None,
    crop: Annotated[
        str | None,
        typer.Option(metavar="PIXELS", help="Keep the middle of each image: 148, or 178x148."),
    ] = None,
    resize: Annotated[
        str | None,
        typer.Option(
            metavar="PIXELS", help="Bring images to one size, after --crop: 64, or 64x48."
        ),
    ] = None,
    skip_broken: Annotated[
        bool, typer.Option("--skip-broken", help="Leave out images that cannot be read.")
    ] = False,
    device: Device = None,
    tensorboard: Annotated[bool, typer.Option(help="Also log for TensorBoard.")] = False,
    json: Json = False,
) -> None:
    """Train a RECIPE on --data, into the folder --out.

    The test data are held out for `lowerbound evaluate`.  Ctrl-C saves and says how to resume.
    """
    from lowerbound import recipes, runs
    from lowerbound.data import is_large
    from lowerbound.training import Callback, ProgressBar, TensorBoard

    if resume:
        given = recipe or data or set_ or labels or folder or on_disk
        given = given or header or crop or resize or skip_broken
        if given or test is not None or validation != 0.1:
            raise ConfigurationError(
                "expected --resume with --out alone, as recipe, data and settings are those that "
                "the run began with"
            )
        description = runs.RunDescription.read(out)
    elif recipe is None or data is None:
        raise ConfigurationError(
            "expected a recipe and --data, as in: lowerbound train mlp --data mnist --out "
            "runs/first; lowerbound recipes lists the recipes"
        )
    else:
        settings = recipes.parse(set_ or [])
        recipes.check(recipe, settings)
        description = runs.RunDescription(
            recipe=recipe,
            settings=settings,
            source=runs.DataSource(
                source=str(Path(data).absolute()) if Path(data).exists() else data,
                folder=None if folder is None else str(folder.absolute()),
                labels=labels,
                validation=validation,
                test=test,
                on_disk=on_disk or is_large(data),
                header=None if header is None else header == "yes",
                crop=pixels("--crop", crop),
                resize=pixels("--resize", resize),
                skip_broken=skip_broken,
            ),
            command=shlex.join(["lowerbound", *sys.argv[1:]]),
        )
    callbacks: list[Callback] = [ProgressBar()]
    if tensorboard:
        callbacks.append(TensorBoard(out / "tensorboard"))
    try:
        records = runs.train(
            description,
            out,
            resume=resume,
            callbacks=callbacks,
            device=device,
            announce=note,
            reading=checking,
        )
    except Interrupted as error:
        message = str(error).partition("; ")[0]
        again = shlex.join(["lowerbound", "train", "--resume", "--out", str(out)])
        raise Interrupted(f"{message}; go on with: {again}") from None
    after = shlex.join(["lowerbound", "evaluate", str(out)])
    show(records[-1], f"trained; now: {after}", json)


def recipes(json: Json = False) -> None:
    """List the recipes and their settings."""
    import dataclasses

    from lowerbound.recipes import AXES, RECIPES, choices
    from lowerbound.training import Training

    parts = {axis: choices(axis) for axis in AXES}
    training = {field.name: field.default for field in dataclasses.fields(Training)}
    listed: dict[str, Any] = {}
    lines: list[str] = []
    for name, recipe in RECIPES.items():
        changed = dict(recipe.training)
        listed[name] = {
            "description": f"{recipe.about}\n\n{recipe.notes}\nSource: {recipe.source}",
            "settings": recipe.defaults,
            "training": changed,
        }
        lines.append(f"{name}: {recipe.about}")
        lines += [f"    {line}" for line in (*_settings(recipe.defaults), *_settings(changed))]
    for axis, named in parts.items():
        lines.append(f"{axis}=, for every recipe that has it:")
        for part, arguments in named.items():
            lines.append(" ".join([f"    {part}", *_settings(arguments, f"{axis}.")]))
    lines.append("settings of training, for every recipe:")
    lines += [f"    {line}" for line in _settings(training)]
    show(listed | {"parts": parts, "training": training}, "\n".join(lines), json)


def _settings(settings: dict[str, Any], prefix: str = "") -> Iterator[str]:
    """``--set`` keys and their values; those of a part behind its name."""
    for key, value in settings.items():
        if isinstance(value, dict):
            yield f"{prefix}{key}={value['part']}"
            inner = {name: item for name, item in value.items() if name != "part"}
            yield from _settings(inner, f"{prefix}{key}.")
        else:
            shown = ",".join(map(str, value)) if isinstance(value, list | tuple) else value
            yield f"{prefix}{key}={shown}"
