"""How the threads of torch's pool wait for work: to be chosen before torch is first imported."""

from __future__ import annotations

import os

SPINS = "1000"


def choose_waiting() -> None:
    """Let waiting threads of GNU's OpenMP spin for some microseconds, and then sleep.

    Left to itself it lets them spin for milliseconds.  When another process has one of the cores,
    the threads then wait for each other on the core that both need.  Sleeping at once
    (OMP_WAIT_POLICY=passive) costs a wake-up for each of the hundred parallel operations of a
    training step.  `benchmarks/threads.py` measures all three.

    A user's own choice is left alone.  It has no effect on a torch that is loaded already: import
    lowerbound first.
    """
    if not {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = SPINS
