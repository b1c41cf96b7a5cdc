"""The documents and their systems."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from documents.bench.bench import Bench
from lowerbound.errors import ConfigurationError, near


@dataclass(frozen=True)
class Document:
    """A source of systems, and the folder that holds their code, figures and pictures."""

    folder: str
    title: str


@dataclass(frozen=True)
class System:
    """One row of a document: ``run`` trains and measures it on a bench."""

    id: str
    title: str
    document: Document
    run: Callable[[Bench], None]


DOCUMENTS = {
    "A": Document("slides", "CPSC 440 slides"),
    "B": Document("assignment", "CPSC 440 assignment"),
    "C": Document("lab11", "Lab 11"),
    "D": Document("homework3", "Homework 3"),
    "E": Document("problem_set", "VAE problem set"),
    "P": Document("papers", "Papers"),
}
SYSTEMS: dict[str, System] = {}


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
    wanted = {id.upper() for id in ids}
    if "ALL" in wanted:
        wanted = set(SYSTEMS)
    for id in wanted - set(SYSTEMS):
        raise ConfigurationError(f"unknown system {id!r}; {near(id, SYSTEMS)}, or all")
    return [SYSTEMS[id] for id in sorted(wanted, key=order)]
