"""Odd environments: variables, streams, limits, folders.  Commands work or say one sentence."""

from __future__ import annotations

import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from attack import box, corpus, judge
from attack.tally import Tally


@dataclass(frozen=True)
class Odd:
    """What is odd: variables (None: unset), what runs before, options of Python, streams."""

    name: str
    variables: dict[str, str | None] = field(default_factory=dict)
    before: Callable[[], object] | None = None
    python: tuple[str, ...] = ()
    stdout: str | None = None
    works: bool = True
    """Whether the commands must succeed; else one sentence will do."""


def _limit(what: int, most: int) -> Callable[[], object]:
    return lambda: resource.setrlimit(what, (most, most))


def _gone() -> None:
    os.mkdir("gone")
    os.chdir("gone")
    os.rmdir("../gone")


ODDS = (
    *(
        Odd(f"stdout in {e}", {"PYTHONIOENCODING": e})
        for e in ("latin-1", "cp1252", "ascii", "utf-16")
    ),
    Odd("locale C without UTF-8", {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
    Odd("locale unknown", {"LC_ALL": "xx_YY"}),
    Odd("python -O", python=("-O",)),
    Odd("python -OO", python=("-OO",)),
    Odd("python -W error", python=("-W", "error::UserWarning:lowerbound")),
    Odd("python -X dev", python=("-X", "dev", "-W", "ignore")),
    Odd("no HOME", {"HOME": None}),
    Odd("HOME that is not there", {"HOME": "/nowhere"}),
    Odd("HOME that is a file", {"HOME": "/etc/passwd"}),
    Odd("TMPDIR that is not there", {"TMPDIR": "/nowhere"}),
    Odd("XDG_CACHE_HOME that is a file", {"XDG_CACHE_HOME": "/etc/passwd"}),
    Odd("20 columns", {"COLUMNS": "20", "LINES": "5"}),
    Odd("no columns", {"COLUMNS": "0"}),
    Odd("columns in words", {"COLUMNS": "wide"}),
    Odd("dumb terminal", {"TERM": "dumb"}),
    Odd("forced colour", {"FORCE_COLOR": "1"}),
    Odd("no threads", {"OMP_NUM_THREADS": "0"}),
    Odd("threads in words", {"OMP_NUM_THREADS": "many"}),
    Odd("10,000 threads", {"OMP_NUM_THREADS": "10000"}, works=False),
    Odd("WORLD_SIZE without RANK", {"WORLD_SIZE": "2"}, works=False),
    Odd("RANK in words", {"WORLD_SIZE": "1", "RANK": "first"}, works=False),
    Odd("RANK without WORLD_SIZE", {"RANK": "0"}, works=False),
    Odd("LOCAL_RANK in words", {"LOCAL_RANK": "x"}, works=False),
    Odd("odd CUDA devices", {"CUDA_VISIBLE_DEVICES": "17"}),
    Odd("odd backend of pictures", {"MPLBACKEND": "nonsense"}, works=False),
    Odd("backend of notebooks", {"MPLBACKEND": "module://matplotlib_inline.backend_inline"}),
    Odd("tuning off", {"LOWERBOUND_TUNE": "0"}),
    Odd("tuning in words", {"LOWERBOUND_TUNE": "perhaps"}, works=False),
    Odd("LOWERBOUND_DATA that is not there", {"LOWERBOUND_DATA": "/nowhere"}),
    Odd("umask 777", before=lambda: os.umask(0o777), works=False),
    Odd("files of at most 2 KB", before=_limit(resource.RLIMIT_FSIZE, 2048), works=False),
    Odd("20 open files", before=_limit(resource.RLIMIT_NOFILE, 20), works=False),
    Odd("1 GB of memory", before=_limit(resource.RLIMIT_AS, 2**30), works=False),
    Odd("no core", before=_limit(resource.RLIMIT_CORE, 0)),
    Odd("a stack of 256 KB", before=_limit(resource.RLIMIT_STACK, 2**18), works=False),
    Odd("stdout closed", before=lambda: os.close(1)),
    Odd("stderr closed", before=lambda: os.close(2)),
    Odd("stdin closed", before=lambda: os.close(0)),
    Odd("stdout full", stdout="/dev/full", works=False),
    Odd("working folder deleted", before=_gone, works=False),
    Odd("random hashes", {"PYTHONHASHSEED": "1"}),
    Odd("no bytecode", {"PYTHONDONTWRITEBYTECODE": "1"}),
)
COMMANDS = (
    ("recipes",),
    ("evaluate", "rows", "--samples", "2"),
    ("train", "mlp", "--data", "table.csv", "--out", "new", *corpus.SMALL),
    ("report", "images"),
    ("data", "list"),
)


def environments(sound: Path, folder: Path, attempts: int, seed: int, tally: Tally) -> None:
    """About ``attempts`` pairs of an environment and a command, evenly spread from ``seed`` on."""
    pairs = [(odd, command) for odd in ODDS for command in COMMANDS]
    for n in range(seed % (every := max(1, len(pairs) // attempts)), len(pairs), every):
        odd, arguments = pairs[n]
        attempt = folder / "attempt"
        shutil.copytree(sound, attempt)
        outcome = _run(odd, arguments, attempt)
        wrong = judge.complaints(outcome, [])
        if odd.works and outcome.status:
            wrong.append("should work")
        if (
            outcome.status
            and (attempt / "new").exists()
            and not (attempt / "new/model.json").exists()
            and (again := box.run(arguments, attempt)).status
        ):
            wrong.append(f"locks the folder: {again.err.strip()}")
        tally.add(
            "environments", n, f"{odd.name}: lowerbound {' '.join(arguments)}", wrong, outcome
        )
        shutil.rmtree(attempt)


def _run(odd: Odd, arguments: tuple[str, ...], folder: Path) -> box.Outcome:
    variables = {**os.environ, **odd.variables}
    began = time.monotonic()
    with (
        open(odd.stdout or folder / "out", "wb") as out,
        open(folder / "err", "wb") as err,
    ):
        process = subprocess.Popen(
            [sys.executable, *odd.python, "-m", "lowerbound", *arguments],
            env={name: value for name, value in variables.items() if value is not None},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
            preexec_fn=odd.before,
        )
        try:
            status = process.wait(10 * box.SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            status = -signal.SIGALRM
    said = "" if odd.stdout else (folder / "out").read_text(errors="replace")
    heard = (folder / "err").read_text(errors="replace")
    return box.Outcome(status, said, heard, time.monotonic() - began, 0.0)
