"""The number of threads follows the time that steps take; where bits depend on it, it stays."""

from __future__ import annotations

import pytest
import torch

from lowerbound.training import threads
from lowerbound.training.threads import Threads


class Clock:
    """Times of a step by the number of threads."""

    def __init__(self, seconds):
        self.seconds = seconds

    def step(self, chosen):
        chosen.took(self.seconds[chosen.now])


@pytest.fixture
def clock():
    kept = torch.get_num_threads()
    torch.set_num_threads(4)
    yield Clock({4: 1.0, 2: 1.5, 1: 2.5})
    torch.set_num_threads(kept)


def run(clock, chosen, steps):
    used = []
    for _ in range(steps):
        used.append(chosen.now)
        assert torch.get_num_threads() == chosen.now
        clock.step(chosen)
    return used


def test_all_threads_are_used_when_they_are_fastest(clock):
    used = run(clock, Threads(lambda count: True), 1000)
    assert used.count(4) > 900
    assert 1 not in used


def test_a_neighbour_is_noticed_when_it_comes_and_when_it_goes(clock):
    chosen = Threads(lambda count: True)
    run(clock, chosen, 100)
    clock.seconds = {4: 20.0, 2: 15.0, 1: 2.5}
    used = run(clock, chosen, 100)
    assert used[-50:].count(1) > 40
    clock.seconds = {4: 1.0, 2: 1.5, 1: 2.5}
    assert run(clock, chosen, 200)[-20:].count(4) > 10


def test_where_bits_depend_on_the_number_it_stays(clock):
    asked = []
    chosen = Threads(lambda count: bool(asked.append(count)))
    clock.seconds = {4: 20.0, 2: 1.0, 1: 1.0}
    assert set(run(clock, chosen, 200)) == {4}
    assert asked == [2]


def test_what_is_costly_is_tried_only_when_others_stay(clock, monkeypatch):
    asked, looks = [], iter([True] * (threads.OFTEN - 1) + [False] + [True] * 100)
    monkeypatch.setattr(threads, "taken", lambda most: next(looks))
    chosen = Threads(lambda count: not asked.append(count), costly=True)
    for _ in range(10_000):
        if not asked:
            clock.step(chosen)
    assert asked == [1]
    assert len(list(looks)) == 100 - threads.OFTEN  # one look too few, a free one, and then all
