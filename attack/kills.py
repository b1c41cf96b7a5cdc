"""Kills at every system call of a save, and what is found afterwards."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import torch

import lowerbound as lb
from attack import box, judge
from attack.corpus import SMALL
from attack.tally import Tally
from attack.trace import killed_at

Checked = Callable[[Path], list[str]]


def kills(sound: Path, folder: Path, attempts: int, seed: int, tally: Tally) -> None:
    """Kill each action at about ``attempts`` of its system calls, evenly spread."""
    sound = Path(shutil.copytree(sound, folder / "sound to kill"))
    first, second = _model(1), _model(2)
    lb.save(first, sound / "model")
    embedding = ("embed", "rows", "--out", "codes.npy", "--force")
    box.run(("embed", "images", "--out", "codes.npy"), sound)
    before = (sound / "codes.npy").read_bytes()
    training = ("train", "mlp", "--data", "grey.npy", "--out", "new", *SMALL)
    actions: dict[str, tuple[Callable[[], object], Checked]] = {
        "save": (
            lambda: lb.save(second, "model"),
            lambda at: _one_of(at / "model", (first, second)),
        ),
        "embed": (box.command(embedding), lambda at: _whole(at, before, embedding)),
        "train": (box.command(training), lambda at: _goes_on(at, training)),
        "evaluate": (
            box.command(("evaluate", "rows", "--samples", "3")),
            lambda at: _works(at, ("report", "rows")),
        ),
    }
    for name, (action, check) in actions.items():
        attempt = folder / "attempt"
        shutil.copytree(sound, attempt)
        total = killed_at(action, attempt, -1)
        shutil.rmtree(attempt)
        for number in range(seed % (every := max(1, total // attempts)), total, every):
            shutil.copytree(sound, attempt)
            killed_at(action, attempt, number)
            tally.add(f"kills: {name}", number, f"{name}, of {total}", check(attempt), None)
            shutil.rmtree(attempt)


def _model(seed: int) -> lb.VAE:
    torch.manual_seed(seed)
    return lb.VAE(
        lb.StandardNormal(2),
        lb.DiagonalGaussian(lb.MLP(3, (4,), 4), 2),
        lb.Gaussian(lb.MLP(2, (4,), 3), (3,)),
    )


def _one_of(folder: Path, models: tuple[lb.VAE, ...]) -> list[str]:
    """The folder holds one of these models, and after the next save nothing else."""
    try:
        found = lb.load(folder).state_dict()
    except lb.errors.LowerboundError as error:
        return [f"lost both models: {error}"]
    wrong = []
    if not any(
        all(torch.equal(found[name], tensor) for name, tensor in model.state_dict().items())
        for model in models
    ):
        wrong.append("mixes the two models")
    lb.save(models[0], folder)
    return wrong + [
        f"keeps {path.name}"
        for path in folder.iterdir()
        if path.name.startswith(".") or len(list(folder.glob("weights-*"))) > 1
    ]


def _whole(at: Path, before: bytes, embedding: tuple[str, ...]) -> list[str]:
    """The codes are what they were, or what they should become by ``embedding``."""
    out = at / "codes.npy"
    now = out.read_bytes() if out.exists() else b""
    if now == before:
        return []
    wrong = _works(at, embedding)
    return wrong or ([] if now == out.read_bytes() else ["writes half a file"])


def _goes_on(at: Path, training: tuple[str, ...]) -> list[str]:
    """A killed training can be resumed, or begun again; it ends as one that was not killed."""
    resumed = box.run(("train", "--resume", "--out", "new"), at)
    if resumed.status and (again := _works(at, training)):
        return [f"locks the folder: {resumed.err.strip()} / {again[0]}"]
    wrong = [f"keeps {path}" for path in judge.temporaries(at / "new")]
    return wrong + _works(at, ("evaluate", "new", "--samples", "2"))


def _works(at: Path, arguments: tuple[str, ...]) -> list[str]:
    outcome = box.run(arguments, at)
    return [f"{arguments[0]} fails: {outcome.err.strip()}"] if outcome.status else []
