"""Every Python snippet of these pages is run, in order within its page."""

import doctest

from sybil import Sybil
from sybil.parsers.markdown import PythonCodeBlockParser

collect_ignore = ["conf.py", "conftest.py"]
pytest_collect_file = Sybil(
    parsers=[
        PythonCodeBlockParser(doctest_optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE)
    ],
    patterns=["*.md", "**/*.md"],
).pytest()
