"""The systems: what each is, and the registry of them."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from lowerbound.errors import ConfigurationError, near
from lowerbound.reproduce.bench import Bench


@dataclass(frozen=True)
class System:
    """One row of the documents: ``run`` trains and measures it on a bench."""

    id: str
    title: str
    document: str
    run: Callable[[Bench], None]


SYSTEMS: dict[str, System] = {}
DOCUMENTS = {
    "A": "CPSC 440 slides",
    "B": "CPSC 440 assignment",
    "C": "Lab 11",
    "D": "Homework 3",
    "E": "VAE problem set",
    "P": "Papers",
}


def system(id: str, title: str) -> Callable[[Callable[[Bench], None]], Callable[[Bench], None]]:
    """Register a function as the system ``id``."""

    def register(run: Callable[[Bench], None]) -> Callable[[Bench], None]:
        SYSTEMS[id] = System(id, title, DOCUMENTS[id[0]], run)
        return run

    return register


def order(id: str) -> tuple[str, int]:
    """The documents' order: A2 before A10.

    >>> sorted(["B1", "A10", "A2"], key=order)
    ['A2', 'A10', 'B1']
    """
    letter, number = re.fullmatch(r"([A-Z])(\d+)", id).groups()  # type: ignore[union-attr]
    return letter, int(number)


def chosen(ids: list[str]) -> list[System]:
    """The systems named, or all of them for "all", in the documents' order.

    Raises:
        ConfigurationError: an unknown id.
    """
    wanted = [id.upper() for id in ids]
    if "ALL" in wanted:
        wanted = list(SYSTEMS)
    for id in wanted:
        if id not in SYSTEMS:
            raise ConfigurationError(f"unknown system {id!r}; {near(id, SYSTEMS)}, or all")
    return [SYSTEMS[id] for id in sorted(set(wanted), key=order)]
