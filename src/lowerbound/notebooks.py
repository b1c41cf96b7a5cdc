"""How values show in notebooks."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from html import escape

FIELDS = 20


class Printed:
    """Shows in a notebook as it prints."""

    def _repr_html_(self) -> str:
        return _lines(str(self))


class Summarised(ABC):
    """Data, which show in a notebook as their summary, and as a table of their columns."""

    @abstractmethod
    def summary(self) -> str:
        """One line: how many examples of which shape, which values, which classes."""

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.summary()})"

    def _repr_html_(self) -> str:
        fields = getattr(self, "schema", ())
        if len(fields) < 2:
            return _lines(self.summary())
        rows = [(f.name, f.kind, ", ".join(f.categories or ())) for f in fields[:FIELDS]]
        if len(fields) > FIELDS:
            rows.append((f"and {len(fields) - FIELDS:,} more", "", ""))
        return _lines(self.summary()) + _table(("column", "kind", "categories"), rows)


def _lines(text: str) -> str:
    return f"<pre>{escape(text)}</pre>"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """An HTML table.

    >>> _table(("a",), [("<",)])
    '<table><tr><th scope="col">a</th></tr><tr><td>&lt;</td></tr></table>'
    """
    first = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in head)
    others = ("".join(f"<td>{escape(cell)}</td>" for cell in row) for row in rows)
    return f"<table>{''.join(f'<tr>{row}</tr>' for row in (first, *others))}</table>"
