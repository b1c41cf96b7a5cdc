"""Python programs in processes that are forked from one with the library: each starts at once."""

from __future__ import annotations

import multiprocessing
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import torch

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["lowerbound.training", "lowerbound.data", "torch._dynamo"])

in_full = subprocess.run


def _program(code: str, arguments: list[str], environment: Mapping[str, str], log: Path) -> None:
    os.environ.update(environment)
    out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    os.dup2(out, 1)
    os.dup2(out, 2)
    torch.set_num_threads(1)
    sys.argv = ["program", *arguments]
    exec(code, {"__name__": "__main__"})


def start(
    code: str, *arguments: object, log: Path, environment: Mapping[str, str] | None = None
) -> multiprocessing.process.BaseProcess:
    """A process that runs ``code`` with these arguments, and says what it says in ``log``."""
    given = (code, [*map(str, arguments)], environment or {}, log)
    process = FORKS.Process(target=_program, args=given)
    process.start()
    return process


def run(
    command: list[str],
    *,
    check: bool = False,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    text: bool = False,
    capture_output: bool = False,
) -> subprocess.CompletedProcess[Any]:
    """`subprocess.run` of Python with a script or a module, in a fork of this process."""
    if command[1] == "-c":
        return in_full(
            command, check=check, cwd=cwd, env=env, text=text, capture_output=capture_output
        )
    sys.stdout.flush()
    with TemporaryFile() as out, TemporaryFile() as err:
        child = os.fork()
        if not child:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            os._exit(_main(command[1:], cwd, env))
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        said = [os.pread(file.fileno(), 2**24, 0) for file in (out, err)]
    told = [each.decode() for each in said] if text else said
    if check and status:
        raise subprocess.CalledProcessError(status, command, *told)
    if not capture_output:
        print(*(each.decode() for each in said), sep="")
    return subprocess.CompletedProcess(command, status, *told)


def _main(words: list[str], cwd: Path | None, env: Mapping[str, str] | None) -> int:
    """Does what Python would with these words; the exit code."""
    try:
        os.chdir(cwd or ".")
        if env is not None:
            os.environ.clear()
            os.environ.update(env)
        is_module = words[0] == "-m"
        sys.argv = words[is_module:]
        if is_module:
            runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
        else:
            sys.path.insert(0, str(Path(sys.argv[0]).parent))
            runpy.run_path(sys.argv[0], run_name="__main__")
    except SystemExit as stop:
        if isinstance(stop.code, str):
            print(stop.code, file=sys.stderr)
        return stop.code if isinstance(stop.code, int) else bool(stop.code)
    except BaseException:
        traceback.print_exc()
        return 1
    finally:
        sys.stdout.flush()
    return 0
