"""Work on blocks of data, shared among the workers of a Ray cluster."""

from __future__ import annotations

import logging
import os
import signal
import socket
import tempfile
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import safetensors.torch
from torch import Tensor

import lowerbound
from lowerbound import errors
from lowerbound.data import Data
from lowerbound.errors import ConfigurationError, DataError, LowerboundError, brief
from lowerbound.evaluation.walk import Progress
from lowerbound.extras import needs
from lowerbound.runs.run import Run, SplitName

LOCAL = "local"
ANSWER_SECONDS = 5.0
RETRIES = 3
"""Times that a block is given to a worker again after one died of it."""
Columns = dict[str, Tensor]
Work = Callable[..., Iterator[Columns]]


@dataclass(frozen=True)
class Job:
    """What workers do, each with a run and data that it opens by itself.

    Attributes:
        work: a function of a module, which is given the run, its data, ``which`` blocks, and the
            settings, and yields columns for each block.
        folder: of the run.
        data: other data than the run's.
        labels: their column of class labels.
        split: of the run's own data.
        settings: of the work.
        same: what workers must find as it is here: the version, the weights, the data.
    """

    work: Work
    folder: str
    data: str | None = None
    labels: str | None = None
    split: SplitName = "test"
    settings: dict[str, Any] = field(default_factory=dict)
    same: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        work: Work,
        run: Run,
        examples: Data,
        data: str | None,
        labels: str | None,
        split: SplitName = "test",
        **settings: Any,
    ) -> Job:
        """The job for ``examples``, which are the ``split`` or the other ``data`` of ``run``."""
        folder, data = str(run.folder.resolve()), None if data is None else absolute(data)
        return cls(work, folder, data, labels, split, settings, _versions(run, examples))

    def begin(self, which: Iterator[range]) -> Iterator[Columns]:
        """The columns of ``which`` blocks, by a worker.

        Raises:
            LowerboundError: it cannot open the files, or finds others than those meant.
        """
        host = socket.gethostname()
        try:
            run = Run.open(self.folder, "cpu")
            examples = run.streamed(self.split, self.data, self.labels)
        except (LowerboundError, OSError) as error:
            kind = type(error) if isinstance(error, LowerboundError) else DataError
            raise kind(
                f"a worker on {host}: {error}; all machines must see the same files"
            ) from None
        told = "lowerbound", self.folder, self.data or f"data of {self.folder}"
        for what, own, meant in zip(told, _versions(run, examples), self.same, strict=True):
            if own != meant:
                raise DataError(
                    f"a worker on {host}: expected the same {what} on all machines, got {own} "
                    f"instead of {meant}; copy it there"
                )
        return self.work(run, examples, which=which, **self.settings)


def absolute(source: str) -> str:
    """The path of a file here, with all its folders; a name of known data as it is."""
    path = Path(source)
    return str(path.resolve()) if path.exists() else source


def _versions(run: Run, examples: Data) -> tuple[str, ...]:
    weights = run.information["weights"]["sha256"]
    return lowerbound.__version__, weights, examples.fingerprint


class Worker:
    """Does a job a block at a time, in the process of an actor."""

    def __init__(self, job: Job) -> None:
        self.job, self.wanted = job, deque[range]()
        self.found: Iterator[Columns] | None = None

    def __call__(self, batch: dict[str, Any]) -> dict[str, list[Any]]:
        """The columns of the block that a row tells of, or what is wrong."""
        first, rows = int(batch["first"][0]), int(batch["rows"][0])
        self.wanted.append(range(first, first + rows))
        columns, wrong = b"", ""
        try:
            if self.found is None:
                self.found = self.job.begin(iter(self.wanted.popleft, None))
            found = {name: column.contiguous() for name, column in next(self.found).items()}
            columns = safetensors.torch.save(found)
        except LowerboundError as error:
            wrong = f"{type(error).__name__}: {error}"
        return {"first": [first], "columns": [columns], "wrong": [wrong]}


@contextmanager
def shared(
    address: str, job: Job, blocks: list[range], progress: Progress
) -> Iterator[Iterator[Columns]]:
    """The columns of each of the blocks, in order, by the workers of the cluster at ``address``.

    "local" starts a cluster on this machine, which ends with the ``with``.  A block whose worker
    dies is given to another.

    Raises:
        MissingExtra: Ray is not installed.
        ConfigurationError: no cluster answers there.
        LowerboundError: what went wrong with a worker.
    """
    with _cluster(address):
        yield _found(job, blocks, progress)


def _found(job: Job, blocks: list[range], progress: Progress) -> Iterator[Columns]:
    ray, data = needs("ray", "ray"), needs("ray.data", "ray")
    context = data.DataContext.get_current()
    context.enable_progress_bars = False
    context.execution_options.preserve_order = True
    context.execution_no_progress_timeout_s = -1  # a block takes as long as it takes
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    rows = [{"first": block.start, "rows": len(block)} for block in blocks]
    workers = min(len(rows), int(ray.cluster_resources().get("CPU", 0)))
    if not workers:
        raise ConfigurationError("expected a cluster with processors, got one without; add a node")
    found = data.from_items(rows, override_num_blocks=len(rows)).map_batches(
        Worker,
        batch_size=1,
        fn_constructor_args=(job,),
        concurrency=workers,
        num_cpus=1,
        ray_remote_args_fn=lambda: {"max_task_retries": RETRIES},
    )
    try:
        for block, row in zip(blocks, found.iter_rows(), strict=True):
            yield columns_of(row, block)
            progress(block.stop, blocks[-1].stop)
    except ray.exceptions.RayError as error:
        *_, last = str(error).strip().splitlines()
        raise LowerboundError(
            "expected workers that have lowerbound installed and memory for a block, got one that "
            f"failed ({last.strip():.200}); see Ray's logs"
        ) from None


def columns_of(row: dict[str, Any], block: range) -> Columns:
    """What a `Worker` found of this block.

    Raises:
        LowerboundError: what was wrong, as the worker told it.
    """
    if row["wrong"]:
        kind, _, message = row["wrong"].partition(": ")
        raise getattr(errors, kind)(message)
    if row["first"] != block.start:
        raise LowerboundError(f"expected the block at {block.start}, got {row['first']}; try again")
    return safetensors.torch.load(row["columns"])


@contextmanager
def _cluster(address: str) -> Iterator[None]:
    """Connected with a cluster; Ctrl-C ends that connection before it does anything else."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")
    ray = needs("ray", "ray")
    where: dict[str, Any] = {}
    before, stopped = signal.signal(signal.SIGINT, signal.default_int_handler), False
    with tempfile.TemporaryDirectory(prefix="lb-", ignore_cleanup_errors=True) as folder:
        if address == LOCAL:
            where = {"include_dashboard": False, "_temp_dir": folder}
        try:
            _connect(ray, address, where)
            yield
        except KeyboardInterrupt:
            stopped = True
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            ray.shutdown()
            signal.signal(signal.SIGINT, before)
    if stopped:
        signal.raise_signal(signal.SIGINT)


@contextmanager
def _silent() -> Iterator[None]:
    """Nothing that compiled code, or what it starts, has to say reaches standard error."""
    kept = os.dup(2)
    try:
        with Path(os.devnull).open("wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _connect(ray: Any, address: str, where: dict[str, Any]) -> None:
    """Raises ConfigurationError: no cluster answers, as Ray says, or sooner where nothing listens.

    What Ray has to say of workers that die is not shown.
    """
    ray._private.worker._worker_logs_enabled = False
    try:
        if ":" in address:
            url = urlsplit(address if "//" in address else f"//{address}")
            socket.create_connection((url.hostname or "", url.port or 0), ANSWER_SECONDS).close()
        with _silent():
            ray.init(address, logging_level=logging.CRITICAL, log_to_driver=False, **where)
    except (OSError, ValueError, RuntimeError) as error:
        raise ConfigurationError(
            f"expected --ray as the address of a Ray cluster or {LOCAL}, got {address!r}, where "
            f"none answers ({brief(error)}); start one with: ray start --head"
        ) from None
