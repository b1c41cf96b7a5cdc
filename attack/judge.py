"""What is wrong with how a command ended."""

from __future__ import annotations

import re
import signal
from pathlib import Path

import numpy as np

from attack.box import Outcome

INTERNALS = re.compile(
    r"Traceback|object has no attribute|NoneType|unhashable|not subscriptable|KeyError|TypeError"
    r"|index out of range|invalid literal|positional argument|must be str|is not iterable"
    r"|unsupported operand|maximum recursion|codec can't encode"
)
LONGEST = 700
STATUSES = {0, 1, 2, 3, 4, 5}


def complaints(outcome: Outcome, outputs: list[Path]) -> list[str]:
    """What a user could hold against ``outcome`` of a command that should write ``outputs``."""
    if outcome.status < 0:
        ended = signal.Signals(-outcome.status)
        return ["hangs" if ended in (signal.SIGALRM, signal.SIGXCPU) else f"dies of {ended.name}"]
    found = []
    said = (outcome.out + outcome.err).strip()
    if internals := INTERNALS.search(said):
        found.append(f"shows Python's internals ({internals[0]})")
    if outcome.status not in STATUSES:
        found.append(f"exits with {outcome.status}")
    if "out of memory" in said:
        found.append("runs out of memory")
    if outcome.status:
        lines = [line for line in outcome.err.splitlines() if re.match(r"error: |Error: ", line)]
        last = outcome.err.strip().splitlines()[-1:]
        if len(lines) != 1 or lines != last:
            found.append("does not end with one sentence")
        elif len(lines[0]) > LONGEST:
            found.append(f"says {len(lines[0])} characters")
        found += [f"leaves {path.name}" for path in outputs if path.exists()]
    else:
        found += [f"does not write {path.name}" for path in outputs if not path.exists()]
        found += [f"writes NaN to {path.name}" for path in outputs if not _finite(path)]
        if re.search(r"(?i)(?<![\w-])(nan|inf)(?![\w-])", outcome.out):
            found.append("prints NaN or infinity")
    return found


def temporaries(folder: Path) -> list[str]:
    """Files of unfinished writes below ``folder``."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*") if path.is_file()]


def _finite(path: Path) -> bool:
    if path.suffix != ".npy" or not path.exists():
        return True
    values = np.load(path)
    return values.dtype.kind not in "fc" or bool(np.isfinite(values).all())
