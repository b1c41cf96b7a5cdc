"""D1–D4: homework 3."""

from documents.homework3 import systems

__all__ = ["systems"]
