"""``scripts/attack``: all classes, or those named; exits with 1 if anything failed.

``files=500`` runs that class with so many attempts, ``files`` with as many as ``--attempts`` says.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from attack import corpus
from attack.environments import environments
from attack.fuzz import fuzz
from attack.kills import kills
from attack.options import options
from attack.tally import Tally

CLASSES: dict[str, Callable[[Path, Path, int, int, Tally], None]] = {
    "files": fuzz,
    "options": options,
    "kills": kills,
    "environments": environments,
}


@contextmanager
def telling(tally: Tally) -> Iterator[None]:
    """Print the tally in the end, also of attacks that are stopped before it."""
    try:
        yield
    finally:
        print(tally, flush=True)


def main() -> None:
    """Run the attacks and print the table of attempts and failures."""
    parser = argparse.ArgumentParser(prog="scripts/attack", description=__doc__)
    parser.add_argument("classes", nargs="*", help=f"of {', '.join(CLASSES)}; all without")
    parser.add_argument("--attempts", type=int, default=5000, help="at most, of each class")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    try:
        attempts = {
            name: int(number or asked.attempts)
            for name, _, number in (told.partition("=") for told in asked.classes or CLASSES)
        }
    except ValueError:
        parser.error(f"expected CLASS=ATTEMPTS, got {' '.join(asked.classes)}")
    if unknown := set(attempts) - set(CLASSES):
        parser.error(f"expected classes of {', '.join(CLASSES)}, got {', '.join(sorted(unknown))}")
    tally = Tally()
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
    with telling(tally), tempfile.TemporaryDirectory(prefix="attack-") as folder:
        sound = Path(folder) / "sound"
        sound.mkdir()
        corpus.build(sound)
        for name, number in attempts.items():
            CLASSES[name](sound, Path(folder), number, asked.seed, tally)
    sys.exit(bool(tally.failures.total()))


if __name__ == "__main__":
    main()
