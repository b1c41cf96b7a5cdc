"""How many threads the steps of a run use: what makes them fastest, which others may change."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import torch

from lowerbound.processors import taken

WINDOW, SPAN = 5, 0.02  # steps, and seconds of them, at least, whose median is compared
BETTER = 0.95  # of the time of a step, to move to another number
WORSE = 1.5  # times what a step took before, and another number is tried at once
HOPELESS = 2.0  # times what a step takes, and a trial is over
OFTEN = 3  # times in a row that others have a processor, before what is costly is tried
PATIENCE, LONGEST = 8, 512  # such windows between trials, at first and at last


class Threads:
    """The number of torch's threads, from those it has down to one, by the time that steps take.

    Threads that share the work of an operation wait for the last of them.  Where another process
    has a core, that one is late in every operation, and one thread alone may be ten times as fast.
    So every now and then a few steps are taken with half as many threads, or twice as many, and
    what is faster is kept.  Trials that fail become rarer.

    Args:
        same: whether steps with so many threads have the results of those before, bit by bit; asked
            once for each number, and what has not is never used.
        costly: whether a new number costs seconds, so that one thread alone is the only other one,
            and is not tried before others have had a processor for a while.
    """

    def __init__(self, same: Callable[[int], bool], *, costly: bool = False) -> None:
        self.same, self.costly, self.most = same, costly, torch.get_num_threads()
        self.home = self.now = self.most
        self.known = {self.most: True}
        self.window: list[float] = []
        self.spent, self.usual = 0.0, float("inf")
        self.patience, self.down = PATIENCE, False
        self.waited = self.met = 0

    def took(self, seconds: float) -> None:
        """A step took so long."""
        self.window.append(seconds)
        self.spent += seconds
        hopeless = self._trying and seconds > HOPELESS * self.usual
        if not hopeless and (len(self.window) < WINDOW or self.spent < SPAN):
            return
        median = statistics.median(self.window)
        if self._trying:
            self._judge(median)
        else:
            self.waited += 1
            due = self.waited > self.patience or median > WORSE * self.usual
            self.usual = median
            if due:
                self._try()
        self.window.clear()
        self.spent = 0.0

    @property
    def _trying(self) -> bool:
        return self.now != self.home

    def _judge(self, median: float) -> None:
        """Stay with the number that was tried, or go back."""
        if median < BETTER * self.usual:
            self.home, self.usual, self.patience = self.now, median, PATIENCE
        else:
            self.patience = min(2 * self.patience, LONGEST)
            self._use(self.home)

    def _try(self) -> None:
        """Half as many threads, or twice as many, in turn where both may do."""
        self.waited = 0
        fewer, more = self.home // 2, min(2 * self.home, self.most)
        if self.costly:
            fewer, more = int(self.home > 1), self.most
        self.down = not self.down
        count = fewer if fewer and (self.down or more == self.home) else more
        if count not in self.known:
            if self.costly and not self._others_stay():
                return
            self.known[count] = self.same(count)
        if self.known[count]:
            self._use(count)

    def _others_stay(self) -> bool:
        """Whether others have had a processor each time that this was asked of late."""
        if not taken(self.most):
            self.met, self.patience = 0, min(2 * self.patience, LONGEST)
            return False
        self.met += 1
        return self.met >= OFTEN

    def _use(self, count: int) -> None:
        self.now = count
        if count != torch.get_num_threads():
            torch.set_num_threads(count)
