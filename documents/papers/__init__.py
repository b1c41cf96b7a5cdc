"""P1–P4: the protocols of papers."""

from documents.papers import systems

__all__ = ["systems"]
