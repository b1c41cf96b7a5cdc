"""Every Python snippet of these pages is run, in order within its page; many train a model."""

import doctest
from pathlib import Path

import pytest
from sybil import Sybil
from sybil.integration.pytest import SybilItem
from sybil.parsers.markdown import PythonCodeBlockParser

collect_ignore = ["conf.py", "conftest.py"]
pytest_collect_file = Sybil(
    parsers=[
        PythonCodeBlockParser(doctest_optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    ],
    patterns=["*.md", "**/*.md"],
).pytest()


ran: set[tuple[str, int]] = set()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the pages as slow."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.slow)


def pytest_runtest_setup(item: SybilItem) -> None:
    """Run what comes before a snippet in its page, where another process has: they share pages."""
    own = item.example
    for example in own.document.examples():
        place = example.path, example.start
        if example.start < own.start and place not in ran:
            ran.add(place)
            example.evaluate()
    ran.add((own.path, own.start))
