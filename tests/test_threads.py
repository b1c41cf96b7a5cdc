"""The number of threads follows the time that steps take; where bits depend on it, it stays."""

from __future__ import annotations

import pytest
import torch

from lowerbound.training import threads
from lowerbound.training.threads import Threads


class Clock:
    """Time as steps take it: ``seconds`` of each number of threads, on processors of our own."""

    def __init__(self, seconds):
        self.seconds, self.now, self.cpu, self.share = seconds, 0.0, 0.0, 1.0

    def perf_counter(self):
        return self.now

    def process_time(self):
        return self.cpu

    def step(self, chosen):
        spent = self.seconds[chosen.now]
        self.now += spent
        self.cpu += self.share * spent * chosen.now
        chosen.took(spent)


@pytest.fixture
def clock(monkeypatch):
    clock = Clock({4: 1.0, 2: 1.5, 1: 2.5})
    monkeypatch.setattr(threads, "time", clock)
    kept = torch.get_num_threads()
    torch.set_num_threads(4)
    yield clock
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


def test_what_is_costly_is_tried_only_beside_others(clock):
    asked = []
    chosen = Threads(lambda count: not asked.append(count), costly=True)
    run(clock, chosen, 100)
    assert not asked
    clock.share = 0.5
    run(clock, chosen, 100)
    assert asked == [1]
