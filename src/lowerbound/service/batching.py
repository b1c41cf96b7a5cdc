"""Calls that arrive together, as one call of the model."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from threading import Condition, Thread
from typing import Any

import torch
from torch import Tensor

from lowerbound.service.calls import Calls, RowCall


@dataclass(eq=False)
class Job:
    """What waits for an answer: ``work``, or a call that can be joined with others of its ``key``.

    Attributes:
        key: the call, and the type of its rows.
        rows: x or z, (n, …), and labels.
    """

    work: Callable[[], Any] | None = None
    key: tuple[RowCall, torch.dtype] | None = None
    rows: tuple[Tensor, Tensor | None] | None = None
    answer: Future[Any] = field(default_factory=Future)

    @property
    def n(self) -> int:
        """How many rows."""
        return 0 if self.rows is None else len(self.rows[0])


class Batcher:
    """A thread that answers what waits, in order; calls by rows that wait together as one.

    An answer is that of a call of its own, but for the rounding of products of matrices, whose
    order may depend on their size.

    Args:
        calls: what answers.
        most: rows of one call of the model.
    """

    def __init__(self, calls: Calls, most: int) -> None:
        self._calls, self._most = calls, most
        self._jobs: deque[Job] = deque()
        self._changed, self._closed = Condition(), False
        Thread(target=self._work, name="lowerbound-batches", daemon=True).start()

    def by_rows(self, call: RowCall, rows: Tensor, labels: Tensor | None) -> Future[Any]:
        """The answer of `Calls.by_rows`."""
        return self._put(Job(key=(call, rows.dtype), rows=(rows, labels)))

    def alone(self, work: Callable[[], Any]) -> Future[Any]:
        """What ``work`` returns, while nothing else is answered."""
        return self._put(Job(work=work))

    def close(self) -> None:
        """Answer what waits, then end."""
        with self._changed:
            self._closed = True
            self._changed.notify()

    def _put(self, job: Job) -> Future[Any]:
        with self._changed:
            self._jobs.append(job)
            self._changed.notify()
        return job.answer

    def _next(self) -> list[Job]:
        """The job that has waited longest, with those that can be joined with it."""
        with self._changed:
            self._changed.wait_for(lambda: self._jobs or self._closed)
            jobs, others, n = list[Job](), deque[Job](), 0
            while self._jobs:
                job = self._jobs.popleft()
                if job.answer.cancelled():
                    continue
                fits = job.key is not None and job.key == jobs[0].key if jobs else True
                if fits and (not jobs or n + job.n <= self._most):
                    jobs.append(job)
                    n += job.n
                else:
                    others.append(job)
            self._jobs = others
            return jobs

    def _work(self) -> None:
        while not self._closed or self._jobs:
            jobs = [job for job in self._next() if job.answer.set_running_or_notify_cancel()]
            try:
                answers = self._answers(jobs)
            except Exception as error:
                if len(jobs) == 1:
                    jobs[0].answer.set_exception(error)
                    continue
                answers = [self._own(job) for job in jobs]
            for job, answer in zip(jobs, answers, strict=True):
                if isinstance(answer, Exception):
                    job.answer.set_exception(answer)
                else:
                    job.answer.set_result(answer)

    def _own(self, job: Job) -> Any:
        """The answer to one of several that could not be answered together, or its error."""
        try:
            return self._answers([job])[0]
        except Exception as error:
            return error

    def _answers(self, jobs: list[Job]) -> list[Any]:
        if not jobs or jobs[0].key is None:
            return [job.work() for job in jobs if job.work is not None]
        given = [job.rows for job in jobs if job.rows is not None]
        labels = [own for _, own in given if own is not None]
        call, _ = jobs[0].key
        found = self._calls.by_rows(
            call, torch.cat([rows for rows, _ in given]), torch.cat(labels) if labels else None
        )
        ends = torch.tensor([job.n for job in jobs]).cumsum(0).tolist()
        return [found[end - job.n : end] for job, end in zip(jobs, ends, strict=True)]
