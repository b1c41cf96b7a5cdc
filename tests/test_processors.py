"""Work goes on with one thread where others have taken processors, with the same bits."""

from __future__ import annotations

import itertools

import pytest
import torch

from lowerbound import processors
from lowerbound.processors import Sharing, threads


@pytest.fixture
def two_threads():
    with threads(2):
        yield


@pytest.fixture(params=[True, False], ids=["taken", "free"])
def is_taken(request, monkeypatch):
    monkeypatch.setattr(processors, "PERIOD", 0.0)
    monkeypatch.setattr(processors, "OFTEN", 1)
    monkeypatch.setattr(processors, "taken", lambda most: request.param)
    return request.param


@pytest.mark.usefixtures("two_threads")
def test_one_thread_where_others_have_a_processor(is_taken):
    counts = []

    def double(z):
        counts.append(torch.get_num_threads())
        return 2 * z

    with Sharing() as sharing:
        for _ in range(3):
            assert sharing(double, torch.ones(2)).tolist() == [2, 2]
        assert sharing(double, torch.ones(3)).tolist() == [2, 2, 2]
    assert counts == ([1, 2, 1, 1, 1, 2] if is_taken else [2, 2, 2, 2])  # both for each shape
    assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads", "is_taken")
def test_results_do_not_depend_on_it():
    def count(z):
        return z * torch.get_num_threads()

    with Sharing() as sharing:
        assert [sharing(count, torch.ones(())).item() for _ in range(3)] == [2, 2, 2]


@pytest.mark.usefixtures("two_threads")
def test_others_that_leave_at_once_change_nothing(monkeypatch):
    looks = iter([True, False, True, False])
    monkeypatch.setattr(processors, "PERIOD", 0.0)
    monkeypatch.setattr(processors, "taken", lambda most: next(looks))
    with Sharing() as sharing:
        for _ in range(4):
            sharing(lambda z: z, torch.ones(1))
            assert torch.get_num_threads() == 2


@pytest.mark.usefixtures("two_threads")
def test_threads_are_not_changed_within_a_short_evaluation(monkeypatch):
    monkeypatch.setattr(processors, "taken", lambda most: pytest.fail("looked"))
    with Sharing() as sharing:
        assert sharing(torch.exp, torch.zeros(())).item() == 1


def test_one_thread_never_looks(monkeypatch):
    monkeypatch.setattr(processors, "PERIOD", 0.0)
    monkeypatch.setattr(processors, "taken", lambda most: pytest.fail("looked"))
    with threads(1), Sharing() as sharing:
        assert sharing(torch.exp, torch.zeros(())).item() == 1


@pytest.mark.parametrize("stalls", [True, False])
def test_a_look_is_longer_than_a_schedulers_slice(stalls, monkeypatch):
    """Two threads are twice as fast, until one of them waits for others' slice to end."""
    now = 0.0

    def clock():
        nonlocal now
        before = now
        now += 5e-4 if torch.get_num_threads() == 2 else 1e-3
        if stalls and torch.get_num_threads() == 2 and int(now / 0.008) > int(before / 0.008):
            now += 0.012
        return now

    monkeypatch.setattr(processors.time, "perf_counter", clock)
    assert processors.taken(2) == stalls


def test_a_look_that_is_held_up_at_once_ends(monkeypatch):
    late = itertools.count(step=1.0)
    monkeypatch.setattr(processors.time, "perf_counter", lambda: next(late))
    assert isinstance(processors.taken(2), bool)
