"""``train``."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from lowerbound.cli.options import Device, Json, Quiet, column_kinds, known_data, names, pixels
from lowerbound.cli.output import checking, note, rereading, show
from lowerbound.cli.settings import known_recipes, known_settings
from lowerbound.errors import ConfigurationError, Interrupted


def train(
    out: Annotated[Path, typer.Option(help="The new folder of the run.")],
    recipe: Annotated[
        str | None,
        typer.Argument(help="A name that lowerbound recipes lists.", autocompletion=known_recipes),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="digits, mnist, fashion-mnist, folk-tunes, or your own: .npy, .npz, IDX, .csv, "
            ".parquet, .h5ad, .mid, .abc, .musicxml, a folder of images, melodies or .parquet "
            "files.",
            autocompletion=known_data,
        ),
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="A setting of the recipe or of training, which is an option too: --set "
            "latent_dim=2 is --latent-dim 2.",
            autocompletion=known_settings,
        ),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    from_: Annotated[
        Path | None,
        typer.Option("--from", help="Begin with the weights of this run, of the same model."),
    ] = None,
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
            help="Leave the training data on disk (.npy, .csv, Parquet). Files larger than a "
            "quarter of memory stay there anyway.",
        ),
    ] = False,
    header: Annotated[
        Literal["yes", "no"] | None,
        typer.Option(
            help="Whether the first line of a CSV file names its columns. [judged by the rows]"
        ),
    ] = None,
    kind: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=KIND",
            help="What a column of a table holds, of real, positive, unit, counts, binary, "
            "ordinal, zero-inflated, categories, dates (dates:%d/%m/%y), ignore; or a .json file "
            "of them. Repeatable. [judged by its values]",
        ),
    ] = None,
    given: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN,…",
            help="Columns of a table that are covariates c, not part of x: the model is of "
            "p(x | c). A name with a comma is put in double quotes.",
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
    bars: Annotated[int, typer.Option(min=1, help="Bars in a window of melodies.")] = 2,
    metre: Annotated[
        Literal["4/4", "3/4", "6/8"], typer.Option(help="The metre of the melodies to read.")
    ] = "4/4",
    track: Annotated[
        str | None,
        typer.Option(help="The MIDI track whose top line is the melody. [the highest full one]"),
    ] = None,
    transpose: Annotated[
        int,
        typer.Option(
            min=0, help="Train also on melodies moved up and down by up to this many semitones."
        ),
    ] = 5,
    device: Device = None,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Also log for TensorBoard.")
    ] = False,
    quiet: Quiet = False,
    json: Json = False,
) -> None:
    """Train a RECIPE on --data, into the folder --out.

    The test data are held out for lowerbound evaluate.  Ctrl-C saves and says how to resume.

    Examples:
        lowerbound train mlp --data mnist --out runs/first --likelihood Bernoulli
        lowerbound train linear --data people.csv --labels city --out runs/people
        lowerbound train table --data people.csv --kind children=counts --out runs/p
        lowerbound train table --data people.csv --given sex,age --out runs/p
        lowerbound train convolutional --data photos --resize 64 --out runs/photos
        lowerbound train vampprior --data digits --out runs/v --prior.components 50
        lowerbound train bayesian --data fashion-mnist --out runs/draws
        lowerbound train melodies --data my-midi-folder --out runs/m
        lowerbound train --resume --out runs/first
    """
    from lowerbound import recipes, runs
    from lowerbound.data.formats import is_large, keeps_labels_apart
    from lowerbound.training import Callback, ProgressBar, TensorBoard

    source = runs.DataSource(
        source=data or "",
        folder=None if folder is None else str(folder.absolute()),
        labels=labels,
        validation=validation,
        test=test,
        on_disk=on_disk,
        header=None if header is None else header == "yes",
        kinds=column_kinds(kind or []),
        given=names(given or []),
        crop=pixels("--crop", crop),
        resize=pixels("--resize", resize),
        skip_broken=skip_broken,
        bars=bars,
        metre=metre,
        track=track,
        transpose=transpose,
    )
    settings = recipes.parse(set_ or [])
    if resume:
        if recipe or from_ or source != runs.DataSource(source="") or settings.keys() - {"epochs"}:
            raise ConfigurationError(
                "expected --resume with --out, and perhaps --set epochs=N for more of them, as "
                "recipe, data and other settings are those that the run began with"
            )
        begun = runs.RunDescription.read(out)
        description = begun.model_copy(update={"settings": begun.settings | settings})
    elif recipe is None or data is None:
        raise ConfigurationError(
            "expected a recipe and --data, as in: lowerbound train mlp --data mnist --out "
            "runs/first; lowerbound recipes lists the recipes"
        )
    else:
        recipe = recipe.replace("_", "-")  # as in Python
        try:
            recipes.check(recipe, settings)
        except ConfigurationError as error:
            remedy = "" if "; " in str(error) else f"; see lowerbound recipes {recipe}"
            raise ConfigurationError(f"{error}{remedy}") from None
        where: dict[str, Any] = {"on_disk": on_disk or is_large(data)}
        if Path(data).exists():
            where["source"] = str(Path(data).absolute())
        if labels is not None and keeps_labels_apart(data) and Path(labels).exists():
            where["labels"] = str(Path(labels).absolute())
        description = runs.RunDescription(
            recipe=recipe,
            settings=settings,
            source=source.model_copy(update=where),
            command=shlex.join(["lowerbound", *sys.argv[1:]]),
            begun_from=None if from_ is None else str(from_.absolute()),
        )
    callbacks: list[Callback] = [] if quiet else [ProgressBar()]
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
            reading=rereading if resume else checking,
        )
    except Interrupted as error:
        message = str(error).partition("; ")[0]
        again = shlex.join(["lowerbound", "train", "--resume", "--out", str(out)])
        raise Interrupted(f"{message}; go on with: {again}") from None
    after = shlex.join(["lowerbound", "evaluate", str(out)])
    show(records[-1], f"trained; now: {after}", json)
