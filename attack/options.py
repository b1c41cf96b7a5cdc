"""Hostile values for every option of every command, and for every setting."""

from __future__ import annotations

import dataclasses
import random
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import typer

from attack import box, judge
from attack.corpus import SMALL
from attack.tally import Tally
from lowerbound import Training
from lowerbound.errors import TrainingError
from lowerbound.recipes import AXES, RECIPES, choices

VALUES = (
    *("", " ", "-1", "0", "-0.0", "nan", "inf", "1e400", "1e-320", "9" * 20, "-" + "9" * 20),
    *(
        "abc",
        "None",
        "[]",
        "{}",
        "1,",
        ",",
        "1,2,x",
        "0x10",
        "1_000",
        "٣",
        "=",
        "--",
        "é",
        "\udcff",
    ),
    *("a\nb", "a" * 5000, "~unknown/x", "~", ".", "/", "/dev/null", "/dev/zero", "table.csv"),
    *("images", "../..", "mlp", "mnist2", "MLP", "bernoulli", "True", "cpu:9", "cuda", "meta"),
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "train": ("train", "mlp", "--data", "grey.npy", "--out", "new", *SMALL),
    "evaluate": ("evaluate", "images", "--samples", "2", "--first", "5"),
    "rates": ("rates", "images", "--samples", "2"),
    "report": ("report", "images"),
    "diagnose": ("diagnose", "images"),
    "reconstruct": ("reconstruct", "images", "--out", "o.npy"),
    "sample": ("sample", "images", "--out", "o.npy"),
    "embed": ("embed", "images", "--out", "o.npy"),
    "compress": ("compress", "bits", "grey.npy", "--out", "o.lb"),
    "decompress": ("decompress", "bits", "grey.lb", "--out", "o.npy"),
    "recipes": ("recipes",),
}
ENDLESS = {"epochs", "samples", "n", "chains", "ais", "bracket", "steps"}  # may be asked for


def options(sound: Path, folder: Path, attempts: int, seed: int, tally: Tally) -> None:
    """Every option and setting with values that nobody should give, in a random order."""
    lines = list(_lines())
    random.Random(seed).shuffle(lines)
    for n, (group, arguments) in enumerate(lines[:attempts]):
        attempt = folder / "attempt"
        shutil.copytree(sound, attempt)
        outcome = box.run(arguments, attempt)
        echo = rf"(bytes in|lowerbound evaluate) {re.escape(arguments[-1])}$"
        figures = re.sub(echo, r"\1", outcome.out, flags=re.MULTILINE)
        wrong = judge.complaints(dataclasses.replace(outcome, out=figures), [])
        if outcome.status not in (0, TrainingError.exit_code) and (attempt / "new").exists():
            wrong.append("leaves a folder")
        shown = " ".join(repr(a)[:60] if a.strip("-") in VALUES else a for a in arguments)
        tally.add(f"options: {group}", n, f"lowerbound {shown[:500]}", wrong, outcome)
        shutil.rmtree(attempt)


def _lines() -> Iterator[tuple[str, tuple[str, ...]]]:
    from lowerbound.cli import app

    commands = typer.main.get_command(app).commands  # type: ignore[attr-defined]
    for name, base in COMMANDS.items():
        for option in commands[name].params:
            if option.param_type_name != "option" or option.is_flag or not option.opts:
                continue
            for value in VALUES:
                if option.name not in ENDLESS or not _large(value):
                    yield name, (*base, max(option.opts, key=len), value)
        for value in VALUES:
            yield name, (name, value, *base[2:])
    for before, setting in _settings():
        for value in VALUES:
            if setting.rpartition(".")[2] not in ENDLESS or not _large(value):
                yield "settings", (*COMMANDS["train"], *before, "--set", f"{setting}={value}")


def _large(value: str) -> bool:
    try:
        return float(value) > 100
    except ValueError:
        return False


def _settings() -> Iterator[tuple[tuple[str, ...], str]]:
    """Every name that ``--set`` takes, after what must be set before it."""
    for field in dataclasses.fields(Training):
        yield (), field.name
    for name in RECIPES["mlp"].defaults:
        yield (), name
    for axis in AXES:
        for part, arguments in choices(axis).items():
            for argument in arguments:
                yield ("--set", f"{axis}={part}"), f"{axis}.{argument}"
