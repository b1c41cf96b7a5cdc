"""Damaged files: each attempt damages one file of a sound folder and runs what reads it."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

from attack import box, corpus, judge
from attack.corpus import Target
from attack.mutations import mutate
from attack.tally import Tally
from lowerbound.errors import TrainingError

Result = tuple[object, ...]
COST = {"report": 0.1, "diagnose": 0.05}
"""How often a slow command is taken, beside the others."""


def fuzz(sound: Path, folder: Path, attempts: int, seed: int, tally: Tally) -> None:
    """Damage files ``attempts`` times, each kind of file equally often."""
    targets = corpus.targets(sound)
    expected: dict[tuple[str, tuple[str, ...]], Result] = {}
    for n in range(attempts):
        rng = random.Random(f"{seed}:{n}")
        target = targets[n % len(targets)]
        weights = [COST.get(arguments[0], 1.0) for arguments in target.commands]
        arguments = rng.choices(target.commands, weights)[0]
        if target.exact and (target.name, arguments) not in expected:
            expected[target.name, arguments] = _undamaged(sound, target, arguments, folder)
        attempt = folder / "attempt"
        damage = mutate(Path(shutil.copytree(sound, attempt)) / target.file, rng)
        outcome = box.run(arguments, attempt)
        outputs = [attempt / "o.npy"] if "o.npy" in arguments else []
        wrong = judge.complaints(outcome, outputs)
        wrong += [f"leaves {path}" for path in judge.temporaries(attempt)]
        if outcome.status not in (0, TrainingError.exit_code) and (attempt / "new").exists():
            wrong.append("leaves a folder")
        succeeds = target.exact and not outcome.status and damage != "sealed"
        if succeeds and _result(attempt, arguments, outcome) != expected[target.name, arguments]:
            wrong.append("gives another result without a word")
        what = f"{target.name}, {damage}: lowerbound {' '.join(arguments)}"
        tally.add(f"files: {target.name}", n, what, wrong, outcome)
        shutil.rmtree(attempt)


def _undamaged(sound: Path, target: Target, arguments: tuple[str, ...], folder: Path) -> Result:
    attempt = folder / "undamaged"
    shutil.copytree(sound, attempt)
    outcome = box.run(arguments, attempt)
    if outcome.status:
        raise RuntimeError(f"{' '.join(arguments)}: {outcome.err}")
    result = _result(attempt, arguments, outcome)
    shutil.rmtree(attempt)
    return result


def _result(folder: Path, arguments: tuple[str, ...], outcome: box.Outcome) -> Result:
    """What a command gave: its array, its figures, its weights."""
    array = folder / "o.npy"
    weights = (
        sorted(path.name for path in folder.glob("*/weights-*")) if "--resume" in arguments else ()
    )
    return (
        array.read_bytes() if array.exists() else None,
        outcome.out if "--json" in arguments else None,
        tuple(weights),
    )
