"""Attempts and failures, by class."""

from __future__ import annotations

import re
import sys
from collections import Counter
from dataclasses import dataclass, field

from attack.box import Outcome


@dataclass
class Tally:
    """Counts, and each failure with what shows it."""

    attempts: Counter[str] = field(default_factory=Counter)
    failures: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    shown: list[str] = field(default_factory=list)

    def add(self, group: str, n: int, what: str, wrong: list[str], outcome: Outcome | None) -> None:
        """One attempt, and what was ``wrong`` with it."""
        self.attempts[group] += 1
        if not wrong:
            return
        self.failures[group] += 1
        said = "" if outcome is None else outcome.err.strip()
        line = f"[{n}] {what}\n    {'; '.join(wrong)}\n    {said[-600:]}"
        self.shown.append(line)
        kind = re.sub(r"\d+", "#", f"{group}: {wrong[0]}: {said.splitlines()[-1:]}")
        self.kinds[kind] += 1
        if self.kinds[kind] <= 3:
            print(line, file=sys.stderr, flush=True)

    def __str__(self) -> str:
        width = max(map(len, self.attempts), default=0)
        rows = [
            f"{group:<{width}} {n:>8,} {self.failures[group]:>8,}"
            for group, n in sorted(self.attempts.items())
        ]
        total = f"{'all':<{width}} {self.attempts.total():>8,} {self.failures.total():>8,}"
        return "\n".join([f"{'':<{width}} attempts failures", *rows, total])
